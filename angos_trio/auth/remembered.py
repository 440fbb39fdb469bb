"""Credentials that were right a short time ago, so that not each request verifies them anew."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from angos_trio.limits import REMEMBERED_MAX, REMEMBERED_SECS


class Remembered:
    """Neither user nor password is kept: an HMAC of both and of the stored hash, under a key of
    this process. So a changed hash is not known by itself."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._until: dict[bytes, float] = {}

    def knows(self, user: str, phc: str, password: str, now: float) -> bool:
        """Whether these were right lately; `now` is of the monotonic clock, in seconds."""
        mark = self._mark(user, phc, password)
        until = self._until.get(mark)
        if until is None or until <= now:
            return False
        self._until[mark] = now + REMEMBERED_SECS
        return True

    def remember(self, user: str, phc: str, password: str, now: float) -> None:
        """They are right now."""
        while len(self._until) >= REMEMBERED_MAX:
            del self._until[next(iter(self._until))]
        self._until[self._mark(user, phc, password)] = now + REMEMBERED_SECS

    def _mark(self, user: str, phc: str, password: str) -> bytes:
        text = "\x00".join((user, phc, password)).encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, text, hashlib.sha256)
