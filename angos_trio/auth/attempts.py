"""Failed attempts: counted for each pair of address and user, and for each address."""

from __future__ import annotations

import hashlib
import ipaddress

from angos_trio.limits.callers import (
    FAILURE_DEBT_SECS_MAX,
    FAILURE_WINDOW_SECS,
    FAILURES_KEPT_MAX,
    FAILURES_MIN,
    FAILURES_OF_ADDRESS,
    FAILURES_OF_USER,
)


class _Meter:
    """Lets `limit` failures pass in a window, at once or spread; then each costs its share of it.

    What is kept of a key is the time at which all its failures are paid off. Failures that came
    while others were still being looked at count as well, so that many at once gain nothing.
    """

    def __init__(self, limit: int) -> None:
        self._share_secs = FAILURE_WINDOW_SECS / limit
        self._paid_at: dict[bytes, float] = {}

    def blocked_secs(self, key: bytes, now: float) -> float:
        """Until one more may be tried."""
        debt_secs = self._paid_at.get(key, now) - now
        return max(0.0, debt_secs + self._share_secs - FAILURE_WINDOW_SECS)

    def failed(self, key: bytes, now: float) -> None:
        """One more. Who was quiet for longest is forgotten where there are too many."""
        paid_at = max(self._paid_at.pop(key, now), now) + self._share_secs
        while len(self._paid_at) >= FAILURES_KEPT_MAX:
            del self._paid_at[next(iter(self._paid_at))]
        self._paid_at[key] = min(paid_at, now + FAILURE_WINDOW_SECS + FAILURE_DEBT_SECS_MAX)

    def forgive(self, key: bytes) -> None:
        """Nothing has failed."""
        self._paid_at.pop(key, None)


class Attempts:
    """What one of `processes` processes saw of them. Times are seconds of the monotonic clock."""

    def __init__(self, processes: int = 1) -> None:
        self._of_user = _Meter(max(FAILURES_MIN, FAILURES_OF_USER // processes))
        self._of_address = _Meter(max(FAILURES_MIN, FAILURES_OF_ADDRESS // processes))

    def blocked_secs(self, address: str, user: str, now: float) -> float:
        """How long further attempts are refused; 0 when they are not."""
        place = network_of(address)
        return max(
            self._of_user.blocked_secs(_pair(place, user), now),
            self._of_address.blocked_secs(_pair(place), now),
        )

    def failed(self, address: str, user: str, now: float) -> None:
        """One more."""
        place = network_of(address)
        self._of_user.failed(_pair(place, user), now)
        self._of_address.failed(_pair(place), now)

    def succeeded(self, address: str, user: str) -> None:
        """What this user mistyped is forgiven. What the address did is not: whoever guesses at
        others may have a password of their own."""
        self._of_user.forgive(_pair(network_of(address), user))


def _pair(*parts: str) -> bytes:
    """Of one length, however long a name somebody makes up."""
    text = "\x00".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest()


def network_of(address: str) -> str:
    """What counts as one place: an address of IPv4, a /64 of IPv6, whatever else it is."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(parsed) >> 64 << 64))
