"""Tokens of OpenID Connect providers: whose signature, issuer, audience and times are right.

What is cheap is looked at first, and nothing that a token says makes us ask anybody but the issuer
that the operator named, once in a while (RFC 8725, OpenID Connect Core 3.1.3.7).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import trio

from angos_trio.auth.jose import (
    Compact,
    TokenRefusedError,
    WrongSignatureError,
    parse_object,
    take_apart,
    time_of,
)
from angos_trio.auth.key_sets import (
    SIGNATURES,
    Key,
    KeySets,
    KeysUnavailableError,
    Source,
    parse_key_set,
)
from angos_trio.auth.remembered import Verified
from angos_trio.limits.callers import KEY_SET_BYTES_MAX, SUBJECT_CHARACTERS_MAX
from angos_trio.net.client import HttpClient, NetError
from angos_trio.records import Frozen

GITHUB_ISSUER: Final = "https://token.actions.githubusercontent.com"
"""Whose tokens jobs of GitHub Actions have: what `provider = "github"` fills in."""
_DISCOVERY: Final = "/.well-known/openid-configuration"
_BEARER = re.compile(r"[!-~]+", re.ASCII)
_PORTS: Final = {"http": 80, "https": 443}


class OidcSettings(Frozen):
    """What the configuration says of a provider. Without `jwks_uri` its discovery document says
    where its keys are; without `required_audience` its tokens for anybody are taken."""

    name: str
    issuer: str
    jwks_uri: str | None = None
    required_audience: str | None = None
    required_claims: tuple[str, ...] = ()
    allowed_algorithms: tuple[str, ...] = ("RS256",)
    clock_skew_secs: int = 60
    refresh_secs: float = 3600
    refresh_timeout_secs: float = 5
    request_timeout_secs: float = 30


class OidcProvider:
    """Verifies the tokens of one issuer.

    `bearer_token` reads the credential for fetching keys where they are not for everybody; it is
    called in a thread for each fetch, and may raise OSError or ValueError.
    """

    def __init__(
        self,
        settings: OidcSettings,
        client: HttpClient,
        key_sets: KeySets,
        bearer_token: Callable[[], str] | None = None,
    ) -> None:
        """Raises ValueError when the settings cannot be kept to: see `check_settings`."""
        import jwt

        check_settings(settings)
        self.name, self.issuer = settings.name, settings.issuer
        self._settings = settings
        self._client = client
        self._bearer_token = bearer_token
        self._keys = key_sets.of(settings.issuer, settings.jwks_uri)
        self._verified: Verified[Mapping[str, Any]] = Verified()
        self._verifiers = {
            name: jwt.get_algorithm_by_name(name) for name in settings.allowed_algorithms
        }
        self._source = Source(
            settings.name,
            self._fetch,
            settings.refresh_secs,
            settings.request_timeout_secs,
            settings.refresh_timeout_secs,
        )

    async def verify(self, token: str, now: int) -> Mapping[str, Any]:
        """The claims of a token, which has a subject. Raises TokenRefusedError that says why it
        does not count, or UNAVAILABLE (503) when the provider has to be asked and cannot be."""
        said = self._verified.get(token, now)
        if said is not None:
            check_claims(said, self._settings, now)
            return said
        parts = take_apart(token)
        verifier = self._verifiers.get(parts.algorithm)
        if verifier is None:
            raise TokenRefusedError("is signed in a way that is not taken")
        claims = parse_object(parts.payload)
        check_claims(claims, self._settings, now)
        for key in await self._keys_for(parts):
            if verifier.verify(parts.signing_input, key.public_key, parts.signature):
                self._verified.put(token, claims, now, claims["exp"])
                return claims
        raise WrongSignatureError

    def check(self, claims: Mapping[str, Any], now: int) -> None:
        """Whether claims that were verified once are such as are wanted now. Raises
        TokenRefusedError."""
        check_claims(claims, self._settings, now)

    async def _keys_for(self, parts: Compact) -> Sequence[Key]:
        """The provider's keys that may have signed it; never empty."""
        fitting = fitting_keys(await self._keys.keys(self._source), parts)
        if not fitting:
            fitting = fitting_keys(await self._keys.keys_anew(self._source), parts)
        if not fitting:
            raise TokenRefusedError("is signed by a key that its issuer does not have")
        return fitting

    async def _fetch(self) -> tuple[Key, ...]:
        """Ask for the keys; where they are, the issuer says if the operator does not."""
        settings = self._settings
        bearer = await self._bearer()
        address = settings.jwks_uri
        if address is None:
            place = settings.issuer.removesuffix("/") + _DISCOVERY
            address = discovered(await self._content(place, bearer), settings.issuer)
        return parse_key_set(await self._content(address, bearer))

    async def _bearer(self) -> str | None:
        if self._bearer_token is None:
            return None
        try:
            text = await trio.to_thread.run_sync(self._bearer_token, abandon_on_cancel=True)
        except (OSError, ValueError):
            raise KeysUnavailableError("the file with the bearer token cannot be read") from None
        if not _BEARER.fullmatch(text.strip()):
            raise KeysUnavailableError("the file with the bearer token holds none")
        return text.strip()

    async def _content(self, url: str, bearer: str | None) -> bytes:
        headers = [("Accept", "application/json, */*;q=0.5")]
        if bearer is not None and origin(url) == origin(self.issuer):
            headers.append(("Authorization", f"Bearer {bearer}"))
        try:
            answer = await self._client.get(url, headers=headers, bytes_max=KEY_SET_BYTES_MAX)
        except NetError as error:
            raise KeysUnavailableError(error.reason) from None
        if answer.status != 200:
            raise KeysUnavailableError(f"it answered with status {answer.status}")
        return answer.body


