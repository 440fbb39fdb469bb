"""Renewing: what is due, and a new certificate with a new key in the place of one before."""

from __future__ import annotations

from pathlib import Path

from angos_trio.clock import DAY_SECS, iso
from angos_trio.errors import OperatorError
from angos_trio.limits.certificates import AUTHORITY_ENDS_SECS, BACKDATED_SECS
from angos_trio.pki import files
from angos_trio.pki.authority import (
    ClientWish,
    Issued,
    ServerWish,
    give_client,
    give_server,
    issuing_days,
)
from angos_trio.pki.files import PRIVATE_MODE
from angos_trio.pki.journal import Journal, Listed, Record
from angos_trio.pki.keeping import (
    Pair,
    PkiDirectory,
    failing_in_words,
    put_pair,
    read_journal,
    require_authority,
    require_settled,
)
from angos_trio.pki.keys import fits, load_key
from angos_trio.pki.naming import ISSUING, SERVER, client_name
from angos_trio.pki.opening import (
    Authority,
    is_list_wrong,
    only_certificate,
    opened,
    require_clock,
    settle,
    write_list,
)
from angos_trio.pki.profiles import Signer, life_of, make_issuing, pem_of
from angos_trio.pki.recording import record_of, server_command, standing_server
from angos_trio.records import Frozen, replace


class Due(Frozen):
    """What wants to be renewed. `clients` are named only: somebody must bring them their new keys.
    `warnings` are about authorities that end, a sentence each."""

    server: Record | None
    has_list: bool
    clients: tuple[Record, ...]
    warnings: tuple[str, ...]

    @property
    def is_any(self) -> bool:
        """Whether there is something to do or to say."""
        return bool(self.server or self.has_list or self.clients or self.warnings)


def renew(directory: PkiDirectory, name: str, now: int) -> Issued:
    """A new key and certificate for a client, or for the server, with what the one before said."""
    wanted = _wanted(name)
    with opened(directory, now) as authority:
        before = _renewable(directory, authority.journal, wanted)
        if wanted == SERVER:
            return give_server(authority, ServerWish(before.names, before.days), now)
        return give_client(authority, ClientWish(wanted, before.groups, before.days), now)


def _wanted(name: str) -> str:
    return SERVER if name == SERVER else client_name(name)


def _renewable(directory: PkiDirectory, journal: Journal, name: str) -> Record:
    before = _latest(directory, journal, name)
    if not before.has_key:
        raise OperatorError(
            f"{name}: its key is not here, since its certificate was made from a request: take a "
            f"new request from it, and {command_for(directory, before)}"
        )
    return before


def command_for(directory: PkiDirectory, record: Record) -> str:
    """What renews a client's certificate with all that it says."""
    if record.has_key:
        return directory.command("renew", record.name)
    words = ("client", record.name, "--csr", "FILE", *_groups(record))
    return directory.command(*words, "--days", str(record.days))


def _groups(record: Record) -> tuple[str, ...]:
    return tuple(word for group in record.groups for word in ("--group", group))


def due_of(directory: PkiDirectory, now: int) -> Due:
    """What is due now; changes nothing and needs no lock. Raises OperatorError."""
    require_authority(directory)
    require_clock(now)
    return _due(directory, read_journal(directory), now)


def find_due(directory: PkiDirectory, name: str, now: int) -> Record | None:
    """The newest certificate of a client, or of the server, if it is due or has ended; else None.

    Changes nothing and needs no lock. Raises OperatorError when there is none, or it is revoked.
    """
    require_authority(directory)
    require_clock(now)
    journal, wanted = read_journal(directory), _wanted(name)
    standing = standing_server(directory, journal) if wanted == SERVER else None
    if standing is None or standing.serial in journal.revoked:
        standing = _latest(directory, journal, wanted)
    return standing if standing.is_due(now) else None


def _due(directory: PkiDirectory, journal: Journal, now: int) -> Due:
    newest = journal.latest()
    # What is served is what is in the place, also if the journal is from another day.
    if (standing := standing_server(directory, journal)) is not None:
        newest[SERVER] = standing
    latest = {
        name: record
        for name, record in newest.items()
        if record.serial not in journal.revoked and record.is_due(now)
    }
    with failing_in_words(directory):
        has_list = _is_list_due(journal.listed, now) or is_list_wrong(directory, journal, now)
    server = latest.pop(SERVER, None)
    clients = tuple(each for each in latest.values() if each.not_after >= now)
    return Due(server, has_list, clients, tuple(_ending(directory, now)))


def _is_list_due(listed: Listed, now: int) -> bool:
    """Whether two thirds of its life are over, or it begins later than now."""
    days_secs = listed.days * DAY_SECS
    is_ahead = listed.next_update - days_secs - BACKDATED_SECS > now
    return is_ahead or now >= listed.next_update - days_secs // 3


