"""The directory of an authority, looked at: each thing that can be wrong is found and named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from angos_trio.errors import OperatorError
from angos_trio.pki.authority import PkiDirectory
from angos_trio.pki.inspecting import inspect
from angos_trio.pki.revoking import revoke
from tests.pki.authorities import DAY_SECS, NOW, admit, files_below, found, serve


def said(directory: PkiDirectory, now: int = NOW) -> list[str]:
    """What is found, without the directory's name."""
    lines = [f"{path}: {finding}" for path, finding in inspect(directory, now)]
    return [line.replace(f"{directory.root}/", "") for line in lines]


def made(folder: Path) -> PkiDirectory:
    directory = found(folder)
    serve(directory)
    admit(directory, "alice")
    return directory


def swap(one: Path, other: Path) -> None:
    one.write_bytes(other.read_bytes())


def forget_revoked(directory: PkiDirectory) -> None:
    before = directory.crl.read_bytes()
    revoke(directory, "alice", "unspecified", NOW)
    directory.crl.write_bytes(before)


def leave_next(directory: PkiDirectory) -> None:
    directory.server.with_name("server.crt.next").write_bytes(b"")


def open_to_all(name: str) -> Callable[[PkiDirectory], None]:
    def work(directory: PkiDirectory) -> None:
        path = directory.root / name
        path.chmod(path.stat().st_mode | 0o022)

    return work


# What is done to a good directory, and what is said of it then.
WRONG: dict[str, tuple[Callable[[PkiDirectory], object], str]] = {
    "private is open": (
        lambda it: it.private.chmod(0o755),
        "private: wrong: others than its owner may open it (755): chmod 700",
    ),
    "key is open": (
        lambda it: it.issuing_key.chmod(0o644),
        "private/issuing.key: wrong: others than its owner may open it (644): chmod 600",
    ),
    "journal is open": (lambda it: it.journal.chmod(0o640), "issued.jsonl: wrong: others than"),
    "trust may be changed": (
        lambda it: it.clients_ca.chmod(0o666),
        "clients-ca.crt: wrong: others may change it: chmod go-w",
    ),
    **{
        f"{name} may be changed": (
            open_to_all(name),
            f"{name}: wrong: others may change it: chmod go-w",
        )
        for name in ("issuing.crt", "server.crt", "clients", "clients/alice.crt")
    },
    "key of another": (
        lambda it: swap(it.server_key, it.root_key),
        "private/server.key: wrong: it is not the key of ",
    ),
    "client's key of another": (
        lambda it: swap(it.client_key("alice"), it.root_key),
        "private/clients/alice.key: wrong: it is not the key of ",
    ),
    "key is gone": (
        lambda it: it.issuing_key.unlink(),
        "private/issuing.key: wrong: the key of ",
    ),
    "key is damaged": (
        lambda it: it.server_key.write_bytes(b"x"),
        "private/server.key: wrong: no private key in PEM",
    ),
    "root is gone": (lambda it: it.ca.unlink(), "ca.crt: wrong: it is not there: bring it back"),
    "server is damaged": (
        lambda it: it.server.write_bytes(b"x"),
        "server.crt: wrong: it is damaged",
    ),
    "bundle lacks ours": (
        lambda it: swap(it.clients_ca, it.ca),
        "clients-ca.crt: wrong: it lacks an authority of ours",
    ),
    "list is gone": (lambda it: it.crl.unlink(), "clients.crl: wrong: it is missing or damaged"),
    "list lacks one": (forget_revoked, "clients.crl: wrong: it lacks what is revoked ("),
    "journal is damaged": (
        lambda it: it.journal.write_bytes(b"x\n" + it.journal.read_bytes()),
        "issued.jsonl: wrong: line 1 is damaged",
    ),
    "journal is torn": (
        lambda it: it.journal.write_bytes(it.journal.read_bytes() + b"x"),
        "issued.jsonl: note: its last line is cut off",
    ),
    "command was cut off": (leave_next, "server.crt.next: note: a command was cut off"),
    "key of a client is gone": (
        lambda it: it.client_key("alice").unlink(),
        "private/clients/alice.key: note: it is not there: angos-trio pki renew alice --pki /",
    ),
    "keys of clients are gone": (
        lambda it: shutil.rmtree(it.client_key("").parent),
        "private/clients: note: it is not there: the next pki command",
    ),
    "clients are gone": (
        lambda it: shutil.rmtree(it.client("").parent),
        "clients: note: it is not there: the next pki command",
    ),
    "private is gone": (
        lambda it: shutil.rmtree(it.private),
        "private: wrong: it is not there: bring it back from a backup",
    ),
    "key of nobody": (
        lambda it: swap(it.client_key("bob"), it.root_key),
        "private/clients/bob.key: note: there is no ",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_found_and_nothing_is_changed(name: str, tmp_path: Path) -> None:
    directory = made(tmp_path)
    work, part = WRONG[name]
    work(directory)
    for path in directory.private.rglob("bob.key"):
        path.chmod(0o600)
    before = files_below(directory.root)
    lines = said(directory)

    assert [line for line in lines if line.startswith(part)], lines
    assert len(lines) <= (5 if name in ("root is gone", "private is gone") else 2), lines
    assert files_below(directory.root) == before


def test_good_directory_has_nothing_to_say(tmp_path: Path) -> None:
    assert said(made(tmp_path)) == []


@pytest.mark.parametrize(
    ("days", "part"),
    [
        (22, "clients.crl: note: the next list is due "),
        (31, 'clients.crl: OpenSSL, Go, and this registry with crl_stale = "deny", will refuse'),
        (70, "clients/alice.crt: note: it is due, and ends "),
        (91, "clients/alice.crt: note: it ended at "),
        (300, "server.crt: note: it is due, and ends "),
        (1700, "the issuing authority ends at "),
        (1900, "issuing.crt: everybody will refuse it: it expired at "),
        (-9, "ca.crt: everybody will refuse it: it is not valid before "),
    ],
)
def test_time_that_passes_is_told_of(tmp_path: Path, days: int, part: str) -> None:
    lines = said(made(tmp_path), NOW + days * DAY_SECS)
    assert [line for line in lines if part in line], lines


def test_clock_of_1970_is_told_of(tmp_path: Path) -> None:
    lines = said(made(tmp_path), 7)
    assert any("the clock of this host says 1970-01-01T00:00:07Z" in line for line in lines)


def test_directory_without_an_authority_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"there is no authority here: make one with"):
        inspect(PkiDirectory(tmp_path), NOW)
