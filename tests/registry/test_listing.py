"""Listings: pages of tags, of the catalog that the caller may see, and of referrers."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
import trio

from angos_trio.limits.callers import WEBHOOK_QUESTIONS_SECS_MAX
from angos_trio.limits.requests import (
    CATALOG_ROWS_AT_ONCE,
    REFERRERS_PAGE_BYTES,
    REFERRERS_PAGE_ENTRIES,
)
from angos_trio.oci.codes import Code
from angos_trio.oci.digest import Digest, digest_of
from angos_trio.oci.media_types import OCI_INDEX, OCI_MANIFEST
from angos_trio.oci.names import RepositoryName
from angos_trio.oci.pagination import Page
from angos_trio.oci.referrers import fallback_tag, render_index
from angos_trio.records import replace
from angos_trio.registry.context import Registry
from angos_trio.registry.delete import delete_manifest
from angos_trio.registry.listing import Listing, list_catalog, list_referrers, list_tags
from angos_trio.storage.transactions import Transaction
from tests.registry.support import (
    ANYBODY,
    caller_of,
    image,
    numbered,
    opened_registry,
    push,
    push_bytes,
    push_untagged,
)
from tests.storage.support import NAME, ThreadCalls, refusal_of, run, says

OTHER = RepositoryName("team/other")
SUBJECT = digest_of(b"the subject")


async def pages(
    listing: Callable[[Page, int | None], Awaitable[Listing]], size: int, pages_max: int = 100
) -> list[Listing]:
    """Every page, following each to the next."""
    found: list[Listing] = []
    last, behind = "", None
    for _ in range(pages_max):
        page = await listing(Page(size, last), behind)
        found.append(page)
        if page.next_after is None:
            return found
        assert page.next_after > last or page.next_behind is not None
        last, behind = page.next_after, page.next_behind
    raise AssertionError("the pages have no end")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 1000])
def test_pages_of_tags_are_whole_and_disjoint(root: Path, size: int) -> None:
    names = ["B", "a", "Z", "_x", "a.1", "a-1", "0", "aa"]

    async def test() -> None:
        async with opened_registry(root) as registry:
            for name in names:
                await push(registry, name, numbered(1))
            found = await pages(lambda page, _: list_tags(registry, NAME, page), size)

            assert [name for page in found for name in page.names] == sorted(names, key=str.encode)
            assert [len(page.names) for page in found[:-1]] == [size] * (len(found) - 1)
            assert len(found) == -(-len(names) // size)

    run(test)


@pytest.mark.parametrize("last", ["a", "a0", "zz", "\N{SNOWMAN}", "\U0010ffff", "", " "])
def test_page_begins_after_any_text(root: Path, last: str) -> None:
    names = ["0", "a", "a.1", "b", "zz"]

    async def test() -> None:
        async with opened_registry(root) as registry:
            for name in names:
                await push(registry, name, numbered(1))
            found = await list_tags(registry, NAME, Page(10, last))
            assert found.names == [name for name in names if name.encode() > last.encode()]

    run(test)


def test_page_of_nothing_is_empty_and_the_last(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            await push(registry, "v1", numbered(1))
            assert await list_tags(registry, NAME, Page(0, "")) == Listing([], None)
            assert await list_catalog(registry, ANYBODY, Page(0, "")) == Listing([], None)

    run(test)


def test_namespace_that_never_held_anything_has_no_tags_to_list(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            error = await refusal_of(list_tags(registry, OTHER, Page(10, "")))
            assert says(error, Code.NAME_UNKNOWN, 404)
            await push_untagged(registry, numbered(1), OTHER)
            assert await list_tags(registry, OTHER, Page(10, "")) == Listing([], None)

    run(test)


async def fill(registry: Registry, count: int, prefix: str = "n") -> list[str]:
    """Namespaces with one manifest each, made in one commit."""
    names = [f"{prefix}{number:04d}" for number in range(count)]

    def step(transaction: Transaction) -> None:
        rows = transaction.rows
        body = numbered(1)
        digest = digest_of(body)
        rows.execute("INSERT OR IGNORE INTO manifest_bodies VALUES (?, ?)", (digest, body))
        for name in names:
            rows.execute("INSERT INTO namespaces (name, created_at) VALUES (?, 1)", (name,))
            rows.execute(
                "INSERT INTO manifests (namespace, digest, media_type, kind, size, annotations, "
                "pushed_at, pushed_by, lease_until) "
                "SELECT id, ?, 'a/b', 'image', 1, '{}', 1, '', 0 FROM namespaces WHERE name = ?",
                (digest, name),
            )

    await registry.storage.write(step)
    return names


@pytest.mark.parametrize("size", [1, 3, 25, 100])
@pytest.mark.parametrize("hides", [1, 2, 7, 30])
def test_pages_of_the_catalog_have_what_the_caller_sees_once_each(
    root: Path, size: int, hides: int
) -> None:
    """`hides` of thirty names are hidden in a row; a page may be short, but has a next."""

    async def test() -> None:
        async with opened_registry(root) as registry:
            names = await fill(registry, 90)
            visible = [name for at, name in enumerate(names) if at % 30 >= hides]
            looked_at: list[str] = []

            def sees(name: str) -> bool:
                looked_at.append(name)
                return name in visible

            found = await pages(
                lambda page, behind: list_catalog(registry, caller_of(sees=sees), page, behind),
                size,
            )
            told = {page.next_after for page in found if page.next_after}
            assert told <= set(visible), "the cursor names what the caller does not see"
            assert [name for page in found for name in page.names] == visible
            assert looked_at == names

    run(test)


@pytest.mark.parametrize("size", [1, 5])
def test_page_examines_at_most_ten_names_for_each_one_asked_for(root: Path, size: int) -> None:
    looked_at: list[str] = []

    async def test() -> None:
        async with opened_registry(root) as registry:
            names = await fill(registry, 100)
            caller = caller_of(sees=lambda name: bool(looked_at.append(name)))
            page = await list_catalog(registry, caller, Page(size, ""))

            assert looked_at == names[: 10 * size]
            assert page.names == []
            assert page.next_after == ""
            assert page.next_behind is not None

            following = await list_catalog(registry, caller, Page(size, ""), page.next_behind)
            assert looked_at == names[: 20 * size]
            assert following.names == []

    run(test)


VISIBLE: dict[str, Callable[[int], bool]] = {
    "all": lambda number: True,
    "one of two": lambda number: number % 2 == 0,
    "one of nine": lambda number: number % 9 == 0,
    "all but the last, which is far": lambda number: number < 99 or number == 990,
}


@pytest.mark.parametrize("is_visible", VISIBLE.values(), ids=VISIBLE.keys())
def test_page_of_a_filtered_catalog_costs_a_handful_of_queries(
    root: Path, is_visible: Callable[[int], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query for each hidden name would be a thread hop for each."""

    async def test() -> None:
        async with opened_registry(root) as registry:
            await fill(registry, 1500)
            caller = caller_of(sees=lambda name: is_visible(int(name[1:])))
            calls = ThreadCalls(monkeypatch)
            page = await list_catalog(registry, caller, Page(100, ""))

            assert len(page.names) == 100
            assert calls.total <= 10

    run(test)


