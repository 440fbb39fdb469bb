"""How commands write times, sizes and the texts of others; imports next to nothing."""

from __future__ import annotations

from datetime import UTC, datetime

from angos_trio.telling import plain, size_of

__all__ = ["plain", "size_of", "time_of"]


def time_of(at: int) -> str:
    """Epoch seconds as RFC 3339 without seconds, in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%MZ}"
