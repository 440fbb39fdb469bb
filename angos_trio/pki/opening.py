"""An authority, opened to work with it: alone, mended, and with a clock that can be believed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptography import x509

from angos_trio.clock import iso
from angos_trio.errors import OperatorError
from angos_trio.limits.certificates import CLOCK_LEAST, LIST_DAYS_MAX, REVOKED_KEPT_SECS
from angos_trio.pki import files
from angos_trio.pki.certificates import CertificateError, key_mark, read_bundle, reading
from angos_trio.pki.files import PUBLIC_MODE
from angos_trio.pki.journal import Journal, Listed, listed_line
from angos_trio.pki.keeping import (
    PkiDirectory,
    alone_in,
    mend,
    read_journal,
    require_authority,
    tell,
)
from angos_trio.pki.keys import fits, load_key
from angos_trio.pki.profiles import Revoked, Signer, life_of, make_list, pem_of
from angos_trio.records import Mutable, field

MENDED: Final = "the next pki command, such as angos-trio pki crl, puts it right"
"""What is to be said of a file that `opened` sees to."""


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
            "would take what it issues: angos-trio pki renew issuing"
        )


def only_certificate(path: Path) -> x509.Certificate:
    """The first certificate of a file. Raises OperatorError and OSError."""
    try:
        return read_bundle(path.read_bytes())[0]
    except CertificateError as error:
        raise OperatorError(f"{path}: no certificate in PEM, or damaged: {error}") from None


def _load(directory: PkiDirectory, remarks: list[str]) -> Authority:
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
    """Bring the files that follow from the authority's certificates in line. Raises OSError."""
    directory, issuing = authority.directory, authority.issuing.certificate
    ours = [issuing, authority.root]
    wanted = pem_of(*ours, *_others(directory.clients_ca, ours))
    if not directory.clients_ca.exists() or directory.clients_ca.read_bytes() != wanted:
        files.replace(directory.clients_ca, wanted, PUBLIC_MODE)
    if not directory.server.exists():
        return
    leaf = only_certificate(directory.server)
    chain = pem_of(leaf, issuing)
    if leaf.issuer == issuing.subject and directory.server.read_bytes() != chain:
        files.replace(directory.server, chain, PUBLIC_MODE)


def _others(path: Path, ours: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Authorities that the operator has added to a file of ours."""
    marks = set(map(key_mark, ours))
    try:
        found = read_bundle(path.read_bytes())
    except (FileNotFoundError, CertificateError):
        return []
    return [each for each in found if key_mark(each) not in marks]


def _settle_list(authority: Authority, now: int) -> None:
    """Make the revocation list anew when it is not there, or lacks what the journal tells of."""
    if lacks_revoked(authority.directory, authority.journal, now):
        write_list(authority, now, authority.journal.listed.days)
        authority.remarks.append(
            f"{authority.directory.crl} was not what the journal says, and is made anew"
        )


def lacks_revoked(directory: PkiDirectory, journal: Journal, now: int) -> bool:
    """Whether there is no list that can be read, or it lacks what was revoked. Raises OSError."""
    listed = listed_serials(directory)
    wanted = {each.serial for each in _revoked(journal, now)}
    return listed is None or bool(wanted - listed)


def listed_serials(directory: PkiDirectory) -> set[int] | None:
    """The serial numbers on the list; None when there is none that can be read. Raises OSError."""
    try:
        with reading():
            parsed = x509.load_pem_x509_crl(directory.crl.read_bytes())
            return {each.serial_number for each in parsed}
    except (FileNotFoundError, CertificateError):
        return None


def write_list(authority: Authority, now: int, days: int) -> bytes:
    """Make the revocation list anew and put it in its place. Raises OSError and OperatorError."""
    if not 1 <= days <= LIST_DAYS_MAX:
        raise OperatorError(f"--days: from 1 to {LIST_DAYS_MAX}, and not {days}")
    journal = authority.journal
    life = life_of(now, days)
    listed = Listed(journal.listed.number + 1, life.not_after, days)
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
