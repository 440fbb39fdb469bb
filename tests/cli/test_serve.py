"""`angos-trio serve` as a process of its own."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import httpx
import pytest

from angos_trio.storage.directory import DataDirectory
from tests.cli.commands import write_config
from tests.processes import family
from tests.running import HOST, free_port, program, running_registry, start_registry

pytestmark = pytest.mark.slow
SECS_MAX = 60.0


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        [*program(), *arguments], capture_output=True, text=True, timeout=SECS_MAX, check=False
    )


def expect_refusal(ended: subprocess.CompletedProcess[str], *parts: str) -> None:
    """One line for the operator, exit code 1, no traceback."""
    assert ended.returncode == 1
    assert ended.stdout == ""
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("angos-trio: ")
    for part in parts:
        assert part in lines[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_with_0_and_nothing_left_open(tmp_path: Path, number: int) -> None:
    registry = start_registry(tmp_path / "data", tmp_path / "log")
    registry.process.send_signal(number)

    assert registry.process.wait(SECS_MAX) == 0
    lines = [json.loads(line) for line in registry.log.splitlines()]
    assert [line["event"] for line in lines] == ["started", "stopped"]
    assert not (tmp_path / "data" / "metadata.db-wal").exists()


def test_process_is_listed_as_what_it_is_however_it_was_started(tmp_path: Path) -> None:
    """`python` has a port, or a data directory: that tells nobody which program it is."""
    options = ["--listen", f"{HOST}:0", "--data-dir", str(tmp_path / "data")]
    command = [sys.executable, "-m", "angos_trio", "serve", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert "started" in process.stderr.readline()
            name = Path(f"/proc/{process.pid}/comm").read_text(encoding="ascii")
        finally:
            process.terminate()
    assert name == "angos-trio\n"


def test_module_is_the_command() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "angos_trio", "--version"],
        capture_output=True,
        text=True,
        timeout=SECS_MAX,
        check=True,
    )

    assert ended.stdout.startswith("angos-trio ")


def test_configuration_is_served(tmp_path: Path) -> None:
    file = tmp_path / "registry.toml"
    file.write_text("[global]\nmax_manifest_size = 10\nmax_concurrent_requests = 4\n")
    registry = start_registry(tmp_path / "data", tmp_path / "log", arguments=["-c", str(file)])
    try:
        answer = httpx.put(f"{registry.base_url}/v2/a/manifests/v1", content=b"x" * 11)
        ready = httpx.get(f"{registry.base_url}/readyz")
    finally:
        assert registry.stop() == 0

    assert answer.status_code == 413
    assert ready.status_code == 200
    remarks = [json.loads(line) for line in registry.log.splitlines() if "remark" in line]
    assert len(remarks) == 1
    assert "max_concurrent_requests" in remarks[0]["remark"]


def test_data_directory_is_nobody_elses_to_read(tmp_path: Path) -> None:
    registry = start_registry(tmp_path / "data", tmp_path / "log")
    registry.stop()

    for path in [tmp_path / "data", *(tmp_path / "data").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & stat.S_IRWXO == 0, path


def test_content_is_there_after_a_restart(tmp_path: Path) -> None:
    first = start_registry(tmp_path / "data", tmp_path / "log")
    digest = "sha256:b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
    pushed = httpx.post(
        f"{first.base_url}/v2/a/blobs/uploads/",
        params={"digest": digest},
        content=b"hello world",
    )
    location = httpx.post(f"{first.base_url}/v2/a/blobs/uploads/").headers["Location"]
    httpx.patch(f"{first.base_url}{location}", content=b"hello")
    assert first.stop() == 0
    second = start_registry(tmp_path / "data", tmp_path / "log")
    try:
        read = httpx.get(f"{second.base_url}/v2/a/blobs/{digest}")
        resumed = httpx.get(f"{second.base_url}{location}")
    finally:
        second.stop()

    assert pushed.status_code == 201
    assert read.content == b"hello world"
    assert resumed.headers["Range"] == "0-4"


def test_second_instance_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    registry = start_registry(data, tmp_path / "log")
    try:
        ended = run("serve", "--listen", f"{HOST}:0", "--data-dir", str(data))
    finally:
        registry.stop()

    expect_refusal(ended, str(data), "another angos-trio")


def test_taken_port_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run("serve", "--listen", f"{HOST}:{port}", "--data-dir", str(tmp_path / "data"))

    expect_refusal(ended, f"{HOST} port {port}", "in use")


@pytest.mark.parametrize("what", ["a file", "below a file", "a later format", "no database"])
def test_data_directory_that_cannot_be_used_is_refused(tmp_path: Path, what: str) -> None:
    data = tmp_path / "data"
    if what in ("a file", "below a file"):
        data.write_text("")
        data = data / "below" if what == "below a file" else data
    else:
        data.mkdir()
    if what == "a later format":
        (data / "format.json").write_text('{"format": 99, "instance": "x"}')
    elif what == "no database":
        (data / "metadata.db").write_text("this is no database, whatever its name is" * 100)

    expect_refusal(run("serve", "--listen", f"{HOST}:0", "--data-dir", str(data)), str(data))


def test_unreachable_address_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "registry.toml"
    file.write_text('[global.access_policy]\ndefault = "allow"\n')

    ended = run(
        "serve", "-c", str(file), "--listen", "192.0.2.1:0", "--data-dir", str(tmp_path / "data")
    )

    expect_refusal(ended, "192.0.2.1")


def test_wrong_configuration_is_refused_by_both_commands(tmp_path: Path) -> None:
    file = tmp_path / "registry.toml"
    file.write_text("[server]\nprot = 1\n")
    for command in ("serve", "check"):
        expect_refusal(run("-c", str(file), command), "server.prot", "port")


def test_second_signal_ends_what_is_left(tmp_path: Path) -> None:
    registry = start_registry(tmp_path / "data", tmp_path / "log")
    location = httpx.post(f"{registry.base_url}/v2/a/blobs/uploads/").headers["Location"]
    host, _, port = registry.address.partition(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(
            f"PATCH {location} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc".encode()
        )
        registry.process.send_signal(signal.SIGTERM)
        while accepts(host, int(port)):
            continue
        registry.process.send_signal(signal.SIGTERM)
        assert registry.process.wait(SECS_MAX) == 0


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_signal_at_any_moment_of_the_start_stops_it(tmp_path: Path, kind: signal.Signals) -> None:
    """What comes while the program is being loaded ends it at once; later it is a clean stop."""
    codes = []
    for tenths in range(10):
        log = tmp_path / f"log{tenths}"
        options = ["--listen", f"{HOST}:{free_port()}", "--data-dir", str(tmp_path / str(tenths))]
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*program(), "serve", *options], stderr=stream, preexec_fn=heed_interrupts
            )
        try:
            time.sleep(tenths / 10)
            while tenths == 9 and process.poll() is None and '"started"' not in log.read_text():
                time.sleep(0.01)  # however slow the machine is
            process.send_signal(kind)
            codes.append(process.wait(SECS_MAX))
        finally:
            process.kill()
            process.wait()
        lines = log.read_text().splitlines()
        if codes[-1] == 0:
            assert json.loads(lines[-1])["event"] == "stopped"
    assert set(codes) <= {0, -kind, 130}
    assert codes[-1] == 0


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_signal_during_a_long_start_ends_it_at_once(tmp_path: Path, kind: signal.Signals) -> None:
    """The start waits for the lock of an instance that goes, and would then be refused."""
    with starting_for_long(tmp_path, workers=1) as (process, _):
        process.send_signal(kind)

        assert process.wait(SECS_MAX) == -kind


@pytest.mark.parametrize("workers", [1, 2])
def test_hangup_during_a_start_is_a_reload_after_it(tmp_path: Path, workers: int) -> None:
    with starting_for_long(tmp_path, workers) as (process, lock):
        process.send_signal(signal.SIGHUP)
        lock.close()
        deadline = time.monotonic() + SECS_MAX
        while "reload.done" not in (tmp_path / "log").read_text():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)


@contextmanager
def starting_for_long(
    folder: Path, workers: int
) -> Iterator[tuple[subprocess.Popen[bytes], BinaryIO]]:
    """A start that waits, some seconds at most, for a lock that we hold."""
    config, data = write_config(folder, workers=workers), DataDirectory(folder / "data")
    data.root.mkdir(mode=0o750)
    options = ["-c", str(config), "--listen", f"{HOST}:{free_port()}", "--data-dir", str(data.root)]
    with data.instance_lock.open("wb") as lock, (folder / "log").open("wb") as log:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(
            [*program(), "serve", *options], stderr=log, preexec_fn=heed_interrupts
        )
        try:
            while data.instance_lock not in open_files(process.pid):
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.01)
            yield process, lock
        finally:
            process.kill()
            process.wait()


def open_files(pid: int) -> list[Path]:
    found = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.append(each.readlink())
    return found


def heed_interrupts() -> None:
    """A shell lets what it runs in the background ignore them, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("workers", [1, 2])
