"""Pulls: webhooks that decide are asked before, others are told afterwards."""

from __future__ import annotations

from angos_trio.api.context import Runtime
from angos_trio.http.call import Call
from angos_trio.registry.asking import About, require_allowed, told_pull


async def ask_for_pull(runtime: Runtime, call: Call, about: About) -> None:
    """Raises DENIED (403) or UNAVAILABLE (503) where a webhook does not allow it."""
    await require_allowed(runtime.registry, call.caller, about)


def tell_pull(runtime: Runtime, call: Call, about: About) -> None:
    """It is being answered."""
    registry = runtime.registry
    told = told_pull(registry, call.caller, about)
    if told is not None and runtime.told_pulls is not None:
        runtime.told_pulls.note(registry.endpoints, told)
