"""What happened lately, the latest first."""

from __future__ import annotations

from dataclasses import dataclass

from angos_trio.storage.transactions import Rows


@dataclass(frozen=True, slots=True)
class Happened:
    """An event: `at` in epoch seconds; an empty namespace is the registry itself; `payload` is a
    JSON object."""

    number: int
    at: int
    kind: str
    namespace: str
    actor: str
    payload: str


def events_before(rows: Rows, before: int, limit: int) -> list[Happened]:
    """Events with a smaller number, the largest first."""
    found = rows.execute(
        "SELECT id, at, kind, namespace, actor, payload FROM events WHERE id < ? "
        "ORDER BY id DESC LIMIT ?",
        (before, limit),
    )
    return [Happened(*row) for row in found]
