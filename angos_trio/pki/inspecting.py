"""The whole directory of an authority, looked at: permissions, pairs, terms, and what is left of
commands that were cut off. Changes nothing and needs no lock."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509

from angos_trio.clock import iso
from angos_trio.errors import OperatorError
from angos_trio.pki.certificates import CertificateError, read_bundle
from angos_trio.pki.explain import STALE_REFUSERS, WRONG, Finding, explain, explain_chain
from angos_trio.pki.files import BEFORE, NEXT
from angos_trio.pki.journal import Journal
from angos_trio.pki.keeping import (
    RESTART,
    PkiDirectory,
    failing_in_words,
    read_journal,
    require_authority,
)
from angos_trio.pki.keys import fits, load_key
from angos_trio.pki.opening import mended_by, require_clock, standing_list
from angos_trio.pki.recording import standing_server
from angos_trio.pki.renewing import due_of


class Inspection:
    """What was found so far, each with the file that it is about."""

    def __init__(self, directory: PkiDirectory, now: int) -> None:
        self.directory, self.now = directory, now
        self.found: list[tuple[Path, Finding]] = []

    def add(self, path: Path, who: str | None, text: str) -> None:
        """One more."""
        self.found.append((path, Finding(who, text)))

    def certificates(self, path: Path, *, may_end: bool = False) -> list[x509.Certificate]:
        """Those of a file, after the first is looked at; none when it cannot be read. `may_end`:
        nothing is wrong with one of somebody who has left."""
        try:
            chain = read_bundle(path.read_bytes())
        except FileNotFoundError:
            self.add(path, WRONG, "it is not there: bring it back from a backup")
            return []
        except CertificateError as error:
            self.add(path, WRONG, f"it is damaged ({error}): bring it back from a backup")
            return []
        end = int(chain[0].not_valid_after_utc.timestamp())
        if may_end and end < self.now:
            text = f"it ended at {iso(end)}: renew it, or remove the file if nobody wants it"
            self.add(path, None, text)
        else:
            self.found += [(path, finding) for finding in explain(chain[0], self.now)]
        return chain


def inspect(directory: PkiDirectory, now: int) -> list[tuple[Path, Finding]]:
    """All that was found, with the file that it is about. Raises OperatorError when there is no
    authority, or when this user may not look."""
    require_authority(directory)
    inspection = Inspection(directory, now)
    with failing_in_words(directory):
        _look_at_folders(inspection)
        _look_at_permissions(inspection)
        _look_at_certificates(inspection)
        _look_at_pairs(inspection)
        _look_at_leftovers(inspection)
        _look_at_journal(inspection)
    return inspection.found


def _look_at_folders(inspection: Inspection) -> None:
    directory = inspection.directory
    if directory.private.exists():
        next(directory.private.iterdir(), None)  # who may not look is told so
    else:
        inspection.add(directory.private, WRONG, "it is not there: bring it back from a backup")
    for path in (directory.client("").parent, directory.client_key("").parent):
        if not path.exists():
            text = f"it is not there: {mended_by(directory)}"
            inspection.add(path, None, text)


def _look_at_permissions(inspection: Inspection) -> None:
    directory = inspection.directory
    private = [directory.private, *sorted(directory.private.rglob("*")), directory.journal]
    for path in _there(private):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            wanted = "700" if path.is_dir() else "600"
            inspection.add(
                path,
                WRONG,
                f"others than its owner may open it ({mode:o}): chmod {wanted} {path}; and renew "
                "what somebody may have read",
            )
    public = [directory.root, directory.ca, directory.issuing, directory.clients_ca, directory.crl]
    clients = directory.client("").parent
    public += [directory.server, clients, *sorted(clients.glob("*.crt"))]
    for path in _there(public):
        if stat.S_IMODE(path.stat().st_mode) & 0o022:
            inspection.add(path, WRONG, f"others may change it: chmod go-w {path}")


def _there(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if path.exists()]


def _look_at_certificates(inspection: Inspection) -> None:
    directory = inspection.directory
    ours = [
        each
        for path in (directory.issuing, directory.ca)
        for each in inspection.certificates(path)[:1]
    ]
    clients = sorted(directory.client("").parent.glob("*.crt"))
    for path in _there((directory.server, *clients)):
        chain = inspection.certificates(path, may_end=path != directory.server)
        if chain:
            inspection.found += [(path, each) for each in explain_chain(chain, ours)]
    bundle = inspection.certificates(directory.clients_ca)
    if bundle and not set(ours) <= set(bundle):
        inspection.add(
            directory.clients_ca, WRONG, f"it lacks an authority of ours: {mended_by(directory)}"
        )


def _look_at_pairs(inspection: Inspection) -> None:
    directory = inspection.directory
    pairs = [
        (directory.root_key, directory.ca),
        (directory.issuing_key, directory.issuing),
        (directory.server_key, directory.server),
    ]
    keys = sorted(directory.client_key("").parent.glob("*.key"))
    pairs += [(path, directory.client(path.name.removesuffix(".key"))) for path in keys]
    for key_path, path in pairs:
        if not key_path.exists():
            if path in (directory.issuing, directory.server) and path.exists():
                inspection.add(key_path, WRONG, f"the key of {path} is not there")
            continue
        _look_at_pair(inspection, key_path, path)


def _look_at_pair(inspection: Inspection, key_path: Path, path: Path) -> None:
    content = key_path.read_bytes()
    if b"ENCRYPTED" in content:
        return  # the root's, whose password nobody is asked for
    try:
        key, leaf = load_key(key_path, content), read_bundle(path.read_bytes())[0]
    except FileNotFoundError:
        inspection.add(key_path, None, f"there is no {path} for it")
    except CertificateError:
        pass  # told of already
    except OperatorError as error:
        inspection.add(key_path, WRONG, str(error).removeprefix(f"{key_path}: "))
    else:
        if not fits(key, leaf):
            inspection.add(key_path, WRONG, f"it is not the key of {path}")


def _look_at_leftovers(inspection: Inspection) -> None:
    root = inspection.directory.root
    command = inspection.directory.command("renew", "--all-due")
    for path in sorted([*root.rglob(f"*{NEXT}"), *root.rglob(f"*.key{BEFORE}")]):
        inspection.add(
            path,
            None,
            f"a command was cut off: the next one, such as {command}, carries it out or drops it",
        )
    for path in sorted(inspection.directory.private.glob(f"*{RESTART}")):
        unit = path.name.removesuffix(RESTART)
        command = inspection.directory.command("renew", "--all-due", "--restart", unit)
        text = f"{unit} was not restarted after its certificate was renewed: {command}"
        inspection.add(path, None, text)


def _look_at_journal(inspection: Inspection) -> None:
    directory, now = inspection.directory, inspection.now
    try:
        journal = read_journal(directory)
    except OperatorError as error:
        inspection.add(directory.journal, WRONG, str(error).removeprefix(f"{directory.journal}: "))
        return
    try:
        require_clock(now)
    except OperatorError as error:
        inspection.add(directory.root, WRONG, str(error))
        return
    if directory.journal.exists() and directory.journal.stat().st_size > journal.whole_bytes:
        inspection.add(directory.journal, None, "its last line is cut off: any command mends it")
    _look_at_missing_keys(inspection, journal)
    standing = standing_server(directory, journal)
    if standing is not None and journal.with_serial(standing.serial) is None:
        text = f"it does not tell of {directory.server}: {mended_by(directory)}"
        inspection.add(directory.journal, None, text)
    try:
        due = due_of(directory, now)
    except OperatorError:
        return  # a certificate that cannot be read was told of already
    if due.server is not None:
        end = iso(due.server.not_after)
        text = f"it is due, and ends {end}: {directory.command('renew', 'server')}"
        inspection.add(directory.server, None, text)
    for record in due.clients:
        text = f"it is due, and ends {iso(record.not_after)}: renew it, and bring it to the client"
        inspection.add(directory.client(record.name), None, text)
    for warning in due.warnings:
        inspection.add(directory.root, None, warning)
    _look_at_list(inspection, journal, has_list=due.has_list)


def _look_at_missing_keys(inspection: Inspection, journal: Journal) -> None:
    """Of clients; they may have been taken to where they belong."""
    directory = inspection.directory
    for name, record in journal.latest().items():
        is_good = record.serial not in journal.revoked and record.not_after >= inspection.now
        path = directory.client_key(name)
        if record.kind == "client" and record.has_key and is_good and not path.exists():
            command = directory.command("renew", name)
            text = f"it is not there: {command} makes another, if nobody has taken it on purpose"
            inspection.add(path, None, text)


def _look_at_list(inspection: Inspection, journal: Journal, *, has_list: bool) -> None:
    directory, now = inspection.directory, inspection.now
    standing, mended = standing_list(directory), mended_by(directory)
    again = directory.command("crl")
    if standing is None:
        text = f"it is missing or damaged, or of another authority: {mended}"
        inspection.add(directory.crl, WRONG, text)
        return
    good = {each.serial for each in journal.records if each.not_after >= now}
    missing = good & set(journal.revoked) - standing.serials
    if missing:
        names = ", ".join(sorted(missing))
        inspection.add(directory.crl, WRONG, f"it lacks what is revoked ({names}): {mended}")
    elif standing.number != journal.listed.number:
        text = f"its number is {standing.number}, and the journal's {journal.listed.number}"
        inspection.add(directory.crl, WRONG, f"{text}: {mended}")
    due = iso(journal.listed.next_update)
    if journal.listed.next_update < now:
        inspection.add(
            directory.crl,
            STALE_REFUSERS,
            f"the next list was due {due}: {again}",
        )
    elif has_list:
        inspection.add(directory.crl, None, f"the next list is due {due}: {again}")
