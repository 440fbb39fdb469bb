"""Who pulled a manifest lately, and how often it was pulled each day: rows of `stats.db`.

Lines are few for each manifest and do not stay; what is counted by day is a small row, so that it
is as true of what is pulled ten thousand times a day as of what is pulled once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from angos_trio.clock import DAY_SECS
from angos_trio.limits.storage import PULL_DAYS, PULL_LINE_SECS_MAX, PULL_LINES_PER_MANIFEST_MAX
from angos_trio.storage.metadata.pulls import Pulled, Pulls
from angos_trio.storage.transactions import Rows

SCHEMA: Final = """
CREATE TABLE pulled_manifests (
    number INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    digest TEXT NOT NULL,
    UNIQUE (namespace, digest)
);
CREATE TABLE pull_lines (
    id INTEGER PRIMARY KEY,
    manifest INTEGER NOT NULL,
    at INTEGER NOT NULL,
    tag TEXT,
    owner TEXT NOT NULL,
    client TEXT NOT NULL,
    address TEXT NOT NULL
);
CREATE INDEX pull_lines_of_manifest ON pull_lines (manifest, at, id);
CREATE INDEX pull_lines_in_time ON pull_lines (at);
CREATE TABLE pull_days (
    manifest INTEGER NOT NULL,
    day INTEGER NOT NULL,
    pull_count INTEGER NOT NULL,
    PRIMARY KEY (manifest, day)
) WITHOUT ROWID;
CREATE INDEX pull_days_in_time ON pull_days (day);
"""
"""`day` is one of UTC, counted from 1970."""


class Line(NamedTuple):
    """One pull: of which manifest, by which tag (None: by its digest), when in epoch seconds, by
    whom (`method:provider:subject`), with which program as it calls itself, and from where."""

    namespace: str
    digest: str
    tag: str | None
    at: int
    owner: str
    client: str
    address: str


def record(rows: Rows, counted: Mapping[Pulled, Pulls], lines: Sequence[Line], now: int) -> None:
    """Take in pulls: what is counted by day, of digests alone, and the lines that are still new
    enough. What is too many or too old goes at once.

    Pulls of one digest that wait together count for the day of the last of them.
    """
    by_day = [
        (key, pulls.last_at // DAY_SECS, pulls.count)
        for key, pulls in counted.items()
        if ":" in key[1]  # no tag has one
    ]
    newest = newest_of(lines)
    numbers = _numbers(rows, {key for key, _, _ in by_day} | {line[:2] for line in newest})
    rows.executemany(
        "INSERT INTO pull_days (manifest, day, pull_count) VALUES (?, ?, ?) "
        "ON CONFLICT (manifest, day) DO UPDATE SET pull_count = pull_count + excluded.pull_count",
        [(numbers[key], day, count) for key, day, count in by_day],
    )
    rows.executemany(
        "INSERT INTO pull_lines (manifest, tag, at, owner, client, address) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        [(numbers[line[:2]], *line[2:]) for line in newest],
    )
    rows.executemany(
        "DELETE FROM pull_lines WHERE id IN (SELECT id FROM pull_lines WHERE manifest = ? "
        "ORDER BY at DESC, id DESC LIMIT -1 OFFSET ?)",
        [(numbers[key], PULL_LINES_PER_MANIFEST_MAX) for key in {line[:2] for line in newest}],
    )
    expire(rows, now)


def newest_of(lines: Sequence[Line]) -> list[Line]:
    """In their order, without those that the last ones of the same manifest would push out."""
    seen: Counter[Pulled] = Counter()
    kept = []
    for line in reversed(lines):
        key = line[:2]
        if seen[key] < PULL_LINES_PER_MANIFEST_MAX:
            seen[key] += 1
            kept.append(line)
    return kept[::-1]


def _numbers(rows: Rows, manifests: Iterable[Pulled]) -> dict[Pulled, int]:
    """The numbers of manifests; those that have none yet get one."""
    wanted = sorted(manifests)
    rows.executemany(
        "INSERT INTO pulled_manifests (namespace, digest) VALUES (?, ?) "
        "ON CONFLICT (namespace, digest) DO NOTHING",
        wanted,
    )
    return {key: _find(rows, *key) or 0 for key in wanted}


def _find(rows: Rows, namespace: str, digest: str) -> int | None:
    row = rows.execute(
        "SELECT number FROM pulled_manifests WHERE namespace = ? AND digest = ?",
        (namespace, digest),
    ).fetchone()
    return None if row is None else int(row[0])


def expire(rows: Rows, now: int) -> None:
    """Remove lines and days that nobody is shown any more."""
    rows.execute("DELETE FROM pull_lines WHERE at < ?", (now - PULL_LINE_SECS_MAX,))
    rows.execute("DELETE FROM pull_days WHERE day <= ?", (now // DAY_SECS - PULL_DAYS,))


def drop_oldest(rows: Rows, most: int, limit: int) -> int:
    """Where there are more than `most` lines, remove some of the oldest, `limit` at most; how many
    were removed."""
    return rows.execute(
        "DELETE FROM pull_lines WHERE id IN (SELECT id FROM pull_lines WHERE id <= "
        "(SELECT id FROM pull_lines ORDER BY id DESC LIMIT 1 OFFSET ?) ORDER BY id LIMIT ?)",
        (most, limit),
    ).rowcount


def lines_of(rows: Rows, namespace: str, digest: str, now: int) -> list[Line]:
    """The last pulls of a manifest, the latest first."""
    found = rows.execute(
        "SELECT tag, at, owner, client, address FROM pull_lines "
        "WHERE manifest = ? AND at >= ? ORDER BY at DESC, id DESC LIMIT ?",
        (
            _find(rows, namespace, digest),
            now - PULL_LINE_SECS_MAX,
            PULL_LINES_PER_MANIFEST_MAX,
        ),
    )
    return [Line(namespace, digest, *row) for row in found]


def counts_of(rows: Rows, namespace: str, digest: str, now: int) -> list[tuple[int, int]]:
    """How often a manifest was pulled on each of the last days, the last being that of `now`: when
    each began, in epoch seconds, and the pulls."""
    today = now // DAY_SECS
    found = dict(
        rows.execute(
            "SELECT day, pull_count FROM pull_days WHERE manifest = ? AND day > ?",
            (_find(rows, namespace, digest), today - PULL_DAYS),
        )
    )
    return [(day * DAY_SECS, found.get(day, 0)) for day in range(today - PULL_DAYS + 1, today + 1)]


def forget(rows: Rows, namespace: str, digest: str) -> None:
    """Remove all that is known of a manifest that is gone."""
    number = _find(rows, namespace, digest)
    if number is None:
        return
    rows.execute("DELETE FROM pull_lines WHERE manifest = ?", (number,))
    rows.execute("DELETE FROM pull_days WHERE manifest = ?", (number,))
    rows.execute("DELETE FROM pulled_manifests WHERE number = ?", (number,))
