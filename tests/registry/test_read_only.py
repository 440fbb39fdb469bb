"""The switch: nothing is changed while it is on, not even what was on its way."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from angos_trio.oci.codes import Code
from angos_trio.oci.digest import digest_of
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.registry.context import Registry
from angos_trio.registry.delete import delete_blob, delete_manifest
from angos_trio.registry.mount import mount_blob
from angos_trio.registry.pull import find_blob, find_manifest, promise_blob
from angos_trio.registry.push_blob import finish_upload, start_upload, upload_offset
from angos_trio.registry.read_only import begin_read_only, end_read_only, find_read_only
from angos_trio.storage.metadata.switches import Switched
from angos_trio.storage.store import StorageSettings, begin_storage, join_storage
from tests.oci.refusals import refused
from tests.registry.support import (
    ANYBODY,
    LEASE_SECS,
    Clock,
    caller_of,
    content,
    image,
    opened_registry,
    push,
    push_bytes,
    push_untagged,
    registry_of,
)
from tests.storage.support import NAME, Source, published, rows_of, run

OTHER = RepositoryName("team/other")
OPERATOR = caller_of("operator")
LAYER = digest_of(b"layer")
BODY = image(LAYER)

CHANGES: dict[str, Callable[[Registry], Awaitable[object]]] = {
    "push of a blob": lambda registry: push_bytes(registry, b"more"),
    "push of the same blob": lambda registry: push_bytes(registry, b"layer"),
    "mount": lambda registry: mount_blob(registry, ANYBODY, OTHER, LAYER, NAME),
    "push of a manifest": lambda registry: push_untagged(registry, image()),
    "tag": lambda registry: push(registry, "v2", BODY),
    "delete of a blob": lambda registry: delete_blob(registry, ANYBODY, NAME, LAYER),
    "delete of a tag": lambda registry: delete_manifest(registry, ANYBODY, NAME, Tag("v1")),
    "delete of a manifest": lambda registry: delete_manifest(
        registry, ANYBODY, NAME, digest_of(BODY)
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_no_change_is_committed_while_it_is_on(root: Path, change: str) -> None:
    """Also where a request was let pass before: this is what the transaction says."""

    async def test() -> None:
        async with opened_registry(root) as registry:
            await push_bytes(registry, b"layer")
            if change != "delete of a blob":
                await push(registry, "v1", BODY)
            before = rows_of(root, "SELECT count(*) FROM events"), published(root)
            await begin_read_only(registry, OPERATOR)
            with refused(Code.UNSUPPORTED, 405) as caught:
                await CHANGES[change](registry)
            assert caught.value.message == "the registry is read-only"
            assert rows_of(root, "SELECT count(*) - 1 FROM events") == before[0]
            assert published(root) == before[1]
            await end_read_only(registry, OPERATOR)
            await CHANGES[change](registry)

    run(test)


def test_reads_go_on_and_what_is_promised_is_kept(root: Path) -> None:
    async def test() -> None:
        clock = Clock()
        async with opened_registry(root, clock=clock) as registry:
            await push_bytes(registry, b"layer")
            await push(registry, "v1", image())
            await begin_read_only(registry, OPERATOR)
            clock.now += LEASE_SECS - 1
            await find_manifest(registry, NAME, Tag("v1"))
            await find_blob(registry, NAME, LAYER)
            await promise_blob(registry, NAME, LAYER)
            (lease_until,) = rows_of(root, "SELECT lease_until FROM namespace_blobs")
            assert lease_until == (clock.now + LEASE_SECS,)

    run(test)


def test_upload_that_was_on_its_way_is_kept_to_be_finished_afterwards(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            session = await start_upload(registry, ANYBODY, NAME, "sha256")

            async def late() -> bytes:
                await begin_read_only(registry, OPERATOR)
                return b"er"

            body = content(Source(b"lay", late))
            with refused(Code.UNSUPPORTED, 405):
                await finish_upload(registry, ANYBODY, NAME, session.id, LAYER, body)
            assert published(root) == []
            assert await upload_offset(registry, NAME, session.id) == 5
            await end_read_only(registry, OPERATOR)
            await finish_upload(registry, ANYBODY, NAME, session.id, LAYER, content(b""))
            await find_blob(registry, NAME, LAYER)

    run(test)


def test_second_switch_changes_nothing_and_both_are_told_in_events(root: Path) -> None:
    async def test() -> None:
        clock = Clock()
        async with opened_registry(root, clock=clock) as registry:
            assert await find_read_only(registry) is None
            await end_read_only(registry, OPERATOR)
            first = await begin_read_only(registry, OPERATOR)
            clock.now += 5
            assert await begin_read_only(registry, caller_of("another")) == first
            assert await find_read_only(registry) == first
            await end_read_only(registry, OPERATOR)
            assert await find_read_only(registry) is None
        found = rows_of(root, "SELECT kind, namespace, actor FROM events ORDER BY id")
        owner = OPERATOR.identity.owner
        assert found == [("read_only.begun", "", owner), ("read_only.ended", "", owner)]

    run(test)


def test_it_outlives_a_restart(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            switched = await begin_read_only(registry, OPERATOR)
        async with opened_registry(root) as registry:
            assert await find_read_only(registry) == switched
            with refused(Code.UNSUPPORTED, 405):
                await registry.require_changeable()

    run(test)


def test_other_processes_see_it_at_once(root: Path) -> None:
    async def test() -> None:
        settings = StorageSettings(root, 0, 0)
        async with (
            begin_storage(settings, is_alone=False) as storage,
            join_storage(settings) as joined,
        ):
            here, there = registry_of(storage), registry_of(joined)
            await begin_read_only(here, OPERATOR)
            with refused(Code.UNSUPPORTED, 405):
                await there.require_changeable()
            with refused(Code.UNSUPPORTED, 405):
                await push_bytes(there, b"layer")
            await end_read_only(there, OPERATOR)
            await push_bytes(here, b"layer")

    run(test)


def test_refusal_says_since_when(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            assert await begin_read_only(registry, OPERATOR) == Switched(
                registry.now(), OPERATOR.identity.owner
            )
            with refused(Code.UNSUPPORTED, 405) as caught:
                await registry.require_changeable()
            assert json.dumps(caught.value.detail) == f'{{"since": {registry.now()}}}'

    run(test)
