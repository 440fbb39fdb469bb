"""Several processes are one registry: what one is told all know, and none is missed when it dies.

A registry with four workers is started as its users start it, asked through chosen workers, and its
processes are killed, stopped and frozen. One line for each part. Started by `make family`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.crash.run import scratch_directory
from tests.family.ends import (
    check_frozen,
    check_second_start,
    check_supervisor_killed,
    check_terminated,
)
from tests.family.family import Report
from tests.family.kills import check_steward_killed, check_upload_resumed, check_workers_killed
from tests.family.oneness import check_immutable_tags, check_metrics, check_tags
from tests.family.troubles import check_handles, check_hung, check_one_core
from tests.family.uploads import check_uploads

Part = Callable[[Path], list[Report]]


class Failed(Exception):
    """Something was wrong; it has been printed."""


def parts_of(*, is_quick: bool) -> dict[str, Part]:
    """What there is to check, by name."""
    return {
        "uploads": lambda scratch: check_uploads(scratch, 5 if is_quick else 40),
        "kills": lambda scratch: check_workers_killed(scratch, 15 if is_quick else 100),
        "steward": lambda scratch: check_steward_killed(scratch, 2 if is_quick else 10),
        "resume": lambda scratch: check_upload_resumed(scratch, 2 if is_quick else 10),
        "supervisor": lambda scratch: check_supervisor_killed(scratch, 2 if is_quick else 10),
        "sigterm": lambda scratch: check_terminated(scratch, 1 if is_quick else 5),
        "sigstop": lambda scratch: check_frozen(scratch, 2.0 if is_quick else 5.0),
        "tags": lambda scratch: check_tags(scratch, 500 if is_quick else 10_000),
        "immutable": lambda scratch: check_immutable_tags(scratch, 30 if is_quick else 200),
        "metrics": lambda scratch: check_metrics(scratch, 25 if is_quick else 200),
        "second": check_second_start,
        "hung": check_hung,
        "handles": check_handles,
        "one-core": check_one_core,
    }


def run_parts(parts: dict[str, Part], scratch: Path) -> bool:
    """Every part in a directory of its own, with its reports printed; whether all is well."""
    is_well = True
    for name, part in parts.items():
        place = scratch / name
        place.mkdir()
        begun_at = time.monotonic()
        for report in part(place):
            is_well &= not report.wrong
            print(f"{report} [{time.monotonic() - begun_at:.0f} s]", flush=True)
    return is_well


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0 when all is well."""
    parser = argparse.ArgumentParser(prog="python -m tests.family.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--only", nargs="+", choices=parts_of(is_quick=True), help="these parts")
    chosen = parser.parse_args(arguments)
    os.environ.pop("WORKERS", None)  # the parts say themselves how many they want
    parts = parts_of(is_quick=chosen.quick)
    wanted = {name: parts[name] for name in chosen.only or parts}
    try:
        with scratch_directory() as scratch:
            if not run_parts(wanted, scratch):
                raise Failed
    except Failed:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
