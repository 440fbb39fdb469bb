"""What was right a short time ago, so that not each request verifies it anew.

Neither a password nor a token is kept: a keyed hash of them (BLAKE2, RFC 7693), under a key that
only this registry has.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Generic, TypeVar

from angos_trio.auth.memory import ShortMemory
from angos_trio.auth.shared_marks import MARK_BYTES, SharedMarks
from angos_trio.limits.callers import (
    REMEMBERED_MAX,
    REMEMBERED_SECS,
    VERIFIED_CHARACTERS_MAX,
    VERIFIED_MAX,
    VERIFIED_SECS,
)

Value = TypeVar("Value")


class Marks:
    """Marks of texts under a key of this process: nobody else can tell what they are of."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(MARK_BYTES)

    def mark(self, *texts: str) -> bytes:
        """The mark of these texts in this order; of others it is another one."""
        parts = [text.encode("utf-8", "surrogatepass") for text in texts]
        lengths = ",".join([str(len(part)) for part in parts]).encode()
        text = b"\n".join([lengths, *parts])
        # A third of the time of an HMAC of SHA-256, with each request that shows a password.
        return hashlib.blake2b(text, key=self._key, digest_size=MARK_BYTES).digest()


class Remembered:
    """Passwords that were right. The stored hash is part of what is remembered, so that a changed
    password, or a user who is gone, is not known any more.

    One that is made before the processes are forked is known to all of them: whoever was let in by
    one is not held up by another.
    """

    def __init__(self, count_max: int = REMEMBERED_MAX) -> None:
        self._marks = Marks()
        self._known = SharedMarks(count_max)

    def knows(self, user: str, phc: str, password: str, now: float) -> bool:
        """Whether these were right lately; if so, for some time more. `now` is of the monotonic
        clock, in seconds."""
        mark = self._marks.mark(user, phc, password)
        until = self._known.until(mark)
        if until <= now:
            return False
        if until - now < REMEMBERED_SECS / 2:  # a write for each request would be one too many
            self._known.put(mark, now + REMEMBERED_SECS)
        return True

    def remember(self, user: str, phc: str, password: str, now: float) -> None:
        """They are right now."""
        self._known.put(self._marks.mark(user, phc, password), now + REMEMBERED_SECS)


class Verified(Generic[Value]):
    """What tokens said whose signature was good. Times are epoch seconds. Whoever asks still looks
    at all that can change meanwhile: users, keys, certificates."""

    def __init__(self, count_max: int = VERIFIED_MAX) -> None:
        self._marks = Marks()
        self._said: ShortMemory[Value] = ShortMemory(count_max)

    def get(self, token: str, now: int) -> Value | None:
        """What the token said, if it was verified lately and has not expired."""
        return self._said.get(self._marks.mark(token), now)

    def put(self, token: str, said: Value, now: int, expires: float) -> None:
        """The token is good, until it expires at the latest."""
        if len(token) <= VERIFIED_CHARACTERS_MAX:
            self._said.put(self._marks.mark(token), said, min(expires, now + VERIFIED_SECS))
