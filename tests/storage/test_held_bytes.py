"""How much a namespace holds: a counter that triggers keep, whatever the rows go through."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from angos_trio.oci.digest import digest_of
from angos_trio.oci.names import RepositoryName
from angos_trio.storage.connections import migrate, open_writer
from angos_trio.storage.metadata import blobs, namespaces
from tests.storage.support import migrate_to

A, B = digest_of(b"a"), digest_of(b"b")
BEFORE = 3
"""The schema's version that had no counter."""


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    path = tmp_path / "metadata.db"
    with closing(open_writer(path)) as opened:
        migrate(opened, path)
        yield opened


def name(text: str) -> RepositoryName:
    return RepositoryName(text)


def held(rows: sqlite3.Connection, text: str) -> int:
    return namespaces.held_bytes_below(rows, text)


def test_hold_counts_once_however_often_it_is_made(rows: sqlite3.Connection) -> None:
    one, two = (namespaces.ensure(rows, name(text), 1) for text in ("team/one", "team/two"))
    blobs.put(rows, A, 10, 1)
    for lease in (5, 3, 7):
        blobs.hold(rows, one, A, lease)
    assert held(rows, "team") == held(rows, "team/one") == 10
    blobs.hold(rows, two, A, 5)
    assert held(rows, "team") == 20
    assert blobs.release(rows, one, A)
    assert not blobs.release(rows, one, A)
    assert (held(rows, "team/one"), held(rows, "team")) == (0, 10)


def test_size_that_a_push_heals_is_counted_anew_wherever_it_is_held(
    rows: sqlite3.Connection,
) -> None:
    for text in ("team/one", "team/two"):
        number = namespaces.ensure(rows, name(text), 1)
        blobs.put(rows, A, 10, 1)
        blobs.hold(rows, number, A, 5)
    blobs.put(rows, A, 4, 2)
    assert held(rows, "team") == 8
    rows.execute("UPDATE blobs SET state = 'missing'")
    assert held(rows, "team") == 8


@pytest.mark.parametrize(
    ("text", "expected"), [("a", 7), ("a/b", 6), ("a/b/c", 4), ("ab", 8), ("a-b", 16), ("none", 0)]
)
def test_only_the_name_and_what_is_below_it_counts(
    rows: sqlite3.Connection, text: str, expected: int
) -> None:
    for position, each in enumerate(["a", "a/b", "a/b/c", "ab", "a-b"]):
        number = namespaces.ensure(rows, name(each), 1)
        digest = digest_of(each.encode())
        blobs.put(rows, digest, 1 << position, 1)
        blobs.hold(rows, number, digest, 5)
    assert held(rows, text) == expected


def test_step_that_is_undone_leaves_the_counter(rows: sqlite3.Connection) -> None:
    number = namespaces.ensure(rows, name("team"), 1)
    rows.execute("BEGIN")
    rows.execute("SAVEPOINT step")
    blobs.put(rows, A, 10, 1)
    blobs.hold(rows, number, A, 5)
    rows.execute("ROLLBACK TO step")
    rows.execute("COMMIT")
    assert held(rows, "team") == 0


def test_database_of_an_earlier_version_is_counted(
    tmp_path: Path,
) -> None:
    path = tmp_path / "metadata.db"
    with closing(open_writer(path)) as opened:
        migrate_to(BEFORE, opened, path)
        opened.executescript(
            "INSERT INTO namespaces (id, name, created_at) "
            "VALUES (1, 'team', 1), (2, 'team/x', 1), (3, 'team/empty', 1);"
            "INSERT INTO blobs (digest, size, created_at) VALUES ('a', 10, 1), ('b', 5, 1);"
            "INSERT INTO namespace_blobs VALUES (1, 'a', 0), (1, 'b', 0), (2, 'a', 0);"
            "INSERT INTO manifest_bodies VALUES ('m', 'xxx');"
            "INSERT INTO manifests (namespace, digest, media_type, kind, size, annotations, "
            "pushed_at, pushed_by, lease_until) VALUES (2, 'm', 't', 'image', 3, '{}', 1, 'me', 0);"
        )
        migrate(opened, path)
        found = opened.execute("SELECT name, held_bytes FROM namespaces ORDER BY id").fetchall()
    assert found == [("team", 15), ("team/x", 13), ("team/empty", 0)]
