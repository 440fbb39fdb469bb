"""Pages of a list (distribution specification, "Listing Tags"): `n`, `last` and `Link`.

`last` is any text and compares byte-wise; a page begins strictly after it.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlencode

from angos_trio.oci.codes import Code, OciError
from angos_trio.records import Frozen

_NUMBER_MAX = 2**63 - 1
# 20 digits hold every number that a client's integer can.
_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)


class Page(Frozen):
    """`size` entries, strictly after `last`."""

    size: int
    last: str


def parse_page(number: str | None, last: str | None, default: int, ceiling: int) -> Page:
    """The page that a query asks for. An absent or empty `n` is the default, a large one clamped.

    Raises OciError PAGINATION_NUMBER_INVALID (400).
    """
    if not number:
        return Page(default, last or "")
    return Page(min(parse_number(number), ceiling), last or "")


def parse_number(text: str) -> int:
    """A number of a query, or the largest that SQLite knows where it is larger.

    Raises OciError PAGINATION_NUMBER_INVALID (400).
    """
    if _NUMBER.fullmatch(text) is None:
        raise OciError(Code.PAGINATION_NUMBER_INVALID, detail=text)
    return min(int(text), _NUMBER_MAX)


def cut(entries: list[str], page: Page) -> tuple[list[str], bool]:
    """Entries read with one more than the page's size: the page, and whether another follows."""
    return entries[: page.size], 0 < page.size < len(entries)


def next_link(path: str, parameters: dict[str, str]) -> str:
    """The `Link` to the page described by the parameters (RFC 8288); the URL is relative."""
    query = urlencode(parameters, quote_via=quote, safe="")
    return f'<{quote(path)}?{query}>; rel="next"'
