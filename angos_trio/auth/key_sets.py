"""The keys of issuers: which of a JWKS (RFC 7517) can be used, and when they are fetched.

A fetch belongs to nobody who waits for it: it is a task of its own, so that a client which leaves
does not end it for the others, and who has keys that still serve need not wait at all.
"""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import trio

from angos_trio.auth.jose import TokenRefusedError, parse_object
from angos_trio.limits.callers import (
    KEY_SETS_MAX,
    KEYS_FORCED_SECS,
    KEYS_MAX,
    KEYS_RETRY_SECS,
    KEYS_STALE_SECS_MAX,
)
from angos_trio.oci.codes import Code, OciError
from angos_trio.records import Frozen
from angos_trio.telemetry.log import logger

_log = logger("auth")
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
ALGORITHMS: Final[Mapping[tuple[str, str | None], frozenset[str]]] = {
    ("RSA", None): _RSA,
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
}
"""By type and curve of a key: the signatures that it can verify (RFC 7518 3.1, RFC 8037 3.1)."""
SIGNATURES: Final = frozenset[str]().union(*ALGORITHMS.values())
"""All that are ever taken: none but those whose public key is no secret."""
_RSA_BITS_MIN: Final = 2048
_RSA_BITS_MAX: Final = 8192


class KeysUnavailableError(Exception):
    """An issuer's keys cannot be had. The reason is for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Key(Frozen):
    """A public key, its name if it has one, and the algorithms that it may be used with."""

    kid: str | None
    algorithms: frozenset[str]
    public_key: Any


def parse_key_set(content: bytes) -> tuple[Key, ...]:
    """The keys of a JWKS that can verify signatures; those that cannot, or that nobody can read,
    are left out. Raises KeysUnavailableError when it is no JWKS or none is left."""
    try:
        listed = parse_object(content).get("keys")
    except TokenRefusedError:
        raise KeysUnavailableError("the key set is no JSON object") from None
    if not isinstance(listed, list):
        raise KeysUnavailableError("the key set has no list of keys")
    keys = tuple(key for jwk in listed[:KEYS_MAX] if (key := parse_key(jwk)) is not None)
    if not keys:
        raise KeysUnavailableError("the key set has no key that can be used")
    return keys


def parse_key(jwk: object) -> Key | None:
    """A JWK that verifies signatures, or None: for another use or of another type, too short, too
    long, damaged, or a private key that should have stayed at home."""
    import jwt
    from cryptography.exceptions import UnsupportedAlgorithm

    if not isinstance(jwk, dict) or "d" in jwk:
        return None
    algorithms = _algorithms_of(jwk)
    kid = jwk.get("kid")
    if not algorithms or not isinstance(kid, str | None):
        return None
    try:
        public_key = jwt.PyJWK(jwk, min(algorithms)).key
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, AttributeError):
        return None
    if jwk["kty"] == "RSA" and not _RSA_BITS_MIN <= public_key.key_size <= _RSA_BITS_MAX:
        return None
    return Key(kid, algorithms, public_key)


def _algorithms_of(jwk: Mapping[str, Any]) -> frozenset[str]:
    """What a key may be used with, by what it says of itself (RFC 7517 4.1 to 4.4)."""
    kind, curve = jwk.get("kty"), jwk.get("crv")
    if not isinstance(kind, str) or not isinstance(curve, str | None):
        return frozenset()
    uses = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(uses, list) or "verify" not in uses:
        return frozenset()
    found = ALGORITHMS.get((kind, None if kind == "RSA" else curve), frozenset())
    named = jwk.get("alg")
    return found if named is None else frozenset(name for name in found if name == named)


class Source(Frozen):
    """How the keys of an issuer are fetched, and how often: seconds. `fetch` raises
    KeysUnavailableError; `name` is the provider's, for the log."""

    name: str
    fetch: Callable[[], Awaitable[tuple[Key, ...]]]
    refresh_secs: float
    first_timeout_secs: float
    timeout_secs: float


