"""SIGHUP: a new configuration while the registry serves, with one process and with several."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from angos_trio.auth.passwords import hash_password
from tests.config.documents import ARGON2ID
from tests.running import RunningRegistry, running_registry

pytestmark = pytest.mark.slow

SECS_MAX = 15.0
TYPE = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
ROUNDS = 12


@dataclass(frozen=True)
class Reloading:
    registry: RunningRegistry
    config: Path
    workers: int

    def write(self, more: str = "") -> None:
        text = f"[server]\nworkers = {self.workers}\n{more}"
        self.config.write_text(text)

    def reload(self, more: str) -> dict[str, Any]:
        """The last line that the log has of a reload with these lines."""
        self.write(more)
        known = len(self._lines())
        self.registry.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + SECS_MAX
        while len(found := self._lines()) == known or found[-1]["event"] == "reload.needs_restart":
            assert time.monotonic() < deadline, self.registry.log
            time.sleep(0.02)
        return found[-1]

    def _lines(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.registry.log.splitlines() if "reload." in line]
        return [line for line in lines if line["event"].startswith("reload.")]

    def statuses(self) -> set[int]:
        """Of a manifest of 3,000 bytes that is none, each time on a new connection."""
        url = f"{self.registry.base_url}/v2/a/manifests/x"
        answers = [httpx.put(url, content=bytes(3000), headers=TYPE) for _ in range(ROUNDS)]
        return {answer.status_code for answer in answers}

    def wait_for_statuses(self, wanted: int) -> None:
        """The log's line comes just before the processes take what it tells of."""
        deadline = time.monotonic() + SECS_MAX
        while self.statuses() != {wanted}:
            assert time.monotonic() < deadline

    def wait_for_degraded(self, text: str | None) -> None:
        deadline = time.monotonic() + SECS_MAX
        while True:
            said = httpx.get(f"{self.registry.base_url}/readyz").json().get("degraded", [])
            if (said == []) if text is None else any(text in line for line in said):
                return
            assert time.monotonic() < deadline, said
            time.sleep(0.05)


@pytest.fixture(params=[1, 3])
def reloading(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reloading]:
    with started(tmp_path, request.param) as found:
        yield found


@contextmanager
def started(
    tmp_path: Path, workers: int, environment: Mapping[str, str] | None = None
) -> Iterator[Reloading]:
    config = tmp_path / "config.toml"
    config.write_text(f"[server]\nworkers = {workers}\n")
    arguments = ["-c", str(config)]
    with running_registry(arguments=arguments, environment=environment) as registry:
        yield Reloading(registry, config, workers)


def test_all_processes_take_what_the_files_say_now(reloading: Reloading) -> None:
    assert reloading.statuses() == {400}
    assert reloading.reload('[global]\nmax_manifest_size = "1KiB"\n')["event"] == "reload.done"
    reloading.wait_for_statuses(413)
    assert reloading.reload("")["event"] == "reload.done"
    reloading.wait_for_statuses(400)


def test_refused_configuration_changes_nothing_and_is_told(reloading: Reloading) -> None:
    said = reloading.reload('nonsense = 1\n[global]\nmax_manifest_size = "1KiB"\n')

    assert said["event"] == "reload.refused"
    assert "server.nonsense" in said["reason"]
    assert reloading.statuses() == {400}
    reloading.wait_for_degraded("server.nonsense")

    assert reloading.reload("")["event"] == "reload.done"
    reloading.wait_for_degraded(None)


@pytest.mark.parametrize("workers", [1, 2])
def test_configuration_from_a_pipe_stays_as_it_was(tmp_path: Path, workers: int) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = f'[server]\nworkers = {workers}\n[global]\nmax_manifest_size = "1KiB"\n'
    Thread(target=pipe.write_text, args=(text,)).start()
    with running_registry(arguments=["-c", str(pipe)]) as registry:
        reloading = Reloading(registry, tmp_path / "unused", workers)
        said = reloading.reload("")

        assert (said["event"], said["reason"][: len(str(pipe))]) == ("reload.refused", str(pipe))
        assert "can be read once only" in said["reason"]
        assert reloading.statuses() == {413}


