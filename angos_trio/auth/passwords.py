"""Passwords: argon2id (RFC 9106), verified in one thread with a bounded queue.

One thread of ordinary priority. Measured on two cores with a busy event loop: beside one thread
99 of 100 requests took 0.6 ms, as without it; beside two, 4.5 ms. A lower priority makes it worse:
while other programs keep all cores busy, the thread waits for one with the interpreter's lock in
its hands, and the event loop stood still for up to 1.4 s.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import re
import secrets
from collections.abc import Iterable
from typing import Final

import trio

from angos_trio.auth.memory import AskedOnce
from angos_trio.auth.remembered import Marks
from angos_trio.limits.callers import (
    PASSWORD_BYTES_MAX,
    PASSWORD_HASH_CHARACTERS_MAX,
    PASSWORD_KIB_PASSES_MIN,
    PASSWORD_LANES_MAX,
    PASSWORD_MEMORY_KIB_MAX,
    PASSWORD_MEMORY_KIB_MIN,
    PASSWORD_PASSES_MAX,
    PASSWORD_REST,
    PASSWORD_SECS_MAX,
    PASSWORD_THREADS,
    PASSWORDS_WAITING_MAX,
)
from angos_trio.oci.codes import Code, OciError
from angos_trio.records import Frozen

MEMORY_KIB: Final = 19_456
PASSES: Final = 2
LANES: Final = 1
SALT_BYTES: Final = 16
DIGEST_BYTES: Final = 32
_SALT_BYTES_MIN: Final = 8
_DIGEST_BYTES_MIN: Final = 16
_VERSION: Final = 19
_NUMBER = "([1-9][0-9]{0,9})"
_BASE64 = "([A-Za-z0-9+/]+)"
_PHC = re.compile(
    rf"\$(argon2(?:id|i|d))(?:\$v=([0-9]{{1,4}}))?\$m={_NUMBER},t={_NUMBER},p={_NUMBER}"
    rf"\${_BASE64}\${_BASE64}",
    re.ASCII,
)


class _Hash(Frozen):
    """What a hash in PHC form says of itself."""

    kind: str
    version: int
    memory_kib: int
    passes: int
    lanes: int
    salt: bytes
    digest: bytes

    def __str__(self) -> str:
        head = f"${self.kind}$v={self.version}$m={self.memory_kib},t={self.passes},p={self.lanes}"
        return f"{head}${_encode(self.salt)}${_encode(self.digest)}"


def hash_password(text: str) -> str:
    """A new hash in PHC form, with the parameters that this version uses."""
    from argon2.low_level import Type, hash_secret

    hashed = hash_secret(
        text.encode("utf-8", "surrogatepass"),
        secrets.token_bytes(SALT_BYTES),
        time_cost=PASSES,
        memory_cost=MEMORY_KIB,
        parallelism=LANES,
        hash_len=DIGEST_BYTES,
        type=Type.ID,
    )
    return hashed.decode()


def check_hash(phc: str) -> None:
    """Refuse what is no argon2id hash, or one that costs far too much or next to nothing.

    Raises ValueError that says why, without the hash.
    """
    if len(phc) > PASSWORD_HASH_CHARACTERS_MAX:
        raise ValueError("is too long for a hash")
    found = _parse(phc)
    if (found.kind, found.version) != ("argon2id", _VERSION):
        raise ValueError(f"is a hash of another kind; only argon2id of version {_VERSION} is taken")
    if len(found.salt) < _SALT_BYTES_MIN or len(found.digest) < _DIGEST_BYTES_MIN:
        raise ValueError("has too short a salt or digest")
    is_cheap = (
        found.memory_kib <= PASSWORD_MEMORY_KIB_MAX
        and found.passes <= PASSWORD_PASSES_MAX
        and found.lanes <= PASSWORD_LANES_MAX
    )
    if not is_cheap:
        raise ValueError(
            f"costs too much: at most m={PASSWORD_MEMORY_KIB_MAX},t={PASSWORD_PASSES_MAX},"
            f"p={PASSWORD_LANES_MAX}"
        )
    is_strong = (
        found.memory_kib >= PASSWORD_MEMORY_KIB_MIN
        and found.memory_kib * found.passes >= PASSWORD_KIB_PASSES_MIN
    )
    if not is_strong:
        raise ValueError(f"is too weak: m={MEMORY_KIB},t={PASSES},p={LANES} is what we make")


def _parse(phc: str) -> _Hash:
    match = _PHC.fullmatch(phc)
    if match is None:
        raise ValueError("is no argon2id hash; angos-trio hash-password makes one")
    kind, version, memory, passes, lanes, salt, digest = match.groups()
    return _Hash(
        kind,
        int(version or 16),
        int(memory),
        int(passes),
        int(lanes),
        _decode(salt),
        _decode(digest),
    )


def _decode(text: str) -> bytes:
    """Base64 without padding, in its one spelling: argon2 takes no other."""
    try:
        decoded = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        decoded = b""
    if _encode(decoded) != text:
        raise ValueError("is no argon2id hash: its base64 is damaged")
    return decoded


def _encode(value: bytes) -> str:
    return base64.b64encode(value).rstrip(b"=").decode()


def _verify(phc: str, password: bytes) -> bool:
    from argon2.exceptions import VerificationError, VerifyMismatchError
    from argon2.low_level import Type, verify_secret

    try:
        return verify_secret(phc.encode(), password, Type.ID)
    except VerifyMismatchError:
        return False
    except VerificationError:  # it could not be computed: there is no memory
        raise OciError(
            Code.UNAVAILABLE, status=503, message="passwords cannot be verified now"
        ) from None


class Passwords:
    """Verifies passwords off the loop. `hashes` are those of the configured users, each of which
    `check_hash` has let pass."""

    def __init__(self, hashes: Iterable[str] = ()) -> None:
        self._threads = trio.CapacityLimiter(PASSWORD_THREADS)
        self._turn = trio.Semaphore(PASSWORD_THREADS)
        self._rests_until = 0.0
        self._waiting = 0
        self._marks = Marks()
        self._asked: AskedOnce[bool] = AskedOnce()
        known = sorted(hashes)
        self._seed = hashlib.sha256("".join(known).encode()).digest()
        self._decoys = [_decoy(phc) for phc in known]

    async def verify(self, phc: str, password: str) -> bool:
        """Whether it is the password of the hash; a very long one is not.

        The same question of several requests is answered once. Raises TOOMANYREQUESTS (429) when
        too many wait, UNAVAILABLE (503) when there is no memory for it.
        """
        secret = password.encode("utf-8", "surrogatepass")
        if len(secret) > PASSWORD_BYTES_MAX:
            return False

        async def work() -> bool:
            return await self._verify(phc, secret)

        # Around all of it: where another asked the same and got no answer, its time was ours too.
        try:
            with trio.fail_after(PASSWORD_SECS_MAX):
                return await self._asked.ask(self._marks.mark(phc, password), work)
        except trio.TooSlowError:
            raise too_many(PASSWORD_SECS_MAX) from None

    async def verify_nobody(self, password: str, username: str = "") -> None:
        """Take as long as with a user. Raises as `verify`.

        Hashes may differ in what they cost. The name decides whose cost this takes, so that it is
        always the same for one name, and for many names as with the users themselves.
        """
        if self._decoys:
            name = username.encode("utf-8", "surrogatepass")
            number = hashlib.sha256(self._seed + name).digest()
            await self.verify(self._decoys[int.from_bytes(number) % len(self._decoys)], password)

    async def _verify(self, phc: str, secret: bytes) -> bool:
        if self._waiting >= PASSWORDS_WAITING_MAX:
            raise too_many(1)
        self._waiting += 1
        try:
            async with self._turn:
                await trio.sleep_until(self._rests_until)
                return await self._verify_now(phc, secret)
        finally:
            self._waiting -= 1

    async def _verify_now(self, phc: str, secret: bytes) -> bool:
        """Whoever guesses takes a share of a core and no more: after a wrong password there is a
        rest, for which the next one waits. What this one is answered does not wait for it."""
        begun_at = trio.current_time()
        is_right = await trio.to_thread.run_sync(_verify, phc, secret, limiter=self._threads)
        if not is_right:
            now = trio.current_time()
            self._rests_until = now + PASSWORD_REST * (now - begun_at)
        return is_right


def _decoy(phc: str) -> str:
    """A hash that costs the same and that no password fits."""
    found = _parse(phc)
    salt, digest = secrets.token_bytes(len(found.salt)), secrets.token_bytes(len(found.digest))
    return str(
        _Hash(found.kind, found.version, found.memory_kib, found.passes, found.lanes, salt, digest)
    )


def too_many(secs: float) -> OciError:
    """The answer to who must wait for so many seconds."""
    wait_secs = max(1, math.ceil(secs))
    return OciError(
        Code.TOOMANYREQUESTS,
        message="too many attempts to say who is calling have failed",
        detail={"retry_after_secs": wait_secs},
        headers={"Retry-After": str(wait_secs)},
    )
