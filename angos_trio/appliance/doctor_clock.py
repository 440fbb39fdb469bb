"""The clock: certificates, leases and keys end by it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from angos_trio.appliance.doctor import Finding, bad, note, ok, warn
from angos_trio.clock import DAY_SECS, RELEASED_AT, iso, wall_seconds
from angos_trio.limits.appliance import CLOCK_BEHIND_SECS, LOOKED_AT_MAX
from angos_trio.records import Frozen
from angos_trio.storage.probing import newest_change

_TIME_ERROR: Final = 5
_TIMEX_BYTES: Final = 1024
"""More than the structure of any machine has."""
SET_IT: Final = (
    "set it (timedatectl set-time 'YYYY-MM-DD HH:MM:SS'), or give the host a server of time "
    "(chrony, systemd-timesyncd)"
)


class Clock(Frozen):
    """`now` and `newest` in epoch seconds; None where nobody knows. `hidden` says why the data
    directory could not be looked at for what is newest."""

    now: int
    is_synchronised: bool | None
    has_battery: bool
    newest: int | None
    hidden: str | None = None


def is_synchronised() -> bool | None:
    """Whether the kernel says that something keeps its clock right (adjtimex(2)); None where it
    says nothing."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def this_clock(data: Path) -> Clock:
    """The host's, beside what is in a data directory."""
    newest, hidden = None, None
    try:
        newest = newest_change(data, LOOKED_AT_MAX)
    except OSError as error:
        hidden = f"{error.filename}: {error.strerror}"
    return Clock(
        now=wall_seconds(),
        is_synchronised=is_synchronised(),
        has_battery=any(Path("/sys/class/rtc").glob("rtc*")),
        newest=None if newest is None else int(newest),
        hidden=hidden,
    )


def judge_clock(clock: Clock) -> Iterator[Finding]:
    """Whether the time can be right, and whether it stays so."""
    now = f"it is {iso(clock.now)}"
    behind_secs = 0 if clock.newest is None else clock.newest - clock.now
    if clock.now < RELEASED_AT:
        yield bad(f"{now}, and this version was made on {iso(RELEASED_AT)}", SET_IT)
    elif behind_secs > CLOCK_BEHIND_SECS:
        tell = bad if behind_secs > DAY_SECS else warn
        assert clock.newest is not None
        yield tell(
            f"{now}, and the data directory was written to at {iso(clock.newest)}: the clock is "
            "behind, or was ahead then",
            SET_IT,
        )
    elif clock.hidden is not None:
        yield note(
            f"{now}; whether that is behind the last write cannot be seen: {clock.hidden}",
            "ask again as root",
        )
    else:
        yield ok(now)
    yield from _judge_keeping(clock)


def _judge_keeping(clock: Clock) -> Iterator[Finding]:
    if clock.is_synchronised:
        yield ok("the kernel says that its clock is kept right by a server of time")
    elif not clock.has_battery:
        yield warn(
            "no clock with a battery is seen (/sys/class/rtc), and none of a server of time: after "
            "a power cut the time is wrong until somebody sets it",
            SET_IT,
        )
    elif clock.is_synchronised is None:
        yield note("the kernel does not say whether a server of time keeps its clock right")
    else:
        yield note(
            "no server of time keeps the clock right; it drifts by seconds a week", "look at times"
        )
