"""`angos-trio pki`: an authority of our own, and what it issues."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from angos_trio.appliance.host import run
from angos_trio.cli.codes import FOUND
from angos_trio.cli.passwords import asked, asked_twice, from_file
from angos_trio.cli.streams import say
from angos_trio.cli.telling import plain, time_of
from angos_trio.cli.times import parse_length
from angos_trio.clock import epoch_seconds
from angos_trio.errors import OperatorError
from angos_trio.limits.certificates import (
    AUTHORITY_YEARS,
    BAG_BYTES_MAX,
    CLIENT_DAYS,
    NAME_BYTES_MAX,
    SERVER_DAYS,
)
from angos_trio.limits.processes import SERVICE_START_SECS_MAX
from angos_trio.pki import files
from angos_trio.pki.authority import (
    ClientWish,
    Founding,
    Issued,
    PkiDirectory,
    ServerWish,
    create_authority,
    issue_client,
    issue_server,
    stale_files,
)
from angos_trio.pki.files import PRIVATE_MODE, PUBLIC_MODE, words_of
from angos_trio.pki.journal import Journal, Record, states
from angos_trio.pki.keeping import read_journal, require_authority
from angos_trio.pki.naming import ISSUING, client_name
from angos_trio.pki.recording import server_command
from angos_trio.pki.renewing import (
    Due,
    RootKey,
    command_for,
    due_of,
    find_due,
    owes_restart,
    renew,
    renew_all_due,
    renew_issuing,
    restarted,
)
from angos_trio.pki.revoking import make_list_anew, revoke
from angos_trio.records import asdict

FOLLOWS = "a running registry that is given these files takes it within a few seconds"
COUNTS = (
    "a running registry that is given this file goes by it from the next request on, open "
    "connections included"
)
_COLUMNS = ("NAME", "KIND", "STATE", "ENDS", "SERIAL", "GROUPS AND NAMES")


def init(parsed: argparse.Namespace) -> int:
    """Make an authority."""
    directory = _directory(parsed)
    offline = None if parsed.offline_root is None else Path(parsed.offline_root)
    password = _password(parsed)
    if offline is not None and password is None:
        password = _asked("--offline-root", "the root's key").encode()
    name = _name_of_host() if parsed.name is None else parsed.name
    years = AUTHORITY_YEARS if parsed.years is None else parsed.years
    founding = Founding(name, years, password, offline)
    made = create_authority(directory, founding, epoch_seconds())
    print(f"an authority is in {directory.root}: clients trust {directory.ca}")
    print(f"root until {time_of(made.root_ends)}, issuing until {time_of(made.issuing_ends)}")
    if offline is not None:
        print(
            f"the root's key is in {made.root_key} only: take it away; "
            f"{directory.command('renew', ISSUING)} needs it"
        )
    elif made.is_encrypted:
        print(f"the root's key is {made.root_key}, encrypted by the password")
    else:
        print(
            f"the root's key is {made.root_key}, and not encrypted: whoever can read it can make "
            "certificates for anybody (--password-file or --offline-root protect it)"
        )
    return 0


def server(parsed: argparse.Namespace) -> int:
    """Issue the server's certificate."""
    if parsed.output is not None and parsed.csr is None:
        raise OperatorError("-o is for --csr: the server's own files are in the directory")
    output = _output(parsed)
    request = None if parsed.csr is None else Path(parsed.csr)
    days = SERVER_DAYS if parsed.days is None else parsed.days
    wish = ServerWish(tuple(parsed.names), days, request)
    issued = issue_server(_directory(parsed), wish, epoch_seconds())
    if issued.certificate is not None:
        _say_issued(issued)
    elif output is not None:
        _write(output, issued.pem, f"it was issued, serial {issued.record.serial}")
        print(f"{output}: {_described(issued.record)}")
    else:
        print(issued.pem.decode(), end="")
    _tell(issued.remarks)
    return 0


def client(parsed: argparse.Namespace) -> int:
    """Issue a client's certificate."""
    password = None
    if parsed.p12:
        password = _password(parsed) or _asked("--p12", "the PKCS#12 file").encode()
    elif parsed.password_file is not None:
        raise OperatorError("--password-file is for --p12: the other files have no password")
    request = None if parsed.csr is None else Path(parsed.csr)
    days = CLIENT_DAYS if parsed.days is None else parsed.days
    wish = ClientWish(parsed.name, tuple(parsed.groups), days, request, password)
    directory = _directory(parsed)
    with _bag_for(parsed):
        issued = issue_client(directory, wish, epoch_seconds())
    _say_issued(issued)
    _tell(issued.remarks)
    if parsed.output is not None:
        _copy(issued, Path(parsed.output))
    return 0


@contextmanager
def _bag_for(parsed: argparse.Namespace) -> Iterator[None]:
    """The directory for what a client needs, proved before anything is issued; a new one does not
    stay where nothing is."""
    if parsed.output is None:
        yield
        return
    names = [client_name(parsed.name) + end for end in (".crt", ".key", ".p12")]
    target = Path(parsed.output)
    is_new = files.make_ready("-o", target, ["ca.crt", *names], BAG_BYTES_MAX)
    try:
        yield
    except OperatorError:
        if is_new:
            with suppress(OSError):
                target.rmdir()
        raise


