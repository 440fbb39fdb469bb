"""A certificate that cannot take its place leaves the pair before, and holds up no other name."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from angos_trio.errors import OperatorError
from angos_trio.pki.files import BEFORE, NEXT, words_of
from angos_trio.pki.keeping import PkiDirectory, read_journal
from angos_trio.pki.keys import fits
from angos_trio.pki.renewing import RootKey, renew, renew_all_due, renew_issuing
from angos_trio.pki.revoking import revoke
from tests.pki.authorities import DAY_SECS, NOW, admit, certificates, found, serve
from tests.pki.test_authority import key_of, request_file
from tests.pki.test_keeping import expect_order, in_child, killed_at


def refuse_place(path: Path) -> None:
    """From now on this process cannot put anything in this place, as if it were immutable."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "os.rename" and str(arguments[1]) == str(path):
            raise PermissionError(errno.EPERM, "not permitted", str(arguments[0]), 0, str(path))

    sys.addaudithook(hook)


def refused_place(path: Path, work: Callable[[], object]) -> tuple[int, str]:
    """Do something in a process that cannot put anything in this place."""

    def refused() -> None:
        refuse_place(path)
        work()

    return in_child(refused)


def made(folder: Path) -> PkiDirectory:
    directory = found(folder)
    serve(directory)
    admit(directory, "alice")
    admit(directory, "mallory")
    return directory


@pytest.mark.parametrize("name", ["server", "alice"])
def test_pair_before_stays_where_the_certificate_cannot_take_its_place(
    tmp_path: Path, name: str
) -> None:
    directory = made(tmp_path)
    path = directory.server if name == "server" else directory.client(name)
    key = directory.server_key if name == "server" else directory.client_key(name)
    before = path.read_bytes(), key.read_bytes()
    for _ in range(2):
        code, told = refused_place(path, lambda: renew(directory, name, NOW))
        assert code == 1
        assert told.startswith(f"{path}: ") or f"waits still: {path}: " in told
        assert (path.read_bytes(), key.read_bytes()) == before
    issued = admit(directory, "bob")

    assert any("what it wanted with" in remark for remark in issued.remarks)
    assert path.read_bytes() != before[0]
    assert len(read_journal(directory).of(name)) == 2
    expect_order(directory)


def test_key_before_comes_back_where_a_request_cannot_take_its_place(tmp_path: Path) -> None:
    directory = made(tmp_path)
    key = directory.client_key("alice")
    before, request = key.read_bytes(), request_file(tmp_path)
    code, _ = refused_place(
        directory.client("alice"), lambda: admit(directory, "alice", request=request)
    )
    assert (code, key.read_bytes()) == (1, before)
    admit(directory, "bob")
    assert not key.exists()
    expect_order(directory)


def test_what_cannot_take_its_place_stops_no_other(tmp_path: Path) -> None:
    directory = made(tmp_path)
    later = NOW + 300 * DAY_SECS
    refused_place(directory.server, lambda: renew(directory, "server", NOW))

    def others() -> None:
        done = revoke(directory, "mallory", "unspecified", NOW)
        assert any(f"waits still: {directory.server}: " in remark for remark in done.remarks)
        admit(directory, "bob")
        renew(directory, "alice", NOW)
        renew_issuing(directory, RootKey(), NOW)

    assert refused_place(directory.server, others) == (0, "")
    code, told = refused_place(directory.server, lambda: renew_all_due(directory, later))
    assert code == 1
    assert str(directory.server) in told
    assert read_journal(directory).latest()["server"].not_before < NOW
    assert not renew_all_due(directory, NOW).due.is_any
    expect_order(directory)


@pytest.mark.parametrize("name", ["alice.crt", "alice.crt.next", "zoe.crt", "zoe.key.next"])
def test_directory_in_the_place_of_a_client_stops_no_other(tmp_path: Path, name: str) -> None:
    directory = made(tmp_path)
    folder = directory.client("").parent
    if name.endswith("key.next"):
        folder = directory.client_key("").parent
    (folder / name).unlink(missing_ok=True)
    (folder / name / "x").mkdir(parents=True)
    whose = name.partition(".")[0]
    with pytest.raises(OperatorError, match=f"{name}: this is a directory, and a file belongs"):
        admit(directory, whose)
    revoke(directory, "mallory", "unspecified", NOW)
    serve(directory)
    shutil.rmtree(folder / name)
    admit(directory, whose)
    expect_order(directory)


@pytest.mark.parametrize("name", ["server.crt", "clients-ca.crt"])
def test_directory_in_the_place_of_what_follows_stops_nobody(tmp_path: Path, name: str) -> None:
    directory = made(tmp_path)
    (directory.root / name).unlink()
    (directory.root / name).mkdir()
    done = revoke(directory, "mallory", "unspecified", NOW)
    assert any(f"{name}: this is a directory" in remark for remark in done.remarks)


WORKS: dict[str, Callable[[PkiDirectory, Path], object]] = {
    "server": lambda directory, request: renew(directory, "server", NOW),
    "request": lambda directory, request: admit(directory, "alice", request=request),
}


@pytest.mark.slow
@pytest.mark.parametrize("is_again", [False, True])
@pytest.mark.parametrize("work", WORKS)
def test_kill_while_the_pair_before_comes_back_is_mended(
    tmp_path: Path, work: str, is_again: bool
) -> None:
    """Also while the next command fails at it again: the old pair is never lost."""
    template = made(tmp_path / "template")
    request = request_file(tmp_path)
    places = [(template.server, template.server_key)]
    if work == "request":
        places = [(template.client("alice"), template.client_key("alice"))]
    path, key = (each.relative_to(template.root) for each in places[0])
    step, is_over = 0, False
    while not is_over:
        directory = PkiDirectory(tmp_path / f"{step}" / "pki")
        shutil.copytree(template.root, directory.root)
        before = (directory.root / path).read_bytes()

        def killed() -> None:
            refuse_place(directory.root / path)  # noqa: B023
            try:
                WORKS[work](directory, request)  # noqa: B023
            except OperatorError:
                if is_again:
                    admit(directory, "carol")  # noqa: B023

        is_over = not killed_at(step, directory.root, killed)
        refused_place(directory.root / path, lambda: admit(directory, "dave"))  # noqa: B023
        assert (directory.root / path).read_bytes() == before
        leaf = certificates(directory.root / path)[0]
        assert fits(key_of(directory.root / key), leaf)
        admit(directory, "next")
        expect_order(directory)
        assert list(directory.root.rglob(f"*{BEFORE}")) == []
        shutil.rmtree(directory.root)
        step += 1
    assert step > 9


@pytest.mark.parametrize(
    ("number", "part"),
    [
        (errno.EBUSY, "b: something is mounted there, and holds it: umount it"),
        (errno.EISDIR, "b: this is a directory, and a file belongs there: move it away"),
        (errno.EACCES, "b: no permission: run the command as root"),
        (errno.EIO, "b: what"),
    ],
)
def test_words_name_the_place_that_cannot_be_had(number: int, part: str) -> None:
    assert words_of(OSError(number, "what", f"b{NEXT}", 0, "b")).startswith(part)


def test_root_is_told_of_what_even_root_may_not(tmp_path: Path) -> None:
    error = OSError(errno.EPERM, "what", "b")
    if os.geteuid() == 0:
        assert "b: not permitted, even to root: lsattr -d" in words_of(error)
    else:
        assert "b: no permission: run the command as root" in words_of(error)
