"""From where and with which program something was asked for: with every event of a request."""

from __future__ import annotations

from pathlib import Path

import pytest

from angos_trio.identity import CLIENT_CHARACTERS_MAX
from angos_trio.oci.digest import digest_of
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.records import replace
from angos_trio.registry.delete import delete_blob, delete_manifest
from angos_trio.registry.mount import mount_blob
from angos_trio.registry.push_blob import push_blob
from angos_trio.registry.push_manifest import ManifestPush, push_manifest
from angos_trio.registry.read_only import begin_read_only, end_read_only
from tests.registry.support import caller_of, content, image, numbered, opened_registry
from tests.storage.support import NAME, rows_of, run

CALLER = caller_of("alice", address="192.0.2.7", client="docker/27.3.1")
OTHER = RepositoryName("other/app")


def origins(root: Path) -> list[tuple[str, str, str]]:
    return rows_of(root, "SELECT kind, address, client FROM events ORDER BY id")


@pytest.mark.slow
def test_every_event_of_a_request_says_from_where_it_was_asked_for(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            layer, other = digest_of(b"layer"), digest_of(b"other")
            for each in (b"layer", b"other"):
                await push_blob(registry, CALLER, NAME, digest_of(each), content(each))
            await mount_blob(registry, CALLER, OTHER, layer, NAME)
            await delete_blob(registry, CALLER, NAME, other)
            for body in (image(layer), numbered(2)):
                push = ManifestPush(NAME, Tag("v1"), body, None)
                digest = (await push_manifest(registry, CALLER, push)).digest
            await delete_manifest(registry, CALLER, NAME, Tag("v1"))
            await delete_manifest(registry, CALLER, NAME, digest)
            await begin_read_only(registry, CALLER)
            await end_read_only(registry, CALLER)

    run(test)
    found = origins(root)
    assert {kind for kind, _, _ in found} == {
        *("blob.pushed", "blob.mounted", "blob.deleted", "manifest.pushed", "manifest.deleted"),
        *("tag.created", "tag.updated", "tag.deleted", "read_only.begun", "read_only.ended"),
    }
    assert {row[1:] for row in found} == {("192.0.2.7", "docker/27.3.1")}


def test_what_a_program_says_of_itself_is_cut(root: Path) -> None:
    caller = replace(CALLER, client="x" * 70_000)

    async def test() -> None:
        async with opened_registry(root) as registry:
            await push_manifest(registry, caller, ManifestPush(NAME, Tag("v1"), image(), None))

    run(test)
    assert {len(client) for _, _, client in origins(root)} == {CLIENT_CHARACTERS_MAX}
