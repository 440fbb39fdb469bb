"""The two registries that are compared: ours as it comes, and Debian's docker-registry.

Both store on the same file system and listen on the loopback address. The package of the other
one is unpacked into the cache and not installed, so that its service never starts.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.pins import pins
from tests.processes import family
from tests.running import HOST, free_port, program

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / ".cache" / "bench"
PEER_CACHE = CACHE / "docker-registry"
START_SECS_MAX = 20.0
STOP_SECS_MAX = 30.0
POLL_SECS = 0.002
PACKAGE_SECS_MAX = 300
STARTS = 5
LIBRARIES = (
    "import trio, quart_trio, hypercorn.protocol, structlog, prometheus_client, sqlite3, ssl"
)
SETTLE_SECS = 1.0
LOG_CHARACTERS = 2000

OURS = "angos-trio"
THEIRS = "docker-registry"
SWEEP_WORKERS = max(2, len(os.sched_getaffinity(0)))


class BenchError(Exception):
    """The comparison cannot be made; the message says why."""


@dataclass(frozen=True)
class Memory:
    """What a process and its children hold, in bytes."""

    resident: int
    proportional: int


@dataclass(frozen=True)
class Serving:
    """How a registry is served, beyond the default. Ours: further configuration files, where one
    with TLS says that it is ready, and what the load client is told. Theirs: the registry that it
    stands before."""

    configurations: Sequence[str] = ()
    probe: str | None = None
    client: Sequence[str] = ()
    upstream: str | None = None


PLAIN = Serving()


@dataclass(frozen=True)
class Side:
    """A running registry; `client` is what the load client is told besides its address."""

    name: str
    address: str
    process: subprocess.Popen[bytes]
    start_secs: float
    start_cpu_secs: float
    log_file: Path
    client: Sequence[str] = ()

    @property
    def last_words(self) -> str:
        """The end of its log."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")[-LOG_CHARACTERS:]

    def memory(self) -> Memory:
        """What it holds now."""
        totals = {"Rss": 0, "Pss": 0}
        for pid in family(self.process.pid):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            for key in totals:
                found = re.search(rf"^{key}: +(\d+) kB$", text, re.MULTILINE)
                totals[key] += int(found[1]) * 1024 if found else 0
        return Memory(totals["Rss"], totals["Pss"])


def peer_program() -> Path:
    """The other registry, unpacked from its Debian package where it is not installed."""
    package = str(pins("bench")["peer_package"])
    if installed := shutil.which(package):
        return Path(installed)
    unpacked = PEER_CACHE / "usr" / "bin" / package
    if unpacked.exists():
        return unpacked
    if shutil.which("apt-get") is None:
        raise BenchError(f"there is no {package} here, and no apt-get to bring it")
    PEER_CACHE.mkdir(parents=True, exist_ok=True)
    if _run(["apt-get", "download", package], PEER_CACHE).returncode != 0:
        _run(["apt-get", "update"], PEER_CACHE)
        done = _run(["apt-get", "download", package], PEER_CACHE)
        if done.returncode != 0:
            raise BenchError(f"apt-get cannot bring {package}:\n{done.stderr}")
    for archive in PEER_CACHE.glob(f"{package}_*.deb"):
        _run(["dpkg-deb", "-x", str(archive), str(PEER_CACHE)], PEER_CACHE)
    if not unpacked.exists():
        raise BenchError(f"the package {package} holds no program of that name")
    return unpacked


def _run(command: Sequence[str], directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PACKAGE_SECS_MAX,
        check=False,
    )


def versions() -> tuple[str, str]:
    """Ours and theirs, as each says it."""
    ours = _run([*program(), "--version"], REPOSITORY).stdout.strip().split()[-1]
    said = _run([str(peer_program()), "--version"], REPOSITORY).stdout
    found = re.search(r"\d+\.\d+\.\d+\S*", said)
    return ours, found[0] if found else said.strip()


