"""`angos-trio serve` with files that can be made to fail: the command line's options and
`--control FILE`, by which a test says what fails. A control file that is there at the start counts
from the first step of the start."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import trio

from angos_trio.app.alone import run
from angos_trio.app.family import serve_family
from angos_trio.app.plan import make_plan
from angos_trio.config.overrides import load_with_overrides
from angos_trio.errors import OperatorError
from angos_trio.telemetry import log
from tests.crash.faulty_files import FaultyFiles


def main() -> int:
    """Serve until stopped; the exit codes are those of the command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--control", type=Path, required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("-c", "--config", action="append", default=[])
    chosen = parser.parse_args()
    try:
        parsed = load_with_overrides(chosen.config, chosen.listen, chosen.data_dir)
        plan = make_plan(parsed.config)
        log.configure(parsed.config.observability.log_level)
        if plan.workers > 1:
            return serve_family(plan, FaultyFiles(chosen.control))
        trio.run(run, plan, FaultyFiles(chosen.control))
    except OperatorError as error:
        return _refuse(error)
    except BaseExceptionGroup as group:
        found = group.subgroup(OperatorError)
        if found is None:
            raise
        return _refuse(found)
    return 0


def _refuse(error: BaseException) -> int:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    print(f"angos-trio: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
