"""An authority, opened to work with it: alone, mended, and with a clock that can be believed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509

from angos_trio.clock import iso
from angos_trio.errors import OperatorError
from angos_trio.limits.certificates import CLOCK_LEAST, LIST_DAYS_MAX, REVOKED_KEPT_SECS
from angos_trio.pki import files
from angos_trio.pki.certificates import (
    CertificateError,
    key_mark,
    read_bundle,
    reading,
    serial_text,
    value_of,
)
from angos_trio.pki.files import PUBLIC_MODE, next_of, words_of
from angos_trio.pki.journal import (
    Journal,
    Listed,
    Revocation,
    issued_line,
    listed_line,
    revoked_line,
)
from angos_trio.pki.keeping import (
    PkiDirectory,
    alone_in,
    mend,
    read_journal,
    require_authority,
    tell,
)
from angos_trio.pki.keys import fits, load_key
from angos_trio.pki.naming import ISSUING, SERVER
from angos_trio.pki.profiles import Revoked, Signer, life_of, make_list, pem_of
from angos_trio.pki.recording import server_command, standing_server
from angos_trio.records import Frozen, Mutable, field


def mended_by(directory: PkiDirectory) -> str:
    """What is to be said of a file that `opened` sees to."""
    return f"the next pki command, such as {directory.command('crl')}, puts it right"


class Authority(Mutable):
    """What is needed to issue. `remarks` are for the operator, a sentence each."""

    directory: PkiDirectory
    issuing: Signer
    root: x509.Certificate
    journal: Journal
    remarks: list[str] = field(default_factory=list)


@contextmanager
def opened(directory: PkiDirectory, now: int) -> Iterator[Authority]:
    """Alone in the directory, with all that was cut off before carried out or dropped.

    Raises OperatorError, also for what the system refuses in the block.
    """
    require_authority(directory)
    with alone_in(directory):
        remarks = mend(directory)
        authority = _load(directory, remarks)
        require_clock(now, authority.issuing)
        settle(authority)
        _take_over_server(authority, now)
        _take_over_list(authority)
        _settle_list(authority, now)
        yield authority


def require_clock(now: int, issuing: Signer | None = None) -> None:
    """Refuse a clock that was never set: what is made by it is expired, or not valid yet, for
    everybody else. Raises OperatorError."""
    cure = "set it (timedatectl set-time, or NTP) and try again"
    if now < CLOCK_LEAST:
        raise OperatorError(
            f"the clock of this host says {iso(now)}, which is before this program was made: {cure}"
        )
    if issuing is None:
        return
    begin = int(issuing.certificate.not_valid_before_utc.timestamp())
    if now < begin:
        raise OperatorError(
            f"the clock of this host says {iso(now)}, and the authority begins at {iso(begin)} "
            f"only: {cure}"
        )


def require_alive(authority: Authority, now: int) -> None:
    """Raises OperatorError when the issuing authority has ended."""
    if now >= authority.issuing.not_after:
        raise OperatorError(
            f"the issuing authority ended at {iso(authority.issuing.not_after)}, so that nobody "
            f"would take what it issues: {authority.directory.command('renew', ISSUING)}"
        )


def only_certificate(path: Path) -> x509.Certificate:
    """The first certificate of a file. Raises OperatorError and OSError."""
    try:
        return read_bundle(path.read_bytes())[0]
    except CertificateError as error:
        raise OperatorError(f"{path}: no certificate in PEM, or damaged: {error}") from None


def _load(directory: PkiDirectory, remarks: list[str]) -> Authority:
    for path in (directory.issuing_key, directory.ca):
        if not path.exists():
            raise OperatorError(f"{path} is missing: bring it back from a backup")
    certificate = only_certificate(directory.issuing)
    key = load_key(directory.issuing_key, directory.issuing_key.read_bytes())
    if not fits(key, certificate):
        raise OperatorError(
            f"{directory.issuing_key} is not the key of {directory.issuing}: bring both back from "
            "the same backup"
        )
    root = only_certificate(directory.ca)
    return Authority(directory, Signer(certificate, key), root, read_journal(directory), remarks)


def settle(authority: Authority) -> None:
    """Bring the files that follow from the authority's certificates in line. One that the system
    does not let be replaced is a remark: what else a command is for must not wait for it."""
    for step in (_settle_bundle, _settle_server):
        try:
            step(authority)
        except OSError as error:
            authority.remarks.append(f"{words_of(error)}; until then it is left as it is")


def _settle_server(authority: Authority) -> None:
    directory, issuing = authority.directory, authority.issuing.certificate
    if not directory.server.exists() or next_of(directory.server).exists():
        return  # what waits for its place would be lost
    content = directory.server.read_bytes()
    try:
        leaf = read_bundle(content)[0]
    except CertificateError as error:
        # Its cure, and a revocation, must not wait for it.
        command = server_command(directory, authority.journal.latest().get(SERVER))
        authority.remarks.append(
            f"{directory.server} is damaged ({error}): give the server another with {command}"
        )
        return
    chain = pem_of(leaf, issuing)
    if leaf.issuer == issuing.subject and content != chain:
        files.replace(directory.server, chain, PUBLIC_MODE)


def _settle_bundle(authority: Authority) -> None:
    """Put ours before the authorities that the operator has added. These are not dropped when one
    cannot be read."""
    path, ours = authority.directory.clients_ca, [authority.issuing.certificate, authority.root]
    content = path.read_bytes() if path.exists() else b""
    try:
        found = read_bundle(content) if content else []
    except CertificateError as error:
        told = f"{path} is damaged ({error}): put the authorities that were added there in again"
        if not all(pem_of(each) in content for each in ours):
            raise OperatorError(f"{told}, or remove it, and it is made anew without them") from None
        authority.remarks.append(f"{told}; until then it is left as it is")
        return
    marks = set(map(key_mark, ours))
    wanted = pem_of(*ours, *(each for each in found if key_mark(each) not in marks))
    if content != wanted:
        files.replace(path, wanted, PUBLIC_MODE)


def _take_over_server(authority: Authority, now: int) -> None:
    """Tell the journal of the server's certificate if it has lost it: or it would end unseen."""
    directory, journal = authority.directory, authority.journal
    standing = standing_server(directory, journal)
    if standing is None or journal.with_serial(standing.serial) is not None:
        return
    tell(directory, issued_line(standing, now))
    authority.journal = read_journal(directory)
    authority.remarks.append(
        f"{directory.journal} did not tell of {directory.server}, and does now: {standing.serial}"
    )


