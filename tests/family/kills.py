"""Workers and stewards killed under load: nothing is lost, nobody else notices."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.client import Content
from tests.family.family import (
    STEWARD,
    WORKERS,
    Family,
    Report,
    Wrong,
    running_family,
    wait_until,
)
from tests.family.lines import Line, SlowRequest, lines_to
from tests.family.load import Promises, Pusher, check_promises
from tests.family.uploads import NAMESPACE, append, expect_blob, finish, start_upload

CLIENTS = 4
KILLS_OF_EACH_MAX = 3
"""In one family: each time that it ends, a member is started anew later."""
STEWARD_KILLS_MAX = 5
WRONG_MAX = 20
MIB = 1 << 20


@dataclass
class Kills:
    """Rounds of load in which a member is killed."""

    scratch: Path
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    wrong: list[str] = field(default_factory=list)
    pushed: int = 0
    pulled: int = 0
    resumed: int = 0
    waited: int = 0
    broken: int = 0
    broken_unknown: int = 0
    slowest_anew: float = 0.0
    killed: int = 0

    def all(self, rounds: int, victims: tuple[str, ...], each_max: int) -> None:
        """So many rounds, with a new family on the same directory now and then."""
        promised = [Promises(f"family/client{number}") for number in range(CLIENTS)]
        while self.killed < rounds and len(self.wrong) < WRONG_MAX:
            drawn = self.rng.sample(victims * each_max, len(victims) * each_max)
            with running_family(self.scratch) as family:
                self._check(family, promised)
                try:
                    for victim in drawn[: rounds - self.killed]:
                        self._round(family, promised, victim)
                except Wrong as error:
                    self.wrong.append(str(error))
                self._check(family, promised)
                self.wrong += family.stop()

    def _check(self, family: Family, promised: list[Promises]) -> None:
        self.wrong += check_promises(family.address, promised)

    def _round(self, family: Family, promised: list[Promises], victim: str) -> None:
        pushers = [
            Pusher(
                family.address,
                promises,
                random.Random(f"{victim}/{self.killed}/{number}"),
                f"{victim}/{self.killed}/{number}",
            )
            for number, promises in enumerate(promised)
        ]
        with loading(pushers):
            time.sleep(self.rng.uniform(0.05, 0.5))
            self.killed += 1
            pid = family.kill(victim)
            self.slowest_anew = max(self.slowest_anew, family.wait_started_anew(victim, pid))
            if victim in WORKERS:
                with_it = Line(family.address, victim)
                with_it.expect(200, "GET", "/v2/")
                with_it.close()
            else:
                time.sleep(0.2)  # the load goes on with the new steward
        self._take(pushers, victim)
        self.wrong += check_promises(family.address, [each.fresh for each in pushers])

    def _take(self, pushers: list[Pusher], victim: str) -> None:
        for each in pushers:
            self.pushed += each.pushed
            self.pulled += each.pulled
            self.resumed += each.resumed
            self.waited += each.waited
            self.wrong += each.wrong
            for worker, what in each.broken:
                self.broken += 1
                self.broken_unknown += worker is None
                if worker not in (victim, None) or victim == STEWARD:
                    self.wrong.append(f"{victim} was killed, {worker} cut off: {what}")

    def figures(self) -> str:
        """What was done, in words."""
        return (
            f"{self.killed} kills, {self.pushed} pushes acknowledged and there afterwards, "
            f"{self.pulled} pulls, {self.broken} requests cut off ({self.broken_unknown} on "
            f"connections not answered before), {self.resumed} uploads resumed through another "
            f"worker ({self.waited} times refused before), started anew within "
            f"{self.slowest_anew:.1f} s"
        )


@contextmanager
def loading(pushers: list[Pusher]) -> Iterator[None]:
    """Let clients work for the length of a `with` block."""
    stop = threading.Event()
    threads = [threading.Thread(target=pusher.run, args=(stop,)) for pusher in pushers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def check_workers_killed(scratch: Path, rounds: int) -> list[Report]:
    """A random worker is killed under load, again and again."""
    kills = Kills(scratch)
    kills.all(rounds, WORKERS, KILLS_OF_EACH_MAX)
    if not kills.broken:
        kills.wrong.append("no kill cut off any request: the load was none")
    return [Report("workers killed under load", kills.figures(), kills.wrong)]


def check_steward_killed(scratch: Path, rounds: int) -> list[Report]:
    """The steward is killed under load: no request notices."""
    kills = Kills(scratch)
    kills.all(rounds, (STEWARD,), STEWARD_KILLS_MAX)
    return [Report("steward killed under load", kills.figures(), kills.wrong)]


def check_upload_resumed(scratch: Path, rounds: int) -> list[Report]:
    """A worker is killed in the middle of a PATCH; another goes on with the upload."""
    wrong: list[str] = []
    kept: list[int] = []
    with running_family(scratch) as family:
        try:
            for number in range(rounds):
                with lines_to(family.address) as lines:
                    order = random.Random(number).sample(lines, len(lines))
                    kept.append(_cut_and_resume(family, order, Content(f"r/{number}", 6 * MIB)))
        except Wrong as error:
            wrong.append(str(error))
        wrong += family.stop()
    sizes = ", ".join(f"{size / MIB:.1f}" for size in kept[:5])
    figures = f"{len(kept)} resumed through another worker, at {sizes} … of 6 MiB (1 acknowledged)"
    return [Report("upload whose worker was killed in a PATCH", figures, wrong)]


def _cut_and_resume(family: Family, lines: list[Line], content: Content) -> int:
    """Where it went on."""
    body, location = content.bytes(), start_upload(lines[0])
    append(lines[1], location, body[:MIB], 0)
    slow, rest = SlowRequest(lines[2]), len(body) - MIB
    slow.begin("PATCH", location, rest, {"Content-Range": f"{MIB}-{len(body) - 1}"})
    slow.send(body[MIB : 4 * MIB])

    def is_written() -> bool:
        return lines[3].expect(204, "GET", location).offset > MIB

    wait_until(is_written, "some of the PATCH is written")
    pid = family.kill(lines[2].worker)
    if not slow.is_cut_off():
        raise Wrong("the killed worker answered")
    lines[2].close()
    offset = lines[3].expect(204, "GET", location).offset
    if not MIB < offset <= 4 * MIB:
        raise Wrong(f"offset {offset} after {MIB} were acknowledged and {4 * MIB} sent")
    append(lines[3], location, body[offset : 5 * MIB], offset)
    finish(lines[0], location, content, 5 * MIB)
    family.wait_started_anew(lines[2].worker, pid)
    for line in lines:
        expect_blob(line, NAMESPACE, content.digest)
    return offset
