"""Revoking: an entry in the journal, and a new revocation list, which a registry follows."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from cryptography import x509

from angos_trio.clock import iso
from angos_trio.errors import OperatorError
from angos_trio.limits.certificates import REVOCATION_REASONS
from angos_trio.pki.journal import Journal, Record, Revocation, revoked_line
from angos_trio.pki.keeping import PkiDirectory, read_journal, tell
from angos_trio.pki.opening import Authority, opened, write_list
from angos_trio.records import Frozen

_SERIAL: Final = re.compile(r"[0-9a-fA-F]{2}(:?[0-9a-fA-F]{2}){3,19}|[0-9a-fA-F]{8,40}")
_OURS_BITS: Final = range(125, 160)
"""Ours are random numbers of 159 bits; what is shorter is rather a name that nobody has."""


class Ended(Frozen):
    """What `revoke` did. `others` of that name are still good. `unknown` is a serial number of
    which the journal does not tell, since it lost the line, and which is revoked all the same."""

    revoked: tuple[Record, ...]
    others: tuple[Record, ...]
    remarks: tuple[str, ...]
    unknown: str | None = None


def revoke(
    directory: PkiDirectory, what: str, reason: str, now: int, *, takes_all: bool = False
) -> Ended:
    """Revoke the newest certificate of a name, with `takes_all` each that is good, or the one of a
    serial number; `reason` is a word of `REVOCATION_REASONS`. Raises OperatorError."""
    with opened(directory, now) as authority:
        chosen, alike = choose(authority, what, now, takes_all=takes_all)
        unknown = None if chosen else _serial(what)
        serials = [record.serial for record in chosen] if unknown is None else [unknown]
        lines = [
            revoked_line(Revocation(each, now, REVOCATION_REASONS[reason])) for each in serials
        ]
        tell(directory, b"".join(lines))
        authority.journal = read_journal(directory)
        try:
            write_list(authority, now, authority.journal.listed.days)
        except OSError as error:
            raise OperatorError(
                f"{directory.crl} still lets them in: they are revoked in {directory.journal}, and "
                f"the list cannot be made anew ({error.strerror or error}): see to that, and make "
                f"it with {directory.command('crl')}"
            ) from error
        others = tuple(each for each in alike if each not in chosen)
        return Ended(tuple(chosen), others, tuple(authority.remarks), unknown)


def choose(
    authority: Authority, what: str, now: int, *, takes_all: bool
) -> tuple[Sequence[Record], Sequence[Record]]:
    """Which certificates are meant, and all of that name that are good; none for a serial number
    of which the journal does not tell. Raises OperatorError."""
    journal = authority.journal
    named = journal.of(unicodedata.normalize("NFC", what))
    if not named:
        return _by_serial(journal, what, authority.directory.command("list"))
    good = [each for each in named if each.serial not in journal.revoked and each.not_after >= now]
    if good:
        return good if takes_all else good[-1:], good
    last = named[-1]
    if last.serial in journal.revoked:
        at = iso(journal.revoked[last.serial].at)
        raise OperatorError(f"{what}: its certificate ({last.serial}) was revoked already, on {at}")
    raise OperatorError(
        f"{what}: its certificate ({last.serial}) ended at {iso(last.not_after)}, and counts for "
        "nothing any more"
    )


def _by_serial(
    journal: Journal, what: str, shows: str
) -> tuple[Sequence[Record], Sequence[Record]]:
    if not _SERIAL.fullmatch(what):
        raise OperatorError(
            f"{what!a}: nobody has a certificate under this name: {shows} shows names and serial "
            "numbers"
        )
    serial = _serial(what)
    record = journal.with_serial(serial)
    if serial in journal.revoked:
        at = iso(journal.revoked[serial].at)
        raise OperatorError(f"{what}: this certificate was revoked already, on {at}")
    if record is None:
        if int(serial or "0", 16).bit_length() in _OURS_BITS:
            return [], []
        raise OperatorError(
            f"{what}: no certificate with this serial number was issued here: {shows} shows them "
            "all"
        )
    if record.kind not in ("server", "client"):
        raise OperatorError(
            f"{what}: this is an authority of our own, whose end is the end of all that it issued: "
            "make another one with angos-trio pki init in an empty directory"
        )
    return [record], [record]


def _serial(what: str) -> str:
    """A serial number as the journal spells it."""
    return what.replace(":", "").lower().lstrip("0")


class Made(Frozen):
    """A new revocation list, and how many certificates are on it."""

    content: bytes
    count: int
    next_update: int
    remarks: tuple[str, ...]


def make_list_anew(directory: PkiDirectory, days: int | None, now: int) -> Made:
    """The revocation list with another date, for so many days, or for as many as the last one."""
    with opened(directory, now) as authority:
        wanted = authority.journal.listed.days if days is None else days
        content = write_list(authority, now, wanted)
        count = len(x509.load_pem_x509_crl(content))
        next_update = authority.journal.listed.next_update
        return Made(content, count, next_update, tuple(authority.remarks))