def test_keys_of_the_start_are_named_and_the_rest_is_taken(reloading: Reloading) -> None:
    more = '[global]\nmax_manifest_size = "1KiB"\nmin_free_space = "1MiB"\n'
    assert reloading.reload(more)["event"] == "reload.done"
    assert '"keys": ["global.min_free_space"]' in reloading.registry.log
    reloading.wait_for_statuses(413)


def test_worker_that_is_started_anew_has_what_was_taken(tmp_path: Path) -> None:
    with started(tmp_path, 2) as reloading:
        reloading.reload('[global]\nmax_manifest_size = "1KiB"\n')
        reloading.wait_for_statuses(413)
        for pid in workers_of(reloading.registry):
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + SECS_MAX
        while len(workers_of(reloading.registry)) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        reloading.wait_for_statuses(413)


def workers_of(registry: RunningRegistry) -> list[int]:
    """The pids of all workers that were ever started."""
    lines = [json.loads(line) for line in registry.log.splitlines() if "process.started" in line]
    return [line["pid"] for line in lines if line["process"].startswith("worker")]


def test_files_of_secrets_are_read_again(reloading: Reloading) -> None:
    secret = reloading.config.with_name("alice.hash")
    secret.write_text(ARGON2ID)
    secret.chmod(0o600)
    more = f"[auth.identity.alice]\nusername = 'alice'\npassword_file = '{secret}'\n"
    assert reloading.reload(more)["event"] == "reload.done"

    secret.write_text("hunter2")
    refused = reloading.reload(more)
    assert refused["event"] == "reload.refused"
    assert refused["reason"].startswith("auth.identity.alice.password_file: ")

    secret.write_text(ARGON2ID)
    assert reloading.reload(more)["event"] == "reload.done"
    assert "hunter2" not in reloading.registry.log
    assert ARGON2ID not in reloading.registry.log


def test_environment_wins_over_the_files_after_a_reload_too(tmp_path: Path) -> None:
    environment = {"ANGOS_TRIO__GLOBAL__MAX_MANIFEST_SIZE": "1KiB"}
    with started(tmp_path, 2, environment) as reloading:
        assert reloading.statuses() == {413}
        more = "[global]\nmax_manifest_size = '5MiB'\n[observability]\nlog_level = 'debug'\n"
        assert reloading.reload(more)["event"] == "reload.done"
        assert reloading.statuses() == {413}


def test_changed_password_ends_what_was_let_in_by_the_old_one(reloading: Reloading) -> None:
    def user(password: str) -> str:
        key = "cULDuNvIlwTS7PVVkZL1HtmGVscYF6FqEcgQsmc8Njk="
        return (
            f'[auth.identity.a]\nusername = "alice"\npassword = "{hash_password(password)}"\n'
            f'[auth.token_service]\nsecret_key = "{key}"\n'
        )

    base = reloading.registry.base_url

    def status(path: str, **shown: Any) -> int:
        return httpx.get(f"{base}{path}", **shown).status_code

    assert reloading.reload(user("old"))["event"] == "reload.done"
    _until(lambda: status("/v2/_catalog", auth=("alice", "old")) == 200)
    token = httpx.get(f"{base}/token", auth=("alice", "old")).json()["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert {status("/v2/_catalog", headers=bearer) for _ in range(ROUNDS)} == {200}

    refused = reloading.reload(user("new").replace("m=19456", "m=1"))
    assert refused["event"] == "reload.refused"
    assert "auth.identity.a.password: is too weak" in refused["reason"]
    assert status("/v2/_catalog", auth=("alice", "old")) == 200

    assert reloading.reload(user("new"))["event"] == "reload.done"
    _until(lambda: {status("/v2/_catalog", auth=("alice", "new")) for _ in range(6)} == {200})
    assert {status("/v2/_catalog", headers=bearer) for _ in range(ROUNDS)} == {401}
    assert status("/v2/_catalog", auth=("alice", "old")) == 401


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECS_MAX
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)
