"""A forked process of a family: how it begins, and how it ends."""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from angos_trio.errors import OperatorError
from angos_trio.limits.processes import CHILD_ALIVE_SECS
from angos_trio.records import Frozen
from angos_trio.server.link import Link
from angos_trio.telemetry.log import logger

_log = logger("supervisor")
REFUSED_CODE: Final = 1
CRASHED_CODE: Final = 70
ORPHANED_CODE: Final = 71


class Child(Frozen):
    """A member of the family. `main` runs in the forked process.

    Those of an earlier `rank` are stopped first.
    """

    name: str
    main: Callable[[Link], None]
    rank: int = 0


def run_once(
    name: str, main: Callable[[Link], None], meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Run a child to its end. Raises OperatorError: its own, or one that says how it ended.

    `meanwhile` is called each second while it runs.
    """
    reads, writes = os.pipe()
    hears, says = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writes)
        with socket.socketpair()[0] as unheard:
            become(Child(name, main), Link(unheard), reads, says)
    os.close(reads)
    os.close(says)
    try:
        with os.fdopen(hears, "rb") as said:
            while not select.select([said], [], [], CHILD_ALIVE_SECS)[0]:
                meanwhile()
            reason = said.read().decode(errors="replace")
        _, status = os.waitpid(pid, 0)
    finally:
        os.close(writes)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        raise OperatorError(reason or f"the process {name!r} ended with {code}")


def become(child: Child, link: Link, orphaned: int, says: int | None = None) -> None:
    """The rest of a forked process's life; never returns. It ends at once when the other end of
    `orphaned` is gone; to `says` goes why it was refused."""
    code = CRASHED_CODE
    try:
        threading.Thread(target=_end_with, args=(orphaned,), daemon=True).start()
        child.main(link)
        code = 0
    except BaseException as raised:
        reason = _operator_error(raised)
        if reason is None:
            with suppress(OSError):  # nobody may read it
                traceback.print_exception(raised)
        else:
            code = REFUSED_CODE
            if says is not None:
                os.write(says, str(reason).encode())
            else:
                _log.error("process.refused", process=child.name, reason=str(reason))
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(code)


def _operator_error(raised: BaseException) -> OperatorError | None:
    """What the operator can mend, if that is what ended a process."""
    while isinstance(raised, BaseExceptionGroup):
        found = raised.subgroup(OperatorError)
        if found is None:
            return None
        raised = found.exceptions[0]
    return raised if isinstance(raised, OperatorError) else None


def _end_with(orphaned: int) -> None:
    """End at once when the other end of the pipe is gone: nobody looks after us any more."""
    os.read(orphaned, 1)
    os._exit(ORPHANED_CODE)
