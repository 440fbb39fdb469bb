"""What is told to one worker all know at once: tags, immutable tags, metrics."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.client import MANIFEST_TYPE, digest_of, manifest_of, manifest_path
from tests.family.family import IMMUTABLE, Family, Report, Wrong, running_family, wait_until
from tests.family.lines import Line, SlowRequest, lines_to
from tests.family.uploads import start_upload

NAMESPACE = "family/tags"
MANIFESTS = 8
TYPED = {"Content-Type": MANIFEST_TYPE}
ABSENT = digest_of(b"absent")
SAMPLE = re.compile(r"([a-z_]+(?:\{[^}]*\})?) (\S+)")
COUNTED = ("_total", "_count", "_sum", "_bucket")
IN_FLIGHT = "http_requests_in_flight"
SETTLE_SECS = 0.3
"""In which what was answered is counted, also on a busy machine."""
SETTLES_MAX = 20


def body_of(mark: str) -> bytes:
    """A manifest that no other mark has."""
    return manifest_of([(ABSENT, 6)], mark)


def check_tags(scratch: Path, rounds: int) -> list[Report]:
    """A tag is moved through one worker and read through every other, each round."""
    wrong: list[str] = []
    stale = reads = 0
    path, bodies = manifest_path(NAMESPACE, "latest"), [body_of(str(n)) for n in range(MANIFESTS)]
    with running_family(scratch) as family:
        try:
            with lines_to(family.address) as lines:
                for number in range(rounds):
                    body, mover = bodies[number % MANIFESTS], lines[number * 7 // 4 % len(lines)]
                    mover.expect(201, "PUT", path, body, TYPED)
                    for reader in lines:
                        answer = reader.expect(200, "GET", path)
                        reads += 1
                        stale += answer.body != body
        except Wrong as error:
            wrong.append(str(error))
        wrong += family.stop()
    if stale:
        wrong.append(f"{stale} of {reads} reads were stale")
    figures = f"{rounds} rounds, {reads} reads through 4 workers, {stale} stale"
    return [Report("tag moved through one, read through all", figures, wrong)]


@dataclass
class _Race:
    """The same thing asked of several workers at the same moment."""

    lines: Sequence[Line]
    statuses: dict[int, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def run(self, path: str, bodies: Sequence[bytes]) -> None:
        barrier = threading.Barrier(len(self.lines))

        def ask(number: int) -> None:
            barrier.wait()
            try:
                self.statuses[number] = (
                    self.lines[number].ask("PUT", path, bodies[number], TYPED).status
                )
            except (Wrong, OSError) as error:
                self.failures.append(repr(error))

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(len(self.lines))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def check_immutable_tags(scratch: Path, rounds: int) -> list[Report]:
    """Four manifests are pushed to one new tag through four workers: one of them wins."""
    wrong: list[str] = []
    winners: dict[str, int] = {}
    with running_family(scratch, IMMUTABLE) as family:
        try:
            with lines_to(family.address) as lines:
                for number in range(rounds):
                    worker = _race_for(f"t{number}", lines)
                    winners[worker] = winners.get(worker, 0) + 1
        except Wrong as error:
            wrong.append(str(error))
        wrong += family.stop()
    figures = f"{rounds} rounds of 4 pushes at once, one 201 each; winners {winners}"
    return [Report("immutable tags", figures, wrong)]


def _race_for(tag: str, lines: Sequence[Line]) -> str:
    """The worker whose push won. Raises Wrong."""
    path, race = manifest_path(NAMESPACE, tag), _Race(lines)
    bodies = [body_of(f"{tag}/{line.worker}") for line in lines]
    for line in lines:
        line.open()
    race.run(path, bodies)
    if race.failures or sorted(race.statuses.values()) != [201, 409, 409, 409]:
        raise Wrong(f"{tag}: {race.statuses} {race.failures}")
    winner = next(number for number, status in race.statuses.items() if status == 201)
    for line in lines:
        if line.expect(200, "GET", path).body != bodies[winner]:
            raise Wrong(f"{tag}: {line.worker} reads another manifest than the winner's")
    return lines[winner].worker


def scrape(line: Line) -> dict[str, float]:
    """Every sample as one worker tells it."""
    text = line.expect(200, "GET", "/metrics").body.decode()
    found = (SAMPLE.fullmatch(each) for each in text.splitlines() if not each.startswith("#"))
    return {match[1]: float(match[2]) for match in found if match}


def settled(line: Line, name: str) -> dict[str, float]:
    """Samples in which a sum does not grow any more: a request is counted after its answer. Raises
    Wrong when it goes on growing."""
    found = scrape(line)
    for _ in range(SETTLES_MAX):
        time.sleep(SETTLE_SECS)
        again = scrape(line)
        if again.get(name) == found.get(name):
            return again
        found = again
    raise Wrong(f"{name} goes on growing while nobody asks")


def check_metrics(scratch: Path, requests: int) -> list[Report]:
    """Any worker's metrics are those of all, also after some were killed."""
    wrong: list[str] = []
    told = 0.0
    with running_family(scratch) as family:
        try:
            with lines_to(family.address) as lines:
                told = _check_sums(lines, requests)
                _check_after_kill(family, lines)
        except Wrong as error:
            wrong.append(str(error))
        wrong += family.stop()
    figures = (
        f"{told:.0f} requests through 4 workers, each worker tells of all; 1 in flight when idle, "
        "2 with an upload, 1 again when its worker was killed; no counter went down"
    )
    return [Report("metrics of one registry", figures, wrong)]


