"""`angos-trio hash-password`: from a pipe, and from a terminal that shows nothing."""

from __future__ import annotations

import os
import pty
import subprocess
import time

import pytest
from argon2 import PasswordHasher

from angos_trio.limits.callers import PASSWORD_BYTES_MAX
from tests.running import program

pytestmark = pytest.mark.slow
SECS_MAX = 60.0
PINNED = "$argon2id$v=19$m=19456,t=2,p=1$"


def hashed(line: bytes, command: str = "hash-password") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*program(), command], input=line, capture_output=True, timeout=SECS_MAX, check=False
    )


@pytest.mark.parametrize("command", ["hash-password", "argon"])
@pytest.mark.parametrize(
    ("line", "password"),
    [
        (b"secret\n", "secret"),
        (b"secret", "secret"),
        (b"secret\r\nmore\n", "secret"),
        (b" a b:c \n", " a b:c "),
        ("gr\u00fc\u00df\n".encode(), "gr\u00fc\u00df"),
        (b"x" * PASSWORD_BYTES_MAX + b"\n", "x" * PASSWORD_BYTES_MAX),
    ],
)
def test_line_is_hashed_with_the_pinned_parameters(
    command: str, line: bytes, password: str
) -> None:
    ended = hashed(line, command)

    assert (ended.returncode, ended.stderr) == (0, b"")
    text = ended.stdout.decode().removesuffix("\n")
    assert text.startswith(PINNED)
    assert PasswordHasher().verify(text, password)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        (b"", b"empty"),
        (b"\n", b"empty"),
        (b"x" * (PASSWORD_BYTES_MAX + 1), b"longer than"),
        (b"\xff\n", b"not UTF-8"),
    ],
)
def test_line_that_is_no_password_is_refused(line: bytes, part: bytes) -> None:
    ended = hashed(line)

    assert (ended.returncode, ended.stdout) == (1, b"")
    assert part in ended.stderr
    assert ended.stderr.count(b"\n") == 1


def at_terminal(*typed: bytes) -> tuple[int, bytes, bytes]:
    """Exit code, standard output, and what the terminal has shown, for these lines."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*program(), "hash-password"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    try:
        for number, line in enumerate(typed, 1):
            while shown.count(b": ") < number:
                shown += os.read(ours, 1000)
            time.sleep(0.1)  # the prompt is there before the echo is gone
            os.write(ours, line + b"\n")
        out, _ = process.communicate(timeout=SECS_MAX)
        while True:
            try:
                shown += os.read(ours, 1000)
            except OSError:
                return process.returncode, out, shown
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_terminal_is_asked_twice_and_shows_nothing() -> None:
    code, out, shown = at_terminal(b"secret", b"secret")

    assert code == 0
    assert PasswordHasher().verify(out.decode().strip(), "secret")
    assert b"secret" not in shown


def test_two_that_differ_are_refused() -> None:
    code, out, shown = at_terminal(b"secret", b"secrets")

    assert (code, out) == (1, b"")
    assert b"differ" in shown
    assert b"secret" not in shown
