"""Byte ranges in both directions.

Reading: `Range` of RFC 9110 section 14. Uploading: the `Content-Range` and `Range` that the
distribution specification writes as `<start>-<end>`, both ends included, without a unit.
"""

from __future__ import annotations

import re

from angos_trio.oci.codes import Code, OciError
from angos_trio.records import Frozen

# RFC 9110 14.1.1: int-range = first-pos "-" [ last-pos ]; suffix-range = "-" suffix-length.
# The unit is case-insensitive (14.1); 20 digits hold every number that a client's integer can.
_READ = re.compile(
    r"bytes=[ \t]*(?:([0-9]{1,20})-([0-9]{1,20})?|-([0-9]{1,20}))[ \t]*",
    re.ASCII | re.IGNORECASE,
)
_UPLOAD = re.compile(r"(?:bytes[ =])?([0-9]{1,19})-([0-9]{1,19})(?:/(?:\*|[0-9]{1,19}))?", re.ASCII)
_LENGTH = re.compile(r"[0-9]{1,19}", re.ASCII)


class ByteRange(Frozen):
    """`length` bytes from `offset` on."""

    offset: int
    length: int

    def content_range(self, size: int) -> str:
        """The `Content-Range` of a 206 about content of `size` bytes."""
        return f"bytes {self.offset}-{self.offset + self.length - 1}/{size}"


def resolve_range(header: str | None, size: int) -> ByteRange | None:
    """The part of `size` bytes that a `Range` header asks for; None means all of it.

    Another unit, several ranges and other syntax are ignored. A last position past the end is
    clamped. Raises OciError SIZE_INVALID (416) with `Content-Range` for what cannot be satisfied,
    an inverted range among it. An empty blob has no range and is sent whole.
    """
    match = _READ.fullmatch(header) if header is not None else None
    if match is None or size == 0:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        length = min(int(suffix), size)
        start, end = size - length, size - 1
    else:
        start, end = int(first), size - 1 if last is None else min(int(last), size - 1)
    if start > end:
        raise OciError(
            Code.SIZE_INVALID,
            status=416,
            message="range not satisfiable",
            detail=header,
            headers={"Content-Range": f"bytes */{size}"},
        )
    return ByteRange(start, end - start + 1)


def parse_content_range(header: str) -> ByteRange:
    """The window that an upload's `Content-Range` announces, else BLOB_UPLOAD_INVALID (416)."""
    match = _UPLOAD.fullmatch(header.strip())
    if match is None or int(match[2]) < int(match[1]):
        raise OciError(
            Code.BLOB_UPLOAD_INVALID,
            status=416,
            message="Content-Range must be <first>-<last>",
            detail=header,
        )
    first, last = int(match[1]), int(match[2])
    return ByteRange(first, last - first + 1)


def parse_content_length(header: str | None) -> int | None:
    """A `Content-Length`; None when there is none. Raises SIZE_INVALID (400)."""
    if header is None:
        return None
    if _LENGTH.fullmatch(header) is None:
        raise OciError(Code.SIZE_INVALID, message="Content-Length is no number", detail=header)
    return int(header)


def upload_range(offset: int) -> str:
    """The `Range` of a session that holds `offset` bytes; empty and one byte both read `0-0`.

    The specification has no spelling for an empty session; `0-0` is what clients know.
    """
    return f"0-{max(offset - 1, 0)}"
