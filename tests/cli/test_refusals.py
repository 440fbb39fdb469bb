"""A start that cannot be: a sentence that names the cause and the cure, a code, nothing half done.

Each sentence is in docs/troubleshooting.md, by its beginning.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import FOR_CLIENTS, Authority, Issued
from tests.cli.commands import ended, write_config
from tests.crash.disks import Disk, NoMount, tmpfs
from tests.docs.pages import REPOSITORY
from tests.running import HOST, free_port, program, running_registry
from tests.skips import leave_out
from tests.users import SOMEBODY_ELSE, give_to_another, without_rights

pytestmark = pytest.mark.slow
SECS_MAX = 60.0


def refusal(*words: str, code: int = 1, **options: Any) -> str:
    """What a command says that must be refused: one sentence for the operator."""
    done = ended(*words, **options)
    assert (done.returncode, done.stdout) == (code, ""), done
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert line.startswith("angos-trio: ")
    return str(line.removeprefix("angos-trio: "))


def serve(config: Path, data: Path, *words: str, **options: Any) -> str:
    listen = () if "--listen" in words else ("--listen", f"{HOST}:0")
    return refusal("serve", "-c", str(config), *listen, "--data-dir", str(data), *words, **options)


def is_documented(sentence: str) -> bool:
    """Whether the words after the cause stand on the page, in a row."""
    page = (REPOSITORY / "docs/troubleshooting.md").read_text(encoding="utf-8")
    return sentence in re.sub(r"\s+", " ", page)


@pytest.fixture(params=[1, 2], ids=["one process", "several"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_config(tmp_path, workers=request.param)


def test_second_service_is_told_who_has_the_directory(config: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_registry(data, arguments=["-c", str(config)]) as registry:
        told = serve(config, data)
        assert registry.process.poll() is None
    assert re.fullmatch(
        rf"{data}: another angos-trio serves this directory: \S+ \(process \d+.*\); stop that one, "
        "or give this one a data directory of its own",
        told,
    )
    assert is_documented("another angos-trio serves this directory")


def test_taken_port_is_told_with_who_has_it(config: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = serve(config, tmp_path / "data", "--listen", f"{HOST}:{port}")
        unseen = serve(config, tmp_path / "other", "--listen", f"{HOST}:{port}", **without_rights())
    assert told.startswith(f"cannot listen on {HOST} port {port}: Address already in use, by ")
    assert f"(process {os.getpid()}" in told
    assert told.endswith("; stop that, or set another server.port")
    assert "Address already in use, by " in unseen
    assert is_documented("Address already in use")


def test_low_port_is_not_for_everybody(config: Path, tmp_path: Path) -> None:
    options = without_rights()
    least = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if least <= 80:
        leave_out("every user may listen on any port here")
    told = serve(config, tmp_path / "data", "--listen", f"{HOST}:80", **options)
    assert told == (
        f"cannot listen on {HOST} port 80: Permission denied; a low port is root's: let systemd "
        "hand it over (angos-trio.socket), or set server.port to 1024 or above"
    )
    assert is_documented("a low port is root's")


RESTORE = "; restore a backup, or a copy out of copies/ (docs/backup.md)"


def test_damaged_database_is_told_of_and_left_as_it_is(config: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_registry(data, arguments=["-c", str(config)]):
        pass
    database = data / "metadata.db"
    for content, cause in (
        (database.read_bytes()[:4096] + os.urandom(4096 * 40), "database disk image is malformed"),
        (os.urandom(4096), "file is not a database"),
    ):
        database.write_bytes(content)
        assert serve(config, data) == f"{database}: {cause}{RESTORE}"
        assert database.read_bytes() == content
        assert is_documented(cause.removeprefix("database disk image is "))


OWN_IT = "Permission denied; chown or chmod it for the user who runs this, or run this as its owner"


def test_directory_of_another_user_is_told_of(config: Path, tmp_path: Path) -> None:
    options = without_rights()
    closed = tmp_path / "closed"
    closed.mkdir()
    give_to_another(closed, 0o755)
    assert serve(config, closed / "data", **options) == (
        f"{closed}/data: cannot be made: Permission denied; make it as root, and chown it to the "
        "user who runs this"
    )
    assert list(closed.iterdir()) == []
    assert serve(config, closed, **options) == (
        f"{closed}: belongs to the user with the number {SOMEBODY_ELSE}, who could not use what "
        "root writes there; run this command as that user, or give the directory to root"
    )
    assert list(closed.iterdir()) == []
    assert is_documented("cannot be made: Permission denied")
    assert is_documented("who could not use what root writes there")


def test_closed_directory_is_told_of_and_left_alone(config: Path, tmp_path: Path) -> None:
    options = without_rights()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    assert serve(config, closed, **options) == f"{closed}/instance.lock: {OWN_IT}"
    assert list(closed.iterdir()) == []
    assert is_documented(OWN_IT)


def test_files_that_root_left_behind_are_named(config: Path, tmp_path: Path) -> None:
    options, data = without_rights(), tmp_path / "data"
    with running_registry(data, arguments=["-c", str(config)]):
        pass
    give_to_another(data / "metadata.db", 0o600)
    assert str(data / "metadata.db") in serve(config, data, **options)
    os.chown(data / "metadata.db", 0, 0)
    with running_registry(data, arguments=["-c", str(config)]):
        pass


def test_closed_configuration_is_told_of(config: Path, tmp_path: Path) -> None:
    options = without_rights()
    give_to_another(config, 0o600)
    assert serve(config, tmp_path / "data", **options) == f"{config}: {OWN_IT}"
    config.unlink()
    told = serve(config, tmp_path / "data")
    assert told == f"{config}: No such file or directory; correct the name, or make it"
    assert not (tmp_path / "data").exists()
    assert is_documented("No such file or directory; correct the name, or make it")


def with_tls(config: Path, certificate: Path, key: Path) -> None:
    config.write_text(
        f"{config.read_text()}[server.tls]\n"
        f'server_certificate_bundle = "{certificate}"\nserver_private_key = "{key}"\n'
    )


def closed_key(folder: Path) -> Issued:
    issued = Authority().server()
    issued.write(folder, "server")
    give_to_another(folder / "server.key", 0o600)
    return issued


def foreign_key(folder: Path) -> Issued:
    issued = Authority().server()
    issued.write(folder, "server")
    (folder / "server.key").write_bytes(Authority().server().key_pem)
    return issued


def no_certificate(folder: Path) -> Issued:
    issued = Authority().server()
    issued.write(folder, "server")
    (folder / "server.pem").write_text("this is no certificate")
    return issued


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (closed_key, f"server.tls.server_private_key: {{folder}}/server.key: {OWN_IT}"),
        (
            foreign_key,
            "server.tls.server_private_key: {folder}/server.key: it is not the key of the first "
            "certificate in {folder}/server.pem; put two there that belong together",
        ),
        (
            no_certificate,
            "server.tls.server_certificate_bundle: {folder}/server.pem: no certificates in PEM: ",
        ),
    ],
)
def test_certificate_that_cannot_be_used_ends_the_start_and_leaves_nothing(
    config: Path, tmp_path: Path, make: Callable[[Path], Issued], words: str
) -> None:
    options = without_rights()
    make(tmp_path)
    with_tls(config, tmp_path / "server.pem", tmp_path / "server.key")
    told = serve(config, tmp_path / "data", **options)
    assert told.startswith(words.format(folder=tmp_path))
    assert not (tmp_path / "data").exists()
    assert is_documented("it is not the key of the first certificate")
    assert is_documented("no certificates in PEM")


@pytest.mark.parametrize(
    ("leaf", "words"),
    [
        ({"ends_secs": -60}, "UTC: renew it, or set the clock of this host if that is wrong"),
        ({"begins_secs": 3600}, "UTC only: is the clock of this host right?"),
        ({"purposes": (FOR_CLIENTS,)}, "is not made for a server: no client takes it"),
    ],
)
def test_certificate_that_clients_refuse_is_served_and_told_of(
    config: Path, tmp_path: Path, leaf: dict[str, Any], words: str
) -> None:
    with_tls(config, *Authority().server(**leaf).write(tmp_path, "server"))
    port = free_port()
    config.write_text(f"{config.read_text()}[server.health]\nport = {port}\n")
    options, probe = ["-c", str(config)], f"{HOST}:{port}"
    with running_registry(tmp_path / "data", arguments=options, probe=probe) as registry:
        assert words in registry.log
        assert '"event": "certificates.remark"' in registry.log
    told = subprocess.run(
        [*program(), "check", "-c", str(config)], capture_output=True, text=True, check=True
    )
    assert words in told.stdout


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small file system of the test's own."""
    try:
        with tmpfs(tmp_path / "disk", 8 * 1024 * 1024) as mounted:
            yield mounted
    except NoMount as why:
        leave_out(str(why))


def test_full_disk_at_the_first_start_is_told_of_and_room_mends_it(
    config: Path, disk: Disk
) -> None:
    data = disk.path / "data"
    disk.fill()
    told = serve(config, data)
    assert told.endswith("; free space there, or use another disk"), told
    assert is_documented("free space there, or use another disk")

    disk.make_room()
    with running_registry(data, arguments=["-c", str(config)]):
        pass


def test_directory_that_nobody_may_write_is_told_of_and_served_once_it_can_be(
    config: Path, disk: Disk
) -> None:
    data = disk.path / "data"
    with running_registry(data, arguments=["-c", str(config)]):
        pass
    before = sorted(data.rglob("*"))
    subprocess.run(["mount", "-o", "remount,ro", str(disk.path)], check=True)
    words = "Read-only file system; mount it writable; if the kernel made it so, dmesg says why"
    assert serve(config, data) == f"{data}/instance.lock: {words}"
    assert sorted(data.rglob("*")) == before
    assert is_documented(words)

    subprocess.run(["mount", "-o", "remount,rw", str(disk.path)], check=True)
    with running_registry(data, arguments=["-c", str(config)]):
        pass