def test_page_asks_others_for_a_time_however_many_names_it_examines(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            names = await fill(registry, 3 * CATALOG_ROWS_AT_ONCE)
            asked: list[str] = []
            deadlines: list[float] = []

            async def learn(namespaces: Sequence[str], deadline: float) -> None:
                assert len(namespaces) <= CATALOG_ROWS_AT_ONCE
                asked.extend(namespaces)
                deadlines.append(deadline)

            begun_at = trio.current_time()
            caller = replace(caller_of(sees=lambda name: False), learn=learn)
            await list_catalog(registry, caller, Page(1000, ""))
            ended_at = trio.current_time()

            assert asked == names
            assert len(deadlines) > 2
            assert begun_at <= deadlines[0] - WEBHOOK_QUESTIONS_SECS_MAX <= ended_at
            assert set(deadlines) == {deadlines[0]}

    run(test)


def test_catalog_has_namespaces_with_a_manifest_only(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            await push_bytes(registry, b"only a blob", OTHER)
            assert await list_catalog(registry, ANYBODY, Page(10, "")) == Listing([], None)
            digest = await push_untagged(registry, numbered(1))
            assert await list_catalog(registry, ANYBODY, Page(10, "")) == Listing([NAME], None)
            await delete_manifest(registry, ANYBODY, NAME, digest)
            assert await list_catalog(registry, ANYBODY, Page(10, "")) == Listing([], None)

    run(test)


async def referrers(
    registry: Registry, artifact_type: str | None = None, name: RepositoryName = NAME
) -> list[Digest]:
    """All of them, page by page."""
    found: list[Digest] = []
    for _ in range(100):
        page = await list_referrers(
            registry, name, SUBJECT, artifact_type, found[-1] if found else ""
        )
        assert len(page.referrers) <= REFERRERS_PAGE_ENTRIES
        found += [referrer.digest for referrer in page.referrers]
        if not page.has_more:
            return found
    raise AssertionError("the pages have no end")


async def referring(registry: Registry, number: int, kind: str = "sbom/x") -> Digest:
    body = image(subject=SUBJECT, artifact_type=kind, annotations={"n": str(number)})
    return await push_untagged(registry, body)


@pytest.mark.parametrize("count", [0, 1, 100, 101, 201])
def test_pages_of_referrers_are_whole_and_disjoint(root: Path, count: int) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            made = [await referring(registry, number) for number in range(count)]
            assert await referrers(registry) == sorted(made)

    run(test)


def test_referrers_are_filtered_before_the_page_is_cut(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            kinds = ["sbom/x" if number % 3 else "sign/x" for number in range(240)]
            made = [(await referring(registry, n, kind), kind) for n, kind in enumerate(kinds)]
            for wanted in ("sbom/x", "sign/x", "none/x"):
                expected = sorted(digest for digest, kind in made if kind == wanted)
                assert await referrers(registry, wanted) == expected

    run(test)


@pytest.mark.parametrize("pairs", [1, pytest.param(150_000, marks=pytest.mark.slow)])
def test_referrers_with_large_annotations_are_cut_by_bytes_and_none_is_lost(
    root: Path, pairs: int
) -> None:
    """Many small annotations, or a large one: the bound counts what is sent."""

    async def test() -> None:
        async with opened_registry(root) as registry:
            made = []
            for number in range(4 if pairs > 1 else 6):
                value = "v" * (1_000_000 if pairs == 1 else 1)
                annotations = {f"{at:06d}": value for at in range(pairs)} | {"n": str(number)}
                body = image(subject=SUBJECT, artifact_type="sbom/x", annotations=annotations)
                made.append(await push_untagged(registry, body))
            page = await list_referrers(registry, NAME, SUBJECT, None, "")

            assert len(render_index(page.referrers)) <= REFERRERS_PAGE_BYTES
            assert page.has_more
            assert await referrers(registry) == sorted(made)

    run(test)


def test_unknown_subject_or_namespace_has_no_referrers(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            assert await referrers(registry) == []
            await push_untagged(registry, numbered(1))
            await referring(registry, 1)
            assert await referrers(registry, name=OTHER) == []
            await push_untagged(registry, numbered(1), OTHER)
            assert await referrers(registry, name=OTHER) == []

    run(test)


def fallback_index(*entries: tuple[Digest, str]) -> bytes:
    """What a client without the referrers API keeps under the fallback tag."""
    manifests = [
        {"mediaType": OCI_MANIFEST, "digest": digest, "size": 5, "artifactType": kind}
        for digest, kind in entries
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).encode()


def test_fallback_index_is_merged_for_what_the_namespace_holds(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            stored = await referring(registry, 1)
            old = await push_untagged(registry, numbered(7))
            elsewhere = await push_untagged(registry, numbered(8), OTHER)
            entries = [(stored, "lie/x"), (old, "sign/x"), (elsewhere, "sign/x")]
            await push(registry, fallback_tag(SUBJECT), fallback_index(*entries))

            assert await referrers(registry) == sorted([stored, old])
            assert await referrers(registry, "sign/x") == [old]
            assert await referrers(registry, "sbom/x") == [stored]
            assert await referrers(registry, "lie/x") == []

            await delete_manifest(registry, ANYBODY, NAME, old)
            assert await referrers(registry) == [stored]

    run(test)


def test_fallback_entries_are_paged_with_the_others(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            made = [await referring(registry, number) for number in range(130)]
            old = [await push_untagged(registry, numbered(number)) for number in range(130)]
            entries = [(digest, "sbom/x") for digest in (*old, *made[:20])]
            await push(registry, fallback_tag(SUBJECT), fallback_index(*entries))

            assert await referrers(registry) == sorted([*made, *old])
            assert await referrers(registry, "sbom/x") == sorted([*made, *old])

    run(test)


@pytest.mark.parametrize("body", [numbered(1), fallback_index()])
def test_fallback_tag_that_lists_nothing_changes_nothing(root: Path, body: bytes) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            await push(registry, fallback_tag(SUBJECT), body)
            made = await referring(registry, 1)
            assert await referrers(registry) == [made]

    run(test)


def test_deleted_referrer_is_no_longer_listed(root: Path) -> None:
    async def test() -> None:
        async with opened_registry(root) as registry:
            made = [await referring(registry, number) for number in range(3)]
            await delete_manifest(registry, ANYBODY, NAME, made[1])
            assert await referrers(registry) == sorted([made[0], made[2]])

    run(test)
