"""Registry tokens: who their bearer is, signed by this registry; nothing of what they may do.

HS256 under a key of the operator's, with a `typ` of their own (RFC 8725 3.11), for this registry's
audience, for a limited time. One that was given over a client certificate has its thumbprint in
`cnf` (RFC 8705 3.1) and counts only beside it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any, Final

from angos_trio.auth.jose import (
    TokenRefusedError,
    WrongSignatureError,
    encode,
    parse_object,
    take_apart,
    time_of,
)
from angos_trio.identity import Certificate, Identity
from angos_trio.limits.callers import TOKEN_CHARACTERS_MAX, TOKEN_SKEW_SECS
from angos_trio.limits.processes import TOKEN_KEY_BYTES_MIN
from angos_trio.records import Frozen

TYPE: Final = "angos-registry+jwt"
ISSUER: Final = "angos-trio"
AUDIENCE: Final = "angos-trio"
METHODS: Final = frozenset({"anonymous", "basic", "certificate", "oidc"})
"""Whom a token may be about. The operator, who comes through a socket of their own, needs none."""
_ALGORITHM: Final = "HS256"
_HEADER: Final = {"alg": _ALGORITHM, "typ": TYPE}
_HEAD: Final = encode(json.dumps(_HEADER, separators=(",", ":")).encode())
_MARK_BYTES: Final = 12


class Bearer(Frozen):
    """Who a token says that its bearer is. `password` is the mark of the hash of a Basic user's
    password when it was given; `key` the id of the API key that it was given for. Whoever reads a
    token compares these with what there is now."""

    method: str
    provider: str = ""
    subject: str = ""
    claims: Mapping[str, object] | None = None
    password: str | None = None
    key: str | None = None


class TokenService:
    """Gives tokens and reads them. Registries that have the same secret take each other's."""

    def __init__(self, secret: bytes, ttl_secs: int) -> None:
        """`secret` has at least 32 bytes; with fewer it raises ValueError."""
        import jwt

        if len(secret) < TOKEN_KEY_BYTES_MIN:
            raise ValueError(f"has fewer than {TOKEN_KEY_BYTES_MIN} bytes")
        self._hmac = jwt.get_algorithm_by_name(_ALGORITHM)
        # A key for each purpose, so that nothing that one of them signs is good for the other.
        self._signing_key = hmac.digest(secret, b"angos-trio registry token", hashlib.sha256)
        self._marking_key = hmac.digest(secret, b"angos-trio password mark", hashlib.sha256)
        self.ttl_secs = ttl_secs

    def issue(
        self, identity: Identity, now: int, phc: str | None = None, not_after: int | None = None
    ) -> tuple[str, int]:
        """A token for a caller, and for how many seconds it counts.

        `phc` is the hash of a Basic user's password; `not_after` when what was shown ends. Raises
        TokenRefusedError when that is over, when the claims are too long, or for the operator.
        """
        if identity.method not in METHODS:
            raise TokenRefusedError("would be for somebody who needs none")
        until = now + self.ttl_secs
        if not_after is not None:
            until = min(until, not_after)
        if identity.certificate is not None:
            until = min(until, identity.certificate.not_after)
        if until <= now:
            raise TokenRefusedError("would be for a credential that has expired")
        said = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "nbf": now,
            "exp": until,
            "jti": secrets.token_urlsafe(12),
            "method": identity.method,
            **self._about(identity, phc),
        }
        payload = encode(json.dumps(said, separators=(",", ":")).encode())
        signing_input = f"{_HEAD}.{payload}"
        signature = self._hmac.sign(signing_input.encode(), self._signing_key)
        token = f"{signing_input}.{encode(signature)}"
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise TokenRefusedError("would be too long for the claims that it has")
        return token, until - now

    def _about(self, identity: Identity, phc: str | None) -> dict[str, object]:
        """What is said only of some callers."""
        certificate = identity.certificate
        said: dict[str, object | None] = {
            "provider": identity.provider or None,
            "sub": identity.subject or None,
            "claims": None if identity.claims is None else dict(identity.claims),
            "pwd": None if phc is None else self.mark(phc),
            "key": None if identity.grant is None else identity.grant.key,
            "cnf": None if certificate is None else {"x5t#S256": thumbprint(certificate)},
        }
        return {name: value for name, value in said.items() if value is not None}

    def read(self, token: str, now: int, certificate: Certificate | None) -> Bearer:
        """Who the bearer is. Raises TokenRefusedError."""
        parts = take_apart(token)
        # The whole header is known: there is no other algorithm, no key and nothing critical in it.
        if parts.header != _HEADER:
            raise TokenRefusedError("is signed in a way that is not taken")
        if not self._hmac.verify(parts.signing_input, self._signing_key, parts.signature):
            raise WrongSignatureError
        said = parse_object(parts.payload)
        if said.get("iss") != ISSUER or said.get("aud") != AUDIENCE:
            raise TokenRefusedError("is of another issuer or for another audience")
        _check_times(said, now)
        _check_certificate(said, certificate)
        return _bearer(said)

    def mark(self, phc: str) -> str:
        """What a token has of a hash: enough to see that it has changed."""
        return encode(hmac.digest(self._marking_key, phc.encode(), hashlib.sha256)[:_MARK_BYTES])


def _check_times(said: Mapping[str, Any], now: int) -> None:
    expires, issued, begins = (time_of(said, name) for name in ("exp", "iat", "nbf"))
    if expires is None or issued is None or begins is None:
        raise TokenRefusedError("is not of this version")
    if expires <= now:
        raise TokenRefusedError("has expired")
    if max(issued, begins) > now + TOKEN_SKEW_SECS:
        raise TokenRefusedError("is not valid yet")


def _check_certificate(said: Mapping[str, Any], certificate: Certificate | None) -> None:
    if "cnf" not in said:
        return
    bound = said["cnf"]
    wanted = bound.get("x5t#S256") if isinstance(bound, dict) else None
    if certificate is None or wanted != thumbprint(certificate):
        raise TokenRefusedError("was given over another client certificate")


def _bearer(said: Mapping[str, Any]) -> Bearer:
    method, claims = _text(said, "method"), said.get("claims")
    if method is None or method not in METHODS or not isinstance(claims, dict | None):
        raise TokenRefusedError("is not of this version")
    return Bearer(
        method=method,
        provider=_text(said, "provider") or "",
        subject=_text(said, "sub") or "",
        claims=claims,
        password=_text(said, "pwd"),
        key=_text(said, "key"),
    )


def _text(said: Mapping[str, Any], name: str) -> str | None:
    value = said.get(name)
    if value is not None and not isinstance(value, str):
        raise TokenRefusedError("is not of this version")
    return value


def thumbprint(certificate: Certificate) -> str:
    """`x5t#S256` of RFC 8705: the SHA-256 of a certificate in base64url without padding."""
    return encode(bytes.fromhex(certificate.fingerprint))


def is_registry_token(token: str) -> bool:
    """Whether a token says that it is one of ours; whether it is, `read` finds out."""
    head = token.partition(".")[0]
    if head == _HEAD:
        return True
    try:
        # What is malformed is nobody's; its signature and payload do not matter here.
        return take_apart(f"{head}.e30.").header.get("typ") == TYPE
    except TokenRefusedError:
        return False
