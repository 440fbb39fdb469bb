"""Requests over the control socket of a data directory."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ANSWER_SECS_MAX = 60.0
GC = "/v2/_ext/_gc"
RUN = f"{GC}?only=run"
SCRUB = "/v2/_ext/_scrub"


class ControlConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ANSWER_SECS_MAX)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ANSWER_SECS_MAX)
        self.sock.connect(str(self._path))


def ask(
    data_dir: Path, method: str, target: str, options: Mapping[str, object] | None = None
) -> tuple[int, dict[str, Any]]:
    """One request of the operator: the status, and the JSON of the answer. Raises OSError and
    HTTPException where nobody answers."""
    connection = ControlConnection(data_dir / "control.sock")
    try:
        body = None if options is None else json.dumps(options)
        connection.request(method, target, body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


class RunFailed(Exception):
    """A run that was asked for ended with an error, or was not begun."""


def run_task(data_dir: Path, path: str) -> dict[str, Any]:
    """A run, or the one of its kind that is under way, to its end. Raises RunFailed."""
    status, said = ask(data_dir, "POST", path)
    if status not in (202, 429):
        raise RunFailed(f"{path} was answered with {status}: {said}")
    while True:
        _, said = ask(data_dir, "GET", f"{path}?only=run")
        run: dict[str, Any] = said["run"]
        if run["state"] == "failed":
            raise RunFailed(f"{path} failed: {run['outcome']}")
        if run["state"] == "done":
            return run
        time.sleep(0.01)


def collect(data_dir: Path) -> dict[str, Any]:
    """A run of the collection to its end. Raises RunFailed."""
    return run_task(data_dir, GC)


def collect_all(data_dir: Path) -> None:
    """Collect until a run gives nothing back. Raises RunFailed."""
    for _ in range(20):
        if not any(collect(data_dir)["outcome"].values()):
            return
    raise RunFailed("it goes on giving back")


def scrub(data_dir: Path) -> dict[str, Any]:
    """What a look at everything comes to. Raises RunFailed."""
    outcome: dict[str, Any] = run_task(data_dir, SCRUB)["outcome"]
    return outcome
