"""Failed attempts: counted for each pair of address and user, and for each address."""

from __future__ import annotations

import ipaddress

from angos_trio.limits import (
    FAILURE_WINDOW_SECS,
    FAILURES_KEPT_MAX,
    FAILURES_MIN,
    FAILURES_OF_ADDRESS,
    FAILURES_OF_USER,
)


class _Buckets:
    """Debts that are paid off steadily: `limit` in a window; in order of the last failure."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._debts: dict[object, tuple[float, float]] = {}

    def blocked_secs(self, key: object, now: float) -> float:
        debt = self._debt(key, now)
        if debt + 1 <= self._limit:
            return 0.0
        return (debt + 1 - self._limit) * FAILURE_WINDOW_SECS / self._limit

    def failed(self, key: object, now: float) -> None:
        debt = min(self._debt(key, now) + 1, float(self._limit))
        self._debts.pop(key, None)
        while len(self._debts) >= FAILURES_KEPT_MAX:
            del self._debts[next(iter(self._debts))]
        self._debts[key] = (debt, now)

    def _debt(self, key: object, now: float) -> float:
        debt, at = self._debts.get(key, (0.0, now))
        return max(0.0, debt - (now - at) * self._limit / FAILURE_WINDOW_SECS)


class Attempts:
    """What one of `processes` processes saw of them. Times are seconds of the monotonic clock."""

    def __init__(self, processes: int = 1) -> None:
        self._of_user = _Buckets(max(FAILURES_MIN, FAILURES_OF_USER // processes))
        self._of_address = _Buckets(max(FAILURES_MIN, FAILURES_OF_ADDRESS // processes))

    def blocked_secs(self, address: str, user: str, now: float) -> float:
        """How long further attempts are refused; 0 when they are not."""
        place = network_of(address)
        return max(
            self._of_user.blocked_secs((place, user), now),
            self._of_address.blocked_secs(place, now),
        )

    def failed(self, address: str, user: str, now: float) -> None:
        """One more."""
        place = network_of(address)
        self._of_user.failed((place, user), now)
        self._of_address.failed(place, now)


def network_of(address: str) -> str:
    """What counts as one place: an address of IPv4, a /64 of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
