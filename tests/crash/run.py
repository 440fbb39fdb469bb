"""Kill the registry under load, again and again: nothing that it acknowledged may be lost.

Clients push, move, delete and mount while the registry runs as its users run it. It is killed with
SIGKILL at a random moment, looked at while it is down, started on the same directory and asked for
everything that it had acknowledged. Then faults are injected at every step of a client's day (see
steps), of a start (see starts) and of a collection (see collecting). The seed is printed: `--seed`
draws the same clients and the same moments again. Started by `make crash`.
"""

from __future__ import annotations

import argparse
import random
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.checks import (
    LOST,
    Outcome,
    check_directory,
    check_facts,
    check_listings,
    check_uploads_directory,
)
from tests.crash.client import Client, ServerGone
from tests.crash.collecting import fail_every_collection
from tests.crash.model import Counts, Model
from tests.crash.process import Log, Place, spawn, start
from tests.crash.resume import Resumer
from tests.crash.starts import fail_every_start
from tests.crash.steps import inject_everywhere
from tests.crash.workload import MOMENTS, Moment, Worker
from tests.running import RegistryDidNotStart, RunningRegistry, free_port

CLIENTS = 6
LOAD_SECS_MAX = 0.9
FULL_CHECK_EVERY = 10
KILLS_PER_DIRECTORY = 50
"""Nothing reclaims the space of what was pushed yet, so a new directory is begun now and then."""
KILL_AT_START_SHARE = 0.15
IN_FLIGHT_SHARE_MIN = 0.5
WRONG_MAX = 20
"""So many findings are enough to stop."""


@dataclass
class Run:
    """The kills of one program run; `wrong` is what was found."""

    seed: str
    kills: int
    scratch: Path
    counts: Counts = field(default_factory=Counts)
    wrong: list[str] = field(default_factory=list)
    killed: int = 0
    killed_in_flight: int = 0
    killed_at_start: int = 0

    def all(self) -> None:
        """Every kill, with a new data directory each fifty."""
        port = free_port()
        while self.killed < self.kills and len(self.wrong) < WRONG_MAX:
            data_dir = self.scratch / f"data{self.killed}"
            place = Place(data_dir, self.scratch / "registry.log", port)
            self._series(place, min(KILLS_PER_DIRECTORY, self.kills - self.killed))
            print(f"  {self.killed} kills", flush=True)
            if not self.wrong:
                shutil.rmtree(data_dir)

    def _series(self, place: Place, kills: int) -> None:
        model, log = Model(), Log(place.log_file)
        registry = start(place)
        try:
            for number in range(1, kills + 1):
                rng = random.Random(f"{self.seed}/{self.killed}")
                self._load_and_kill(registry, model, rng)
                registry = self._restart(place, rng)
                is_full = number % FULL_CHECK_EVERY == 0 or number == kills
                self._check(place, model, rng, is_full=is_full)
                self.wrong += log.crash_lines()
                if len(self.wrong) >= WRONG_MAX:
                    return
        finally:
            registry.stop()

    def _load_and_kill(self, registry: RunningRegistry, model: Model, rng: random.Random) -> None:
        workers = load_and_end(registry.address, model, rng, f"{self.killed}", registry.kill)
        self.killed += 1
        self.killed_in_flight += any(worker.counts.broken for worker in workers)
        for worker in workers:
            self.counts.add(worker.counts)
            self.wrong += worker.wrong

    def _restart(self, place: Place, rng: random.Random) -> RunningRegistry:
        """Look at the directory, perhaps kill once more while it starts, and start."""
        self.wrong += check_directory(place.data_dir, self.scratch)
        if rng.random() < KILL_AT_START_SHARE:
            registry = spawn(place)
            time.sleep(rng.uniform(0.2, 0.7))
            registry.kill()
            self.killed_at_start += 1
            self.wrong += check_directory(place.data_dir, self.scratch)
        registry = start(place)
        self.wrong += check_uploads_directory(place.data_dir)
        return registry

    def _check(self, place: Place, model: Model, rng: random.Random, *, is_full: bool) -> None:
        keys, model.touched = model.touched, set()
        if is_full:
            keys = set(model.keys())
        self.wrong += check_facts(place.address, model, keys)
        self.wrong += check_listings(place.address, model, {key[1] for key in keys})
        with Client(place.address) as client:
            self.wrong += Resumer(client, model, self.counts).resume_all(rng)
        self.wrong += check_facts(place.address, model, model.touched)

    def outcome(self) -> Outcome:
        """The counts, and what was found; too few kills in the middle of work are a finding."""
        counts, share = self.counts, self.killed_in_flight / max(self.killed, 1)
        if share <= IN_FLIGHT_SHARE_MIN:
            self.wrong.append(f"only {share:.0%} of the kills hit a change in flight")
        return Outcome(
            f"{self.killed} kills ({self.killed_in_flight} with changes in flight, "
            f"{counts.broken} changes cut off; {self.killed_at_start} more while starting), "
            f"acknowledged: {counts.blobs} blobs, {counts.manifests} manifests, "
            f"{counts.deletes} deletes, {counts.chunks} chunks; {counts.resumed} resumed uploads",
            self.wrong,
        )


