"""`angos-trio token` where no registry runs, in this process."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import stat
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from angos_trio.app import operator
from angos_trio.auth.api_keys import check, parse_key
from angos_trio.auth.passwords import hash_password
from angos_trio.cli.main import main
from angos_trio.cli.token import find_key, parse_expires, table
from angos_trio.clock import epoch_seconds
from angos_trio.errors import OperatorError
from angos_trio.storage.connections import open_reader
from angos_trio.storage.metadata import api_keys
from angos_trio.storage.metadata.api_keys import ApiKey
from angos_trio.telemetry import log
from tests.storage.support import fresh_root, opened, run, scratch

pytestmark = pytest.mark.slow

__all__ = ["fresh_root", "scratch"]

PASSWORD = "correct horse"
HASH = hash_password(PASSWORD)
CONFIG = f"""\
[auth.identity.a]
username = "alice"
password = "{HASH}"
[auth.identity.b]
username = "bob"
password = "{HASH}"
"""


@dataclass(frozen=True)
class Station:
    """A data directory and a configuration with two users."""

    root: Path
    config: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        options = ["-c", str(self.config), "--data-dir", str(self.root)]
        code = main(["token", *arguments, *options])
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def created(self, *arguments: str, owner: str = "alice", name: str = "ci") -> tuple[str, str]:
        """The key of a command that must pass, and what it says beside it."""
        code, out, err = self.run("create", "--as", owner, "--name", name, *arguments)
        assert code == 0, err
        return out, err

    def refusal(self, *arguments: str) -> str:
        """What a command says in one line that must be refused."""
        code, out, err = self.run(*arguments)
        assert (code, out) == (1, "")
        assert err.startswith("angos-trio: ")
        assert err.count("\n") == 1
        return err

    def every(self) -> list[dict[str, Any]]:
        code, out, err = self.run("list", "--json")
        assert (code, err) == (0, "")
        found: list[dict[str, Any]] = json.loads(out)
        return found

    def row(self, key_id: str) -> ApiKey | None:
        rows = open_reader(self.root / "metadata.db", timeout_secs=5)
        try:
            return api_keys.find(rows, key_id)
        finally:
            rows.close()


async def _begin(root: Path) -> None:
    async with opened(root):
        pass


@pytest.fixture
def station(
    fresh_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Station]:
    """A stopped registry that has served."""
    run(_begin, fresh_root)
    config = tmp_path / "registry.toml"
    config.write_text(f"{CONFIG}[blob_store.fs]\nballast = 0\n[global]\nmin_free_space = 0\n")
    before = os.umask(0o022)
    yield Station(fresh_root, config, capsys)
    os.umask(before)
    log.configure("warning", sys.__stderr__)  # what a command logged to is gone after the test


def test_key_alone_is_on_standard_output_and_works(station: Station) -> None:
    out, err = station.created("--repository", "team/**", "--action", "get-blob")

    parsed = parse_key(out.removesuffix("\n"))
    assert parsed is not None
    row = station.row(parsed[0])
    assert row is not None
    grant = check(row, parsed[1], epoch_seconds())
    assert (row.owner, grant.name) == ("alice", "ci")
    assert (grant.repositories, grant.actions) == (("team/**",), ("get-blob",))
    assert parsed[0] in err
    assert parsed[1] not in err
    assert "team/**" in err


def test_key_expires_in_90_days_unless_told_otherwise_and_says_when(station: Station) -> None:
    _, err = station.created()
    assert "expires 2" in err
    _, err = station.created("--expires", "12h", name="short")
    assert "expires 2" in err
    _, err = station.created("--expires", "never", name="long")
    assert "never expires" in err

    lives = {
        key["name"]: key["expires_at"] and key["expires_at"] - key["created_at"]
        for key in station.every()
    }
    assert lives == {"ci": 90 * 86_400, "short": 12 * 3600, "long": None}


def test_list_is_a_table(station: Station) -> None:
    station.created("--repository", "team/*", "--repository", "x", owner="bob")
    station.created("--action", "get-blob", "--expires", "never", name="reader")
    code, out, err = station.run("list")

    assert (code, err) == (0, "")
    head, first, second = (line.split("  ") for line in out.splitlines())
    assert [cell.strip() for cell in head if cell] == [
        *("NAME", "ID", "OWNER", "CREATED", "EXPIRES", "LAST USED", "REPOSITORIES", "ACTIONS")
    ]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in (first, second)]
    assert [(line[0], line[2], *line[5:]) for line in cells] == [
        ("reader", "alice", "never", "all", "get-blob"),
        ("ci", "bob", "never", "team/*,x", "all"),
    ]
    assert cells[0][4] == "never"


def test_empty_list_is_a_head_or_an_empty_list(station: Station) -> None:
    assert station.run("list")[1].split() == [
        *("NAME", "ID", "OWNER", "CREATED", "EXPIRES", "LAST", "USED", "REPOSITORIES", "ACTIONS")
    ]
    assert station.every() == []


def test_list_follows_every_page(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("angos_trio.cli.token._PAGE", 2)
    names = [f"k{number}" for number in range(5)]
    for name in names:
        station.created(name=name)

    assert [key["name"] for key in station.every()] == names


def test_table_says_what_has_expired_and_spells_odd_names_out() -> None:
    key = {
        "name": "ci",
        "id": "abc",
        "owner": "a\x1b[31m\nb",
        "created_at": 0,
        "expires_at": 60,
        "last_used_at": 120,
        "repositories": [],
        "actions": [],
    }
    _, line = table([key], 60)

    assert "1970-01-01T00:01Z (expired)" in line
    assert "1970-01-01T00:02Z" in line
    assert r"'a\x1b[31m\nb'" in line
    assert "expired" not in table([key], 59)[1]


@pytest.mark.parametrize("by", ["id", "name"])
def test_key_is_revoked_by_its_id_or_name(station: Station, by: str) -> None:
    station.created()
    (key,) = station.every()
    code, out, err = station.run("revoke", key[by])

    assert (code, err) == (0, "")
    assert out == f"revoked key ci ({key['id']}) of alice\n"
    assert station.every() == []
    assert "there is no key" in station.refusal("revoke", key[by])


def test_name_that_two_users_have_is_not_guessed(station: Station) -> None:
    station.created(owner="alice")
    station.created(owner="bob")
    said = station.refusal("revoke", "ci")

    ids = [key["id"] for key in station.every()]
    assert len(ids) == 2
    assert all(key_id in said for key_id in ids)
    assert station.run("revoke", ids[0])[0] == 0


def test_id_comes_before_a_name_that_is_the_same() -> None:
    keys = [{"id": "a", "name": "b", "owner": "x"}, {"id": "b", "name": "a", "owner": "x"}]

    assert find_key(keys, "a") is keys[0]
    assert find_key(keys, "b") is keys[1]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--as", "alcie", "--name", "x"], "did you mean 'alice'?"),
        (["--as", "alice", "--name", "a b"], "name of a key"),
        (["--as", "alice", "--name", "x", "--expires", "soon"], "'soon' is not like 90d"),
        (["--as", "alice", "--name", "x", "--expires", "0d"], "expires after 1"),
        (["--as", "alice", "--name", "x", "--expires", "999999d"], "expires after 1"),
        (["--as", "alice", "--name", "x", "--repository", "Team"], "'Team' is no glob"),
        (["--as", "alice", "--name", "x", "--action", "get-manifst"], "did you mean get-manifest?"),
    ],
)
def test_wrong_wish_is_refused_in_a_line_and_nothing_is_made(
    station: Station, arguments: list[str], part: str
) -> None:
    assert part in station.refusal("create", *arguments)
    assert station.every() == []


@pytest.mark.parametrize(
    ("text", "secs"),
    [("90d", 90 * 86_400), ("12h", 43_200), ("1m", 60), ("007d", 604_800), ("never", None)],
)
def test_times_are_read(text: str, secs: int | None) -> None:
    assert parse_expires(text) == secs


@pytest.mark.parametrize("text", ["", "90", "d", "-1d", "1.5h", "1w", "90 d", "90D", "9999999d"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(OperatorError, match="--expires"):
        parse_expires(text)


@pytest.mark.parametrize(
    "arguments",
    [
        ["token"],
        ["token", "nothing"],
        ["token", "create"],
        ["token", "create", "--as", "alice"],
        ["token", "create", "--name", "ci"],
        ["token", "revoke"],
        ["token", "list", "extra"],
    ],
)
def test_wrong_arguments_end_with_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert capsys.readouterr().out == ""


def test_place_without_a_registry_is_refused_and_left_alone(
    station: Station, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "nothing", tmp_path, tmp_path / "file"):
        there_before = sorted(tmp_path.iterdir())
        other = Station(place, station.config, capsys)
        assert "not a data directory" in other.refusal("list")
        assert sorted(tmp_path.iterdir()) == there_before


def test_what_a_command_writes_is_nobody_elses_to_read(station: Station) -> None:
    station.created()

    for path in [station.root / "metadata.db", *station.root.glob("*.db*")]:
        assert stat.S_IMODE(path.stat().st_mode) & stat.S_IRWXO == 0, path


def test_socket_that_a_killed_registry_left_is_no_obstacle(station: Station) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(station.root / "control.sock"))
    station.created()

    assert len(station.every()) == 1


def test_command_waits_for_another_to_be_done(station: Station) -> None:
    lock = os.open(station.root / "instance.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    release = threading.Timer(0.05, os.close, [lock])
    release.start()
    assert station.every() == []
    release.join()


def test_lock_without_a_listener_is_given_up(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "COMMAND_WAIT_SECS_MAX", 0.1)
    lock = os.open(station.root / "instance.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        assert "does not listen on control.sock" in station.refusal("list")
    finally:
        os.close(lock)


def test_registry_that_hangs_is_given_up(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator, "CONTROL_SECS_MAX", 0.1)
    lock = os.open(station.root / "instance.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    begun_at = time.monotonic()
    try:
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(str(station.root / "control.sock"))
            silent.listen()
            assert "runs but does not answer" in station.refusal("list")
    finally:
        os.close(lock)
    assert time.monotonic() - begun_at < 5
