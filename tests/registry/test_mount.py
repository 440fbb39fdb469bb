"""Mounting: only what the caller may read, and what is still there in the step."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import pytest
import trio

from angos_trio.identity import Action, Decision, Target
from angos_trio.limits.requests import MOUNT_CANDIDATES_MAX
from angos_trio.oci.codes import Code
from angos_trio.oci.digest import digest_of
from angos_trio.oci.names import RepositoryName
from angos_trio.registry.context import Registry
from angos_trio.registry.delete import delete_blob
from angos_trio.registry.mount import mount_blob
from angos_trio.registry.pull import find_blob
from tests.registry.support import (
    ANYBODY,
    LEASE_SECS,
    Asked,
    Clock,
    caller_of,
    opened_registry,
    push_bytes,
)
from tests.storage.support import Barrier, ScriptedFiles, refusal_of, rows_of, run, says

A, B, C, TARGET = (RepositoryName(f"team/{name}") for name in ("a", "b", "c", "target"))
BYTES = b"content"
DIGEST = digest_of(BYTES)


async def holds(registry: Registry, name: RepositoryName) -> bool:
    try:
        await find_blob(registry, name, DIGEST)
    except Exception as error:
        if getattr(error, "code", None) is not Code.BLOB_UNKNOWN:
            raise
        return False
    return True


MATRIX = {
    # held by, readable, source, mounted from
    "source, allowed": ([A], [A], A, A),
    "source, denied": ([A], [], A, None),
    "source does not hold it": ([B], [A, B], A, None),
    "source does not hold it and is denied": ([B], [B], A, None),
    "source unknown": ([], [A], A, None),
    "no source, one allowed": ([A], [A], None, A),
    "no source, none allowed": ([A, B], [], None, None),
    "no source, first denied": ([A, B, C], [B, C], None, B),
    "no source, only last allowed": ([A, B, C], [C], None, C),
    "no source, nobody holds it": ([], [A, B, C], None, None),
    "own, whatever the source": ([TARGET], [], A, TARGET),
    "own, no source, nothing else readable": ([TARGET, A], [], None, TARGET),
    "own and source": ([TARGET, A], [A], A, TARGET),
    "source is the target": ([TARGET], [], TARGET, TARGET),
    "source is the target and lacks it": ([A], [A], TARGET, None),
}


@pytest.mark.parametrize(
    ("held_by", "readable", "source", "mounted_from"), MATRIX.values(), ids=MATRIX.keys()
)
def test_mount_grants_what_the_caller_may_read_and_nothing_else(
    root: Path,
    held_by: list[RepositoryName],
    readable: Collection[str],
    source: RepositoryName | None,
    mounted_from: RepositoryName | None,
) -> None:
    asked = Asked(readable)

    async def test() -> None:
        async with opened_registry(root) as registry:
            for name in held_by:
                await push_bytes(registry, BYTES, name)
            done = await mount_blob(registry, caller_of(asked=asked), TARGET, DIGEST, source)

            assert done is (mounted_from is not None)
            assert await holds(registry, TARGET) is done
            assert {action for action, _ in asked.questions} <= {Action.GET_BLOB}
            assert TARGET not in {name for _, name in asked.questions}
            if source is not None:
                assert {name for _, name in asked.questions} <= {source}
        told = rows_of(root, "SELECT payload FROM events WHERE kind = 'blob.mounted'")
        sources = [json.loads(payload)["from"] for (payload,) in told]
        assert sources == ([mounted_from] if mounted_from not in (None, TARGET) else [])

    run(test)


def test_mount_without_a_source_tries_holders_in_name_order_up_to_a_bound(root: Path) -> None:
    asked = Asked([])
    names = [RepositoryName(f"team/n{number:03d}") for number in range(MOUNT_CANDIDATES_MAX + 5)]

    async def test() -> None:
        async with opened_registry(root) as registry:
            for name in reversed(names):
                await push_bytes(registry, BYTES, name)
            assert not await mount_blob(registry, caller_of(asked=asked), TARGET, DIGEST, None)
        tried = [name for _, name in asked.questions]
        assert len(tried) == MOUNT_CANDIDATES_MAX
        assert set(tried) <= set(names)
        assert len(set(tried)) == len(tried)

    run(test)


def test_refused_mount_leaves_nothing(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            await push_bytes(registry, BYTES, A)
            before = rows_of(root, "SELECT count(*) FROM events")
            assert not await mount_blob(registry, caller_of(asked=Asked([])), TARGET, DIGEST, A)
        assert rows_of(root, "SELECT name FROM namespaces") == [(A,)]
        assert rows_of(root, "SELECT count(*) FROM events") == before

    run(test)


class Vanishing(Asked):
    """Rights that are given while the blob goes: after it was authorized, before the step."""

    def __init__(self, registry: Registry, gone: list[RepositoryName]) -> None:
        super().__init__(None)
        self._registry = registry
        self._gone = gone

    async def may(self, action: Action, target: Target) -> Decision:
        decision = await super().may(action, target)
        if target.namespace in self._gone:
            name = RepositoryName(target.namespace or "")
            await delete_blob(self._registry, ANYBODY, name, DIGEST)
        return decision


@pytest.mark.parametrize(
    ("source", "gone", "is_mounted"), [(A, [A], False), (None, [A], True), (None, [A, B], False)]
)
def test_source_that_vanishes_after_it_was_authorized_grants_nothing(
    root: Path, source: RepositoryName | None, gone: list[RepositoryName], is_mounted: bool
) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            for name in (A, B):
                await push_bytes(registry, BYTES, name)
            caller = caller_of(asked=Vanishing(registry, gone))
            assert await mount_blob(registry, caller, TARGET, DIGEST, source) is is_mounted
            assert await holds(registry, TARGET) is is_mounted

    run(test)


def test_source_that_vanishes_between_the_look_and_the_step_grants_nothing(root: Path) -> None:
    """The step looks again: the delete is queued before it."""
    barrier, files = Barrier(), ScriptedFiles()

    async def test() -> None:
        async with opened_registry(root, files) as registry:
            await push_bytes(registry, BYTES, A)
            outcomes: list[bool] = []

            async def mount() -> None:
                outcomes.append(await mount_blob(registry, ANYBODY, TARGET, DIGEST, A))

            files.at["commit.before"] = barrier
            async with trio.open_nursery() as nursery:
                nursery.start_soon(delete_blob, registry, ANYBODY, A, DIGEST)
                await barrier.arrival()
                nursery.start_soon(mount)
                while registry.storage.waiting_steps < 1:
                    await trio.lowlevel.checkpoint()
                barrier.open()
            assert outcomes == [False]
            assert says(
                await refusal_of(find_blob(registry, TARGET, DIGEST)), Code.BLOB_UNKNOWN, 404
            )
        assert rows_of(root, "SELECT name FROM namespaces") == [(A,)]

    run(test)


def test_mounted_blob_has_a_lease_of_its_own_and_outlives_its_source(root: Path) -> None:
    clock = Clock()

    async def test() -> None:
        async with opened_registry(root, clock=clock) as registry:
            await push_bytes(registry, BYTES, A)
            clock.now += 700
            assert await mount_blob(registry, ANYBODY, TARGET, DIGEST, A)
            assert (await find_blob(registry, TARGET, DIGEST)).lease_until == clock.now + LEASE_SECS
            assert (
                await find_blob(registry, A, DIGEST)
            ).lease_until == clock.now + LEASE_SECS - 700

            await delete_blob(registry, ANYBODY, A, DIGEST)
            assert (await find_blob(registry, TARGET, DIGEST)).size == len(BYTES)

    run(test)


def test_mount_of_what_is_held_already_renews_the_lease(root: Path) -> None:
    clock = Clock()

    async def test() -> None:
        async with opened_registry(root, clock=clock) as registry:
            await push_bytes(registry, BYTES, TARGET)
            clock.now += 700
            assert await mount_blob(registry, ANYBODY, TARGET, DIGEST, A)
            assert (await find_blob(registry, TARGET, DIGEST)).lease_until == clock.now + LEASE_SECS

    run(test)


def test_missing_blob_is_not_mounted(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            await push_bytes(registry, BYTES, A)
            await registry.storage.write(
                lambda transaction: transaction.rows.execute("UPDATE blobs SET state = 'missing'")
            )
            for source in (A, None):
                assert not await mount_blob(registry, ANYBODY, TARGET, DIGEST, source)

    run(test)
