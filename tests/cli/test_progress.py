"""How far long commands are: a moving line on a terminal, lines elsewhere, nothing where it is
quick."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.testing

from angos_trio.cli.asking import _so_far
from angos_trio.cli.progress import Stage, beside
from tests.api.client import Client
from tests.cli.commands import SECS_MAX, said, write_config
from tests.factories import make_blob
from tests.running import RunningRegistry, program, running_registry

SLOW = ("scrub", "--dry-run", "--rate", "1MiB/s")


def test_what_is_no_terminal_gets_a_line_each_ten_seconds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = 0

    async def work() -> str:
        nonlocal done
        for _ in range(25):
            await trio.sleep(1)
            done += 1
        return "outcome"

    async def main() -> str:
        return await beside(work, lambda: Stage(f"{done} of 25 done", done, 25))

    clock = trio.testing.MockClock(autojump_threshold=0)
    assert trio.run(main, clock=clock) == "outcome"
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(";")[2] for line in lines] == [" 10 s", " 20 s"]
    assert all(line.partition(" ")[0] in ("9", "10", "19", "20") for line in lines)


def test_quick_work_says_nothing_and_its_error_is_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def work() -> str:
        raise LookupError("nothing")

    with pytest.raises(LookupError, match="nothing"):
        trio.run(beside, work, lambda: Stage("never told"))
    assert capsys.readouterr().err == ""


def test_work_goes_on_when_nobody_reads_how_far_it_is() -> None:
    script = """
import trio, trio.testing
from angos_trio.cli.progress import Stage, beside

async def work():
    await trio.sleep(60)
    return "outcome"

clock = trio.testing.MockClock(autojump_threshold=0)
print(trio.run(beside, work, lambda: Stage("at it"), clock=clock))
"""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            stderr=writer,
            timeout=SECS_MAX,
            check=False,
        )
    finally:
        os.close(writer)
    assert (ended.returncode, ended.stdout) == (0, b"outcome\n")


def test_what_a_run_has_looked_at_is_told_in_words() -> None:
    counts = {"blobs": 2, "bytes": 2048, "failed": 0, "findings": {}}
    assert _so_far(counts) == "2 blobs, 2.0 KiB"
    assert _so_far({}) == ""


def on_a_terminal(command: list[str], **environment: str) -> tuple[str, str]:
    """What a command prints, and what it shows on the terminal that its errors go to."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=its,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "160", **environment},
    )
    os.close(its)
    shown = b""
    try:
        while part := _read(ours):
            shown += part
        printed, _ = process.communicate(timeout=SECS_MAX)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert process.returncode == 0, shown
    return printed.decode(), shown.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # nobody has the other end any more
        return b""


def filled(registry: RunningRegistry) -> None:
    with Client(registry.base_url) as client:
        for number in range(4):
            client.push_blob("app", make_blob(f"{number}" * 1024 * 1024))


@pytest.mark.slow
def test_scrub_moves_on_a_terminal_and_is_silent_in_a_pipe(tmp_path: Path) -> None:
    config = write_config(tmp_path, workers=1)
    with running_registry(tmp_path / "data", arguments=["-c", str(config)]) as registry:
        filled(registry)
        options = [*SLOW, "--data-dir", str(tmp_path / "data")]
        printed, shown = on_a_terminal([*program(), *options])
        assert printed.startswith("looked at 4 blobs (4.0 MiB)")
        assert "\x1b[" in shown
        assert "running" in shown
        assert "looked at " in shown
        assert "0:00:01" in shown
        assert "%" not in shown, "nobody knows how much there is"

        printed, shown = on_a_terminal([*program(), *options], TERM="dumb")
        assert printed.startswith("looked at 4 blobs (4.0 MiB)")
        assert shown == ""
    assert said(tmp_path / "data", *SLOW).startswith("looked at 4 blobs (4.0 MiB)")


@pytest.mark.slow
@pytest.mark.parametrize("words", [("gc", "--dry-run"), ("prune", "--dry-run")])
def test_quick_commands_show_nothing_on_a_terminal(tmp_path: Path, words: tuple[str, ...]) -> None:
    with running_registry(tmp_path / "data"):
        options = [*words, "--data-dir", str(tmp_path / "data")]
        printed, shown = on_a_terminal([*program(), *options])
    assert printed
    assert "\x1b[" not in shown or "running" in shown  # a machine may be slower than half a second