def _ending(directory: PkiDirectory, now: int) -> list[str]:
    """Warnings of authorities that end soon."""
    cures = (
        (directory.issuing, "the issuing authority", directory.command("renew", ISSUING)),
        (directory.ca, "the root", "make another authority, and give clients both roots"),
    )
    told = []
    for path, what, cure in cures:
        with failing_in_words(directory):
            found = only_certificate(path)
        end = int(found.not_valid_after_utc.timestamp())
        if end - now < AUTHORITY_ENDS_SECS:
            told.append(f"{what} {'ended' if end <= now else 'ends'} at {iso(end)}: {cure}")
    return told


def _latest(directory: PkiDirectory, journal: Journal, name: str) -> Record:
    """The newest certificate of a name that is not revoked. Raises OperatorError."""
    record = journal.latest().get(name)
    if record is None:
        command = directory.command("client", name)
        if name == SERVER:
            command = server_command(directory, None)
        raise OperatorError(f"{name}: no certificate was issued yet: {command}")
    if record.serial in journal.revoked:
        command = directory.command("client", name, *_groups(record))
        if name == SERVER:
            command = server_command(directory, record)
        raise OperatorError(
            f"{name}: its certificate was revoked on {iso(journal.revoked[record.serial].at)}: a "
            f"new one is issued on purpose only, with {command}"
        )
    return record


class Renewed(Frozen):
    """What `--all-due` did and found."""

    due: Due
    server: Issued | None
    next_update: int | None
    remarks: tuple[str, ...]


def renew_all_due(directory: PkiDirectory, now: int, unit: str | None = None) -> Renewed:
    """Renew the server's certificate and the revocation list, each if it is due. With a `unit` it
    owes a restart from before the certificate on, whatever ends this command."""
    owed = None if unit is None else directory.restart(unit)
    with opened(directory, now) as authority:
        due = _due(directory, authority.journal, now)
        remarks, server, next_update = tuple(authority.remarks), None, None
        if due.has_list:
            write_list(authority, now, authority.journal.listed.days)
            next_update = authority.journal.listed.next_update
        if due.server is not None:
            authority.remarks = []
            if owed is not None:
                files.replace(owed, b"", PRIVATE_MODE)
            server = give_server(authority, ServerWish(due.server.names, due.server.days), now)
        else:
            require_settled(directory, directory.server)
        return Renewed(due, server, next_update, remarks)


def owes_restart(directory: PkiDirectory, unit: str) -> bool:
    """Whether a unit has not been restarted since its certificate was renewed."""
    with failing_in_words(directory):
        return directory.restart(unit).exists()


def restarted(directory: PkiDirectory, unit: str) -> None:
    """It has been now. Raises OperatorError."""
    with failing_in_words(directory):
        files.remove(directory.restart(unit))


class RootKey(Frozen):
    """Where the root's key is, if it was taken away, and its password, if it has one."""

    path: Path | None = None
    password: bytes | None = None


def renew_issuing(directory: PkiDirectory, root_key: RootKey, now: int) -> Issued:
    """A new certificate for the issuing authority, which keeps its name and key: so all that it
    issued goes on to count, and nobody needs another file."""
    with opened(directory, now) as authority:
        only_certificate(directory.clients_ca)  # a damaged one could not be settled afterwards
        root = _root(authority, root_key)
        begin = int(authority.root.not_valid_before_utc.timestamp())
        days = issuing_days((root.not_after - begin) // DAY_SECS)
        if now >= root.not_after:
            raise OperatorError(
                f"the root ended at {iso(root.not_after)}: make another authority with angos-trio "
                "pki init in an empty directory"
            )
        life = life_of(now, days, root)
        subject = authority.issuing.certificate.subject
        public = authority.issuing.key.public_key()
        certificate = make_issuing(subject, public, life, root)
        before = authority.issuing.certificate.serial_number
        record = record_of(ISSUING, "issuing", certificate, days)
        record = replace(record, replaces=f"{before:x}")
        pem = pem_of(certificate)
        put_pair(directory, Pair(directory.issuing, directory.issuing_key, pem, None, record), now)
        authority.issuing = Signer(certificate, authority.issuing.key)
        settle(authority)
        return Issued(record, pem, directory.issuing, remarks=tuple(authority.remarks))


def _root(authority: Authority, wanted: RootKey) -> Signer:
    path = wanted.path or authority.directory.root_key
    if not path.exists():
        raise OperatorError(
            f"{path}: the root's key is not here: bring the medium that it was taken away on, and "
            "name the file with --root-key FILE"
        )
    content = files.read_file("--root-key", str(path))
    cure = "give its password with --password-file FILE"
    key = load_key(path, content, wanted.password, cure=cure)
    if not fits(key, authority.root):
        raise OperatorError(
            f"{path}: this is not the key of {authority.directory.ca}: it is of another root"
        )
    return Signer(authority.root, key)
