"""Tags and their history. Listings are keyset pages in byte order."""

from __future__ import annotations

from angos_trio.limits.storage import TAG_HISTORY_ENTRIES_MAX
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.oci.natural import natural_key
from angos_trio.records import Frozen
from angos_trio.storage.transactions import Rows


def find(rows: Rows, namespace: int, tag: Tag) -> Digest | None:
    """What the tag points to."""
    row = rows.execute(
        "SELECT digest FROM tags WHERE namespace = ? AND name = ?", (namespace, tag)
    ).fetchone()
    return None if row is None else Digest(row[0])


def point(rows: Rows, namespace: int, tag: Tag, digest: Digest, *, now: int, by: str) -> None:
    """Create or move the tag; a move enters its history, a push of the same digest does not."""
    is_same = find(rows, namespace, tag) == digest
    rows.execute(
        "INSERT INTO tags (namespace, name, digest, updated_at, updated_by, sort_key) "
        "VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (namespace, name) DO UPDATE SET digest = excluded.digest, "
        "updated_at = excluded.updated_at, updated_by = excluded.updated_by",
        (namespace, tag, digest, now, by, natural_key(tag)),
    )
    if not is_same:
        _enter_history(rows, namespace, tag, digest, now=now, by=by)


def checked_at(rows: Rows, name: RepositoryName, tag: Tag) -> int | None:
    """When a tag was last found to be as its upstream has it, in epoch seconds."""
    row = rows.execute(
        "SELECT t.checked_at FROM namespaces n JOIN tags t ON t.namespace = n.id AND t.name = ? "
        "WHERE n.name = ?",
        (tag, name),
    ).fetchone()
    return None if row is None else row[0]


def note_checked(rows: Rows, namespace: int, tag: Tag, digest: Digest, now: int) -> None:
    """The upstream has the tag at this digest now; nothing where it is another here by now."""
    rows.execute(
        "UPDATE tags SET checked_at = ? WHERE namespace = ? AND name = ? AND digest = ?",
        (now, namespace, tag, digest),
    )


def delete(rows: Rows, namespace: int, tag: Tag, *, now: int, by: str) -> bool:
    """Remove the tag alone; False when it was not there."""
    cursor = rows.execute("DELETE FROM tags WHERE namespace = ? AND name = ?", (namespace, tag))
    if cursor.rowcount == 0:
        return False
    _enter_history(rows, namespace, tag, None, now=now, by=by)
    return True


def _enter_history(
    rows: Rows, namespace: int, tag: Tag, digest: Digest | None, *, now: int, by: str
) -> None:
    rows.execute(
        "INSERT INTO tag_history (namespace, name, digest, changed_at, changed_by) "
        "VALUES (?, ?, ?, ?, ?)",
        (namespace, tag, digest, now, by),
    )
    rows.execute(
        "DELETE FROM tag_history WHERE namespace = ? AND name = ? AND id <= ("
        "SELECT id FROM tag_history WHERE namespace = ? AND name = ? "
        "ORDER BY id DESC LIMIT 1 OFFSET ?)",
        (namespace, tag, namespace, tag, TAG_HISTORY_ENTRIES_MAX),
    )


class Change(Frozen):
    """What a tag came to point to, None where it was deleted; when, in epoch seconds, by whom, and
    whether the namespace still holds that manifest."""

    number: int
    digest: str | None
    at: int
    by: str
    is_held: bool


def history(rows: Rows, namespace: int, tag: Tag, before: int, limit: int) -> list[Change]:
    """The changes of a tag, the latest first, strictly before a number."""
    found = rows.execute(
        "SELECT h.id, h.digest, h.changed_at, h.changed_by, EXISTS (SELECT 1 FROM manifests m "
        "WHERE m.namespace = h.namespace AND m.digest = h.digest AND m.size > 0) "
        "FROM tag_history h WHERE h.namespace = ? AND h.name = ? AND h.id < ? "
        "ORDER BY h.id DESC LIMIT ?",
        (namespace, tag, before, limit),
    )
    return [Change(row[0], row[1], row[2], row[3], bool(row[4])) for row in found]


def names_of(rows: Rows, namespace: int, digest: Digest) -> list[Tag]:
    """The tags that point to a manifest, in byte order."""
    found = rows.execute(
        "SELECT name FROM tags WHERE namespace = ? AND digest = ? ORDER BY name",
        (namespace, digest),
    )
    return [Tag(row[0]) for row in found]


def list_names(rows: Rows, namespace: int, after: str, limit: int) -> list[str]:
    """Tags in byte order, strictly after a text.

    One row of all the names: sqlite3 gives Python's lock away at each row, which made a page of
    10,000 cost three times as much. No name holds a newline; the order of an aggregate is not
    promised, and sorting what is sorted costs little.
    """
    (found,) = rows.execute(
        "SELECT group_concat(name, char(10)) FROM ("
        "SELECT name FROM tags WHERE namespace = ? AND name > ? ORDER BY name LIMIT ?)",
        (namespace, after, limit),
    ).fetchone()
    return sorted(found.split("\n")) if found else []
