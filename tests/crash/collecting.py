"""A fault at every step of a collection, one at a time, until a run has no further step.

Killed there and started anew, or refused by the disk: what is kept is whole, and the runs after it
come to the same end as if nothing had happened.
"""

from __future__ import annotations

import http.client
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.audit import audit
from tests.control import RunFailed, collect, collect_all
from tests.crash.checks import Outcome, check_directory
from tests.crash.client import Client, Content, blob_path, manifest_of, manifest_path, uploads_path
from tests.crash.faulty_files import KILL, Control, Fault
from tests.crash.process import Log, Place, start
from tests.running import RegistryDidNotStart, RunningRegistry, free_port

LEASE_SECS = 1
STEPS_MAX = 100
ATTEMPTS = 4
POINTS = {"commit.before", "commit.after", "discard.before", "discard.after", "move", "remove"}
"""Steps that a collection must have been stopped at."""
CONFIG = """\
[global]
gc_grace_secs = 1
untagged_grace = 1
min_free_space = "16MiB"
[blob_store.fs]
ballast = "1MiB"
"""
FAULTS = (
    Fault(0, KILL),
    Fault(0, "EIO"),
    Fault(0, "ENOSPC", lasts=True),
    Fault(0, "SQLITE_FULL", lasts=True),
)


@dataclass
class Scene:
    """An image that stays, one that lost its tag, a blob that nothing names, one that is deleted,
    and one that the image that stays has in common with the one that goes."""

    mark: str
    going: list[str] = field(default_factory=list)
    kept: list[Content] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        return f"collect/{self.mark}".lower().replace("_", "-")

    def push(self, client: Client) -> None:
        """All of it."""
        shared, own, lost = (self._blob(client, name) for name in ("shared", "own", "lost"))
        lone, deleted = self._blob(client, "lone"), self._blob(client, "deleted")
        self._image(client, [shared, lost], "moved")
        self._image(client, [shared, own], "moved")
        path = blob_path(self.namespace, deleted.digest)
        client.expect(202, client.ask("DELETE", path), "delete")
        self.kept = [shared, own]
        self.going = [content.digest for content in (lost, lone, deleted)]

    def _blob(self, client: Client, name: str) -> Content:
        content = Content(f"{self.mark} {name}", 3000)
        path = f"{uploads_path(self.namespace)}?digest={content.digest}"
        client.expect(201, client.ask("POST", path, content.bytes()), "push")
        return content

    def _image(self, client: Client, blobs: list[Content], tag: str) -> None:
        body = manifest_of([(item.digest, item.size) for item in blobs], self.mark)
        headers = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
        path = manifest_path(self.namespace, tag)
        client.expect(201, client.ask("PUT", path, body, headers), "manifest")

    def wrong(self, client: Client) -> list[str]:
        """What is kept and not whole, or still there once it should be gone."""
        found = []
        answer = client.ask("GET", manifest_path(self.namespace, "moved"))
        if answer.status != 200:
            found.append(f"LOST the image that stays: {answer.status}")
        for content in self.kept:
            answer = client.ask("GET", blob_path(self.namespace, content.digest))
            if answer.body != content.bytes():
                found.append(f"LOST {content.digest} of the image that stays: {answer.status}")
        for digest in self.going:
            answer = client.ask("GET", blob_path(self.namespace, digest))
            if answer.status != 404:
                found.append(f"{digest} should be gone: {answer.status}")
        return found


@dataclass
class Collecting:
    """Faulty collections over one data directory; `met` counts the steps by name."""

    place: Place
    control: Control
    scratch: Path
    registry: RunningRegistry
    wrong: list[str] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)

    def run(self, fault: Fault) -> None:
        """One fault after the other, until one is not met any more."""
        for number in range(1, STEPS_MAX):
            found = len(self.wrong)
            numbered = Fault(number, fault.action, fault.step, fault.lasts)
            hit = self._met(numbered)
            where = f"collection, {fault.action} at step {number} ({hit})"
            self.wrong[found:] = [f"{where}: {line}" for line in self.wrong[found:]]
            if hit is None:
                return
            self.met[hit] += 1
        self.wrong.append(f"collection, {fault.action}: no end of steps")

    def _met(self, fault: Fault) -> str | None:
        """The step that met the fault. Where the registry's own run came first, once more."""
        for attempt in range(ATTEMPTS):
            hit, was_ours = self._one(fault, attempt)
            if hit is not None or was_ours:
                return hit
        self.wrong.append("the registry's own runs always came first")
        return None

    def _one(self, fault: Fault, attempt: int) -> tuple[str | None, bool]:
        scene = Scene(f"{fault.action}/{fault.at}/{attempt}")
        gave: dict[str, int] = {}
        with Client(self.place.address) as client:
            scene.push(client)
        time.sleep(LEASE_SECS + 1.1)
        self.control.set(fault)
        try:
            gave = collect(self.place.data_dir)["outcome"]
        except RunFailed:
            pass  # it says so, and goes on later
        except (OSError, http.client.HTTPException) as error:
            if fault.action != KILL:
                self.wrong.append(f"nobody answers: {error!r}")
        self.control.clear()
        hit = self.control.hit
        if hit is not None and (fault.action == KILL or hit.startswith("commit")):
            self._restart()
        self._expect_convergence(scene)
        return hit, any(gave.values())

    def _restart(self) -> None:
        self.registry.kill()
        self.wrong += check_directory(self.place.data_dir, self.scratch)
        self.registry = start(self.place)

    def _expect_convergence(self, scene: Scene) -> None:
        try:
            collect_all(self.place.data_dir)
        except RunFailed as error:
            self.wrong.append(str(error))
        self.wrong += audit(self.place.data_dir)
        with Client(self.place.address) as client:
            self.wrong += scene.wrong(client)


def fail_every_collection(scratch: Path) -> Outcome:
    """Every kind of fault, with a line for each. A step that was never met is a finding."""
    directory = scratch / "collecting"
    directory.mkdir()
    config = directory / "config.toml"
    config.write_text(CONFIG, encoding="utf-8")
    control = Control(directory / "control.json")
    log = Log(directory / "registry.log")
    place = Place(directory / "data", log.path, free_port(), config, control.path)
    collecting = Collecting(place, control, directory, start(place))
    try:
        for fault in FAULTS:
            before = collecting.met.total()
            collecting.run(fault)
            collecting.wrong += [line[:400] for line in log.crash_lines()]
            steps = collecting.met.total() - before
            lasting = " for as long as it lasts" if fault.lasts else ""
            print(f"  {fault.action}{lasting} while collecting: {steps} steps", flush=True)
    except RegistryDidNotStart as error:
        collecting.wrong.append(f"LOST: {error}")
    finally:
        collecting.registry.kill()
    missing = sorted(POINTS - set(collecting.met))
    if missing:
        collecting.wrong.append(f"never met: {', '.join(missing)}")
    return Outcome(f"{collecting.met.total()} faults while collecting", collecting.wrong)
