"""`angos-trio serve`"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from collections.abc import Sequence
from functools import partial

import trio

from angos_trio.app.alone import run
from angos_trio.app.family import serve_family
from angos_trio.app.plan import make_plan, tell_remarks
from angos_trio.config.overrides import load_with_overrides
from angos_trio.errors import OperatorError
from angos_trio.server.manager import take_manager
from angos_trio.server.reporting import Reporter
from angos_trio.telemetry import log
from angos_trio.telemetry.processes import name_this_process

PRIVATE_UMASK = 0o027
"""What the registry writes is nobody else's to read, the database's files included."""


def serve(files: Sequence[str], listen: str | None, data_dir: str | None) -> int:
    """Serve until SIGTERM or SIGINT; 0 after a clean stop."""
    # A reload that is asked for during the start comes after it; it would end the process, and a
    # service manager takes that for a clean end.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    with contextlib.closing(take_manager(os.environ)) as manager:
        try:
            return _serve(files, listen, data_dir, Reporter(manager))
        except OperatorError as error:
            manager.status(f"refused to start: {error}")
            raise


def _serve(
    files: Sequence[str], listen: str | None, data_dir: str | None, reporter: Reporter
) -> int:
    read = partial(load_with_overrides, files, listen, data_dir)
    parsed, read_again = read(), partial(read, is_again=True)
    plan = make_plan(parsed.config, is_configured=bool(files))
    os.umask(PRIVATE_UMASK)
    name_this_process("angos-trio")
    log.configure(parsed.config.observability.log_level)
    tell_remarks(parsed.remarks)
    # What was imported stays: a full collection need not look through it, while requests wait. To
    # collect before would take a tenth of the start, for less than a megabyte.
    gc.freeze()
    gc.enable()
    if plan.workers > 1:
        return serve_family(plan, read_again=read_again, reporter=reporter)
    try:
        trio.run(partial(run, plan, read_again=read_again, reporter=reporter))
    except BaseExceptionGroup as group:
        raise _operator_error(group) from None
    return 0


def _operator_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The operator's error in a group, if that is what ended the nurseries."""
    first: BaseException | None = group.subgroup(OperatorError)
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first or group