def test_log_on_a_full_disk_ends_nothing(tmp_path: Path, workers: int) -> None:
    config, port = write_config(tmp_path, workers=workers), free_port()
    options = ["-c", str(config), "--listen", f"{HOST}:{port}", "--data-dir", str(tmp_path)]
    with open("/dev/full", "wb") as full:
        process = subprocess.Popen([*program(), "serve", *options], stderr=full)
    try:
        wait_until_ready(process, port)
        for pid in family(process.pid)[1:2]:
            os.kill(pid, signal.SIGKILL)  # of which the supervisor tells before it forks anew
        process.send_signal(signal.SIGHUP)
        time.sleep(1)
        wait_until_ready(process, port)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECS_MAX) == 0
    finally:
        process.kill()
        process.wait()


def wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + SECS_MAX
    while True:
        with suppress(httpx.TransportError):
            if httpx.get(f"http://{HOST}:{port}/readyz").status_code == 200:
                return
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_running_out_of_descriptors_ends_nothing() -> None:
    with running_registry() as registry:
        host, _, port = registry.address.partition(":")
        held = [socket.create_connection((host, int(port))) for _ in range(2)]
        resource.prlimit(registry.process.pid, resource.RLIMIT_NOFILE, (40, 40))
        try:
            held += [socket.create_connection((host, int(port))) for _ in range(60)]
            time.sleep(0.5)
            held[0].settimeout(SECS_MAX)
            held[0].sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert held[0].recv(1000).startswith(b"HTTP/1.1 200 ")
        finally:
            for client in held:
                client.close()
        assert httpx.get(f"{registry.base_url}/health", timeout=SECS_MAX).status_code == 200
        assert registry.stop() == 0
        lines = [json.loads(line) for line in registry.log.splitlines()]

    assert len(lines) < 50, "a full table of descriptors is no reason to fill the disk with logs"
