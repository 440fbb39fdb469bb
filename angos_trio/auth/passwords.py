"""Passwords: argon2id (RFC 9106), verified in one thread with a bounded queue."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import trio

from angos_trio.limits import (
    PASSWORD_BYTES_MAX,
    PASSWORD_HASH_CHARACTERS_MAX,
    PASSWORD_KIB_PASSES_MIN,
    PASSWORD_LANES_MAX,
    PASSWORD_MEMORY_KIB_MAX,
    PASSWORD_MEMORY_KIB_MIN,
    PASSWORD_PASSES_MAX,
    PASSWORD_SECS_MAX,
    PASSWORD_THREADS,
    PASSWORDS_WAITING_MAX,
)
from angos_trio.oci.codes import Code, OciError

MEMORY_KIB: Final = 19_456
PASSES: Final = 2
LANES: Final = 1


def hash_password(text: str) -> str:
    """A new hash in PHC form, with the parameters that this version uses."""
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES).hash(text)


def check_hash(phc: str) -> None:
    """Refuse what is no argon2id hash, or one that costs far too much or next to nothing.

    Raises ValueError that says why, without the hash.
    """
    from argon2 import extract_parameters
    from argon2.exceptions import InvalidHashError
    from argon2.low_level import Type

    if len(phc) > PASSWORD_HASH_CHARACTERS_MAX:
        raise ValueError("is too long for a hash")
    try:
        found = extract_parameters(phc)
    except (InvalidHashError, ValueError):
        raise ValueError("is no argon2id hash; angos-trio hash-password makes one") from None
    if found.type is not Type.ID or found.version != 19:
        raise ValueError("is a hash of another kind; only argon2id of version 19 is taken")
    is_sane = (
        PASSWORD_MEMORY_KIB_MIN <= found.memory_cost <= PASSWORD_MEMORY_KIB_MAX
        and 1 <= found.time_cost <= PASSWORD_PASSES_MAX
        and 1 <= found.parallelism <= PASSWORD_LANES_MAX
        and found.memory_cost * found.time_cost >= PASSWORD_KIB_PASSES_MIN
    )
    if not is_sane:
        raise ValueError("has parameters that are too weak or too expensive")


def _verify(phc: str, password: bytes) -> bool:
    from argon2 import PasswordHasher
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return PasswordHasher().verify(phc, password)
    except (VerificationError, InvalidHashError):
        return False


class Passwords:
    """Verifies passwords off the loop. `hashes` are those of the configured users: nobody's
    password is verified against a hash like the most expensive of them."""

    def __init__(self, hashes: Iterable[str] = ()) -> None:
        self._threads = trio.CapacityLimiter(PASSWORD_THREADS)
        self._waiting = 0
        self._nobody = max(hashes, key=_cost, default="")

    async def verify(self, phc: str, password: str) -> bool:
        """Whether it is the password of the hash. Raises TOOMANYREQUESTS (429)."""
        secret = password.encode("utf-8", "surrogatepass")
        if len(secret) > PASSWORD_BYTES_MAX:
            return False
        if self._waiting >= PASSWORDS_WAITING_MAX:
            raise too_many(1)
        self._waiting += 1
        try:
            with trio.fail_after(PASSWORD_SECS_MAX):
                return await trio.to_thread.run_sync(_verify, phc, secret, limiter=self._threads)
        except trio.TooSlowError:
            raise too_many(PASSWORD_SECS_MAX) from None
        finally:
            self._waiting -= 1

    async def verify_nobody(self, password: str) -> None:
        """Take as long as with a user. Raises TOOMANYREQUESTS (429)."""
        if self._nobody:
            await self.verify(self._nobody, password)


def _cost(phc: str) -> int:
    from argon2 import extract_parameters

    found = extract_parameters(phc)
    return found.memory_cost * found.time_cost


def too_many(secs: float) -> OciError:
    """The answer to who must wait for so many seconds."""
    return OciError(Code.TOOMANYREQUESTS, headers={"Retry-After": str(max(1, int(secs)))})