def load_and_end(
    address: str,
    model: Model,
    rng: random.Random,
    cycle: str,
    end: Callable[[], None],
    *,
    may_be_refused: bool = False,
) -> list[Worker]:
    """Let clients work, and end it at a random moment: any, or just after some request."""
    moment = Moment(rng.choice(MOMENTS), rng.randint(1, 8))
    workers = [
        Worker(number, Client(address), model, random.Random(draw), moment, cycle, may_be_refused)
        for number, draw in enumerate(rng.sample(range(1 << 30), CLIENTS))
    ]
    stop = threading.Event()
    threads = [threading.Thread(target=worker.run, args=(stop,)) for worker in workers]
    load_secs, delay_secs = rng.uniform(0.1, LOAD_SECS_MAX), rng.uniform(0, 0.02)
    for thread in threads:
        thread.start()
    if moment.kind is None:
        time.sleep(load_secs)
    else:
        moment.came.wait(LOAD_SECS_MAX)
        time.sleep(delay_secs)
    end()
    stop.set()
    for thread in threads:
        thread.join()
    return workers


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A directory that stays, and is named, only when the work in it fails."""
    scratch = Path(tempfile.mkdtemp(prefix="angos-trio-crash-"))
    try:
        yield scratch
    except BaseException:
        print(f"data and logs are kept in {scratch}", file=sys.stderr)
        raise
    shutil.rmtree(scratch)


class Failed(Exception):
    """Something was found; it has been printed."""


def kill_again_and_again(seed: str, kills: int, scratch: Path) -> Outcome:
    """The first part. What was found before a start that fails is printed all the same."""
    run = Run(seed, kills, scratch)
    try:
        run.all()
    except (RegistryDidNotStart, ServerGone) as error:
        run.wrong.append(f"{LOST}: {error}")
    return run.outcome()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0 when nothing was lost and nothing else was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.run", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", default="")
    parser.add_argument(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help="each N-th fault of a client's day, and each third of a start",
    )
    parser.add_argument(
        "--only", choices=("kills", "steps", "starts", "collecting"), help="only this part"
    )
    chosen = parser.parse_args(arguments)
    seed = chosen.seed or secrets.token_hex(4)
    print(f"seed {seed}", flush=True)
    parts: dict[str, Callable[[Path], Outcome]] = {
        "kills": lambda scratch: kill_again_and_again(seed, chosen.kills, scratch),
        "steps": lambda scratch: inject_everywhere(seed, scratch, chosen.every),
        "starts": lambda scratch: fail_every_start(seed, scratch, min(chosen.every, 3)),
        "collecting": fail_every_collection,
    }
    wanted = [chosen.only] if chosen.only else list(parts)
    try:
        with scratch_directory() as scratch:
            whole = run_parts([parts[name] for name in wanted], scratch)
    except Failed:
        print(f"FAILED; again with: --seed {seed}", file=sys.stderr)
        return 1
    print(f"{whole.did}; lost: {whole.lost}")
    return 0


def run_parts(parts: list[Callable[[Path], Outcome]], scratch: Path) -> Outcome:
    """Every part, each with its outcome printed, and all of them in one. Raises Failed."""
    outcomes = []
    for part in parts:
        begun_at = time.monotonic()
        outcome = part(scratch)
        print(f"{outcome} ({time.monotonic() - begun_at:.0f} s)", flush=True)
        outcomes.append(outcome)
    if any(outcome.wrong for outcome in outcomes):
        raise Failed
    return Outcome("; ".join(outcome.did for outcome in outcomes), [])


if __name__ == "__main__":
    sys.exit(main())
