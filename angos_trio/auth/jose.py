"""Signed tokens in their compact form (RFC 7515 7.1), taken apart; nothing here is verified.

Of a header only `alg`, `kid` and `typ` are ever looked at. Keys that a token brings along, or says
where to find (`jwk`, `jku`, `x5c`, `x5u`), are not.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from angos_trio.limits.callers import TOKEN_CHARACTERS_MAX, TOKEN_HEADER_CHARACTERS_MAX
from angos_trio.records import Frozen

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)", re.ASCII)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_TIME_MAX: Final = 2.0**53


class TokenRefusedError(Exception):
    """A token that does not count. `reason` goes on after "the token" and is for the audit log: it
    has nothing of the token."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class WrongSignatureError(TokenRefusedError):
    """The token was never given to anybody by whom it says that it is from."""

    def __init__(self) -> None:
        super().__init__("has a wrong signature")


class Compact(Frozen):
    """The parts of a token. `algorithm` is what it says that it is signed with."""

    header: Mapping[str, Any]
    algorithm: str
    payload: bytes
    signing_input: bytes
    signature: bytes


def take_apart(token: str) -> Compact:
    """Raises TokenRefusedError for what is no token, and for one that says that it must not be
    taken by who does not understand some part of it (`crit`, RFC 7515 4.1.11)."""
    if len(token) > TOKEN_CHARACTERS_MAX:
        raise TokenRefusedError("is too long")
    match = _COMPACT.fullmatch(token)
    if match is None:
        raise TokenRefusedError("is malformed")
    head, payload, signature = match.groups()
    if len(head) > TOKEN_HEADER_CHARACTERS_MAX:
        raise TokenRefusedError("has too long a header")
    header = parse_object(_decode(head))
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        raise TokenRefusedError("names no algorithm")
    if "crit" in header:
        raise TokenRefusedError("has critical headers")
    signing_input = token[: match.end(2)].encode()
    return Compact(header, algorithm, _decode(payload), signing_input, _decode(signature))


def parse_object(content: bytes) -> dict[str, Any]:
    """A JSON object (RFC 8259) as a token holds it. Raises TokenRefusedError."""
    try:
        parsed = _DECODER.decode(content.decode())
        if _SURROGATE.search(content):  # a half of a pair cannot be logged, sent or stored
            json.dumps(parsed, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise TokenRefusedError("is malformed") from None
    if not isinstance(parsed, dict):
        raise TokenRefusedError("is malformed")
    return parsed


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)


def issuer_of(token: str) -> str | None:
    """Who a token says that it is from; None where it says nothing that can be read. Whether that
    is true, who knows the issuer's keys finds out."""
    try:
        issuer = parse_object(take_apart(token).payload).get("iss")
    except TokenRefusedError:
        return None
    return issuer if isinstance(issuer, str) else None


def time_of(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519 2), None where there is none. Raises TokenRefusedError."""
    value = claims.get(name)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or abs(value) > _TIME_MAX:
        raise TokenRefusedError("has times that are no times")
    return float(value)


def encode(content: bytes) -> str:
    """Base64url without padding (RFC 7515 2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """The bytes of base64url, of which there is one spelling. Raises TokenRefusedError."""
    if len(text) % 4 == 1:
        raise TokenRefusedError("is malformed")
    decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode(decoded) != text:
        raise TokenRefusedError("is malformed")
    return decoded
