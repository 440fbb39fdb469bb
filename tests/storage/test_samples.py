"""What the disk held, day by day: rows that are kept, and sums that are taken page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from angos_trio.records import replace
from angos_trio.storage.metadata import samples, totals
from angos_trio.storage.metadata.samples import INTEGER_MAX, Sample
from angos_trio.storage.transactions import Rows
from tests.storage.support import database

SAMPLE = Sample(20_000, 20_000 * 86_400 + 60, 10, 30, 500, 2, 3)
A, B, C = (f"sha256:{letter * 64}" for letter in "abc")


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    with database(tmp_path) as opened:
        yield opened


def test_second_sample_of_a_day_replaces_the_first(rows: Rows) -> None:
    later = replace(SAMPLE, at=SAMPLE.at + 7, blob_bytes=11, tags=5)
    for each in (SAMPLE, later):
        samples.put(rows, each)

    assert samples.between(rows, 0, 30_000) == [later]


def test_days_are_told_in_their_order_and_those_before_a_day_go(rows: Rows) -> None:
    for day in (7, 3, 9, 5):
        samples.put(rows, replace(SAMPLE, day=day))

    assert [each.day for each in samples.between(rows, 3, 7)] == [3, 5, 7]
    samples.prune(rows, 5)
    assert [each.day for each in samples.between(rows, 0, 10)] == [5, 7, 9]


def test_newest_is_not_one_of_a_day_that_has_not_come(rows: Rows) -> None:
    assert samples.newest(rows, 9) is None
    for day in (3, 5, 900):
        samples.put(rows, replace(SAMPLE, day=day))

    assert samples.newest(rows, 9) == replace(SAMPLE, day=5)
    assert samples.newest(rows, 2) is None


def test_sum_that_no_row_can_hold_is_kept_as_the_most_that_one_can(rows: Rows) -> None:
    samples.put(rows, replace(SAMPLE, named_bytes=3 * INTEGER_MAX))

    (found,) = samples.between(rows, 0, 30_000)
    assert found.named_bytes == INTEGER_MAX


def filled(rows: Rows) -> None:
    """Two namespaces, blobs of which one is lost, images and an index."""
    for name in ("one", "two"):
        rows.execute("INSERT INTO namespaces (name, created_at) VALUES (?, 1)", (name,))
    for digest, size, state in ((A, 100, "present"), (B, 20, "missing"), (C, 3, "present")):
        rows.execute("INSERT INTO blobs VALUES (?, ?, ?, 1)", (digest, size, state))
        rows.execute("INSERT INTO manifest_bodies VALUES (?, '')", (digest,))
    for namespace, digest, kind, size in (
        (1, A, "image", 7000),
        (1, B, "index", 900_000),
        (2, A, "image", 7000),
        (2, C, "image", 50),
    ):
        rows.execute(
            "INSERT INTO manifests (namespace, digest, media_type, kind, size, annotations, "
            "pushed_at, pushed_by, lease_until, total_size) "
            "VALUES (?, ?, 'a/b', ?, 1, '{}', 1, '', 0, ?)",
            (namespace, digest, kind, size),
        )
    for namespace, name in ((1, "a"), (1, "b"), (2, "a")):
        rows.execute(
            "INSERT INTO tags (namespace, name, digest, updated_at, updated_by) "
            "VALUES (?, ?, ?, 1, '')",
            (namespace, name, A),
        )


def summed(page: Callable[..., Any], rows: Rows, first: Any, limit: int) -> tuple[list[Any], int]:
    """The sums of all pages, and how many pages there were."""
    found, count, last = None, 0, first
    while True:
        *sums, last = page(rows, last, limit)
        found = sums if found is None else [a + b for a, b in zip(found, sums, strict=True)]
        if last in (0, "", (0, "")):
            return found, count
        count += 1


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_come_to_what_a_look_at_all_rows_says(rows: Rows, limit: int) -> None:
    filled(rows)
    whole = totals.totals(rows)

    assert summed(samples.sum_blobs, rows, "", limit) == ([whole.blob_bytes], -(-3 // limit))
    assert summed(samples.sum_images, rows, (0, ""), limit) == (
        [whole.named_bytes],
        -(-4 // limit),
    )
    assert summed(samples.sum_namespaces, rows, 0, limit) == (
        [whole.tags, whole.manifests],
        -(-2 // limit),
    )
    assert (whole.blob_bytes, whole.named_bytes, whole.tags, whole.manifests) == (103, 14050, 3, 4)


def test_sums_of_an_empty_registry_are_nothing(rows: Rows) -> None:
    assert samples.sum_blobs(rows, "", 10) == (0, "")
    assert samples.sum_images(rows, (0, ""), 10) == (0, (0, ""))
    assert samples.sum_namespaces(rows, 0, 10) == (0, 0, 0)