def _check_sums(lines: Sequence[Line], requests: int) -> float:
    """The number of requests that was sent, as each worker tells it. Raises Wrong."""
    name = 'http_requests_total{method="GET",route="get-api-version",status="200"}'
    lost = 'http_requests_total{method="GET",route="get-manifest",status="404"}'
    before = settled(lines[0], name)
    for number, line in enumerate(lines):
        for _ in range(requests + number):
            line.expect(200, "GET", "/v2/")
        line.expect(404, "GET", manifest_path(NAMESPACE, "absent"))
        line.open()  # an error may have closed it
    sent = sum(requests + number for number in range(len(lines)))
    for line in lines:
        after = settled(line, name)
        grown = after[name] - before.get(name, 0)
        if grown != sent or after[lost] != len(lines):
            raise Wrong(f"{line.worker} tells {grown} of {sent} and {after[lost]} lost")
        if after[IN_FLIGHT] != 1:
            raise Wrong(f"{line.worker} tells {after[IN_FLIGHT]} in flight in an idle family")
    return float(sent)


def _check_after_kill(family: Family, lines: Sequence[Line]) -> None:
    """Raises Wrong."""
    for victim in lines:
        teller = next(line for line in lines if line is not victim)
        slow = SlowRequest(victim)
        slow.begin("PATCH", start_upload(teller), 1000, {})
        _wait_in_flight(teller, 2)
        before = scrape(teller)
        pid = family.kill(victim.worker)
        if not slow.is_cut_off():
            raise Wrong(f"{victim.worker} answered after its end")
        victim.close()
        _expect_no_less(before, scrape(teller), "while a worker was gone")
        family.wait_started_anew(victim.worker, pid)
        victim.open()
        _wait_in_flight(teller, 1)
        for line in lines:
            _expect_no_less(before, scrape(line), f"after {victim.worker} was started anew")


def _wait_in_flight(line: Line, count: int) -> None:
    is_so: Callable[[], bool] = lambda: scrape(line)[IN_FLIGHT] == count  # noqa: E731
    wait_until(is_so, f"{count} requests in flight")


def _expect_no_less(before: dict[str, float], after: dict[str, float], when: str) -> None:
    for name, value in before.items():
        if name.partition("{")[0].endswith(COUNTED) and after.get(name, 0.0) < value:
            raise Wrong(f"{name} went from {value} to {after.get(name)} {when}")
