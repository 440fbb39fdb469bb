"""A fault at every step of a start: in an empty directory, and in one that a crash left behind."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from angos_trio.records import replace
from tests.crash.checks import Outcome, check_directory
from tests.crash.client import Client, Content, blob_path, uploads_path
from tests.crash.faulty_files import KILL, TEAR, Control, Fault
from tests.crash.leftovers import Leftovers
from tests.crash.process import Place, start
from tests.running import RegistryDidNotStart, RunningRegistry, free_port

NOT_COPIED = shutil.ignore_patterns("control.sock", "metrics", "processes")
"""Of a running instance; docs/operating.md says that a copy may lack them."""
STEPS_MAX = 100
FIRST_STEPS = 520
"""A first start makes two times 256 directories and then writes the format."""
FIRST_STARTS = 6
KEPT = Content("kept", 5_000)


@dataclass
class Starts:
    """Faulty starts; `met` counts the faults."""

    seed: str
    scratch: Path
    place: Place
    control: Control
    stride: int = 1
    wrong: list[str] = field(default_factory=list)
    met: int = 0

    def after_a_crash(self, fault: Fault) -> None:
        """The same leftovers for each step of the start, until it has no further step."""
        crashed = self._crashed_directory()
        for number in range(1, STEPS_MAX, self.stride):
            shutil.rmtree(self.place.data_dir, ignore_errors=True)
            shutil.copytree(crashed.data_dir, self.place.data_dir, ignore=NOT_COPIED)
            leftovers = Leftovers(self.seed)
            leftovers.put(self.place.data_dir)
            numbered = replace(fault, at=number)
            if not self._start_badly(numbered, partial(self._judge, leftovers, fault)):
                return
        self.wrong.append(f"start, {fault.action}: no end of steps")

    def at_first(self, fault: Fault, rng: random.Random) -> None:
        """Some steps of a start in an empty directory."""
        steps = sorted(rng.sample(range(1, FIRST_STEPS), FIRST_STARTS))
        last = range(FIRST_STEPS, FIRST_STEPS + STEPS_MAX)
        for number in [*steps[:: self.stride], *last[:: self.stride]]:
            shutil.rmtree(self.place.data_dir, ignore_errors=True)
            if not self._start_badly(replace(fault, at=number), self._judge_new):
                return
        self.wrong.append(f"first start, {fault.action}: no end of steps")

    def _crashed_directory(self) -> Place:
        place = replace(self.place, data_dir=self.scratch / "crashed")
        if place.data_dir.exists():
            return place
        registry = start(place)
        try:
            with Client(place.address) as client:
                _push_kept(client)
        finally:
            registry.kill()
        return place

    def _start_badly(self, fault: Fault, judge: Callable[[], list[str]]) -> bool:
        """Start with the fault, then without; False when no step was left to meet it.

        A start that a disk refuses must either go on or say why in one line.
        """
        found = len(self.wrong)
        self.control.set(fault)
        registry = self._try_to_start(fault)
        self.control.clear()
        hit = self.control.hit
        if registry is not None and hit is not None and fault.action in (KILL, TEAR):
            # It was ready before it came to that step, and is gone by now or in a moment.
            registry.kill()
            registry = None
        if registry is None or hit is not None:
            if registry is not None:
                # Whatever the disk refused to do now, the next start finds a sound directory.
                self.wrong += self._judge_kept()
                registry.kill()
            if (self.place.data_dir / "metadata.db").exists():
                self.wrong += check_directory(self.place.data_dir, self.scratch)
            try:
                registry = start(self.place)
            except RegistryDidNotStart as error:
                self.wrong.append(f"cannot be started afterwards: {error}")
        if registry is not None:
            self.wrong += judge()
            registry.kill()
        where = f"start, {fault.action} at step {fault.at} ({hit})"
        self.wrong[found:] = [f"{where}: {line}" for line in self.wrong[found:]]
        self.met += hit is not None
        return hit is not None

    def _try_to_start(self, fault: Fault) -> RunningRegistry | None:
        try:
            return start(self.place)
        except RegistryDidNotStart as error:
            said = str(error).split(":\n", 1)[1].strip().splitlines()
            is_clean = len(said) == 1 and said[0].startswith("angos-trio: ")
            if fault.action not in (KILL, TEAR) and not is_clean:
                self.wrong.append(f"ends with {said[-1:]} after {len(said)} lines")
            return None

    def _judge(self, leftovers: Leftovers, fault: Fault) -> list[str]:
        may_be_dropped = fault.action not in (KILL, TEAR)
        wrong = leftovers.wrong(self.place.address, may_be_dropped=may_be_dropped)
        return [*wrong, *self._judge_kept()]

    def _judge_kept(self) -> list[str]:
        with Client(self.place.address) as client:
            answer = client.ask("GET", blob_path("kept", KEPT.digest))
        is_kept = answer.status == 200 and answer.body == KEPT.bytes()
        return [] if is_kept else ["LOST the blob that was there before"]

    def _judge_new(self) -> list[str]:
        with Client(self.place.address) as client:
            answer = _push_kept(client)
        return [] if answer == 201 else [f"a push is answered with {answer}"]


def _push_kept(client: Client) -> int:
    path = f"{uploads_path('kept')}?digest={KEPT.digest}"
    return client.ask("POST", path, KEPT.bytes()).status


def fail_every_start(seed: str, scratch: Path, stride: int = 1) -> Outcome:
    """Every kind of fault, at each `stride`-th step, with a line for each."""
    directory = scratch / "starts"
    directory.mkdir()
    config = directory / "config.toml"
    config.write_text(
        '[global]\nmin_free_space = "16MiB"\n[blob_store.fs]\nballast = "1MiB"\n',
        encoding="utf-8",
    )
    control = Control(directory / "control.json")
    log = directory / "registry.log"
    place = Place(directory / "data", log, free_port(), config, control.path)
    starts = Starts(seed, directory, place, control, stride)
    for fault in (Fault(0, KILL), Fault(0, TEAR), Fault(0, "EIO"), Fault(0, "ENOSPC", lasts=True)):
        before = starts.met
        starts.after_a_crash(fault)
        print(f"  {fault.action} while starting: {starts.met - before} steps", flush=True)
    before = starts.met
    starts.at_first(Fault(0, KILL), random.Random(f"{seed}/starts"))
    print(f"  {KILL} in the first start: {starts.met - before} steps", flush=True)
    return Outcome(f"{starts.met} faults while starting", starts.wrong)
