"""Digests: `algorithm ":" hex` (image specification, descriptor.md, section "Digests").

sha256 and sha512 are the registered algorithms; both are accepted everywhere, in lower case only.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from angos_trio.oci.codes import Code, OciError

if TYPE_CHECKING:
    from hashlib import _Hash

HEX_LENGTH: Final = {"sha256": 64, "sha512": 128}
ALGORITHMS: Final = tuple(HEX_LENGTH)

# digest              ::= algorithm ":" encoded
# algorithm           ::= algorithm-component (algorithm-separator algorithm-component)*
# algorithm-component ::= [a-z0-9]+
# algorithm-separator ::= [+._-]
# encoded             ::= [a-zA-Z0-9=_-]+
_GRAMMAR = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+", re.ASCII)
_SUPPORTED = re.compile(r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}", re.ASCII)
_TEXT_MAX = 256


class Digest(str):
    """A well-formed digest of an algorithm that we support; it can only be made from such a text.

    Raises OciError: DIGEST_INVALID (400) when the text is no digest, UNSUPPORTED (415) when it is
    one of an algorithm that is not ours.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Digest:
        if _SUPPORTED.fullmatch(text) is None:
            raise _refusal(text)
        return super().__new__(cls, text)

    @property
    def algorithm(self) -> str:
        """`sha256` or `sha512`."""
        return self[:6]

    @property
    def hex(self) -> str:
        """The encoded part."""
        return self[7:]


def _refusal(text: str) -> OciError:
    if len(text) <= _TEXT_MAX and _GRAMMAR.fullmatch(text) is not None:
        algorithm = text.partition(":")[0]
        if algorithm not in HEX_LENGTH:
            return OciError(
                Code.UNSUPPORTED,
                status=415,
                message="digest algorithm unsupported; sha256 and sha512 are",
                detail=text,
            )
    return OciError(Code.DIGEST_INVALID, detail=text)


def parse_algorithm(text: str) -> str:
    """A supported algorithm's name (query `digest-algorithm`), else OciError as for a digest."""
    if text in HEX_LENGTH:
        return text
    raise OciError(
        Code.UNSUPPORTED,
        status=415,
        message="digest algorithm unsupported; sha256 and sha512 are",
        detail=text,
    )


def new_hash(algorithm: str) -> _Hash:
    """A fresh hash object of a supported algorithm."""
    return hashlib.new(algorithm, usedforsecurity=False)


def digest_of(content: bytes, algorithm: str = "sha256") -> Digest:
    """The digest of content that is at hand."""
    hasher = new_hash(algorithm)
    hasher.update(content)
    return Digest(f"{algorithm}:{hasher.hexdigest()}")
