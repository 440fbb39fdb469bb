"""Two commands at once, a kill at every step, no permission, damage: nothing is half-done."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from angos_trio.errors import OperatorError
from angos_trio.pki import keeping
from angos_trio.pki.certificates import serial_text
from angos_trio.pki.files import NEXT
from angos_trio.pki.inspecting import inspect
from angos_trio.pki.keeping import PkiDirectory, read_journal
from angos_trio.pki.keys import fits
from angos_trio.pki.renewing import RootKey, renew, renew_all_due, renew_issuing
from angos_trio.pki.revoking import make_list_anew, revoke
from angos_trio.pki.server import TlsFiles, load_server_tls
from tests.pki.authorities import NOW, admit, certificates, files_below, found, serve
from tests.pki.test_authority import key_of, request_file
from tests.skips import leave_out

KILLED = 77
STEPS = ("open", "os.link", "os.rename", "os.remove", "os.mkdir", "os.truncate")
NOBODY = 65534


def fork() -> int:
    """As the system does it; threads of the tests' own runner do not matter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def in_child(work: Callable[[], object]) -> tuple[int, str]:
    """Do something in a process of its own: its exit code, 0 or 1 when it is refused, and what it
    was told then."""
    reader, writer = os.pipe()
    pid = fork()
    if pid == 0:
        code = 2
        try:
            work()
            code = 0
        except OperatorError as error:
            os.write(writer, str(error).encode())
            code = 1
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as said:
        told = said.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), told


def killed_at(step: int, place: Path, work: Callable[[], object]) -> bool:
    """Whether a process that does this was killed just before its step of that number, of those
    that change a file below the place."""
    left = [step]

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event not in STEPS or not str(arguments[0]).startswith(str(place)):
            return
        if event == "open" and not int(str(arguments[2])) & (os.O_WRONLY | os.O_RDWR):
            return
        left[0] -= 1
        if left[0] < 0:
            os._exit(KILLED)

    def hooked() -> None:
        sys.addaudithook(hook)
        work()

    code, _ = in_child(hooked)
    assert code in (0, KILLED)
    return code == KILLED


def tls_files(directory: PkiDirectory) -> TlsFiles:
    """As a registry is configured."""
    return TlsFiles(
        str(directory.server),
        str(directory.server_key),
        str(directory.clients_ca),
        client_crls=(str(directory.crl),),
    )


def expect_order(directory: PkiDirectory) -> None:
    """Nothing waits; every certificate is known, has its key if the key is here, and a registry
    takes the files."""
    assert list(directory.root.rglob(f"*{NEXT}")) == []
    journal = read_journal(directory)
    assert directory.journal.stat().st_size == journal.whole_bytes
    places = [(directory.server, directory.server_key), (directory.issuing, directory.issuing_key)]
    clients = directory.client("").parent.glob("*.crt")
    places += [(path, directory.client_key(path.stem)) for path in clients]
    for path, key in places:
        leaf = certificates(path)[0]
        record = journal.with_serial(serial_text(leaf.serial_number))
        assert record is not None
        assert key.exists() == record.has_key
        if record.has_key:
            assert fits(key_of(key), leaf)
    load_server_tls(tls_files(directory))


WORKS: dict[str, Callable[[PkiDirectory, Path], object]] = {
    "server": lambda directory, request: renew(directory, "server", NOW),
    "client": lambda directory, request: admit(directory, "alice", p12_password=b"secret"),
    "new client": lambda directory, request: admit(directory, "bob"),
    "request": lambda directory, request: admit(directory, "alice", request=request),
    "revoke": lambda directory, request: revoke(directory, "alice", "superseded", NOW),
    "list": lambda directory, request: make_list_anew(directory, 9, NOW),
    "issuing": lambda directory, request: renew_issuing(directory, RootKey(), NOW),
}


@pytest.mark.slow
@pytest.mark.parametrize("work", WORKS)
def test_kill_at_any_step_is_mended_by_the_next_command(tmp_path: Path, work: str) -> None:
    template = found(tmp_path / "template")
    serve(template)
    admit(template, "alice")
    request = request_file(tmp_path)
    step, is_over = 0, False
    while not is_over:
        directory = PkiDirectory(tmp_path / f"{step}" / "pki")
        shutil.copytree(template.root, directory.root)
        is_over = not killed_at(step, directory.root, lambda: WORKS[work](directory, request))  # noqa: B023
        taken = [path for path in directory.root.rglob("*.crt") if certificates(path)]
        assert len(taken) >= 5  # no file is torn
        admit(directory, "next")
        expect_order(directory)
        shutil.rmtree(directory.root)
        step += 1
    assert step > 5


