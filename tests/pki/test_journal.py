"""The journal of an authority: read as it was written, and never misread."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.pki.journal import (
    Journal,
    JournalError,
    Listed,
    Record,
    Revocation,
    issued_line,
    listed_line,
    parse_journal,
    revoked_line,
    states,
)
from angos_trio.records import replace

RECORD = Record("client", "alice", "ab12", 0, 900, 90, ("URI:registry://client/alice",), ("team",))
RENEWED = replace(RECORD, serial="cd34", not_before=600, not_after=1500, replaces="ab12")
SERVER = Record("server", "registry.lab", "ef56", 0, 900, 397, ("DNS:registry.lab",))


def test_servers_are_told_apart_by_where_their_keys_are() -> None:
    other = replace(SERVER, name="other.lab", serial="ff00", has_key=False)
    journal = Journal((RECORD, SERVER, other))

    assert journal.of("server") == [SERVER]
    assert journal.of("other.lab") == [other]
    assert journal.of("registry.lab") == []
    namesake = replace(RECORD, name="other.lab")
    assert replace(journal, records=(*journal.records, namesake)).of("other.lab") == [namesake]


def test_what_was_written_is_read() -> None:
    lines = [
        issued_line(RECORD, 5),
        issued_line(SERVER, 6),
        issued_line(RENEWED, 7),
        revoked_line(Revocation("ab12", 8, "superseded")),
        listed_line(Listed(3, 77, 9), 9),
    ]
    journal = parse_journal(b"".join(lines))

    assert journal == Journal(
        (RECORD, SERVER, RENEWED),
        {"ab12": Revocation("ab12", 8, "superseded")},
        Listed(3, 77, 9),
        len(b"".join(lines)),
    )
    assert journal.of("alice") == [RECORD, RENEWED]
    assert journal.of("server") == [SERVER]
    assert journal.of("client") == []
    assert journal.latest() == {"alice": RENEWED, "server": SERVER}
    assert [b'"event": "issued"' in line for line in lines[:3]] == [True, True, False]


def test_last_line_that_was_cut_off_tells_of_nothing() -> None:
    whole = issued_line(RECORD, 5)
    line = issued_line(RENEWED, 7)
    for size in range(len(line)):
        journal = parse_journal(whole + line[:size])
        assert (journal.records, journal.whole_bytes) == ((RECORD,), len(whole))


@pytest.mark.parametrize(
    ("line", "part"),
    [
        (b"nonsense", "line 2 is damaged: b'nonsense'"),
        (b"", "line 2 is damaged"),
        (b"[]", "line 2 is damaged"),
        (b"{}", "line 2 is damaged"),
        (b'{"event": "revoked", "at": 5}', "line 2 is damaged"),
        (b'{"event": "revoked", "at": "x", "serial": "ab"}', "line 2 is damaged"),
        (b'{"event": "revoked", "at": 5, "serial": "no"}', "line 2 is damaged"),
        (b'{"event": "issued", "at": 5, "kind": "client"}', "line 2 is damaged"),
        (b'{"event": "forgotten", "at": 5}', "line 2 tells of something unknown: 'forgotten'"),
        (b"\x00" * 40, "line 2 is damaged"),
        (b"[" * 100_000, "line 2 is damaged"),
    ],
)
def test_line_that_is_damaged_is_named(line: bytes, part: str) -> None:
    with pytest.raises(JournalError) as damaged:
        parse_journal(issued_line(RECORD, 5) + line + b"\n" + issued_line(RENEWED, 5))
    assert part in str(damaged.value)
    assert str(damaged.value).isprintable()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_journal_or_damaged(content: bytes) -> None:
    with contextlib.suppress(JournalError):
        parse_journal(content + b"\n")
    said = b'{"event": "issued", "at": 1, ' + content + b"}\n"
    with contextlib.suppress(JournalError):
        parse_journal(said)


def test_what_a_certificate_is_worth() -> None:
    other = replace(SERVER, serial="aa", name="other.lab", has_key=False)
    journal = Journal((RECORD, RENEWED, SERVER, other), {"cd34": Revocation("cd34", 8)})

    def worth(now: int) -> dict[str, str]:
        return {record.serial: state for record, state in states(journal, now)}

    assert worth(500) == {"ab12": "replaced", "cd34": "revoked", "ef56": "good", "aa": "good"}
    assert worth(600)["ef56"] == "due"
    assert worth(901)["ab12"] == "expired"
