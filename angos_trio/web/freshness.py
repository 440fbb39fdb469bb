"""Whether a page that a browser has is still what would be sent.

A page says how long ago something was, so it is not the same for ever, though nothing changes: its
entity tag names the second up to which all it says of times is true, and counts no longer.
"""

from __future__ import annotations

from typing import Final

from angos_trio.oci.conditional import weak_tag
from angos_trio.web.words import Now

LONGEST_SECS: Final = 300
"""A page is made anew after this in any case: its script goes on from the time that it names."""
_SECOND_DIGITS_MAX: Final = 12


def tag_of(mark: str, now: Now) -> str:
    """The entity tag of a page that was made at this time from what the mark stands for."""
    until = min(now.until, now + LONGEST_SECS)
    return f'{_stem(mark)}.{until}"'


def current_tag(if_none_match: str | None, mark: str, now: int) -> str | None:
    """The tag among those that a browser names which is of the same page and still counts."""
    for text in (if_none_match or "").split(","):
        tag = text.strip()
        stem, _, until = tag.rstrip('"').rpartition(".")
        is_second = until.isascii() and until.isdigit() and len(until) <= _SECOND_DIGITS_MAX
        if stem == _stem(mark) and is_second and now < int(until):
            return tag
    return None


def _stem(mark: str) -> str:
    return weak_tag(mark).rstrip('"')