@pytest.mark.slow
def test_kill_while_it_is_made_leaves_no_authority_or_a_whole_one(tmp_path: Path) -> None:
    step, is_over = 0, False
    while not is_over:
        folder = tmp_path / f"{step}"
        is_over = not killed_at(step, folder, lambda: found(folder))  # noqa: B023
        directory = PkiDirectory(folder / "pki")
        if not directory.has_authority:
            found(folder)
        serve(directory)
        expect_order(directory)
        step += 1
    assert step > 10


def test_registry_never_takes_a_pair_that_does_not_fit(tmp_path: Path) -> None:
    directory = found(tmp_path)
    serve(directory)
    before = files_below(directory.root)
    renew(directory, "server", NOW)
    waiting = directory.server.with_name("server.crt.next")
    waiting.write_bytes(directory.server.read_bytes())
    directory.server.write_bytes(before["server.crt"])  # the key took its place, and it not yet

    with pytest.raises(OperatorError, match=r"it is not the key of the first certificate"):
        load_server_tls(tls_files(directory))
    issued = admit(directory, "alice")

    load_server_tls(tls_files(directory))
    assert any("was cut off: what it wanted with" in remark for remark in issued.remarks)


def test_what_the_journal_does_not_know_never_comes_into_its_place(tmp_path: Path) -> None:
    directory = found(tmp_path)
    serve(directory)
    before = directory.server.read_bytes()
    shutil.copy(directory.ca, directory.server.with_name("server.crt.next"))
    shutil.copy(directory.root_key, directory.private / "server.key.next")
    issued = admit(directory, "alice")

    assert directory.server.read_bytes() == before
    assert any("server.crt is what it was before" in remark for remark in issued.remarks)
    expect_order(directory)


def test_journal_line_that_was_cut_off_is_dropped(tmp_path: Path) -> None:
    directory = found(tmp_path)
    serve(directory)
    whole = directory.journal.read_bytes()
    directory.journal.write_bytes(whole + b'{"event": "issued", "at"')
    issued = admit(directory, "alice")

    assert any("was cut off while it was written" in remark for remark in issued.remarks)
    expect_order(directory)
    assert read_journal(directory).latest().keys() == {"server", "alice"}


def test_journal_that_is_damaged_is_left_alone_and_named(tmp_path: Path) -> None:
    directory = found(tmp_path)
    admit(directory, "alice")
    lines = directory.journal.read_bytes().splitlines(keepends=True)
    lines[1] = b"XX" + lines[1]
    directory.journal.write_bytes(b"".join(lines))
    before = files_below(directory.root)

    for work in (
        lambda: admit(directory, "bob"),
        lambda: revoke(directory, "alice", "unspecified", NOW),
        lambda: read_journal(directory),
    ):
        with pytest.raises(OperatorError, match=r"issued.jsonl: line 2 is damaged: .* a backup"):
            work()
    assert files_below(directory.root) == before


@pytest.mark.parametrize("room", [0, 64, 300, None])
def test_full_disk_leaves_nothing_half_done(tmp_path: Path, room: int | None) -> None:
    """The key does not fit, nor the certificate, nor the journal's line after both."""
    directory = found(tmp_path)
    for number in range(4):
        admit(directory, f"client-{number}")
    admit(directory, "alice", p12_password=b"secret")
    before = files_below(directory.root)
    most = directory.journal.stat().st_size + 10 if room is None else room

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        admit(directory, "alice")

    code, told = in_child(work)
    assert code == 1
    assert "the disk is full: make room and try again; nothing was issued" in told
    assert files_below(directory.root) == before


def test_full_disk_for_the_pkcs12_file_says_what_was_done(tmp_path: Path) -> None:
    directory = found(tmp_path)
    admit(directory, "alice", p12_password=b"secret")

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and str(arguments[0]).endswith(f"alice.p12{NEXT}"):
            raise OSError(errno.ENOSPC, "No space left on device")

    def work() -> None:
        sys.addaudithook(hook)
        admit(directory, "alice", p12_password=b"secret")

    code, told = in_child(work)
    assert code == 1
    assert told.endswith(f"; the certificate was issued, and is in {directory.client('alice')}")
    assert len(read_journal(directory).of("alice")) == 2