@contextmanager
def both(root: Path) -> Iterator[tuple[Side, Side]]:
    """Ours and theirs on empty data below `root`, which is removed afterwards.

    Each takes as many cores as there are: ours has a worker for each, by default.
    """
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    try:
        with ExitStack() as stack:
            ours = stack.enter_context(start(OURS, root / "ours", workers=None))
            theirs = stack.enter_context(start(THEIRS, root / "theirs"))
            yield ours, theirs
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def sweep(root: Path) -> Iterator[tuple[Side, Side]]:
    """Ours with a worker for each core, and ours in one process, on empty data below `root`."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    try:
        with ExitStack() as stack:
            many = stack.enter_context(start(OURS, root / "many", workers=SWEEP_WORKERS))
            one = stack.enter_context(start(OURS, root / "one"))
            yield many, one
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def start(
    name: str, root: Path, workers: int | None = 1, serving: Serving = PLAIN
) -> Iterator[Side]:
    """One registry that stores below `root`, stopped at the end; a crash on the way is an error.

    `workers` concern ours; None is what a configuration that says nothing comes to.
    """
    root.mkdir(parents=True, exist_ok=True)
    address = f"{HOST}:{free_port()}"
    if name == OURS:
        data = str(root / "data")
        config = root / "config.toml"
        config.write_text("" if workers is None else f"[server]\nworkers = {workers}\n")
        files = [word for file in (str(config), *serving.configurations) for word in ("-c", file)]
        command = [*program(), "serve", *files, "--listen", address, "--data-dir", data]
    else:
        command = [str(peer_program()), "serve", str(_peer_config(root, address, serving.upstream))]
    log_file = root / "log"
    with log_file.open("ab") as log:
        begun = time.monotonic()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(),
        )
    try:
        path = "/readyz" if name == OURS else "/v2/"
        _wait_until_ready(process, serving.probe or address, path, log_file)
        took, processor_secs = time.monotonic() - begun, _processor_secs(process.pid)
        yield Side(name, address, process, took, processor_secs, log_file, serving.client)
        if process.poll() is not None:
            raise BenchError(f"{name} ended with {process.returncode}:\n{log_file.read_text()}")
    finally:
        _stop(process)


def _environment() -> Mapping[str, str]:
    """Ours, less what would configure the other registry; traces off where it knows them."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("REGISTRY_")}
    return {**kept, "OTEL_TRACES_EXPORTER": "none"}


def _peer_config(root: Path, address: str, upstream: str | None) -> Path:
    """Debian's configuration as to cache and delete; no access log, errors only. JSON is YAML."""
    config = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            "cache": {"blobdescriptor": "inmemory"},
            "delete": {"enabled": True},
            "filesystem": {"rootdirectory": str(root / "data")},
        },
        "http": {"addr": address},
        **({} if upstream is None else {"proxy": {"remoteurl": upstream}}),
    }
    path = root / "config.yml"
    path.write_text(json.dumps(config))
    return path


def _wait_until_ready(
    process: subprocess.Popen[bytes], address: str, path: str, log_file: Path
) -> None:
    deadline = time.monotonic() + START_SECS_MAX
    while not _answers(address, path):
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"{process.args!r} did not start:\n{log_file.read_text()}")
        time.sleep(POLL_SECS)


def _answers(address: str, path: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _processor_secs(pid: int) -> float:
    """User and system time of a process so far (proc(5): fields 14 and 15, in ticks)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclass(frozen=True)
class Start:
    """How a registry comes up: medians in seconds, and what it holds while nobody asks."""

    empty_secs: float
    again_secs: float
    processor_secs: float
    idle: Memory
    libraries_secs: float
    """What this machine takes to import the libraries that the registry is made on, and no more."""


def measure_start(name: str, root: Path) -> Start:
    """Start on an empty directory and once more on the same, some times over."""
    empty, again, processor, libraries, idle = [], [], [], [], Memory(0, 0)
    for _ in range(STARTS):
        shutil.rmtree(root, ignore_errors=True)
        libraries.append(_import_secs())
        with start(name, root) as side:
            empty.append(side.start_secs)
        with start(name, root) as side:
            again.append(side.start_secs)
            processor.append(side.start_cpu_secs)
            time.sleep(SETTLE_SECS)
            idle = max(idle, side.memory(), key=lambda memory: memory.resident)
    shutil.rmtree(root, ignore_errors=True)
    median = statistics.median
    return Start(median(empty), median(again), median(processor), idle, median(libraries))


def _import_secs() -> float:
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", LIBRARIES], check=True, timeout=START_SECS_MAX)
    return time.monotonic() - begun


def measure_idle_family(root: Path) -> Memory:
    """What several workers hold while nobody asks."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    try:
        with start(OURS, root, workers=SWEEP_WORKERS) as side:
            time.sleep(SETTLE_SECS)
            return side.memory()
    finally:
        shutil.rmtree(root, ignore_errors=True)
