"""The largest manifests: in their order, through an index, and never more of them than a bound."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from angos_trio.storage.metadata import unpulled
from angos_trio.storage.metadata.unpulled import Root
from angos_trio.storage.transactions import Rows
from tests.storage.support import database
from tests.storage.test_query_plans import plans, work_of

BEFORE = 1000


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    with database(tmp_path) as opened:
        for name in ("one", "two"):
            opened.execute("INSERT INTO namespaces (name, created_at) VALUES (?, 1)", (name,))
        yield opened


def put(
    rows: Rows,
    digest: str,
    size: int,
    *,
    namespace: int = 1,
    at: int = 1,
    subject: str | None = None,
) -> None:
    rows.execute("INSERT OR IGNORE INTO manifest_bodies VALUES (?, '')", (digest,))
    rows.execute(
        "INSERT INTO manifests (namespace, digest, media_type, kind, subject, size, annotations, "
        "pushed_at, pushed_by, lease_until, total_size) "
        "VALUES (?, ?, 'a/b', 'image', ?, 1, '{}', ?, '', 0, ?)",
        (namespace, digest, subject, at, size),
    )


def refer(rows: Rows, manifest: str, digest: str, namespace: int = 1) -> None:
    rows.execute(
        "INSERT INTO manifest_references VALUES (?, ?, ?, 'manifest')",
        (namespace, manifest, digest),
    )


def test_roots_are_told_the_largest_first_if_they_are_old_enough(rows: Rows) -> None:
    put(rows, "small", 5)
    put(rows, "large", 900, namespace=2, at=BEFORE - 1)
    put(rows, "young", 800, at=BEFORE)
    put(rows, "index", 700)
    put(rows, "part", 690)
    put(rows, "signature", 600, subject="small")
    refer(rows, "index", "part")

    assert unpulled.largest_roots(rows, BEFORE, 100) == [
        Root("two", "large", 900, BEFORE - 1),
        Root("one", "index", 700, 1),
        Root("one", "small", 5, 1),
    ]


def test_part_of_an_index_elsewhere_is_a_root(rows: Rows) -> None:
    put(rows, "index", 9, namespace=2)
    put(rows, "image", 8)
    refer(rows, "index", "image", namespace=2)

    assert [root.digest for root in unpulled.largest_roots(rows, BEFORE, 9)] == ["index", "image"]


def test_only_so_many_are_looked_at(rows: Rows) -> None:
    for number in range(5):
        put(rows, f"m{number}", 10 + number, at=BEFORE if number == 4 else 1)

    assert [root.digest for root in unpulled.largest_roots(rows, BEFORE, 3)] == ["m3", "m2"]
    assert unpulled.has_more(rows, 4)
    assert not unpulled.has_more(rows, 5)


@pytest.mark.slow
def test_look_costs_the_same_among_many(rows: Rows) -> None:
    def look(limit: int = 20) -> int:
        return work_of(rows, lambda rows: unpulled.largest_roots(rows, BEFORE, limit))

    for number in range(30):
        put(rows, f"m{number}", number)
    few = look()
    for number in range(30, 3000):
        put(rows, f"m{number}", number)

    assert look() <= few + 20
    for steps in plans(rows, lambda rows: unpulled.largest_roots(rows, BEFORE, 20)).values():
        assert any("COVERING INDEX manifests_by_total_size" in step for step in steps), steps
        assert not any("TEMP B-TREE" in step for step in steps), steps


def test_first_tag_is_told_of_what_is_still_there(rows: Rows) -> None:
    put(rows, "tagged", 5)
    put(rows, "bare", 5, namespace=2)
    for name in ("v2", "v1"):
        rows.execute(
            "INSERT INTO tags (namespace, name, digest, updated_at, updated_by) "
            "VALUES (1, ?, 'tagged', 1, '')",
            (name,),
        )
    tagged, bare, gone = (
        Root("one", "tagged", 5, 1),
        Root("two", "bare", 5, 1),
        Root("no", "x", 5, 1),
    )

    assert unpulled.first_tags(rows, [tagged, bare, gone]) == {tagged: "v1", bare: None}
