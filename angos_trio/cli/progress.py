"""How far a long command has come: a moving line on a terminal, now and then a plain one elsewhere.

Only what is known is told. Where nobody knows how much there is, nobody is told a share of it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from angos_trio.cli.streams import mute
from angos_trio.errors import only_error
from angos_trio.limits.housekeeping import (
    PROGRESS_FIRST_SECS,
    PROGRESS_MOVE_SECS,
    PROGRESS_TELL_SECS,
)
from angos_trio.records import Frozen

Outcome = TypeVar("Outcome")


class Stage(Frozen):
    """In words, and as a number of a whole that is known; `total` is 0 where it is not."""

    text: str
    done: int = 0
    total: int = 0


Look = Callable[[], Stage]


async def beside(work: Callable[[], Awaitable[Outcome]], look: Look) -> Outcome:
    """Do the work, and say on standard error how far it is. What is quick says nothing."""
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_tell, look)
            outcome = await work()
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise only_error(group) from None
    return outcome


async def _tell(look: Look) -> None:
    if sys.stderr is None:
        return
    is_moving = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    try:
        await (_move if is_moving else _tell_plainly)(look)
    except OSError:
        mute(sys.stderr)  # who read it has left: no reason to end the work


async def _tell_plainly(look: Look) -> None:
    begun_at = trio.current_time()
    while True:
        await trio.sleep(PROGRESS_TELL_SECS)
        secs = trio.current_time() - begun_at
        print(f"{look().text}; {secs:.0f} s", file=sys.stderr, flush=True)


async def _move(look: Look) -> None:
    await trio.sleep(PROGRESS_FIRST_SECS)
    # Imported here: it takes a tenth of a second, which a quick command does not have.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        auto_refresh=False,
        transient=True,
    ) as line:
        task = line.add_task(look().text, total=None)
        while True:
            stage = look()
            total = stage.total or None
            line.update(task, description=stage.text, completed=stage.done, total=total)
            line.refresh()
            await trio.sleep(PROGRESS_MOVE_SECS)
