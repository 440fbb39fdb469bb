"""Numbered SQL files, applied in order, after an automatic copy of the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from importlib import resources
from pathlib import Path

import pytest

from angos_trio.errors import OperatorError
from angos_trio.storage import connections
from angos_trio.storage.connections import migrate, open_writer
from tests.storage.support import is_locked_by_others, opened, rows_of, run

SECOND = "CREATE TABLE second (id INTEGER PRIMARY KEY); INSERT INTO second VALUES (2);"
THIRD = "CREATE TABLE third (id INTEGER PRIMARY KEY);"
BROKEN = "CREATE TABLE half_made (id INTEGER PRIMARY KEY); CREATE TABLE second (id INTEGER);"

Releases = Callable[..., None]


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Releases:
    """Makes this the version that knows the real first migration and these after it."""
    first = connections._migrations()[0]

    def known(*later: str) -> None:
        monkeypatch.setattr(connections, "_migrations", lambda: [first, *later])

    return known


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "metadata.db"


def migrated(database: Path) -> int:
    """Migrate and return the version that is there now."""
    with closing(open_writer(database)) as rows:
        migrate(rows, database)
        return int(rows.execute("PRAGMA user_version").fetchone()[0])


def version_of(database: Path) -> int:
    with closing(sqlite3.connect(database)) as rows:
        return int(rows.execute("PRAGMA user_version").fetchone()[0])


def tables_of(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as rows:
        found = rows.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {row[0] for row in found}


def copies(database: Path) -> list[str]:
    return sorted(
        path.name for path in database.parent.iterdir() if path.name.startswith("metadata.db.")
    )


def test_fresh_database_gets_every_migration_and_needs_no_copy(
    database: Path, release: Releases
) -> None:
    release(SECOND, THIRD)

    assert migrated(database) == 3
    assert {"tags", "second", "third"} <= tables_of(database)
    assert copies(database) == []


def test_database_that_is_up_to_date_is_left_alone(database: Path, release: Releases) -> None:
    release(SECOND)
    migrated(database)

    assert migrated(database) == 2
    assert copies(database) == []


def test_upgrade_applies_what_is_missing_in_order(database: Path, release: Releases) -> None:
    release()
    migrated(database)
    with closing(open_writer(database)) as rows:
        rows.execute("INSERT INTO namespaces (name, created_at) VALUES ('kept', 1)")

    release(SECOND, THIRD)
    assert migrated(database) == 3
    with closing(sqlite3.connect(database)) as rows:
        assert rows.execute("SELECT name FROM namespaces").fetchall() == [("kept",)]
        assert rows.execute("SELECT id FROM second").fetchall() == [(2,)]


def test_upgrade_copies_the_database_first(database: Path, release: Releases) -> None:
    release()
    migrated(database)
    with closing(open_writer(database)) as rows:
        rows.execute("INSERT INTO namespaces (name, created_at) VALUES ('kept', 1)")

    release(SECOND)
    migrated(database)

    (copy,) = (database.with_name(name) for name in copies(database))
    assert version_of(copy) == 1
    assert "second" not in tables_of(copy)
    with closing(sqlite3.connect(copy)) as rows:
        assert rows.execute("SELECT name FROM namespaces").fetchall() == [("kept",)]
        assert rows.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_database_of_a_later_version_is_refused_by_number(
    database: Path, release: Releases
) -> None:
    release(SECOND, THIRD)
    migrated(database)
    release()

    with pytest.raises(OperatorError, match="schema version 3; this version knows 1"):
        migrated(database)
    assert version_of(database) == 3


def test_upgrade_is_all_or_nothing(database: Path, release: Releases) -> None:
    release()
    migrated(database)
    release(SECOND, BROKEN)
    with pytest.raises(sqlite3.OperationalError):
        migrated(database)

    assert version_of(database) == 1
    assert not {"half_made", "second"} & tables_of(database)


def test_upgrade_that_failed_passes_once_it_is_mended(database: Path, release: Releases) -> None:
    release(SECOND, BROKEN)
    with pytest.raises(sqlite3.OperationalError):
        migrated(database)

    release(SECOND, THIRD)
    assert migrated(database) == 3
    assert {"second", "third"} <= tables_of(database)


def test_copy_of_before_an_upgrade_outlives_one_that_failed_half_way(
    database: Path, release: Releases
) -> None:
    """It is what the operator goes back to with the version that knows 1."""
    release()
    migrated(database)
    release(SECOND, BROKEN)
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError):
            migrated(database)
    release(SECOND, THIRD)
    migrated(database)

    assert 1 in {version_of(database.with_name(name)) for name in copies(database)}


def test_storage_that_cannot_migrate_says_so_to_the_operator(
    fresh_root: Path, release: Releases
) -> None:
    release("NOT SQL")

    async def test() -> None:
        with pytest.raises(OperatorError, match=r"metadata\.db"):
            async with opened(fresh_root):
                pass

    run(test)
    release()

    async def again() -> None:
        async with opened(fresh_root):
            pass

    run(again)
    assert rows_of(fresh_root, "PRAGMA user_version") == [(1,)]


@pytest.mark.parametrize(
    "content", [b"no database at all" * 300, b"SQLite format 3\0" + b"x" * 5000]
)
def test_file_that_is_no_database_is_refused_in_a_line(fresh_root: Path, content: bytes) -> None:
    fresh_root.mkdir(parents=True)
    (fresh_root / "metadata.db").write_bytes(content)

    async def test() -> None:
        with pytest.raises(OperatorError, match=r"metadata\.db: file is not a database"):
            async with opened(fresh_root):
                pass

    run(test)
    assert (fresh_root / "metadata.db").read_bytes() == content


def test_migrations_run_under_the_write_lock(
    fresh_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[bool] = []
    real = connections._migrations()

    def noting() -> list[str]:
        found.append(is_locked_by_others(fresh_root / "write.lock"))
        return real

    monkeypatch.setattr(connections, "_migrations", noting)

    async def test() -> None:
        async with opened(fresh_root):
            pass

    run(test)
    assert found == [True]


def test_migrations_are_numbered_without_a_gap() -> None:
    folder = resources.files("angos_trio.storage.schema")
    numbers = sorted(
        int(item.name.partition("_")[0]) for item in folder.iterdir() if item.name.endswith(".sql")
    )

    assert numbers == list(range(1, len(numbers) + 1))


def test_sql_keeps_to_what_sqlite_3_34_and_others_have() -> None:
    """No RETURNING, no STRICT: they came later, and PostgreSQL has no STRICT."""
    for text in connections._migrations():
        words = {
            word.strip("(),;").upper()
            for line in text.splitlines()
            for word in line.partition("--")[0].split()
        }
        assert not words & {"RETURNING", "STRICT"}
