"""Rows of API keys."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from angos_trio.records import replace
from angos_trio.storage import connections
from angos_trio.storage.connections import migrate, open_reader, open_writer
from angos_trio.storage.metadata import api_keys
from angos_trio.storage.metadata.api_keys import ApiKey
from angos_trio.storage.transactions import Rows

KEY = ApiKey(
    id="abcdefgh2345",
    name="ci",
    owner="alice",
    secret_hash="0" * 64,
    repositories=("team/*", "other/**"),
    actions=("get-blob",),
    created_at=10,
    created_by="operator::operator",
    expires_at=20,
    last_used_at=None,
)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "metadata.db"


@pytest.fixture
def rows(database: Path) -> Iterator[Rows]:
    with closing(open_writer(database)) as opened:
        migrate(opened, database)
        yield opened


def keys(rows: Rows) -> list[ApiKey]:
    return api_keys.list_after(rows, "", 100)


@pytest.mark.parametrize(
    "key", [KEY, replace(KEY, repositories=(), actions=(), expires_at=None, last_used_at=15)]
)
def test_key_is_found_as_it_was_inserted(rows: Rows, key: ApiKey) -> None:
    api_keys.insert(rows, key)

    assert api_keys.find(rows, key.id) == key
    assert api_keys.find_by_name(rows, "alice", "ci") == key
    assert api_keys.find(rows, "other") is None
    assert api_keys.find_by_name(rows, "bob", "ci") is None


def test_name_is_taken_once_by_each_owner(rows: Rows) -> None:
    api_keys.insert(rows, KEY)
    api_keys.insert(rows, replace(KEY, id="b", owner="bob"))
    for taken in (replace(KEY, id="c"), replace(KEY, name="other")):
        with pytest.raises(sqlite3.IntegrityError):
            api_keys.insert(rows, taken)


def test_pages_are_in_the_order_of_ids(rows: Rows) -> None:
    made = [replace(KEY, id=f"k{number}", name=f"n{number}") for number in (3, 1, 2, 5, 4)]
    for key in made:
        api_keys.insert(rows, key)

    ordered = sorted(made, key=lambda key: key.id)
    assert keys(rows) == ordered
    assert api_keys.list_after(rows, "k2", 2) == ordered[2:4]
    assert api_keys.list_after(rows, "k5", 2) == []


def test_revoked_key_is_gone_for_who_holds_another_connection(rows: Rows, database: Path) -> None:
    api_keys.insert(rows, KEY)
    with closing(open_reader(database, timeout_secs=0)) as other:
        assert api_keys.find(other, KEY.id) == KEY

        assert api_keys.revoke(rows, KEY.id) is True
        assert api_keys.find(other, KEY.id) is None
        assert api_keys.revoke(rows, KEY.id) is False


def test_last_use_only_moves_on_and_makes_no_key(rows: Rows) -> None:
    api_keys.insert(rows, KEY)
    for at, expected in ((50, 50), (40, 50), (60, 60)):
        api_keys.touch(rows, {KEY.id: at, "gone": at})
        assert [key.last_used_at for key in keys(rows)] == [expected]


def test_upgrade_of_a_database_without_keys_adds_the_table(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = connections._migrations()
    monkeypatch.setattr(connections, "_migrations", lambda: real[:1])
    with closing(open_writer(database)) as opened:
        migrate(opened, database)
        opened.execute("INSERT INTO namespaces (name, created_at) VALUES ('kept', 1)")
    monkeypatch.setattr(connections, "_migrations", lambda: real)

    with closing(open_writer(database)) as opened:
        migrate(opened, database)
        api_keys.insert(opened, KEY)
        assert keys(opened) == [KEY]
        assert opened.execute("SELECT name FROM namespaces").fetchall() == [("kept",)]
    assert database.with_name("metadata.db.version-1").exists()
