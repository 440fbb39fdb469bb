"""`angos-trio serve` on a slow disk: the command line's options and `--write-ms`, milliseconds that
the disk takes for each MiB written, on top of what the real one takes."""

from __future__ import annotations

import argparse
import os
import sys
import time

import trio

from angos_trio.app.alone import run
from angos_trio.app.family import serve_family
from angos_trio.app.plan import make_plan
from angos_trio.cli.serve import PRIVATE_UMASK
from angos_trio.config.overrides import load_with_overrides
from angos_trio.storage.files import Files
from angos_trio.telemetry import log

MIB = 1024 * 1024


class SlowFiles(Files):
    """Files on a disk whose writes take longer; every writing thread waits for itself."""

    def __init__(self, write_ms: float) -> None:
        self._secs_per_byte = write_ms / 1000 / MIB

    def write_at(self, descriptor: int, content: bytes | memoryview, offset: int) -> None:
        """As `Files.write_at`, after the time that such a disk takes."""
        time.sleep(len(content) * self._secs_per_byte)
        super().write_at(descriptor, content, offset)


def main() -> int:
    """Serve until stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--write-ms", type=float, required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("-c", "--config", action="append", default=[])
    chosen = parser.parse_args()
    parsed = load_with_overrides(chosen.config, chosen.listen, chosen.data_dir)
    plan = make_plan(parsed.config)
    os.umask(PRIVATE_UMASK)
    log.configure(parsed.config.observability.log_level)
    if plan.workers > 1:
        return serve_family(plan, SlowFiles(chosen.write_ms))
    trio.run(run, plan, SlowFiles(chosen.write_ms))
    return 0


if __name__ == "__main__":
    sys.exit(main())
