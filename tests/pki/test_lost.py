"""What is lost of an authority is named, with its cure, and nothing is made over the rest."""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from angos_trio.errors import OperatorError
from angos_trio.pki.files import locked
from angos_trio.pki.inspecting import inspect
from angos_trio.pki.keeping import PkiDirectory, alone_in_new
from angos_trio.pki.renewing import RootKey, due_of, renew_issuing
from tests.pki.authorities import NOW, admit, files_below, found, serve
from tests.pki.test_keeping import NOBODY, in_child
from tests.skips import leave_out


def lose_issuing(folder: Path, *, also_journal: bool = False) -> PkiDirectory:
    directory = found(folder)
    serve(directory)
    admit(directory, "alice")
    directory.issuing.unlink()
    if also_journal:
        directory.journal.unlink()
    return directory


@pytest.mark.parametrize("also_journal", [False, True])
def test_certificate_of_the_authority_that_is_lost_is_named(
    tmp_path: Path, also_journal: bool
) -> None:
    directory = lose_issuing(tmp_path, also_journal=also_journal)
    before = files_below(directory.root)
    for work in (
        lambda: inspect(directory, NOW),
        lambda: due_of(directory, NOW),
        lambda: renew_issuing(directory, RootKey(), NOW),
        lambda: admit(directory, "bob"),
        lambda: found(tmp_path),
    ):
        with pytest.raises(OperatorError, match=r"issuing.crt is missing: bring it back from a"):
            work()
    assert files_below(directory.root) == before


def test_command_that_brings_it_back_does(tmp_path: Path) -> None:
    directory = lose_issuing(tmp_path)
    with pytest.raises(OperatorError) as caught:
        admit(directory, "bob")
    command = str(caught.value).rpartition(": ")[2]
    assert command.startswith("openssl x509 ")
    subprocess.run(command.split(), check=True, capture_output=True)
    admit(directory, "bob")
    assert inspect(directory, NOW) == []


def test_directories_that_are_lost_are_made_anew(tmp_path: Path) -> None:
    directory = found(tmp_path)
    admit(directory, "alice")
    for folder in (directory.client("").parent, directory.client_key("").parent):
        shutil.rmtree(folder)
    admit(directory, "alice")
    assert inspect(directory, NOW) == []


@pytest.mark.parametrize("name", ["private", "private/issuing.key", "ca.crt"])
def test_file_that_nothing_can_be_done_without_is_named(tmp_path: Path, name: str) -> None:
    directory = found(tmp_path)
    path = directory.root / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(OperatorError, match=r"(issuing.key|ca.crt) is missing: bring it back"):
        admit(directory, "alice")


@pytest.mark.parametrize("kind", ["there already", "hidden", "full"])
def test_authority_that_cannot_be_made_leaves_nothing_behind(tmp_path: Path, kind: str) -> None:
    stick, part = tmp_path / "root.key", "is there already, and a key is not written over"
    folder = tmp_path / "a" / "b"
    match kind:
        case "there already":
            stick.touch()
        case "hidden":
            stick, part = Path("/proc/1/root/x/root.key"), "no permission: run the command as root"
        case _:
            part = "root.key: the disk is full: make room"

    def work() -> None:
        if kind == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (9, 9))
        if kind == "hidden":
            os.setuid(NOBODY)
        found(folder, offline_root=stick)

    if kind == "hidden":
        if os.geteuid() != 0:
            leave_out("only root can be somebody else")
        folder = Path("/tmp") / f"angos-trio-{os.getpid()}"
    code, told = in_child(work)
    assert code == 1
    assert part in told
    assert sorted(tmp_path.iterdir()) == ([stick] if kind == "there already" else [])
    assert not folder.exists()


def test_second_authority_that_is_refused_takes_nothing_of_the_first_away(tmp_path: Path) -> None:
    """Also one that began before the first was there."""
    directory = PkiDirectory(tmp_path / "pki")

    def second() -> None:
        with alone_in_new(directory):
            directory.issuing.touch()
            raise OperatorError("there is one already")

    with pytest.raises(OperatorError, match="is one already"):
        second()
    assert (directory.private / ".lock").exists()
    assert directory.client_key("").parent.is_dir()


def test_lock_that_was_taken_away_is_nobodys_and_the_new_one_is_taken(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.touch()
    descriptor = os.open(path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)

    def replaced() -> None:
        path.unlink()
        path.touch()
        os.close(descriptor)

    timer = threading.Timer(0.2, replaced)
    timer.start()
    with locked(path, 10), path.open("rb") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    timer.join()


def test_pipe_is_not_waited_for_as_the_key_of_the_root(tmp_path: Path) -> None:
    directory, pipe = found(tmp_path), tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OperatorError, match=r"--root-key: .*pipe: this is no file"):
        renew_issuing(directory, RootKey(pipe), NOW)


def test_authority_that_has_issued_nothing_may_be_one_that_was_cut_off(tmp_path: Path) -> None:
    directory = found(tmp_path)
    directory.issuing.unlink()
    with pytest.raises(OperatorError, match="or, if pki init was cut off here, run it again"):
        admit(directory, "bob")
    found(tmp_path)
    admit(directory, "bob")