def renew_(parsed: argparse.Namespace) -> int:
    """Renew a certificate, or what is due."""
    directory, now = _directory(parsed), epoch_seconds()
    is_issuing = parsed.name == ISSUING
    if parsed.check:
        try:
            return _check(directory, parsed.name, now)
        except OperatorError as error:  # else it could not be told from that nothing is due
            say(f"angos-trio: {error}")
            return FOUND
    if (parsed.root_key or parsed.password_file) and not is_issuing:
        raise OperatorError("--root-key and --password-file are for pki renew issuing")
    if parsed.restart and not parsed.all_due:
        raise OperatorError("--restart is for --all-due")
    if parsed.all_due:
        return _renew_all_due(directory, now, parsed.restart)
    if is_issuing:
        issued = renew_issuing(directory, _root_key(parsed, directory), now)
    else:
        issued = renew(directory, parsed.name, now)
    _say_issued(issued)
    if is_issuing:
        print(f"it keeps its key, so that all that it issued goes on to count; {FOLLOWS}")
    _tell(issued.remarks)
    return 0


def _check(directory: PkiDirectory, name: str | None, now: int) -> int:
    """Say what is due; 1 when it is nothing."""
    if name is None or name == ISSUING:
        due = due_of(directory, now)
        ending = [line for line in due.warnings if ISSUING in line]
        lines = ending if name == ISSUING else list(_due_lines(due))
    else:
        record = find_due(directory, name, now)
        lines = [] if record is None else [_due_line(record)]
    for line in lines or ["nothing is due"]:
        print(line)
    return 0 if lines else 1


def _due_lines(due: Due) -> Iterable[str]:
    if due.server is not None:
        yield _due_line(due.server)
    if due.has_list:
        yield "the revocation list is due"
    yield from map(_due_line, due.clients)
    yield from due.warnings


def _due_line(record: Record) -> str:
    what = "the server's certificate" if record.kind == "server" else f"client {plain(record.name)}"
    return f"{what} is due: it ends {time_of(record.not_after)}"


def _renew_all_due(directory: PkiDirectory, now: int, unit: str | None) -> int:
    done = renew_all_due(directory, now, unit)
    # Before anything is told: whoever reads it may have left.
    restart = None if unit is None else _restart(directory, unit)
    if done.server is not None:
        _say_issued(done.server)
    if done.next_update is not None:
        print(f"{directory.crl}: made anew, the next is due {time_of(done.next_update)}")
    for record in done.due.clients:
        command = plain(command_for(directory, record))
        print(f"{_due_line(record)}; it must be brought its new one by hand: {command}")
    if not done.due.is_any:
        print("nothing is due")
    _tell((*done.remarks, *(done.server.remarks if done.server else ()), *done.due.warnings))
    if restart is not None:
        raise OperatorError(restart)
    return 0


def _restart(directory: PkiDirectory, unit: str) -> str | None:
    """Carry out a restart that is owed, by this renewal or by one before; why it cannot be."""
    if not owes_restart(directory, unit):
        return None
    try:
        run(["systemctl", "try-restart", unit], SERVICE_START_SECS_MAX)
    except OperatorError as error:
        command = directory.command("renew", "--all-due", "--restart", unit)
        return f"{error}; this tries it again: {command}"
    restarted(directory, unit)
    return None


def _root_key(parsed: argparse.Namespace, directory: PkiDirectory) -> RootKey:
    """Where it is, and its password: asked for at a terminal when it is encrypted."""
    path = None if parsed.root_key is None else Path(parsed.root_key)
    password = _password(parsed)
    where = path or directory.root_key
    try:
        is_encrypted = b"ENCRYPTED" in files.read_file("--root-key", str(where))
    except OperatorError:
        is_encrypted = False  # told of where it is read
    if password is None and is_encrypted and sys.stdin.isatty():
        password = asked(f"Password of {where}: ").encode()
    return RootKey(path, password)


def revoke_(parsed: argparse.Namespace) -> int:
    """Revoke, and say what of that name is still good."""
    directory = _directory(parsed)
    done = revoke(
        directory, parsed.what, parsed.reason, epoch_seconds(), takes_all=parsed.takes_all
    )
    for record in done.revoked:
        print(f"revoked {_described(record)}")
    if done.unknown is not None:
        print(
            f"revoked serial {done.unknown}, of which the journal does not tell: compare it with "
            "that of the certificate (angos-trio pki doctor FILE)"
        )
    print(f"{directory.crl}: made anew; {COUNTS}")
    for record in done.revoked:
        if record.kind == "server":
            command = server_command(directory, record)
            print(f"clients do not look at the list: give the server another with {command}")
    for record in done.others:
        say(
            f"{plain(record.name)} has another that is still good: {_described(record)}; "
            f"{directory.command('revoke', record.serial)}, or --all"
        )
    _tell(done.remarks)
    return 0


