"""How often and when something was pulled: rows of `stats.db`, by namespace and tag or digest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from angos_trio.records import Frozen
from angos_trio.storage.transactions import Rows

SCHEMA: Final = """
CREATE TABLE pulls (
    namespace TEXT NOT NULL,
    reference TEXT NOT NULL,
    pull_count INTEGER NOT NULL,
    last_pulled_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, reference)
) WITHOUT ROWID;
CREATE TABLE tracking (began_at INTEGER NOT NULL);
"""
"""`tracking` has one row while pulls are noted: since when none was missed."""

Pulled = tuple[str, str]
"""A namespace, and a tag or a digest in it."""


class Pulls(Frozen):
    """How often something was pulled, and when it was last, in epoch seconds."""

    count: int = 0
    last_at: int = 0


NEVER: Final = Pulls()


def add(rows: Rows, pulled: Mapping[Pulled, Pulls]) -> None:
    """Count pulls; the later time stays."""
    rows.executemany(
        "INSERT INTO pulls (namespace, reference, pull_count, last_pulled_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (namespace, reference) DO UPDATE SET "
        "pull_count = pull_count + excluded.pull_count, "
        "last_pulled_at = max(last_pulled_at, excluded.last_pulled_at)",
        [(*key, pulls.count, pulls.last_at) for key, pulls in pulled.items()],
    )


def of(rows: Rows, namespace: str, references: Iterable[str]) -> dict[str, Pulls]:
    """Those of tags and digests that were pulled."""
    found = {}
    for reference in references:
        row = rows.execute(
            "SELECT pull_count, last_pulled_at FROM pulls WHERE namespace = ? AND reference = ?",
            (namespace, reference),
        ).fetchone()
        if row is not None:
            found[reference] = Pulls(*row)
    return found


def mark_of(rows: Rows, namespace: str) -> tuple[int, int]:
    """Two numbers that change with each pull of a namespace."""
    row = rows.execute(
        "SELECT coalesce(sum(pull_count), 0), coalesce(max(last_pulled_at), 0) FROM pulls "
        "WHERE namespace = ?",
        (namespace,),
    ).fetchone()
    return int(row[0]), int(row[1])


def began_at(rows: Rows) -> int | None:
    """Since when no pull was missed, in epoch seconds; None while pulls are not noted."""
    row = rows.execute("SELECT began_at FROM tracking").fetchone()
    return None if row is None else int(row[0])


def begin(rows: Rows, now: int, *, anew: bool) -> None:
    """Pulls are noted from now on, or have been before; `anew`: some were missed until now."""
    if anew:
        end(rows)
    rows.execute(
        "INSERT INTO tracking (began_at) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM tracking)", (now,)
    )


def end(rows: Rows) -> None:
    """Pulls are not noted any more."""
    rows.execute("DELETE FROM tracking")


def page(rows: Rows, after: Pulled, limit: int) -> list[tuple[str, str, int]]:
    """Namespace, reference and time of the last pull, in order, strictly after a key."""
    return rows.execute(
        "SELECT namespace, reference, last_pulled_at FROM pulls "
        "WHERE (namespace, reference) > (?, ?) ORDER BY namespace, reference LIMIT ?",
        (*after, limit),
    ).fetchall()


def forget(rows: Rows, gone: Sequence[tuple[str, str, int]]) -> list[Pulled]:
    """Remove rows of what is gone, unless it was pulled since; which those were."""
    return [
        (namespace, reference)
        for namespace, reference, at in gone
        if rows.execute(
            "DELETE FROM pulls WHERE namespace = ? AND reference = ? AND last_pulled_at = ?",
            (namespace, reference, at),
        ).rowcount
    ]
