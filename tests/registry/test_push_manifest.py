"""A push is one transaction: body, references, tags, history and events, or nothing of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from angos_trio.limits.requests import PARSE_ON_LOOP_BYTES_MAX
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest, digest_of
from angos_trio.oci.media_types import DOCKER_MANIFEST
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.registry.context import Registry
from angos_trio.registry.pull import find_manifest, read_body
from angos_trio.registry.push_manifest import ManifestPush, push_manifest
from angos_trio.storage.files import Files
from tests.registry.support import (
    ANYBODY,
    EMPTY,
    IMMUTABLE,
    LEASE_SECS,
    image,
    index,
    numbered,
    opened_registry,
    push,
    push_bytes,
    push_untagged,
    registry_of,
)
from tests.storage.support import (
    NAME,
    Barrier,
    ScriptedFiles,
    failing,
    opened,
    refusal_of,
    rows_of,
    run,
    says,
)

OTHER = RepositoryName("team/other")
TABLES = (
    "namespaces",
    "manifests",
    "manifest_bodies",
    "manifest_references",
    "tags",
    "events",
    "tag_history",
)


def everything(root: Path) -> dict[str, list[tuple[object, ...]]]:
    """All rows that a push could change."""
    return {table: rows_of(root, f"SELECT * FROM {table}") for table in TABLES}


def kinds(root: Path) -> list[str]:
    return [row[0] for row in rows_of(root, "SELECT kind FROM events ORDER BY id")]


async def digest_at(registry: Registry, tag: str) -> Digest:
    return (await find_manifest(registry, NAME, Tag(tag))).digest


def test_push_by_tag_stores_everything_at_once(root: Path) -> None:
    layer = digest_of(b"layer")
    body = image(layer, subject=digest_of(b"subject"))

    async def test() -> None:
        async with opened_registry(root) as registry:
            outcome = await push(registry, "v1", body)

            assert outcome.digest == digest_of(body) == await digest_at(registry, "v1")
            assert outcome.subject == digest_of(b"subject")
            assert outcome.tags == ()
            (manifest,) = rows_of(root, "SELECT pushed_at, pushed_by, lease_until FROM manifests")
            now = registry.now()
            assert manifest == (now, ANYBODY.identity.owner, now + LEASE_SECS)
        assert rows_of(root, "SELECT digest, kind FROM manifest_references ORDER BY kind") == [
            (digest_of(EMPTY), "config"),
            (layer, "layer"),
        ]
        assert kinds(root) == ["manifest.pushed", "tag.created"]

    run(test)


def test_push_by_digest_sets_the_tags_of_the_query_once_each(root: Path) -> None:
    body = numbered(1)

    async def test() -> None:
        async with opened_registry(root) as registry:
            outcome = await push(registry, digest_of(body), body, "a", "b", "a")
            assert outcome.tags == ("a", "b")
            for tag in ("a", "b"):
                assert await digest_at(registry, tag) == digest_of(body)
        assert kinds(root) == ["manifest.pushed", "tag.created", "tag.created"]

    run(test)


def test_tags_of_the_query_do_not_count_beside_a_tag(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            assert (await push(registry, "v1", numbered(1), "other")).tags == ()
        assert rows_of(root, "SELECT name FROM tags") == [("v1",)]

    run(test)


def test_same_push_again_changes_nothing_but_times(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            for _ in range(3):
                await push(registry, "v1", numbered(1))
        assert kinds(root) == ["manifest.pushed", "tag.created"]
        assert rows_of(root, "SELECT count(*) FROM tag_history") == [(1,)]

    run(test)


def test_tag_moves_and_what_it_left_stays(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            for number in (1, 2, 1):
                await push(registry, "v1", numbered(number))
            assert await digest_at(registry, "v1") == digest_of(numbered(1))
            await find_manifest(registry, NAME, digest_of(numbered(2)))
        assert kinds(root) == [
            "manifest.pushed",
            "tag.created",
            "manifest.pushed",
            "tag.updated",
            "tag.updated",
        ]

    run(test)


def test_same_bytes_with_another_type_are_served_with_the_last_one(root: Path) -> None:
    body = b'{"schemaVersion": 2, "layers": [], "config": {"mediaType": "a/b", "digest": "%s", ' % (
        digest_of(b"").encode()
    )
    body += b'"size": 0}}'

    async def test() -> None:
        async with opened_registry(root) as registry:
            for media_type in ("application/vnd.oci.image.manifest.v1+json", DOCKER_MANIFEST):
                wanted = ManifestPush(NAME, Tag("v1"), body, media_type)
                await push_manifest(registry, ANYBODY, wanted)
                found = await find_manifest(registry, NAME, Tag("v1"))
                assert found.media_type == media_type

    run(test)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_digest_of_the_reference_must_be_that_of_the_body(root: Path, algorithm: str) -> None:
    body = numbered(1)

    async def test() -> None:
        async with opened_registry(root) as registry:
            wrong = digest_of(b"other", algorithm)
            error = await refusal_of(push(registry, wrong, body))
            assert says(error, Code.DIGEST_INVALID, 400)
            assert error.detail == {"expected": wrong, "received": digest_of(body, algorithm)}
            outcome = await push(registry, digest_of(body, algorithm), body, "v1")
            assert await digest_at(registry, "v1") == outcome.digest

    run(test)


def test_large_manifest_is_taken(root: Path) -> None:
    body = image(annotations={"filler": "x" * PARSE_ON_LOOP_BYTES_MAX})

    async def test() -> None:
        async with opened_registry(root) as registry:
            await push(registry, "v1", body)
            found = await find_manifest(registry, NAME, Tag("v1"))
            assert await read_body(registry, found) == body
            error = await refusal_of(push(registry, "v1", body[:-1]))
            assert says(error, Code.MANIFEST_INVALID, 400)

    run(test)


def test_nothing_is_pushed_below_the_reserve(root: Path) -> None:
    async def test() -> None:
        async with opened(root, reserve=1 << 60) as storage:
            error = await refusal_of(push(registry_of(storage), "v1", numbered(1)))
            assert says(error, Code.UNAVAILABLE, 507)

    run(test)


def test_manifest_must_leave_the_reserve_free(root: Path) -> None:
    class Roomy(Files):
        def free_bytes(self, path: str | Path) -> int:
            return 1000

    async def test() -> None:
        body = numbered(1)
        async with opened(root, Roomy(), reserve=1000 - len(body)) as storage:
            await push(registry_of(storage), "v1", body)
            error = await refusal_of(push(registry_of(storage), "v2", body + b" "))
            assert says(error, Code.UNAVAILABLE, 507)

    run(test)


IMMUTABLE_TABLE = {
    "first push": ([], "v1", 1, True),
    "the same again": ([("v1", 1)], "v1", 1, True),
    "another": ([("v1", 1)], "v1", 2, False),
    "another, of an exempt tag": ([("latest", 1)], "latest", 2, True),
    "another tag of the same": ([("v1", 1)], "v2", 1, True),
}


@pytest.mark.parametrize(
    ("before", "tag", "number", "is_taken"), IMMUTABLE_TABLE.values(), ids=IMMUTABLE_TABLE.keys()
)
def test_immutable_tags_stay_what_they_are(
    root: Path, before: list[tuple[str, int]], tag: str, number: int, is_taken: bool
) -> None:
    async def test() -> None:
        async with opened_registry(root, rule=IMMUTABLE) as registry:
            for earlier, of in before:
                await push(registry, earlier, numbered(of))
            found = everything(root)
            if is_taken:
                await push(registry, tag, numbered(number))
                assert await digest_at(registry, tag) == digest_of(numbered(number))
            else:
                error = await refusal_of(push(registry, tag, numbered(number)))
                assert says(error, Code.TAG_IMMUTABLE, 409)
                assert error.detail == tag
                assert everything(root) == found

    run(test)


def test_one_immutable_tag_refuses_the_whole_push(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root, rule=IMMUTABLE) as registry:
            await push(registry, "kept", numbered(1))
            before = everything(root)
            body = numbered(2)
            work = push(registry, digest_of(body), body, "new", "kept", "newer")
            assert says(await refusal_of(work), Code.TAG_IMMUTABLE, 409)
            assert everything(root) == before

    run(test)


def test_refused_push_makes_no_namespace(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root, allows_missing=False) as registry:
            work = push(registry, "v1", image(digest_of(b"missing")), name=OTHER)
            assert says(await refusal_of(work), Code.MANIFEST_BLOB_UNKNOWN, 404)
        assert all(rows == [] for rows in everything(root).values())

    run(test)


async def together(
    registry: Registry, files: ScriptedFiles, pushes: list[tuple[str, bytes]]
) -> list[OciError | Digest]:
    """Pushes that share one commit: what each came to."""
    barrier = Barrier()
    outcomes: list[OciError | Digest] = [OciError(Code.UNKNOWN)] * len(pushes)

    async def one(at: int, tag: str, body: bytes) -> None:
        try:
            outcomes[at] = (await push(registry, tag, body)).digest
        except OciError as error:
            outcomes[at] = error

    files.at["commit.before"] = barrier
    async with trio.open_nursery() as nursery:
        nursery.start_soon(registry.storage.write, lambda _: None)
        await barrier.arrival()
        for at, (tag, body) in enumerate(pushes):
            nursery.start_soon(one, at, tag, body)
        while registry.storage.waiting_steps < len(pushes):
            await trio.lowlevel.checkpoint()
        barrier.open()
    return outcomes


def test_of_first_pushes_of_an_immutable_tag_at_once_exactly_one_wins(root: Path) -> None:
    files = ScriptedFiles()
    bodies = [numbered(number) for number in range(12)]

    async def test() -> None:
        async with opened_registry(root, files, rule=IMMUTABLE) as registry:
            outcomes = await together(registry, files, [("v1", body) for body in bodies])
            won = [outcome for outcome in outcomes if isinstance(outcome, Digest)]
            lost = [outcome for outcome in outcomes if isinstance(outcome, OciError)]

            assert [await digest_at(registry, "v1")] == won
            assert {error.code for error in lost} == {Code.TAG_IMMUTABLE}
        assert kinds(root) == ["manifest.pushed", "tag.created"]
        assert rows_of(root, "SELECT digest FROM manifests") == [(won[0],)]

    run(test)


def test_pushes_of_one_tag_at_once_all_succeed_and_every_revision_stays(root: Path) -> None:
    files = ScriptedFiles()
    bodies = [numbered(number) for number in range(12)]

    async def test() -> None:
        async with opened_registry(root, files) as registry:
            outcomes = await together(registry, files, [("v1", body) for body in bodies])
            assert set(outcomes) == {digest_of(body) for body in bodies}
            for body in bodies:
                found = await find_manifest(registry, NAME, digest_of(body))
                assert await read_body(registry, found) == body
            assert await digest_at(registry, "v1") in outcomes
        assert rows_of(root, "SELECT count(*) FROM tag_history") == [(len(bodies),)]
        moves = rows_of(root, "SELECT kind FROM events WHERE kind LIKE 'tag.%' ORDER BY id")
        assert moves == [("tag.created",)] + [("tag.updated",)] * (len(bodies) - 1)

    run(test)


REFERENCES = {
    "all held": ((b"layer", b"config"), True),
    "layer missing": ((b"config",), False),
    "config missing": ((b"layer",), False),
}


@pytest.mark.parametrize(("held", "is_taken"), REFERENCES.values(), ids=REFERENCES.keys())
def test_missing_references_are_refused_where_they_are_not_allowed(
    root: Path, held: tuple[bytes, ...], is_taken: bool
) -> None:
    body = image(digest_of(b"layer"), config=digest_of(b"config"))

    async def test() -> None:
        async with opened_registry(root, allows_missing=False) as registry:
            for content in (b"layer", b"config"):
                await push_bytes(registry, content, OTHER)
            for content in held:
                await push_bytes(registry, content)
            if is_taken:
                await push(registry, "v1", body)
            else:
                error = await refusal_of(push(registry, "v1", body))
                assert says(error, Code.MANIFEST_BLOB_UNKNOWN, 404)

    run(test)


def test_index_may_list_what_is_held_as_a_manifest(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root, allows_missing=False) as registry:
            await push_bytes(registry, EMPTY)
            child = await push_untagged(registry, numbered(1))
            await push(registry, "v1", index(child))
            error = await refusal_of(push(registry, "v2", index(child), name=OTHER))
            assert says(error, Code.MANIFEST_BLOB_UNKNOWN, 404)

    run(test)


@pytest.mark.parametrize("number", [5, 28, 30])
def test_disk_that_refuses_a_push_leaves_nothing_of_it(root: Path, number: int) -> None:
    files = ScriptedFiles()

    async def test() -> None:
        async with opened_registry(root, files) as registry:
            await push(registry, "v1", numbered(1))
            before = everything(root)
            files.at["commit.before"] = failing(number)
            error = await refusal_of(push(registry, "v1", numbered(2)))
            assert says(error, Code.UNAVAILABLE, 507 if number == 28 else 503)
            assert everything(root) == before
            assert registry.storage.bodies.get(digest_of(numbered(2))) is None
            assert await digest_at(registry, "v1") == digest_of(numbered(1))

            files.at.clear()
            await push(registry, "v1", numbered(2))

    run(test)
