"""Several processes are one registry that pulls through."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.api.client import Client
from tests.factories import make_blob
from tests.mirror.chaos import ChaosProxy, chaos_before
from tests.running import RunningRegistry, running_registry

pytestmark = pytest.mark.slow
MIB = 1 << 20
WORKERS, CLIENTS = 3, 24
LAYER = make_blob(bytes(range(256)) * (24 * MIB // 256))
PATH = f"/v2/hub/app/blobs/{LAYER.digest}"


@contextmanager
def registries(root: Path, **keys: object) -> Iterator[tuple[RunningRegistry, ChaosProxy]]:
    """A registry of several workers that is pulled through, by way of a proxy that counts."""
    with running_registry(root / "far") as far, Client(far.base_url) as pusher:
        pusher.push_blob("app", LAYER)
        with chaos_before(int(far.address.rpartition(":")[2])) as proxy:
            lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
            upstream = f'url = "http://127.0.0.1:{proxy.port}"'
            config = root / "near.toml"
            config.write_text(
                f"[server]\nworkers = {WORKERS}\n[observability]\nworker_header = true\n"
                f"[[repository.hub.upstream]]\n{upstream}\n" + "\n".join(lines) + "\n"
            )
            with running_registry(root / "near", arguments=["-c", str(config)]) as near:
                yield near, proxy


def get(registry: RunningRegistry) -> tuple[str, str]:
    """Which worker answered, and the digest of what came."""
    answer = httpx.get(registry.base_url + PATH, timeout=60).raise_for_status()
    digest = hashlib.sha256(answer.content).hexdigest()
    return answer.headers["X-Angos-Worker"], f"sha256:{digest}"


def test_many_clients_of_several_processes_make_one_transfer(tmp_path: Path) -> None:
    with registries(tmp_path, bandwidth_limit="12MiB") as (near, proxy):
        got: list[tuple[str, str]] = []
        threads = [threading.Thread(target=lambda: got.append(get(near))) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [digest for _, digest in got] == [LAYER.digest] * CLIENTS
        assert len({worker for worker, _ in got}) > 1
        assert [line for line in proxy.asked if line.startswith("GET")] == [
            f"GET /v2/app/blobs/{LAYER.digest}"
        ]


def test_fill_of_a_process_that_is_killed_is_begun_again_by_another(tmp_path: Path) -> None:
    with registries(tmp_path, bandwidth_limit="6MiB") as (near, proxy):
        connection = http.client.HTTPConnection(near.address, timeout=30)
        connection.request("GET", PATH)
        answer = connection.getresponse()
        assert answer.read(MIB)
        worker = str(answer.headers["X-Angos-Worker"])
        os.kill(pid_of(near, worker), signal.SIGKILL)
        with pytest.raises((http.client.HTTPException, OSError)):
            answer.read()
        connection.close()

        assert got_in_time(near) == LAYER.digest
        assert len(proxy.asked) == 2


def got_in_time(near: RunningRegistry) -> str:
    """As a client does that tries again."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return get(near)[1]
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise


def pid_of(registry: RunningRegistry, worker: str) -> int:
    """The process of a worker, by what the log says of its start."""
    for line in registry.log.splitlines():
        if '"process.started"' in line:
            told = json.loads(line)
            if told["process"] == worker:
                return int(told["pid"])
    raise LookupError(worker)
