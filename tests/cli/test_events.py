"""`angos-trio events` beside a registry that runs, stops, and is killed."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from angos_trio.cli.events import url_of
from angos_trio.errors import OperatorError
from tests.api.client import Client
from tests.certificates import client_context
from tests.cli.commands import write_config
from tests.cli.test_reload import workers_of
from tests.factories import make_image
from tests.running import HOST, free_port, program, running_registry
from tests.secure import PASSWORD, USER, Secure

SECS_MAX = 60.0


class Following:
    """The command while it runs; what it prints comes out of a queue."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def next(self, count: int) -> list[dict[str, Any]]:
        """So many messages, which must come in time."""
        return [json.loads(self._lines.get(timeout=SECS_MAX)) for _ in range(count)]

    def is_silent(self) -> bool:
        return self._lines.empty()


@contextmanager
def following(*words: str) -> Iterator[Following]:
    with subprocess.Popen(
        [*program(), "events", "--follow", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Following(process)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(SECS_MAX)
            finally:
                process.kill()  # or the end of the block would wait for ever


def run(
    *words: str, typed: str = "", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command to its end."""
    return subprocess.run(
        [*program(), "events", *words],
        input=typed,
        capture_output=True,
        text=True,
        timeout=SECS_MAX,
        check=False,
        env={**os.environ, **(environment or {})},
    )


def push(url: str, tag: str, **options: Any) -> None:
    """One manifest with a tag: two events."""
    with Client(url, **options) as client:
        client.stored("a", make_image(), tag)


@pytest.mark.slow
def test_what_is_kept_is_printed_and_the_command_ends() -> None:
    with running_registry() as registry:
        for tag in ("v1", "v2"):
            push(registry.base_url, tag)
        ended = run(registry.base_url)
        assert (ended.returncode, ended.stderr) == (0, "")
        told = [json.loads(line) for line in ended.stdout.splitlines()]
        assert [each["seq"] for each in told] == [1, 2, 3, 4]
        rest = run("--after", "3", "--namespace", "a", registry.base_url)
        assert [json.loads(line) for line in rest.stdout.splitlines()] == told[3:]
        assert run("--namespace", "b", registry.base_url).stdout == ""
        reset = run("--after", "9", registry.base_url)
        assert json.loads(reset.stdout) == {"v": 1, "seq": 4, "type": "reset"}


@pytest.mark.slow
def test_nothing_is_lost_or_printed_twice_over_a_restart(tmp_path: Path) -> None:
    address = f"{HOST}:{free_port()}"
    url = f"http://{address}"
    with following("--after", "0", url) as follower:
        seen = []
        for number in range(3):
            with running_registry(tmp_path / "data", address=address):
                push(url, f"v{number}")
                seen += follower.next(2)
                push(url, f"w{number}")
            # The registry stopped without a look at whether the last two had been taken.
        with running_registry(tmp_path / "data", address=address):
            seen += follower.next(12 - len(seen))
            push(url, "end")
            seen += follower.next(2)
            assert follower.is_silent()
    assert [each["seq"] for each in seen] == list(range(1, 15))


@pytest.mark.slow
def test_follower_of_a_worker_that_is_killed_goes_on_with_another(tmp_path: Path) -> None:
    config = write_config(tmp_path, workers=2)
    with (
        running_registry(arguments=["-c", str(config)]) as registry,
        following(registry.base_url, "--after", "0") as follower,
    ):
        push(registry.base_url, "v0")
        seen = follower.next(2)
        for number in range(1, 4):
            for pid in workers_of(registry)[-2:]:
                os.kill(pid, signal.SIGKILL)
            push(registry.base_url, f"v{number}")
            seen += follower.next(2)
        assert follower.is_silent()
    assert [each["seq"] for each in seen] == list(range(1, 9))


@pytest.mark.slow
def test_password_comes_from_the_environment_or_from_what_is_piped_in(tmp_path: Path) -> None:
    secure = Secure(tmp_path, has_client_ca=False)
    config = secure.write()
    with running_registry(arguments=["-c", str(config)], probe=secure.probe) as registry:
        words = ("--ca", str(secure.ca), "--user", USER, registry.base_url)
        by_variable = run(*words, environment={"ANGOS_PASSWORD": PASSWORD})
        by_pipe = run(*words, typed=f"{PASSWORD}\n")
        assert (by_variable.returncode, by_pipe.returncode) == (0, 0), by_pipe.stderr
        wrong = run(*words, typed="wrong\n")
        assert (wrong.returncode, wrong.stdout) == (1, "")
        assert wrong.stderr.startswith("angos-trio: the registry answers 401: ")
        assert "wrong\n" not in wrong.stderr
        assert run(*words).stderr == "angos-trio: no password was given\n"


@pytest.mark.slow
def test_client_certificate_is_shown(tmp_path: Path) -> None:
    secure = Secure(tmp_path, has_user=False)
    config = secure.write()
    certificate, key = secure.client()
    with running_registry(arguments=["-c", str(config)], probe=secure.probe) as registry:
        shown = client_context(secure.root.pem, (certificate, key))
        push(registry.base_url, "v1", verify=shown)
        words = ("--ca", str(secure.ca), registry.base_url)
        ended = run("--cert", str(certificate), "--key", str(key), *words)
        assert (ended.returncode, len(ended.stdout.splitlines())) == (0, 2), ended.stderr
        assert "answers 401" in run(*words).stderr
        unknown = run(registry.base_url)
        assert unknown.returncode == 1
        assert "certificate is refused" in unknown.stderr


@pytest.mark.slow
def test_reader_of_the_output_that_leaves_ends_the_command_in_order() -> None:
    with running_registry() as registry:
        push(registry.base_url, "v1")
        with subprocess.Popen(
            [*program(), "events", "--follow", "--after", "0", registry.base_url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            push(registry.base_url, "v2")
            try:
                assert process.wait(SECS_MAX) == 0
            finally:
                process.kill()
            assert process.stderr.read() == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("ftp://x",), "ftp://x is not like https://registry.example.test:8443"),
        (("http://x/team",), "http://x/team: give the registry's address without a path"),
        (("https://x", "--cert", "c.pem"), "--cert and --key go together; one is missing"),
        (("https://x", "--ca", "/nowhere"), "--ca: cannot be read (No such file or directory)"),
        (("https://x", "--user", "a:b"), "--user: a name has no colon"),
    ],
)
def test_bad_arguments_are_told_in_a_line(words: tuple[str, ...], problem: str) -> None:
    ended = run(*words)
    assert (ended.returncode, ended.stderr) == (1, f"angos-trio: {problem}\n")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://h", "ws://h"),
        ("https://h:8443/", "wss://h:8443"),
        ("https://[::1]:1", "wss://[::1]:1"),
        ("http://h/v2/_ext/_events", "ws://h"),
    ],
)
def test_address_of_a_registry_is_that_of_its_feed(text: str, url: str) -> None:
    assert url_of(text) == f"{url}/v2/_ext/_events"


@pytest.mark.parametrize(
    "text", ["", "h", "http://", "http://u:p@h", "http://h?a=1", "http://h:x", "http://[", "h:80"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(OperatorError, match="is not like"):
        url_of(text)
