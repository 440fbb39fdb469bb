"""Where a page begins in an order by a number: that and the name of the last row before it."""

from __future__ import annotations

from angos_trio.oci.codes import Code, OciError

_LARGEST = 2**63 - 1
"""Of a number that a row holds."""


def cursor_of(number: object, name: str) -> str:
    """As an address holds it."""
    return f"{number}:{name}"


def parse_cursor(text: str) -> tuple[int, str]:
    """Raises PAGINATION_NUMBER_INVALID (400) for what is none."""
    number, colon, name = text.partition(":")
    if not colon or not number.isascii() or not number.isdigit() or len(number) > 19:
        raise OciError(
            Code.PAGINATION_NUMBER_INVALID, message="after is of another order", detail=text
        )
    return min(int(number), _LARGEST), name
