"""What a start finds in its data directory, and makes of it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.conftest import Station
from tests.crash.leftovers import Leftovers, wrong_in_uploads

pytestmark = pytest.mark.slow

OpenStation = Callable[..., Station]


def refusal(station: Station) -> str:
    """The one line with which a start is refused."""
    done = subprocess.run(
        station.place.command(), capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 1, done
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("angos-trio: ")
    return lines[0]


def files_below(directory: Path) -> set[str]:
    return {str(path) for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def stopped(tmp_path: Path, open_station: OpenStation) -> Station:
    """A registry that has run once."""
    station = open_station(tmp_path / "data")
    station.start()
    station.kill()
    return station


def test_second_instance_on_a_directory_is_refused_and_the_first_goes_on(
    tmp_path: Path, open_station: OpenStation
) -> None:
    first, second = open_station(tmp_path / "data"), open_station(tmp_path / "data")
    first.start()

    assert "another angos-trio serves this directory" in refusal(second)

    script = first.script()
    script.prepare()
    script.run()
    first.kill()
    second.start()


def test_leftovers_of_a_crash_are_resumed_finished_or_removed(stopped: Station) -> None:
    leftovers = Leftovers("leftovers")
    leftovers.put(stopped.place.data_dir)

    stopped.start()

    assert leftovers.wrong(stopped.place.address) == []
    assert wrong_in_uploads(stopped.place.data_dir) == []


def test_strange_things_in_uploads_do_not_keep_the_registry_from_starting(
    stopped: Station,
) -> None:
    uploads = stopped.place.data_dir / "uploads"
    leftovers = Leftovers("strange")
    (uploads / f"{leftovers.open.session}.json").mkdir()
    (uploads / f"{leftovers.torn.session}.json").write_bytes(b"")
    (uploads / f"{leftovers.nameless.session}.json").write_bytes(b"[1, 2]")
    (uploads / f"{leftovers.replaced.session}.data").mkdir()

    stopped.start()

    script = stopped.script()
    script.prepare()
    script.run()


def test_later_format_is_refused_and_nothing_is_changed(stopped: Station) -> None:
    path = stopped.place.data_dir / "format.json"
    record = {**json.loads(path.read_bytes()), "format": 2}
    path.write_text(json.dumps(record), encoding="utf-8")
    before = files_below(stopped.place.data_dir)

    assert "format 2" in refusal(stopped)

    assert json.loads(path.read_bytes()) == record
    assert files_below(stopped.place.data_dir) == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"instance": "x"}', b"\xff"])
def test_format_file_that_cannot_be_read_is_refused(
    tmp_path: Path, open_station: OpenStation, content: bytes
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "format.json").write_bytes(content)

    assert "format.json" in refusal(open_station(tmp_path / "data"))


def test_newer_schema_is_refused_and_nothing_is_changed(stopped: Station) -> None:
    path = stopped.place.data_dir / "metadata.db"
    rows = sqlite3.connect(path)
    rows.execute("PRAGMA user_version = 99")
    rows.close()

    assert "schema version 99" in refusal(stopped)

    rows = sqlite3.connect(path)
    assert rows.execute("PRAGMA user_version").fetchone() == (99,)
    rows.close()


def test_database_that_is_none_is_refused(stopped: Station) -> None:
    path = stopped.place.data_dir / "metadata.db"
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    path.write_bytes(b"no database at all" * 1000)

    assert "metadata.db" in refusal(stopped)


def test_data_directory_that_is_a_file_is_refused(
    tmp_path: Path, open_station: OpenStation
) -> None:
    (tmp_path / "data").write_bytes(b"")

    assert str(tmp_path / "data") in refusal(open_station(tmp_path / "data"))
