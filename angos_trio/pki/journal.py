"""What an authority did, line by line: state and audit in one. Pure.

A line is a JSON object, synced before the certificate that it tells of takes its place: so every
certificate that exists is known, and can be revoked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, get_args

from angos_trio.limits.certificates import LIST_DAYS
from angos_trio.pki.naming import SERVER
from angos_trio.records import Frozen, asdict, field

Kind = Literal["root", "issuing", "server", "client"]
_KINDS: Final = get_args(Kind)


class JournalError(Exception):
    """A line that cannot be read; says which and why."""


class Record(Frozen):
    """A certificate that was issued. `serial` is hexadecimal, times are epoch seconds.

    `days` is what was asked for. `has_key`: its key was made here, and not elsewhere for a request.
    `replaces` is the serial number of the one before of that name.
    """

    kind: Kind
    name: str
    serial: str
    not_before: int
    not_after: int
    days: int
    names: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    has_key: bool = True
    replaces: str | None = None

    def is_due(self, now: int) -> bool:
        """Whether two thirds of its life are over; or it begins later than now, since the clock was
        ahead when it was made, and nobody takes it yet."""
        last_third = self.not_after - (self.not_after - self.not_before) // 3
        return now < self.not_before or now >= last_third


class Revocation(Frozen):
    """That a certificate was revoked; `reason` as RFC 5280 spells it, None for none."""

    serial: str
    at: int
    reason: str | None = None


class Listed(Frozen):
    """A revocation list that was made."""

    number: int = 0
    next_update: int = 0
    days: int = LIST_DAYS


class Journal(Frozen):
    """All of it. `whole_bytes` is how far the file is good: what follows was cut off while it was
    written, and tells of nothing that exists."""

    records: tuple[Record, ...] = ()
    revoked: Mapping[str, Revocation] = field(default_factory=dict)
    listed: Listed = field(default_factory=Listed)
    whole_bytes: int = 0

    def of(self, name: str) -> list[Record]:
        """The certificates of a client, or under `server` of the server that has its key here, the
        newest at the end; those of another server by its name, if no client has it."""
        if name == SERVER:
            return [each for each in self.records if each.kind == "server" and each.has_key]
        named = [each for each in self.records if each.name == name]
        clients = [each for each in named if each.kind == "client"]
        return clients or [each for each in named if each.kind == "server" and not each.has_key]

    def latest(self) -> dict[str, Record]:
        """The newest certificate of each client by its name, and under `server` of the server that
        has its key here."""
        found: dict[str, Record] = {}
        for each in self.records:
            if each.kind == "client":
                found[each.name] = each
            elif each.kind == "server" and each.has_key:
                found[SERVER] = each
        return found

    def with_serial(self, serial: str) -> Record | None:
        """The certificate of a serial number."""
        return next((each for each in self.records if each.serial == serial), None)


def issued_line(record: Record, at: int) -> bytes:
    """The line that tells of a new certificate."""
    event = "issued" if record.replaces is None else "renewed"
    return _line(event, at, asdict(record))


def revoked_line(revocation: Revocation) -> bytes:
    """The line that tells of a revocation."""
    said = asdict(revocation)
    return _line("revoked", said.pop("at"), said)


def listed_line(listed: Listed, at: int) -> bytes:
    """The line that tells of a new revocation list."""
    return _line("listed", at, asdict(listed))


def _line(event: str, at: int, said: Mapping[str, Any]) -> bytes:
    return json.dumps({"event": event, "at": at, **said}).encode() + b"\n"


def parse_journal(content: bytes) -> Journal:
    """Read it from its bytes. Raises JournalError for a damaged line, except for a last one that
    has no end: that is what a power cut leaves, and nothing was done by it yet."""
    whole = content[: content.rfind(b"\n") + 1]
    records: list[Record] = []
    revoked: dict[str, Revocation] = {}
    listed = Listed()
    for number, line in enumerate(whole.splitlines(), 1):
        match _read(number, line):
            case Record() as record:
                records.append(record)
            case Revocation() as revocation:
                revoked.setdefault(revocation.serial, revocation)
            case Listed() as listed:
                pass
    return Journal(tuple(records), revoked, listed, len(whole))


def _read(number: int, line: bytes) -> Record | Revocation | Listed:
    try:
        said = json.loads(line)
        event, at = said.pop("event"), said.pop("at")
        _expect(isinstance(at, int))
        if event in ("issued", "renewed"):
            return _record(said)
        if event == "revoked":
            return _revocation(said, at)
        if event == "listed":
            _expect(all(isinstance(value, int) for value in said.values()))
            return Listed(**said)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise JournalError(f"line {number} is damaged: {line[:60]!r}") from None
    raise JournalError(f"line {number} tells of something unknown: {event!a}")


def _record(said: dict[str, Any]) -> Record:
    said["names"], said["groups"] = tuple(said["names"]), tuple(said["groups"])
    record = Record(**said)
    texts = (record.name, *record.names, *record.groups, record.replaces or "")
    numbers = (record.not_before, record.not_after, record.days)
    _expect(record.kind in _KINDS and isinstance(record.has_key, bool))
    _expect(all(isinstance(each, str) for each in texts))
    _expect(all(isinstance(each, int) and abs(each) < 1 << 40 for each in numbers))
    int(record.serial, 16)
    return record


def _revocation(said: dict[str, Any], at: int) -> Revocation:
    revocation = Revocation(at=at, **said)
    int(revocation.serial, 16)
    _expect(revocation.reason is None or isinstance(revocation.reason, str))
    return revocation


def _expect(is_so: bool) -> None:
    if not is_so:
        raise ValueError


def states(journal: Journal, now: int) -> Iterator[tuple[Record, str]]:
    """Each certificate of servers and clients with what it is worth: `revoked`, `expired`,
    `replaced` (there is a newer one of that name, and it is still good), `due` or `good`."""
    latest = {record.serial for record in journal.latest().values()}
    for record in journal.records:
        if record.kind not in ("server", "client"):
            continue
        is_last = record.serial in latest or (record.kind == "server" and not record.has_key)
        if record.serial in journal.revoked:
            state = "revoked"
        elif record.not_after < now:
            state = "expired"
        elif not is_last:
            state = "replaced"
        else:
            state = "due" if record.is_due(now) else "good"
        yield record, state
