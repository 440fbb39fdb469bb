"""What lists show of a manifest is recorded when it is pushed, and stays true."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from angos_trio.limits.housekeeping import SUMMARIES_AT_ONCE_MAX
from angos_trio.maintenance.describe import describe_all
from angos_trio.oci.digest import Digest, digest_of
from angos_trio.oci.manifest import SIZE_MAX
from angos_trio.oci.names import RepositoryName
from angos_trio.oci.roles import Carried
from angos_trio.registry.context import ReadOnlyError, Registry
from angos_trio.registry.delete import delete_manifest
from angos_trio.registry.read_only import begin_read_only
from tests.registry.support import (
    ANYBODY,
    image,
    index,
    opened_registry,
    push,
    push_bytes,
    push_untagged,
)
from tests.storage.support import NAME, rows_of, run

CONFIG = json.dumps({"os": "linux", "architecture": "arm", "variant": "v7"}).encode()
SIGNATURE = "application/vnd.cncf.notary.signature"
SBOM = "application/spdx+json"
OTHER = RepositoryName("team/other")
SQL = (
    "SELECT role, carries, attached, total_size, platforms FROM manifests m "
    "JOIN namespaces n ON n.id = m.namespace AND n.name = '{}' WHERE digest = '{}'"
)


@dataclass(frozen=True)
class Recorded:
    role: str
    carries: Carried
    attached: Carried
    total_size: int
    platforms: str


def recorded(root: Path, digest: Digest, name: RepositoryName = NAME) -> Recorded:
    (row,) = rows_of(root, SQL.format(name, digest))
    return Recorded(row[0], Carried(row[1]), Carried(row[2]), row[3], row[4])


def generation(root: Path, name: RepositoryName = NAME) -> int:
    (row,) = rows_of(root, f"SELECT generation FROM namespaces WHERE name = '{name}'")
    return int(row[0])


async def push_for_arm(registry: Registry, number: int = 0) -> tuple[Digest, int]:
    """An image whose config is there; its digest, and all the bytes that its body names."""
    config = await push_bytes(registry, CONFIG)
    layer = await push_bytes(registry, b"layer %d" % number)
    body = image(layer, config=config, annotations={"number": str(number)})
    return await push_untagged(registry, body), len(body) + len(b"{}") + 1


def test_image_has_its_size_and_the_platform_of_its_config(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            digest, size = await push_for_arm(registry)
            assert recorded(root, digest) == Recorded(
                "image", Carried.NOTHING, Carried.NOTHING, size, "linux/arm/v7"
            )

    run(test)


def test_config_that_the_namespace_does_not_hold_says_nothing(root: Path) -> None:
    """It would tell what another namespace holds."""

    async def test() -> None:
        async with opened_registry(root) as registry:
            config = await push_bytes(registry, CONFIG, OTHER)
            body = image(config=config)
            digest = await push_untagged(registry, body)
            assert recorded(root, digest).platforms == ""

            await push_bytes(registry, CONFIG)
            await push_untagged(registry, body)
            assert recorded(root, digest).platforms == "linux/arm/v7"

    run(test)


@pytest.mark.parametrize("config", [b"", b"no JSON", b'{"os": "a b", "architecture": "x"}'])
def test_config_that_says_nothing_of_use_leaves_the_platform_out(root: Path, config: bytes) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            digest = await push_untagged(registry, image(config=await push_bytes(registry, config)))
            assert recorded(root, digest).platforms == ""

    run(test)


def test_index_has_the_platforms_of_its_body_and_the_bytes_of_its_parts(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            (first, one), (second, two) = [await push_for_arm(registry, n) for n in (1, 2)]
            document = json.loads(index(first, second))
            names = ("amd64", "arm64")
            for entry, architecture in zip(document["manifests"], names, strict=True):
                entry["platform"] = {"os": "linux", "architecture": architecture}
            body = json.dumps(document).encode()
            top = await push_untagged(registry, body)
            assert recorded(root, top) == Recorded(
                "index",
                Carried.NOTHING,
                Carried.NOTHING,
                len(body) + one + two,
                "linux/amd64 linux/arm64",
            )

    run(test)


def test_part_that_comes_later_or_goes_counts_in_the_index_above_and_in_that_above(
    root: Path,
) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            part = image(annotations={"late": "yes"})
            inner = index(digest_of(part))
            outer = index(digest_of(inner))
            for body in (outer, inner):
                await push_untagged(registry, body)
            assert recorded(root, digest_of(outer)).total_size == len(outer) + len(inner)

            await push_untagged(registry, part)
            total = len(outer) + len(inner) + len(part) + len(b"{}")
            assert recorded(root, digest_of(outer)).total_size == total

            await delete_manifest(registry, ANYBODY, NAME, digest_of(part))
            assert recorded(root, digest_of(outer)).total_size == len(outer) + len(inner)

    run(test)


def test_what_is_attached_is_known_whichever_comes_first_and_forgotten_when_it_goes(
    root: Path,
) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            subject = image(annotations={"a": "subject"})
            signature = image(subject=digest_of(subject), artifact_type=SIGNATURE)
            sbom = image(subject=digest_of(subject), artifact_type=SBOM)
            for body in (signature, subject, sbom):
                await push_untagged(registry, body)
            assert recorded(root, digest_of(signature)).carries is Carried.SIGNATURE
            both = Carried.SIGNATURE | Carried.SBOM
            assert recorded(root, digest_of(subject)).attached == both

            await delete_manifest(registry, ANYBODY, NAME, digest_of(signature))
            assert recorded(root, digest_of(subject)).attached == Carried.SBOM

    run(test)


def test_index_tells_what_its_parts_carry(root: Path) -> None:
    """As BuildKit puts attestations beside the images."""

    async def test() -> None:
        async with opened_registry(root) as registry:
            about = await push_untagged(registry, image(artifact_type=SBOM))
            top = await push_untagged(registry, index(about))
            assert recorded(root, top).attached == Carried.SBOM

            await delete_manifest(registry, ANYBODY, NAME, about)
            assert recorded(root, top).attached == Carried.NOTHING

    run(test)


def test_index_that_lists_itself_or_claims_all_bytes_there_are_is_taken(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            document = json.loads(image(annotations={"size": "huge"}))
            document["config"]["size"] = 2**62
            huge = await push_untagged(registry, json.dumps(document).encode())
            document["annotations"] = {"size": "huge too"}
            too = await push_untagged(registry, json.dumps(document).encode())
            top = await push_untagged(registry, index(huge, too))
            assert recorded(root, huge).total_size == SIZE_MAX
            assert recorded(root, top).total_size == SIZE_MAX

    run(test)


def test_indexes_above_are_told_up_to_a_bound(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            part = image(annotations={"many": "parents"})
            count = SUMMARIES_AT_ONCE_MAX + 20
            for number in range(count):
                body = index(digest_of(part), annotations={"number": str(number)})
                await push_untagged(registry, body)
            await push_untagged(registry, part)
            told = rows_of(
                root, "SELECT 1 FROM manifests WHERE kind = 'index' AND total_size > size"
            )
            assert len(told) == SUMMARIES_AT_ONCE_MAX

    run(test)


def test_generation_changes_with_whatever_a_list_shows(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            seen = []
            body = image(annotations={"a": "b"})
            for work in (
                lambda: push_untagged(registry, body),
                lambda: push(registry, "v1", body),
                lambda: push(registry, "v1", image(annotations={"a": "c"})),
                lambda: delete_manifest(registry, ANYBODY, NAME, digest_of(body)),
            ):
                await work()  # type: ignore[no-untyped-call]
                seen.append(generation(root))
            assert seen == sorted(set(seen))

            before = generation(root)
            await push_untagged(registry, body, OTHER)
            assert generation(root) == before

    run(test)


def test_counts_and_the_last_push_stand_beside_the_name(root: Path) -> None:
    sql = "SELECT tag_count, manifest_count, last_pushed_at FROM namespaces"

    async def test() -> None:
        async with opened_registry(root) as registry:
            body = image()
            await push(registry, "v1", body)
            await push(registry, "v2", body)
            assert rows_of(root, sql) == [(2, 1, registry.now())]
            await delete_manifest(registry, ANYBODY, NAME, digest_of(body))
            assert rows_of(root, sql) == [(0, 0, registry.now())]

    run(test)


FORGOTTEN = (
    "UPDATE manifests SET role = '', carries = 0, attached = 0, total_size = 0, platforms = ''"
)


@pytest.mark.slow
def test_what_an_earlier_version_pushed_is_described_as_if_it_were_pushed_now(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            digests = [(await push_for_arm(registry, n))[0] for n in range(40)]
            digests.append(await push_untagged(registry, index(*digests)))
            signature = image(subject=digests[0], artifact_type=SIGNATURE)
            digests.append(await push_untagged(registry, signature))
            before = [recorded(root, digest) for digest in digests]
            await registry.storage.write(lambda transaction: _forget(transaction.rows))
            assert recorded(root, digests[0]).role == ""

            assert await describe_all(registry) == len(digests)
            assert [recorded(root, digest) for digest in digests] == before
            assert await describe_all(registry) == 0

    run(test)


def _forget(rows: object) -> None:
    rows.execute(FORGOTTEN)  # type: ignore[attr-defined]


def test_body_that_was_lost_is_described_as_nothing_and_anew_once_it_is_pushed(
    root: Path,
) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            digest, _ = await push_for_arm(registry)
            body = rows_of(root, "SELECT body FROM manifest_bodies")[0][0]

            def lose(transaction: object) -> None:
                rows = transaction.rows  # type: ignore[attr-defined]
                rows.execute("UPDATE manifest_bodies SET body = x''")
                rows.execute(FORGOTTEN + ", size = -size")

            await registry.storage.write(lose)
            assert await describe_all(registry) == 1
            assert recorded(root, digest).role == "artifact"

            await push_untagged(registry, body)
            assert await describe_all(registry) == 1
            found = recorded(root, digest)
            assert (found.role, found.platforms) == ("image", "linux/arm/v7")

    run(test)


def test_nothing_is_described_while_the_registry_is_read_only(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            await push_untagged(registry, image())
            await registry.storage.write(lambda transaction: _forget(transaction.rows))
            await begin_read_only(registry, ANYBODY)
            with pytest.raises(ReadOnlyError):
                await describe_all(registry)

    run(test)
