"""`self install --systemd` of the one file, in a tree that is no running system."""

from __future__ import annotations

import fcntl
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.skips import leave_out
from tests.zipapp.built import one_file
from tests.zipapp.starting import SECS_MAX

POLL_SECS = 0.05
SYSTEM_PATH = "/usr/bin:/bin"
"""Where no Python of a home directory is found, which a service would not see."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of root's, with a place to unpack."""
    return {"PATH": SYSTEM_PATH, "SHIV_ROOT": str(tmp_path / "cache")}


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """For a tree that is `tree` below the directory of the test."""
    if os.geteuid() != 0:
        leave_out("only root sets a service up")
    (tmp_path / "tree").mkdir()
    words = ["self", "install", "--systemd", "--hostname", "a.test", "--root", tmp_path / "tree"]
    return [str(each) for each in (one_file(), *words)]


def test_another_installation_waits_until_the_service_is_set_up(
    command: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    first_files = tmp_path / "tree/etc/angos-trio/.lock"
    first_files.parent.mkdir(parents=True)
    with first_files.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        begun = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        wait_until_open(begun, first_files)
        with (
            (tmp_path / "tree/usr/lib/angos-trio/.lock").open("w") as installation,
            pytest.raises(BlockingIOError),
        ):
            fcntl.flock(installation, fcntl.LOCK_EX | fcntl.LOCK_NB)
    printed, _ = begun.communicate(timeout=SECS_MAX)
    assert begun.returncode == 0
    assert "user admin has the password" in printed


def wait_until_open(process: subprocess.Popen[str], file: Path) -> None:
    ends_at = time.monotonic() + SECS_MAX
    while not any(each.exists() and each.samefile(file) for each in open_files(process.pid)):
        assert process.poll() is None
        assert time.monotonic() < ends_at
        time.sleep(POLL_SECS)


def open_files(pid: int) -> Iterator[Path]:
    return Path(f"/proc/{pid}/fd").glob("*")


def test_password_that_cannot_be_shown_is_another_when_the_command_is_typed_again(
    command: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    configuration = tmp_path / "tree/etc/angos-trio/config.toml"
    for streams, code in (("> /dev/full", 1), (">&-", 1), ("", 0)):
        ended = subprocess.run(
            ["sh", "-c", f"{shlex.join(command)} {streams}"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECS_MAX,
            check=False,
        )
        assert ended.returncode == code, ended
        assert ("no configuration was written; type the command again" in ended.stderr) == bool(
            code
        )
        assert configuration.exists() == (not code)
    assert "user admin has the password" in ended.stdout
