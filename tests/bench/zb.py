"""zot's load generator `zb`, unchanged, against a registry on an empty directory.

It passes when every request of every test succeeded. `make zb` installs it at its pin; where the
module proxy does not serve that, `--source` names a copy of zot's repository at that version.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.bench.sides import REPOSITORY, BenchError
from tests.pins import pins
from tests.running import RegistryDidNotStart, running_registry

PROGRAMS = REPOSITORY / ".cache" / "go-bin"
WORK = REPOSITORY / ".cache" / "bench" / "zb"
CLIENTS, REQUESTS = 10, 100
RUN_SECS_MAX = 3600
# Nobody waits for the compiler more than for what else the machine does.
POLITE = ("nice", "-n", "19")


def program(source: Path | None) -> Path:
    """The program at its pin, built once."""
    pinned = pins("bench")
    module, version = pinned["zb_module"], pinned["zb_version"]
    kept = PROGRAMS / f"zb-{version}"
    if kept.exists():
        return kept
    if shutil.which("go") is None:
        raise BenchError("zb is written in Go, and there is no `go` on the PATH")
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    if source is None:
        command = [*POLITE, "go", "install", "-p", "1", f"{module}@{version}"]
        done = _go(command, REPOSITORY, {"GOBIN": str(PROGRAMS)})
    else:
        command = [*POLITE, "go", "build", "-p", "1", "-o", str(PROGRAMS / "zb"), "./cmd/zb"]
        done = _go(command, source, {})
    if done.returncode != 0 or not (PROGRAMS / "zb").exists():
        raise BenchError(f"go could not build {module}@{version}:\n{done.stderr[-2000:]}")
    (PROGRAMS / "zb").rename(kept)
    print(f"{module}@{version} built in {time.monotonic() - begun:.0f} s", flush=True)
    return kept


def _go(
    command: list[str], directory: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    flags = {"GOWORK": "off", "GOFLAGS": "-buildvcs=false"}
    return subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, **flags, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def run(zb: Path, clients: int, requests: int) -> str:
    """Run every test that needs no second registry and return what was printed."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    try:
        with (
            running_registry(WORK / "data") as registry,
            tempfile.TemporaryDirectory(dir=WORK) as scratch,
        ):
            done = subprocess.run(
                [
                    str(zb),
                    *("-c", str(clients), "-n", str(requests), "-d", scratch),
                    registry.base_url,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=RUN_SECS_MAX,
                check=False,
            )
            log = registry.log
    finally:
        shutil.rmtree(WORK, ignore_errors=True)
    if done.returncode != 0:
        raise BenchError(f"zb ended with {done.returncode}:\n{done.stdout}\n{log[-2000:]}")
    return done.stdout


def count_errors(printed: str) -> tuple[int, int]:
    """How many tests zb reported, and the requests that failed in all of them."""
    failed = [int(number) for number in re.findall(r"Failed requests:\s+(\d+)", printed)]
    return len(failed), sum(failed)


def main() -> int:
    """Build, run, judge."""
    parser = argparse.ArgumentParser(prog="zb", description=__doc__)
    parser.add_argument("--source", type=Path, help="a copy of zot's repository at the pin")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    options = parser.parse_args()
    begun = time.monotonic()
    try:
        printed = run(program(options.source), options.clients, options.requests)
    except (BenchError, RegistryDidNotStart, subprocess.TimeoutExpired) as error:
        print(f"zb: {error}", file=sys.stderr)
        return 1
    print(printed)
    tests, errors = count_errors(printed)
    print(f"zb: {tests} tests, {errors} errors in {time.monotonic() - begun:.0f} s")
    return 0 if tests and not errors else 1


if __name__ == "__main__":
    sys.exit(main())