class KeySet:
    """The keys of one issuer. Times are those of Trio's clock."""

    def __init__(self) -> None:
        self._keys: tuple[Key, ...] = ()
        self._fetches = 0
        self._fetched_at = 0.0
        self._failed_at: float | None = None
        self._forced_at: float | None = None
        self._running: trio.Event | None = None

    async def keys(self, source: Source) -> tuple[Key, ...]:
        """Keys to verify with. They are fetched when there are none, and anew after a while; until
        that is done, or while it fails, those of before serve for a bounded time.

        Raises UNAVAILABLE (503) when there are none, at once if they were asked for just now.
        """
        age = trio.current_time() - self._fetched_at
        if self._keys and age < source.refresh_secs:
            return self._keys
        self._begin(source)
        if self._keys and age < source.refresh_secs + KEYS_STALE_SECS_MAX:
            return self._keys
        before = self._fetches
        await self._end_of_fetch(source.first_timeout_secs)
        if self._fetches == before:
            raise _unavailable()
        return self._keys

    async def keys_anew(self, source: Source) -> tuple[Key, ...]:
        """The keys after another fetch, because one that a token names is not among them. That is
        done once in a while only, whatever is asked: meanwhile it is those that there are.

        Raises UNAVAILABLE (503) when the issuer cannot be asked.
        """
        if _is_over(self._forced_at, KEYS_FORCED_SECS) and self._begin(source):
            self._forced_at = trio.current_time()
        has_ended = await self._end_of_fetch(source.timeout_secs)
        if not has_ended or self._failed_at is not None:
            raise _unavailable()
        return self._keys

    def _begin(self, source: Source) -> bool:
        """Start a fetch, unless one runs or has failed just now. Says whether it has."""
        if self._running is not None or not _is_over(self._failed_at, KEYS_RETRY_SECS):
            return False
        self._running = trio.Event()
        trio.lowlevel.spawn_system_task(
            self._fetch, source, name="keys of an issuer", context=contextvars.copy_context()
        )
        return True

    async def _end_of_fetch(self, secs: float) -> bool:
        """Whether the fetch that runs, if one does, came to its end within so many seconds."""
        if self._running is None:
            return True
        with trio.move_on_after(secs) as waiting:
            await self._running.wait()
        return not waiting.cancelled_caught

    async def _fetch(self, source: Source) -> None:
        """Never raises: nobody would be there to catch it."""
        try:
            self._keys = await self._fetched(source)
            self._fetches += 1
            self._fetched_at, self._failed_at = trio.current_time(), None
            _log.info("oidc.keys_fetched", provider=source.name, keys=len(self._keys))
        except KeysUnavailableError as error:
            self._failed_at = trio.current_time()
            _log.warning("oidc.keys_unavailable", provider=source.name, reason=error.reason)
        except Exception:
            self._failed_at = trio.current_time()
            _log.exception("oidc.crashed", provider=source.name)
        finally:
            running, self._running = self._running, None
            if running is not None:
                running.set()

    async def _fetched(self, source: Source) -> tuple[Key, ...]:
        secs = source.timeout_secs if self._keys else source.first_timeout_secs
        try:
            with trio.fail_after(secs):
                return await source.fetch()
        except trio.TooSlowError:
            raise KeysUnavailableError(f"no answer within {secs:g} s") from None


def _is_over(since: float | None, secs: float) -> bool:
    return since is None or trio.current_time() - since >= secs


def _unavailable() -> OciError:
    return OciError(
        Code.UNAVAILABLE,
        status=503,
        message="the identity provider cannot be asked for its keys",
        headers={"Retry-After": str(int(KEYS_RETRY_SECS))},
    )


class KeySets:
    """The key sets of a process, for as long as it runs: a change of the configuration does not
    make them unknown. Providers with one issuer share one."""

    def __init__(self) -> None:
        self._sets: dict[tuple[str, str | None], KeySet] = {}

    def of(self, issuer: str, jwks_uri: str | None) -> KeySet:
        """The set of an issuer whose keys are at that address, or where its discovery says."""
        place = issuer, jwks_uri
        found = self._sets.pop(place, None) or KeySet()
        while len(self._sets) >= KEY_SETS_MAX:
            del self._sets[next(iter(self._sets))]
        self._sets[place] = found
        return found
