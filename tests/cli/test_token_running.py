"""`angos-trio token` beside a registry that runs, with one process and with several."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from angos_trio.auth.api_keys import parse_key
from angos_trio.clock import epoch_seconds
from tests.cli.test_token import CONFIG, HASH
from tests.running import RunningRegistry, program, running_registry, start_registry

pytestmark = pytest.mark.slow

SECS_MAX = 60.0
ROUNDS = 12
KEYS = "/v2/_ext/_keys"
CAROL = f'[auth.identity.c]\nusername = "carol"\npassword = "{HASH}"\n'


@dataclass(frozen=True)
class Running:
    registry: RunningRegistry
    config: Path

    def command(self, *arguments: str, with_config: bool = False) -> list[str]:
        options = ["-c", str(self.config)] if with_config else []
        data = ["--data-dir", str(self.registry.data_dir)]
        return [*program(), *options, "token", *arguments, *data]

    def run(self, *arguments: str, with_config: bool = False) -> subprocess.CompletedProcess[str]:
        """A command. Beside a registry that runs it needs no configuration but to find it."""
        return subprocess.run(
            self.command(*arguments, with_config=with_config),
            capture_output=True,
            text=True,
            timeout=SECS_MAX,
            check=False,
        )

    def created(self, name: str = "ci", owner: str = "alice") -> str:
        ended = self.run("create", "--as", owner, "--name", name)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.removesuffix("\n")

    def every(self) -> list[dict[str, Any]]:
        ended = self.run("list", "--json")
        assert ended.returncode == 0, ended.stderr
        found: list[dict[str, Any]] = json.loads(ended.stdout)
        return found

    def control(self, method: str, path: str) -> httpx.Response:
        """A request over the control socket."""
        transport = httpx.HTTPTransport(uds=str(self.registry.data_dir / "control.sock"))
        with httpx.Client(transport=transport, timeout=SECS_MAX) as client:
            return client.request(method, f"http://localhost{path}")


@contextmanager
def started(tmp_path: Path, workers: int) -> Iterator[Running]:
    config = tmp_path / "config.toml"
    config.write_text(f"{CONFIG}[server]\nworkers = {workers}\n")
    with running_registry(tmp_path / "data", arguments=["-c", str(config)]) as registry:
        yield Running(registry, config)


@pytest.fixture(params=[1, 3])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    with started(tmp_path, request.param) as found:
        yield found


def test_key_is_made_listed_and_revoked(running: Running) -> None:
    parsed = parse_key(running.created())
    assert parsed is not None
    (key,) = running.every()
    assert (key["id"], key["owner"]) == (parsed[0], "alice")
    assert running.control("GET", KEYS).json() == {"keys": [key]}

    ended = running.run("revoke", "ci")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert running.every() == []
    assert parsed[1] not in running.registry.log


def statuses(running: Running, key: str) -> set[int]:
    """Of requests with a key, each on a new connection: whichever worker answers."""
    headers = {"Authorization": f"Bearer {key}"}
    url = f"{running.registry.base_url}/v2/"
    return {httpx.get(url, headers=headers).status_code for _ in range(ROUNDS)}


def test_revoked_key_is_refused_at_once_in_every_process(running: Running) -> None:
    key = running.created()
    assert statuses(running, key) == {200}

    assert running.run("revoke", "ci").returncode == 0
    found = statuses(running, key)
    assert 401 in found
    assert found <= {401, 429}, "so many wrong ones are too many"


def test_last_use_is_there_after_a_stop(running: Running) -> None:
    key = running.created()
    running.created("unused")
    assert statuses(running, key) == {200}
    assert running.registry.stop() == 0

    used = {key["name"]: key["last_used_at"] for key in running.every()}
    assert used["unused"] is None
    assert abs(used["ci"] - epoch_seconds()) < 60


def test_refusal_is_one_line(running: Running) -> None:
    for arguments, part in (
        (["create", "--as", "carol", "--name", "ci"], "no user 'carol'"),
        (["create", "--as", "alice", "--name", "ci", "--action", "get-blobs"], "did you mean"),
        (["revoke", "nothing"], "there is no key"),
    ):
        ended = running.run(*arguments)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.startswith("angos-trio: ")
        assert ended.stderr.count("\n") == 1
        assert part in ended.stderr


def test_keys_are_out_of_reach_over_tcp(running: Running) -> None:
    running.created()
    (key,) = running.every()

    url = running.registry.base_url
    body: dict[str, object] = {
        "name": "x",
        "as": "alice",
        "expires_in_secs": None,
        "repositories": [],
        "actions": [],
    }
    assert httpx.get(f"{url}{KEYS}").status_code == 404
    assert httpx.post(f"{url}{KEYS}", json=body).status_code == 404
    assert httpx.delete(f"{url}{KEYS}/{key['id']}").status_code == 404
    assert running.every() == [key]


def test_users_are_those_of_the_configuration_in_force(running: Running) -> None:
    assert running.run("create", "--as", "carol", "--name", "ci").returncode == 1
    running.config.write_text(running.config.read_text() + CAROL)
    assert running.run("create", "--as", "carol", "--name", "ci", with_config=True).returncode == 1

    running.registry.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + SECS_MAX
    while running.run("create", "--as", "carol", "--name", "ci").returncode:
        assert time.monotonic() < deadline
    assert [key["owner"] for key in running.every()] == ["carol"]


def test_command_while_the_registry_stops_is_done_or_says_that_it_may_be(tmp_path: Path) -> None:
    """What waits on the socket when the last process ends gets no answer."""
    with started(tmp_path, 3) as running:
        running.registry.process.send_signal(signal.SIGTERM)
        made = []
        for number in range(4):
            name = f"k{number}"
            ended = running.run("create", "--as", "alice", "--name", name, with_config=True)
            if ended.returncode == 0:
                made.append(name)
            else:
                assert "may have done it" in ended.stderr
        assert running.registry.stop() == 0
        assert made
        assert set(made) <= {key["name"] for key in running.every()}


def test_registry_that_starts_meanwhile_waits_for_a_command_or_answers_it(tmp_path: Path) -> None:
    with started(tmp_path, 3) as running:
        running.registry.stop()
        command = running.command("create", "--as", "alice", "--name", "ci", with_config=True)
        created = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        again = start_registry(
            running.registry.data_dir, tmp_path / "log", arguments=["-c", str(running.config)]
        )
        try:
            assert created.wait(SECS_MAX) == 0
            assert [key["name"] for key in running.every()] == ["ci"]
        finally:
            again.stop()


def test_commands_at_the_same_time_take_turns(tmp_path: Path) -> None:
    with started(tmp_path, 1) as running:
        pass
    made = [
        subprocess.Popen(
            running.command("create", "--as", "alice", "--name", f"k{number}", with_config=True),
            stdout=subprocess.DEVNULL,
        )
        for number in range(6)
    ]

    assert [process.wait(SECS_MAX) for process in made] == [0] * 6
    assert {key["name"] for key in running.every()} == {f"k{number}" for number in range(6)}


def test_directory_with_a_long_name_is_reached(tmp_path: Path) -> None:
    deep = tmp_path / ("a" * 100) / ("b" * 60)
    deep.mkdir(parents=True)
    with started(deep, 1) as running:
        running.created()
        assert len(running.every()) == 1


def test_killed_registry_is_no_obstacle(tmp_path: Path) -> None:
    with started(tmp_path, 3) as running:
        running.registry.kill()
        assert os.path.exists(running.registry.data_dir / "control.sock")
        ended = running.run("create", "--as", "alice", "--name", "ci", with_config=True)
        assert ended.returncode == 0, ended.stderr
        assert len(running.every()) == 1
