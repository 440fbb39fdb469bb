"""Registry tokens: who their bearer is, signed by this registry; nothing of what they may do.

HS256 under a key of the operator's, with a `typ` of their own (RFC 8725 3.11), for this registry's
audience, for a limited time. One that was given over a client certificate has its thumbprint in
`cnf` (RFC 8705 3.1) and counts only beside it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from angos_trio.identity import Certificate, Identity
from angos_trio.limits import (
    TOKEN_CHARACTERS_MAX,
    TOKEN_HEADER_CHARACTERS_MAX,
    TOKEN_SKEW_SECS,
)

TYPE: Final = "angos-registry+jwt"
ISSUER: Final = "angos-trio"
AUDIENCE: Final = "angos-trio"
_ALGORITHM: Final = "HS256"
_REQUIRED: Final = ("iss", "aud", "exp", "iat", "method")


class TokenRefusedError(Exception):
    """A token that does not count: why, for the audit log, with nothing of the token."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who a token says that its bearer is. `password` is the mark of the hash of a Basic user's
    password when it was given; `key` the id of the API key that it was given for."""

    method: str
    provider: str = ""
    subject: str = ""
    claims: Mapping[str, object] | None = None
    password: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class TokenService:
    """Gives tokens and reads them. `secret` has at least 32 bytes."""

    secret: bytes = field(repr=False)
    ttl_secs: int

    def issue(
        self, identity: Identity, now: int, phc: str | None = None, not_after: int | None = None
    ) -> tuple[str, int]:
        """A token for a caller, and for how many seconds it counts.

        `phc` is the hash of a Basic user's password; `not_after` when what was shown ends.
        """
        import jwt

        until = min(now + self.ttl_secs, now + self.ttl_secs if not_after is None else not_after)
        said: dict[str, object] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "exp": until,
            "jti": secrets.token_urlsafe(12),
            "method": identity.method,
        }
        optional = {
            "provider": identity.provider or None,
            "sub": identity.subject or None,
            "claims": None if identity.claims is None else dict(identity.claims),
            "pwd": None if phc is None else self.mark(phc),
            "key": None if identity.grant is None else identity.grant.key,
            "cnf": None
            if identity.certificate is None
            else {"x5t#S256": thumbprint(identity.certificate)},
        }
        said |= {name: value for name, value in optional.items() if value is not None}
        token = jwt.encode(said, self.secret, _ALGORITHM, headers={"typ": TYPE})
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise TokenRefusedError("the claims are too long for a token")
        return token, max(0, until - now)

    def read(self, token: str, now: int, certificate: Certificate | None) -> Bearer:
        """Who the bearer is. Raises TokenRefusedError."""
        import jwt

        if len(token) > TOKEN_CHARACTERS_MAX:
            raise TokenRefusedError("is too long")
        try:
            said = jwt.decode(
                token,
                self.secret,
                algorithms=[_ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": list(_REQUIRED), "verify_exp": False, "verify_iat": False},
            )
            _check_times(said, now)
            _check_certificate(said, certificate)
            return Bearer(
                method=_text(said, "method") or "",
                provider=_text(said, "provider") or "",
                subject=_text(said, "sub") or "",
                claims=said.get("claims"),
                password=_text(said, "pwd"),
                key=_text(said, "key"),
            )
        except jwt.PyJWTError as error:
            raise TokenRefusedError(_why(error)) from None

    def mark(self, phc: str) -> str:
        """What a token has of a hash: enough to see that it has changed."""
        mark = hmac.digest(self.secret, b"password\x00" + phc.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(mark[:12]).decode()


def _check_times(said: Mapping[str, Any], now: int) -> None:
    expires, issued = said["exp"], said["iat"]
    if not isinstance(expires, int) or not isinstance(issued, int):
        raise TokenRefusedError("has times that are no numbers")
    if expires <= now:
        raise TokenRefusedError("has expired")
    if issued > now + TOKEN_SKEW_SECS:
        raise TokenRefusedError("is not valid yet")


def _check_certificate(said: Mapping[str, Any], certificate: Certificate | None) -> None:
    bound = said.get("cnf")
    if bound is None:
        return
    wanted = bound.get("x5t#S256") if isinstance(bound, dict) else None
    if certificate is None or wanted != thumbprint(certificate):
        raise TokenRefusedError("was given over another client certificate")


def _text(said: Mapping[str, Any], name: str) -> str | None:
    value = said.get(name)
    if value is not None and not isinstance(value, str):
        raise TokenRefusedError("is not of this version")
    return value


def thumbprint(certificate: Certificate) -> str:
    """`x5t#S256` of RFC 8705: the SHA-256 of a certificate in base64url without padding."""
    digest = bytes.fromhex(certificate.fingerprint)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def is_registry_token(token: str) -> bool:
    """Whether a token says that it is one of ours; whether it is, `read` finds out."""
    head = token.partition(".")[0]
    if len(head) > TOKEN_HEADER_CHARACTERS_MAX:
        return False
    try:
        header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except ValueError:
        return False
    return isinstance(header, dict) and header.get("typ") == TYPE


def _why(error: Exception) -> str:
    import jwt

    reasons: Mapping[type[Exception], str] = {
        jwt.InvalidSignatureError: "has a wrong signature",
        jwt.InvalidAlgorithmError: "is signed in a way that is not taken",
        jwt.InvalidAudienceError: "is for another audience",
        jwt.InvalidIssuerError: "is of another issuer",
        jwt.MissingRequiredClaimError: "is not of this version",
    }
    return reasons.get(type(error), "is malformed")