def check_settings(settings: OidcSettings) -> None:
    """Refuse settings by which anybody could sign. Raises ValueError that says why."""
    unknown = sorted(set(settings.allowed_algorithms) - SIGNATURES)
    if unknown or not settings.allowed_algorithms:
        raise ValueError(
            f"allowed_algorithms: may have {', '.join(sorted(SIGNATURES))} and nothing else"
        )
    asked = settings.issuer if settings.jwks_uri is None else settings.jwks_uri
    if not _is_safe(_split(asked)):
        key = "issuer" if settings.jwks_uri is None else "jwks_uri"
        raise ValueError(f"{key}: must be an https address, or http on this host")


def discovered(content: bytes, issuer: str) -> str:
    """Where the keys are, by a discovery document (OpenID Connect Discovery 4.3), which must be of
    that very issuer and may not lead away from https. Raises KeysUnavailableError."""
    try:
        document = parse_object(content)
    except TokenRefusedError:
        raise KeysUnavailableError("the discovery document is no JSON object") from None
    if document.get("issuer") != issuer:
        raise KeysUnavailableError("the discovery document is of another issuer")
    address = document.get("jwks_uri")
    if not isinstance(address, str):
        raise KeysUnavailableError("the discovery document has no jwks_uri")
    url = _split(address)
    if url is None or url.scheme != urlsplit(issuer).scheme or not _is_safe(url):
        raise KeysUnavailableError("the discovery document leads away from its issuer's scheme")
    return address


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        return parts if parts.port != 0 and parts.hostname else None
    except ValueError:
        return None


def _is_safe(url: SplitResult | None) -> bool:
    """Whether nobody on the way can change what is answered: keys of anybody's are no keys."""
    if url is None or url.username is not None or url.scheme not in _PORTS:
        return False
    return url.scheme == "https" or _is_loopback(url.hostname or "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def origin(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port (RFC 6454 4): what a credential is for. None is nobody's."""
    parts = _split(url)
    if parts is None or parts.scheme not in _PORTS:
        return None
    return parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme]


def fitting_keys(keys: Sequence[Key], parts: Compact) -> Sequence[Key]:
    """The keys that a token may have been signed with: those of the name that it gives (RFC 7515
    4.1.4), for its algorithm. Without a name only a key that is the only one for it."""
    kid = parts.header.get("kid")
    able = [key for key in keys if parts.algorithm in key.algorithms]
    if kid is None:
        if len(able) > 1:
            raise TokenRefusedError("names no key, and its issuer has several")
        return able
    return [key for key in able if key.kid == kid]


def check_claims(claims: Mapping[str, Any], settings: OidcSettings, now: int) -> None:
    """Whether the claims are such as the settings want them now. Raises TokenRefusedError."""
    if claims.get("iss") != settings.issuer:
        raise TokenRefusedError("is of another issuer")
    if settings.required_audience is not None:
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if settings.required_audience not in audiences:
            raise TokenRefusedError("is for another audience")
    _check_times(claims, settings.clock_skew_secs, now)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_CHARACTERS_MAX:
        raise TokenRefusedError("has no subject")
    if any(claims.get(name) is None for name in settings.required_claims):
        raise TokenRefusedError("lacks a claim that is required")


def _check_times(claims: Mapping[str, Any], skew_secs: int, now: int) -> None:
    """RFC 7519 4.1.4 to 4.1.6."""
    expires, begins, issued = (time_of(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is None:
        raise TokenRefusedError("never expires")
    if expires + skew_secs <= now:
        raise TokenRefusedError("has expired")
    if max(begins or 0, issued or 0) > now + skew_secs:
        raise TokenRefusedError("is not valid yet")