def test_revocation_that_does_not_reach_the_list_says_so_and_is_carried_out_later(
    tmp_path: Path,
) -> None:
    directory = found(tmp_path)
    admit(directory, "mallory")

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and str(arguments[0]) == f"{directory.crl}{NEXT}":
            raise OSError(errno.ENOSPC, "No space left on device")

    def work() -> None:
        sys.addaudithook(hook)
        revoke(directory, "mallory", "unspecified", NOW)

    code, told = in_child(work)
    assert code == 1
    assert "clients.crl still lets them in: they are revoked in" in told
    assert "(No space left on device)" in told
    assert "angos-trio pki crl" in told
    renew_all_due(directory, NOW)
    assert inspect(directory, NOW) == []


def test_journal_that_was_torn_before_there_was_an_authority_is_no_hindrance(
    tmp_path: Path,
) -> None:
    directory = found(tmp_path)
    directory.issuing.unlink()  # the last that is written
    directory.journal.write_bytes(directory.journal.read_bytes()[:-20])
    found(tmp_path)
    admit(directory, "alice")
    assert inspect(directory, NOW) == []


def test_root_that_was_not_made_here_is_not_written_over(tmp_path: Path) -> None:
    directory = PkiDirectory(tmp_path / "pki")
    directory.root.mkdir()
    directory.ca.write_text("of somebody else\n")
    with pytest.raises(OperatorError, match="was not made here, and is not written over"):
        found(tmp_path)
    assert files_below(directory.root) == {"ca.crt": b"of somebody else\n"}


@contextmanager
def lock_held(directory: PkiDirectory) -> Iterator[None]:
    descriptor = os.open(directory.private / ".lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def test_second_command_waits_and_then_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = found(tmp_path)
    before = files_below(directory.root)
    monkeypatch.setattr(keeping, "PKI_LOCK_SECS", 0.1)
    with lock_held(directory), pytest.raises(OperatorError, match=r"another pki command has been"):
        admit(directory, "alice")
    assert files_below(directory.root) == before
    admit(directory, "alice")


def test_commands_at_once_all_succeed(tmp_path: Path) -> None:
    directory = found(tmp_path)
    serve(directory)
    pids = []
    for number in range(6):
        pid = fork()
        if pid == 0:
            try:
                admit(directory, f"client-{number % 3}")
                os._exit(0)
            finally:
                os._exit(1)
        pids.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * 6
    assert len(read_journal(directory).records) == 9
    expect_order(directory)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A directory that everybody may come to."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in (folder, *folder.glob("pki/private")):
        path.chmod(0o700)
    shutil.rmtree(folder)


def test_user_without_permission_is_told(open_folder: Path) -> None:
    directory = found(open_folder)
    before = files_below(directory.root)
    works: tuple[Callable[[], object], ...] = (
        lambda: admit(directory, "alice"),
        lambda: read_journal(directory),
        lambda: found(open_folder / "other"),
        lambda: inspect(directory, NOW),
        lambda: renew_all_due(directory, NOW),
    )
    for work in works:

        def as_nobody(work: Callable[[], object] = work) -> None:
            if os.geteuid() == 0:
                os.setuid(NOBODY)
            else:
                open_folder.chmod(0o500)
                directory.private.chmod(0o500)
                directory.journal.chmod(0)
            work()

        code, told = in_child(as_nobody)
        assert code == 1
        assert "no permission: run the command as root, or as the owner of the directory" in told
    if os.geteuid() == 0:
        assert files_below(directory.root) == before


def test_place_that_is_no_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "pki").write_text("a file")
    with pytest.raises(OperatorError, match=r"pki"):
        found(tmp_path)
    assert (tmp_path / "pki").read_text() == "a file"


@pytest.mark.parametrize("name", ["issued.jsonl", "private/.lock"])
def test_link_of_another_is_not_followed(tmp_path: Path, name: str) -> None:
    directory = found(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    path = directory.root / name
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    before = elsewhere.read_bytes()

    with pytest.raises(OperatorError, match=f"{name}: this is a symbolic link, which is not"):
        admit(directory, "alice")
    if name == "issued.jsonl":
        elsewhere.write_bytes(before + b"torn")
        with pytest.raises(OperatorError, match=f"{name}: this is a symbolic link, which is not"):
            admit(directory, "alice")
        assert elsewhere.read_bytes() == before + b"torn"


def test_what_root_makes_in_somebodys_directory_is_theirs(open_folder: Path) -> None:
    if os.geteuid() != 0:
        leave_out("only root makes files for others")
    os.chown(open_folder, NOBODY, NOBODY)
    directory = found(open_folder)
    serve(directory)
    admit(directory, "alice", p12_password=b"secret")
    revoke(directory, "alice", "unspecified", NOW)

    owners = {path.stat().st_uid for path in directory.root.rglob("*")}
    assert owners == {NOBODY}
