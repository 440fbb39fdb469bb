"""A fault at every step of a client's day, one at a time, until the day has no further step.

Killed, or torn in the middle of a write: after the next start the client goes on where it was.
Refused by the disk, once or for as long as it lasts: the answer is 507 or 503, nothing is half
visible, older content can be read and deleted, and afterwards the client goes on.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.checks import (
    LOST,
    Outcome,
    check_directory,
    check_facts,
    check_uploads_directory,
)
from tests.crash.client import Client, ServerGone, WrongAnswer
from tests.crash.faulty_files import KILL, TEAR, Control, Fault
from tests.crash.model import Key, Model
from tests.crash.process import Log, Place, start
from tests.crash.script import LAYER_BYTES, MIB, Refused, Script
from tests.running import RegistryDidNotStart, RunningRegistry, free_port

STATUSES = {"ENOSPC": 507, "SQLITE_FULL": 507, "EIO": 503, "EROFS": 503, "SQLITE_IOERR": 503}
STEPS_MAX = 400
"""More than the day has: a fault that is never reached ends the loop long before."""
RESTART_EVERY = 15
DESCRIPTORS_GROWTH_MAX = 4
POINTS = frozenset(
    f"{name}.{side}"
    for name in ("append", "finishing", "publish", "commit")
    for side in ("before", "after")
) | {"sync.before"}
VERBS = frozenset(
    {"write_new", "write_over", "append", "move", "open_to_append", "write_at", "sync", "publish"}
) | {"sync_directory", "remove"}
LARGE_LAYER_BYTES = 20 * MIB
"""So large that the disk is asked to catch up in the middle."""


@dataclass(frozen=True)
class Series:
    """Faults of one kind. `step` picks steps of one name; a layer is as large as it must be."""

    action: str
    step: str = ""
    lasts: bool = False
    layer_bytes: int = LAYER_BYTES

    @property
    def name(self) -> str:
        """As it is reported."""
        step = f" at {self.step}" if self.step else ""
        return f"{self.action}{step}{' for as long as it lasts' if self.lasts else ''}"

    @property
    def kills(self) -> bool:
        """Whether the registry is gone afterwards."""
        return self.action in (KILL, TEAR)


SERIES = (
    Series(KILL),
    Series(TEAR),
    Series(KILL, "flush", layer_bytes=LARGE_LAYER_BYTES),
    Series("ENOSPC"),
    Series("ENOSPC", lasts=True),
    Series("EIO"),
    Series("EIO", "flush", layer_bytes=LARGE_LAYER_BYTES),
    Series("EIO", lasts=True),
    Series("EROFS", lasts=True),
    Series("SQLITE_FULL"),
    Series("SQLITE_FULL", lasts=True),
    Series("SQLITE_IOERR"),
)


@dataclass
class Injection:
    """All series over one data directory; `met` counts the steps by name."""

    seed: str
    place: Place
    control: Control
    scratch: Path
    registry: RunningRegistry
    every: int = 1
    """Of the faults of a series each so many-th; the seed says where they begin."""
    model: Model = field(default_factory=Model)
    wrong: list[str] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)
    _left: set[str] = field(default_factory=set)
    _recent: list[Key] = field(default_factory=list)
    """Facts that no start has been asked for yet."""

    def run(self, series: Series) -> None:
        """One fault after the other, until one is not met any more."""
        self._left, descriptors = self._in_uploads(), 0
        first = random.Random(f"{self.seed}/{series.name}").randint(1, self.every)
        for number in range(first, STEPS_MAX, self.every):
            found = len(self.wrong)
            hit = self._one(series, number)
            where = f"{series.name}, step {number} ({hit})"
            self.wrong[found:] = [f"{where}: {line}" for line in self.wrong[found:]]
            if hit is None:
                return
            self.met[hit] += 1
            if (
                number - first
            ) // self.every % RESTART_EVERY == RESTART_EVERY - 1 and not series.kills:
                self._check_descriptors(where, descriptors)
                self._restart()
                descriptors = 0
            descriptors = descriptors or self._descriptors()
        self.wrong.append(f"{series.name}: no end of steps")

    def _one(self, series: Series, number: int) -> str | None:
        """One day with one fault in it; the step that met it, None when the day was over before."""
        mark = f"{series.name}/{number}"
        namespace = f"steps/{mark}".replace(" ", "-").lower().replace("_", "-")
        with Client(self.registry.address) as client:
            draw = f"{self.seed}/{mark}"
            script = Script(client, self.model, namespace, draw, series.layer_bytes)
            self._recent += script.keys()
            script.prepare()
            self.control.set(Fault(number, series.action, series.step, series.lasts))
            refusal = self._attempt(script, may_break=series.kills)
            if series.kills:
                self.control.clear()  # or housework meets it after the look
            hit = self.control.hit
            if hit is not None and series.kills:
                self._restart()
            elif hit is not None:
                self._look_at_refusal(series, script, refusal, hit)
            elif refusal is not None:
                self.wrong.append(f"refused without a reason: {refusal}")
            self.control.clear()
            self.wrong += check_facts(self.place.address, self.model, script.keys())
            self._again(script)
            self.wrong += check_facts(self.place.address, self.model, script.keys())
            if hit is not None and not series.kills:
                self._expect_nothing_left(series, hit)
        return hit

    def _attempt(self, script: Script, *, may_break: bool) -> Refused | None:
        try:
            script.run()
        except Refused as error:
            return error
        except ServerGone as error:
            if not may_break or self.control.hit is None:
                self.wrong.append(f"connection broken: {error}")
        except WrongAnswer as error:
            self.wrong.append(str(error))
        return None

    def _again(self, script: Script) -> None:
        """Once the fault is over the client goes on, and everything succeeds."""
        try:
            script.run()
        except (Refused, ServerGone, WrongAnswer) as error:
            self.wrong.append(f"the client cannot go on: {error}")

    def _look_at_refusal(
        self, series: Series, script: Script, refusal: Refused | None, hit: str
    ) -> None:
        """While the fault lasts: a clean answer, nothing half visible, reads and deletes work."""
        if refusal is not None:
            answer, status = refusal.answer, STATUSES[series.action]
            if answer.status != status or answer.error_code != "UNAVAILABLE":
                self.wrong.append(f"expected {status} UNAVAILABLE: {refusal}")
            self.wrong += check_facts(self.place.address, self.model, script.keys())
            if not series.action.startswith("SQLITE"):
                self._delete(script)
            if hit in ("sync", "flush") and script.upload is not None:
                self._expect_gone(script)
        script.session_may_go = True
        if series.action == "SQLITE_IOERR":
            script.client.close()
            self._restart()

    def _delete(self, script: Script) -> None:
        try:
            script.delete_older()
        except (Refused, ServerGone, WrongAnswer) as error:
            self.wrong.append(f"a delete fails: {error}")

    def _expect_gone(self, script: Script) -> None:
        """Linux says that a second sync went well: bytes that one sync failed for are in doubt."""
        if script.upload is None:
            return
        answer = script.client.ask("GET", script.upload.location)
        if answer.status != 404:
            self.wrong.append(f"session is open after its sync failed: {answer.status}")

    def _expect_nothing_left(self, series: Series, hit: str) -> None:
        """Every session is closed, so nothing is in `uploads/`, if the disk could remove it."""
        new = self._in_uploads() - self._left
        self._left |= new
        may_stay = hit == "remove" or (series.lasts and series.action != "ENOSPC")
        if new and not may_stay:
            self.wrong.append(f"left in uploads/: {sorted(new)}")

    def _in_uploads(self) -> set[str]:
        return {path.name for path in (self.place.data_dir / "uploads").iterdir()}

    def check_the_end(self) -> None:
        """Start once more, and look at everything once more."""
        self._restart()
        self.wrong += check_facts(self.place.address, self.model, self.model.keys())

    def _restart(self) -> None:
        self.registry.kill()
        self.control.clear()
        self.wrong += check_directory(self.place.data_dir, self.scratch)
        self.registry = start(self.place)
        self.wrong += check_uploads_directory(self.place.data_dir)
        self.wrong += check_facts(self.place.address, self.model, self._recent)
        self._recent.clear()

    def _descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.registry.process.pid}/fd").iterdir()))

    def _check_descriptors(self, where: str, before: int) -> None:
        now = self._descriptors()
        if before and now > before + DESCRIPTORS_GROWTH_MAX:
            self.wrong.append(f"up to {where}: {before} open files have become {now}")


def inject_everywhere(seed: str, scratch: Path, every: int = 1) -> Outcome:
    """Every series, with a line for each. A kind of step that was never met is a finding, unless
    only each so many-th fault is wanted."""
    directory = scratch / "steps"
    directory.mkdir()
    config = directory / "config.toml"
    config.write_text(
        '[global]\nmin_free_space = "16MiB"\n[blob_store.fs]\nballast = "1MiB"\n',
        encoding="utf-8",
    )
    control = Control(directory / "control.json")
    log = Log(directory / "registry.log")
    place = Place(directory / "data", log.path, free_port(), config, control.path)
    injection = Injection(seed, place, control, directory, start(place), every)
    try:
        for series in SERIES:
            before = injection.met.total()
            injection.run(series)
            injection.wrong += [f"{series.name}: {line[:400]}" for line in log.crash_lines()]
            print(f"  {series.name}: {injection.met.total() - before} steps", flush=True)
        injection.check_the_end()
    except (RegistryDidNotStart, ServerGone) as error:
        injection.wrong.append(f"{LOST}: {error}")
    finally:
        injection.registry.kill()
    missing = sorted((POINTS | VERBS) - set(injection.met))
    if missing and every == 1:
        injection.wrong.append(f"never met: {', '.join(missing)}")
    met = injection.met
    return Outcome(f"{met.total()} faults at {len(met)} kinds of steps", injection.wrong)