def list_(parsed: argparse.Namespace) -> int:
    """Print every certificate of servers and clients, and what it is worth."""
    directory, now = _directory(parsed), epoch_seconds()
    require_authority(directory)
    journal = read_journal(directory)
    found = list(states(journal, now))
    if parsed.expiring is not None:
        until = now + parse_length("--expiring", parsed.expiring)
        is_good = ("good", "due", "replaced")
        found = [each for each in found if each[1] in is_good and each[0].not_after <= until]
    if parsed.as_json:
        print(json.dumps([_document(journal, *each) for each in found], indent=2))
        return 0
    rows = [_COLUMNS, *(_row(*each) for each in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    return 0


def _document(journal: Journal, record: Record, state: str) -> dict[str, Any]:
    revocation = journal.revoked.get(record.serial)
    return {
        **asdict(record),
        "state": state,
        "revoked_at": None if revocation is None else revocation.at,
        "reason": None if revocation is None else revocation.reason,
    }


def _row(record: Record, state: str) -> tuple[str, ...]:
    said = record.names if record.kind == "server" else record.groups
    return (
        plain(record.name),
        record.kind if record.has_key else f"{record.kind} (csr)",
        state,
        time_of(record.not_after),
        record.serial,
        plain(",".join(said)),
    )


def crl(parsed: argparse.Namespace) -> int:
    """Make the revocation list anew; print it, or write it."""
    output = _output(parsed)
    made = make_list_anew(_directory(parsed), parsed.days, epoch_seconds())
    if output is None:
        print(made.content.decode(), end="")
    else:
        _write(output, made.content, "the list in the directory is made anew")
        due = time_of(made.next_update)
        print(f"{output}: {made.count} revoked; the next is due {due}")
    _tell(made.remarks)
    return 0


def _directory(parsed: argparse.Namespace) -> PkiDirectory:
    os.umask(0o022)
    return PkiDirectory(Path(os.path.abspath(parsed.pki)))


def _name_of_host() -> str:
    name = f"angos-trio {socket.gethostname()}".strip()
    return name.encode()[: NAME_BYTES_MAX - len(" issuing")].decode(errors="ignore")


def _password(parsed: argparse.Namespace) -> bytes | None:
    path = parsed.password_file
    if path is None:
        return None
    # What a shell hands on, as by <(…), has somebody at its other end.
    if not path.startswith(("/dev/", "/proc/")) and Path(path).is_fifo():
        raise OperatorError(f"--password-file: {path}: this is no file")
    return from_file(path).encode()


def _asked(option: str, what: str) -> str:
    if not sys.stdin.isatty():
        raise OperatorError(
            f"{option}: there is no terminal to ask for the password of {what}: give it with "
            "--password-file FILE"
        )
    return asked_twice(f"Password of {what}: ")


def _say_issued(issued: Issued) -> None:
    print(f"{issued.certificate}: {_described(issued.record)}")
    if issued.key is not None:
        print(f"{issued.key}: its key, which nobody else may have")
    if issued.p12 is not None:
        print(f"{issued.p12}: both in PKCS#12, under the password")
    if issued.record.kind == "server":
        print(FOLLOWS)


def _described(record: Record) -> str:
    said = ", ".join(record.names if record.kind == "server" else record.groups)
    of = record.kind if record.kind == ISSUING else f"{record.kind} {plain(record.name)}"
    what = f"{of} ({plain(said)})" if said else of
    return f"{what}, until {time_of(record.not_after)}, serial {record.serial}"


def _copy(issued: Issued, target: Path) -> None:
    """What a client needs, in its directory. What was copied there with a certificate before does
    not stay beside this one."""
    try:
        for path in stale_files(target, issued.record.name, issued.bag):
            files.remove(path)
            print(f"{path}: of a certificate before, and removed")
        for name, content in issued.bag.items():
            mode = PUBLIC_MODE if name.endswith(".crt") else PRIVATE_MODE
            files.replace(target / name, content, mode)
    except OSError as error:
        kept = " and ".join(map(str, filter(None, (issued.certificate, issued.key, issued.p12))))
        raise OperatorError(
            f"{words_of(error)}; the certificate was issued: copy it from {kept}"
        ) from error
    print(f"{target}: a copy of what the client needs")


def _output(parsed: argparse.Namespace) -> Path | None:
    """Where a copy goes; refused before anything is done."""
    if parsed.output is None:
        return None
    output = Path(parsed.output)
    files.check_target("-o", output)
    return output


def _write(path: Path, content: bytes, done: str) -> None:
    """Write what is public; `done` is what was carried out already if that fails."""
    try:
        files.replace(path, content, PUBLIC_MODE)
    except OSError as error:
        raise OperatorError(f"{words_of(error)}; {done}") from error


def _tell(remarks: Iterable[str]) -> None:
    for remark in remarks:
        say(remark)
