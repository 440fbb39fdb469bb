"""Who pulled a manifest: the newest lines of each, for a time, and how many there were by day."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from angos_trio.clock import DAY_SECS
from angos_trio.limits.storage import PULL_DAYS, PULL_LINE_SECS_MAX, PULL_LINES_PER_MANIFEST_MAX
from angos_trio.storage.metadata import pull_history, pulls, stats_schema
from angos_trio.storage.metadata.pull_history import Line
from angos_trio.storage.metadata.pulls import Pulls
from tests.storage.support import NAME, opened, run

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
NOW = 400 * DAY_SECS + 5000


@pytest.fixture
def rows() -> sqlite3.Connection:
    made = sqlite3.connect(":memory:", isolation_level=None)
    assert stats_schema.make_usable(made)
    return made


def line(at: int = NOW, digest: str = DIGEST, tag: str | None = "v1", client: str = "") -> Line:
    return Line(NAME, digest, tag, at, "basic::alice", client, "192.0.2.1")


def record(rows: sqlite3.Connection, lines: Sequence[Line], now: int = NOW) -> None:
    """As a process does that saw these pulls."""
    counted: dict[tuple[str, str], Pulls] = {}
    for each in lines:
        for reference in (each.digest, each.tag or each.digest):
            counted[(NAME, reference)] = Pulls(len(lines), each.at)
    pull_history.record(rows, counted, lines, now)


def told(rows: sqlite3.Connection, digest: str = DIGEST, now: int = NOW) -> list[str]:
    return [each.client for each in pull_history.lines_of(rows, NAME, digest, now)]


def by_day(rows: sqlite3.Connection, now: int = NOW) -> list[int]:
    return [count for _, count in pull_history.counts_of(rows, NAME, DIGEST, now)]


def count(rows: sqlite3.Connection, table: str) -> int:
    found = rows.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(found[0])


def test_lines_are_told_the_latest_first_with_all_that_they_say(rows: sqlite3.Connection) -> None:
    first, second = line(NOW - 9, client="skopeo/1.9"), line(NOW - 3, tag=None)
    record(rows, [first, second])
    assert pull_history.lines_of(rows, NAME, DIGEST, NOW) == [second, first]
    assert told(rows, OTHER) == []
    assert pull_history.lines_of(rows, "elsewhere", DIGEST, NOW) == []


def test_only_the_newest_of_a_manifest_stay(rows: sqlite3.Connection) -> None:
    record(rows, [line(digest=OTHER, client="other")])
    for first in range(0, 300, 50):
        record(rows, [line(NOW + each, client=str(each)) for each in range(first, first + 50)])
    kept = [str(each) for each in range(299, 299 - PULL_LINES_PER_MANIFEST_MAX, -1)]
    assert told(rows) == kept
    assert count(rows, "pull_lines") == PULL_LINES_PER_MANIFEST_MAX + 1
    assert told(rows, OTHER) == ["other"]


def test_lines_of_another_process_that_come_late_take_their_place_in_time(
    rows: sqlite3.Connection,
) -> None:
    record(rows, [line(NOW, client="later")])
    record(rows, [line(NOW - 60, client="earlier")])
    assert told(rows) == ["later", "earlier"]


def test_flood_of_one_manifest_is_written_as_what_is_left_of_it(rows: sqlite3.Connection) -> None:
    flood = [line(client=str(each)) for each in range(5000)]
    found = pull_history.newest_of([line(digest=OTHER), *flood])
    assert found == [line(digest=OTHER), *flood[-PULL_LINES_PER_MANIFEST_MAX:]]


def test_lines_are_kept_for_their_time_and_not_a_second_longer(rows: sqlite3.Connection) -> None:
    record(rows, [line(client="old")])
    last = NOW + PULL_LINE_SECS_MAX
    assert told(rows, now=last) == ["old"]
    assert told(rows, now=last + 1) == []
    record(rows, [line(last, OTHER)], now=last)
    assert count(rows, "pull_lines") == 2
    record(rows, [line(last + 1, OTHER)], now=last + 1)
    assert count(rows, "pull_lines") == 2, "what is too old goes with the next that is written"


def test_old_lines_go_also_where_nothing_is_pulled_any_more(rows: sqlite3.Connection) -> None:
    record(rows, [line()])
    pull_history.expire(rows, NOW + PULL_LINE_SECS_MAX + 1)
    assert count(rows, "pull_lines") == count(rows, "pull_days") == 0


def test_each_day_has_its_pulls_however_many(rows: sqlite3.Connection) -> None:
    midnight = NOW // DAY_SECS * DAY_SECS
    for at, pulled in ((midnight - 1, 2), (midnight, 10_000), (NOW, 5)):
        pull_history.record(rows, {(NAME, DIGEST): Pulls(pulled, at)}, [], NOW)
    found = pull_history.counts_of(rows, NAME, DIGEST, NOW)
    assert len(found) == PULL_DAYS
    assert found[-2:] == [(midnight - DAY_SECS, 2), (midnight, 10_005)]
    assert sum(pulled for _, pulled in found) == 10_007


def test_days_end_after_a_month(rows: sqlite3.Connection) -> None:
    pull_history.record(rows, {(NAME, DIGEST): Pulls(3, NOW)}, [], NOW)
    last = NOW + (PULL_DAYS - 1) * DAY_SECS
    assert by_day(rows, last)[0] == 3
    assert sum(by_day(rows, last + DAY_SECS)) == 0
    pull_history.expire(rows, last)
    assert count(rows, "pull_days") == 1
    pull_history.expire(rows, last + DAY_SECS)
    assert count(rows, "pull_days") == 0


def test_pull_by_tag_counts_once_in_a_day(rows: sqlite3.Connection) -> None:
    record(rows, [line(tag="v1")])
    assert by_day(rows)[-1] == 1
    assert count(rows, "pulled_manifests") == 1


def test_what_is_gone_leaves_nothing_and_its_number_inherits_nothing(
    rows: sqlite3.Connection,
) -> None:
    record(rows, [line(), line(digest=OTHER)])
    pull_history.forget(rows, NAME, OTHER)
    pull_history.forget(rows, NAME, OTHER)
    assert [count(rows, each) for each in ("pulled_manifests", "pull_lines", "pull_days")] == [
        1, 1, 1
    ]  # fmt: skip
    record(rows, [line(digest="sha256:" + "c" * 64)])
    assert len(told(rows, "sha256:" + "c" * 64)) == 1


def test_of_too_many_lines_the_oldest_go_some_at_a_time(rows: sqlite3.Connection) -> None:
    record(rows, [line(NOW + each, client=str(each)) for each in range(10)])
    assert pull_history.drop_oldest(rows, 10, 100) == 0
    assert pull_history.drop_oldest(rows, 4, 5) == 5
    assert pull_history.drop_oldest(rows, 4, 5) == 1
    assert pull_history.drop_oldest(rows, 4, 5) == 0
    assert told(rows) == ["9", "8", "7", "6"]


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("DELETE FROM pull_lines WHERE at < 5", "pull_lines_in_time"),
        ("DELETE FROM pull_days WHERE day <= 5", "pull_days_in_time"),
        (
            "SELECT id FROM pull_lines WHERE manifest = 5 ORDER BY at DESC, id DESC LIMIT 9",
            "pull_lines_of_manifest",
        ),
    ],
)
def test_trimming_is_found_by_an_index(
    rows: sqlite3.Connection, statement: str, index: str
) -> None:
    plan = [row[3] for row in rows.execute(f"EXPLAIN QUERY PLAN {statement}")]
    assert len(plan) == 1, plan
    assert plan[0].startswith("SEARCH")
    assert index in plan[0]


def test_file_of_the_version_before_keeps_its_counts(root: Path) -> None:
    async def test() -> None:
        async with opened(root) as storage:
            with closing(sqlite3.connect(root / "stats.db")) as before:
                before.executescript(f"{pulls.SCHEMA} PRAGMA user_version = 1;")
                with before:
                    pulls.add(before, {(NAME, DIGEST): Pulls(7, NOW)})
            await storage.stats.run(lambda rows: record(rows, [line()]))
            counted = await storage.stats.run(lambda rows: pulls.of(rows, NAME, [DIGEST]))
            assert counted == {DIGEST: Pulls(7, NOW)}
            lines = await storage.stats.run(
                lambda rows: pull_history.lines_of(rows, NAME, DIGEST, NOW)
            )
            assert lines == [line()]

    run(test)