def _take_over_list(authority: Authority) -> None:
    """Tell the journal what only the list knows: a journal that was brought back from an older
    backup lets nobody in again who is revoked."""
    directory, standing = authority.directory, standing_list(authority.directory)
    known = authority.journal.revoked
    unknown = [] if standing is None else [it for it in standing.revoked if it.serial not in known]
    if not unknown:
        return
    tell(directory, b"".join(map(revoked_line, unknown)))
    authority.journal = read_journal(directory)
    authority.remarks.append(
        f"{directory.journal} did not tell of what is revoked in {directory.crl}, and does now: "
        + ", ".join(each.serial for each in unknown)
    )


def _settle_list(authority: Authority, now: int) -> None:
    """Make the revocation list anew when it is not the one that the journal tells of."""
    if is_list_wrong(authority.directory, authority.journal, now):
        write_list(authority, now, authority.journal.listed.days)
        authority.remarks.append(
            f"{authority.directory.crl} was not what the journal says, and is made anew"
        )


def is_list_wrong(directory: PkiDirectory, journal: Journal, now: int) -> bool:
    """Whether there is no list of ours, or it lacks what was revoked, or it is not the last one,
    which never reached the disk. Raises OSError and OperatorError."""
    standing = standing_list(directory)
    if standing is None or standing.number != journal.listed.number:
        return True
    wanted = {serial_text(each.serial) for each in _revoked(journal, now)}
    return bool(wanted - standing.serials)


class StandingList(Frozen):
    """The revocation list that is in its place."""

    number: int
    revoked: tuple[Revocation, ...]

    @property
    def serials(self) -> set[str]:
        """The serial numbers on it."""
        return {each.serial for each in self.revoked}


def standing_list(directory: PkiDirectory) -> StandingList | None:
    """What is in the place of the list; None when it cannot be read, or its signature is not that
    of the issuing authority. Raises OSError and OperatorError."""
    key = only_certificate(directory.issuing).public_key()
    try:
        with reading():
            parsed = x509.load_pem_x509_crl(directory.crl.read_bytes())
            if not parsed.is_signature_valid(key):  # type: ignore[arg-type]
                return None
            number = value_of(parsed, x509.CRLNumber)
            revoked = tuple(map(_revocation, parsed))
            return None if number is None else StandingList(number.crl_number, revoked)
    except (FileNotFoundError, CertificateError):
        return None


def _revocation(entry: x509.RevokedCertificate) -> Revocation:
    reason, at = value_of(entry, x509.CRLReason), int(entry.revocation_date_utc.timestamp())
    spelled = None if reason is None else reason.reason.value
    return Revocation(serial_text(entry.serial_number), at, spelled)


def write_list(authority: Authority, now: int, days: int) -> bytes:
    """Make the revocation list anew and put it in its place. Raises OSError and OperatorError."""
    if not 1 <= days <= LIST_DAYS_MAX:
        raise OperatorError(f"--days: from 1 to {LIST_DAYS_MAX}, and not {days}")
    journal, standing = authority.journal, standing_list(authority.directory)
    life = life_of(now, days)
    # A journal from a backup counts from an older one on, and no number is given twice.
    last = max(journal.listed.number, 0 if standing is None else standing.number)
    listed = Listed(last + 1, life.not_after, days)
    content = make_list(_revoked(journal, now), life, listed.number, authority.issuing)
    tell(authority.directory, listed_line(listed, now))
    files.replace(authority.directory.crl, content, PUBLIC_MODE)
    authority.journal = read_journal(authority.directory)
    return content


def _revoked(journal: Journal, now: int) -> list[Revoked]:
    """What is on a list: all that is revoked and did not end long ago."""
    ends = {record.serial: record.not_after for record in journal.records}
    return [
        Revoked(int(each.serial, 16), each.at, each.reason)
        for each in journal.revoked.values()
        if ends.get(each.serial, now) + REVOKED_KEPT_SECS >= now
    ]
