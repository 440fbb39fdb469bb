"""Values as people read them: sizes, times, digests, and text that nobody vouches for. Pure."""

from __future__ import annotations

import colorsys
import unicodedata
from datetime import UTC, datetime
from typing import Final

from angos_trio.records import Frozen

TEXT_CHARACTERS_MAX: Final = 200
"""Of what others wrote; the rest is left out, with a mark."""
_UNITS: Final = ("kB", "MB", "GB", "TB", "PB", "EB")
_HIDDEN: Final = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
"""Kinds of characters that show nothing, or change how others are shown (bidirectional marks)."""
_STEPS: Final = (
    (60, 1, "second"),
    (3600, 60, "minute"),
    (86_400, 3600, "hour"),
    (30 * 86_400, 86_400, "day"),
    (365 * 86_400, 30 * 86_400, "month"),
)
_YEAR_SECS: Final = 365 * 86_400
_ANONYMOUS: Final = "anonymous"


def size(count: int) -> str:
    """Bytes with three digits and a decimal unit, as docker writes them."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in _UNITS:
        value /= 1000
        if value < 999.5 or unit == _UNITS[-1]:
            break
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"


def number(count: int) -> str:
    """A count with its thousands apart."""
    return f"{count:,}"


def counted(count: int, one: str, many: str = "") -> str:
    """A count with its noun."""
    return f"{number(count)} {one if count == 1 else many or f'{one}s'}"


class Moment(Frozen):
    """A time for a program, for who wants to know it exactly, and for who reads."""

    machine: str
    exact: str
    text: str


class Now(int):
    """The time of a page in epoch seconds. `until` is the first second at which something that the
    page says of times would be said otherwise."""

    until: int = 2**40

    def note(self, at: int) -> None:
        """Something is said of this time."""
        self.until = min(self.until, at + _next_step(self - at))


def _next_step(secs: int) -> int:
    """After how many seconds another text stands for what is so many seconds ago now."""
    if secs < -60:
        return -60
    if secs < 5:
        return 5
    for below, unit_secs, _ in _STEPS:
        if secs < below:
            return min(below, (secs // unit_secs + 1) * unit_secs)
    return (secs // _YEAR_SECS + 1) * _YEAR_SECS


def moment(at: int | None, now: int) -> Moment | None:
    """A time in epoch seconds; None where it is not known, or is none that has a date."""
    if at is None:
        return None
    if isinstance(now, Now):
        now.note(at)
    try:
        when = datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return Moment(f"{when:%Y-%m-%dT%H:%M:%SZ}", f"{when:%Y-%m-%d %H:%M:%S} UTC", _ago(now - at))


def _ago(secs: int) -> str:
    if secs < -60:
        return "in the future"
    if secs < 5:
        return "just now"
    for below, unit_secs, unit in _STEPS:
        if secs < below:
            return f"{counted(secs // unit_secs, unit)} ago"
    return f"{counted(secs // _YEAR_SECS, 'year')} ago"


def visible(text: str, longest: int = TEXT_CHARACTERS_MAX) -> str:
    """Text of others on one line: what cannot be seen is spelled out, what is long is cut.

    `\\u202e` and its like would turn the words around them about.
    """
    if text.isascii() and text.isprintable() and len(text) <= longest:
        return text
    shown = "".join(
        _spelled(character) if unicodedata.category(character) in _HIDDEN else character
        for character in text[: longest + 1]
    )
    return shown if len(shown) <= longest else f"{shown[:longest]}…"


def spelled_lines(text: str) -> str:
    """Text of several lines, with what cannot be seen spelled out, the ends of lines excepted."""
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(
        _spelled(character)
        if character != "\n" and unicodedata.category(character) in _HIDDEN
        else character
        for character in text
    )


def _spelled(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def person(owner: str) -> str:
    """Who did something, by `method:provider:subject`."""
    method, _, rest = owner.partition(":")
    subject = rest.partition(":")[2]
    return visible(subject or method or _ANONYMOUS, 80)


def short(digest: str) -> str:
    """The twelve digits that people know a digest by."""
    return digest.partition(":")[2][:12]


def fingerprint(digest: str) -> list[str]:
    """The colours of six strokes by the first six bytes, so that equal digests look equal."""
    return [_COLOURS[byte] for byte in bytes.fromhex(short(digest))]


def _colour(byte: int) -> str:
    """One of 256 colours in three digits, neither too light nor too dark for any theme."""
    lightness = 0.42 + byte % 5 * 0.06
    rgb = colorsys.hls_to_rgb(byte / 256, lightness, 0.45 + byte % 4 * 0.12)
    return "#" + "".join(f"{round(part * 15):x}" for part in rgb)


_COLOURS: Final = tuple(_colour(byte) for byte in range(256))


def platforms_of(platforms: tuple[str, ...], longest: int = 3) -> tuple[list[str], list[str]]:
    """The first platforms, and the others; without `linux/` where all are of Linux."""
    is_all_linux = all(platform.startswith("linux/") for platform in platforms)
    names = [visible(p.removeprefix("linux/") if is_all_linux else p, 40) for p in platforms]
    return names[:longest], names[longest:]


def ratio(value: float) -> str:
    """How many times one thing is another, with two digits at least."""
    return f"{value:.2f}×" if value < 10 else f"{value:,.0f}×"


def span(secs: int) -> str:
    """A length of time in its largest unit that is whole enough: `3 days`, `90 minutes`."""
    for unit_secs, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if secs >= 2 * unit_secs or (secs >= unit_secs and secs % unit_secs == 0):
            return counted(secs // unit_secs, unit)
    return counted(secs, "second")
