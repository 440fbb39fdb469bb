"""Namespaces: full repository names, and the number that other rows know them by."""

from __future__ import annotations

from angos_trio.oci.names import RepositoryName
from angos_trio.storage.transactions import Rows


def find(rows: Rows, name: RepositoryName) -> int | None:
    """The namespace's number; None when nothing was ever put there."""
    row = rows.execute("SELECT id FROM namespaces WHERE name = ?", (name,)).fetchone()
    return None if row is None else int(row[0])


def ensure(rows: Rows, name: RepositoryName, now: int) -> int:
    """The namespace's number, made if need be."""
    found = find(rows, name)
    if found is not None:
        return found
    cursor = rows.execute("INSERT INTO namespaces (name, created_at) VALUES (?, ?)", (name, now))
    return int(cursor.lastrowid or 0)


def name_of(rows: Rows, number: int) -> str | None:
    """The name of a namespace's number."""
    row = rows.execute("SELECT name FROM namespaces WHERE id = ?", (number,)).fetchone()
    return None if row is None else str(row[0])


def held_bytes_below(rows: Rows, prefix: str) -> int:
    """Bytes that the namespace of this name and those below it hold; costs a row for each."""
    (found,) = rows.execute(
        "SELECT coalesce(sum(held_bytes), 0) FROM namespaces "
        "WHERE name = ? OR (name >= ? AND name < ?)",
        (prefix, f"{prefix}/", f"{prefix}0"),  # what begins with the slash, which 0 follows
    ).fetchone()
    return int(found)


def list_with_content(rows: Rows, after: str, limit: int) -> list[str]:
    """Names of namespaces that hold a manifest, in byte order, strictly after a text.

    One row of all the names, for the reason that `tags.list_names` gives.
    """
    (found,) = rows.execute(
        "SELECT group_concat(name, char(10)) FROM (SELECT name FROM namespaces "
        "WHERE manifest_count > 0 AND name > ? ORDER BY name LIMIT ?)",
        (after, limit),
    ).fetchone()
    return sorted(found.split("\n")) if found else []
