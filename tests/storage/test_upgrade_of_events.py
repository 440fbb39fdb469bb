"""What an earlier version recorded is told by this one."""

from __future__ import annotations

from contextlib import closing
from importlib import resources
from pathlib import Path

import pytest

from angos_trio.storage import connections
from angos_trio.storage.connections import migrate, open_writer
from angos_trio.storage.metadata import events
from angos_trio.storage.metadata.events import Stored


def test_events_of_before_say_nothing_of_where_they_were_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = resources.files("angos_trio.storage.schema")
    earlier = sorted(each.name for each in folder.iterdir() if each.name < "0007")
    known = [(folder / name).read_text() for name in earlier if name.endswith(".sql")]
    path = tmp_path / "metadata.db"
    with monkeypatch.context() as patched, closing(open_writer(path)) as rows:
        patched.setattr(connections, "_migrations", lambda: known)
        migrate(rows, path)
        rows.execute("INSERT INTO events VALUES (1, 5, 'tag.created', 'a', 'me', '{}')")
    with closing(open_writer(path)) as rows:
        migrate(rows, path)
        old = Stored(1, 5, "tag.created", "a", "me", "{}")
        new = Stored(2, 6, "tag.deleted", "a", "me", "{}", "192.0.2.7", "docker/27")
        events.append(rows, new)

        assert events.after(rows, 0, 10) == [old, new]
        assert events.before(rows, 9, 10) == [new, old]
