"""Push, pull, delete, mount and push again while collection runs every 100 ms with short leases.

Nothing that was acknowledged may be lost, and no answer is a 5xx; both ways to treat manifests
whose parts are not there. Afterwards nothing is left that nothing refers to.
Started by `make soak`.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.audit import audit
from tests.control import RunFailed, collect, collect_all, scrub
from tests.running import RunningRegistry, running_registry
from tests.soak.actor import Actor, BrokenPromise

CLIENTS = 16
LEASE_SECS = 6
PROMISE_SECS = LEASE_SECS / 2 - 1
"""Half a lease, and its times are whole seconds."""
UNTAGGED_SECS = 4
EVERY_SECS = 0.1
WRONG_LINES_MAX = 10
MINUTES, QUICK_MINUTES = 10.0, 0.5
CONFIG = """\
[global]
gc_grace_secs = {lease}
untagged_grace = {untagged}
allow_missing_manifest_references = {allows}
min_free_space = 0
[server]
max_uploads_per_caller = 10000
[blob_store.fs]
ballast = "1MiB"
"""


@dataclass
class Collections:
    """Asks for a collection every 100 ms, and adds up what they gave back."""

    data_dir: Path
    runs: int = 0
    gave: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    _seen: int = 0

    def once(self) -> None:
        """A run to its end."""
        try:
            run = collect(self.data_dir)
        except RunFailed as error:
            self.wrong.append(str(error))
            return
        if run["number"] != self._seen:
            self._seen = run["number"]
            self.runs += 1
            self.gave.update(run["outcome"])

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """One after the other, meanwhile."""
        over = threading.Event()

        def work() -> None:
            while not over.is_set():
                begun_at = time.monotonic()
                self.once()
                over.wait(max(0.0, EVERY_SECS - (time.monotonic() - begun_at)))

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@dataclass
class Soaked:
    """What a soak came to."""

    actors: list[Actor]
    collections: Collections
    wrong: list[str]

    def lines(self) -> Iterator[str]:
        """The figures, and what is wrong."""
        counts: Counter[str] = Counter()
        statuses: Counter[int] = Counter()
        for actor in self.actors:
            counts.update(actor.counts)
            statuses.update(actor.statuses)
        gave = self.collections.gave
        yield (
            f"  {statuses.total()} requests, {counts['manifests']} manifests acknowledged, "
            f"{counts['pushed']} blobs pushed, {counts['mounted']} mounted, "
            f"{counts['promised']} promised, {counts['pull']} whole pulls, "
            f"{counts['delete_tag'] + counts['delete_manifest']} deletes; "
            f"{counts['too slow']} times too slow for a promise"
        )
        yield (
            f"  {self.collections.runs} collections gave back {gave['manifests']} manifests, "
            f"{gave['holds']} holds, {gave['blobs']} blobs, {gave['bytes']} bytes"
        )
        yield f"  answers: {dict(sorted(statuses.items()))}; wrong: {len(self.wrong)}"
        yield from (f"  WRONG {line[:300]}" for line in self.wrong[:WRONG_LINES_MAX])


def soak(registry: RunningRegistry, seed: str, secs: float) -> Soaked:
    """The clients and the collections for so long, and what is there afterwards."""
    actors = [
        Actor(number, registry.address, random.Random(f"{seed}/{number}"), PROMISE_SECS)
        for number in range(CLIENTS)
    ]
    collections = Collections(registry.data_dir)
    deadline = time.monotonic() + secs
    with collections.going_on():
        threads = [
            threading.Thread(target=actor.run, args=[lambda: time.monotonic() > deadline])
            for actor in actors
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    wrong = [line for actor in actors for line in actor.wrong] + collections.wrong
    wrong += look_at_the_end(actors, collections)
    wrong += expect_work(actors, collections, secs)
    return Soaked(actors, collections, wrong)


def look_at_the_end(actors: Sequence[Actor], collections: Collections) -> list[str]:
    """Once every lease is over: what was acknowledged is whole, and nothing else is there."""
    time.sleep(LEASE_SECS + UNTAGGED_SECS + 1)
    collect_all(collections.data_dir)
    wrong = []
    for actor in actors:
        actor.client.close()
        for namespace, tag in actor.kept:
            try:
                actor.pull_whole(namespace, tag)
            except BrokenPromise as error:
                wrong.append(f"at the end: {error}")
    scrubbed = scrub(collections.data_dir)
    if scrubbed["findings"] or scrubbed["failed"]:
        wrong.append(f"a scrub finds {scrubbed}")
    with closing(sqlite3.connect(collections.data_dir / "metadata.db")) as rows:
        for what in ("blobs", "manifests"):
            ((there,),) = rows.execute(f"SELECT count(*) FROM {what}")
            if not 0 < there <= scrubbed[what]:
                wrong.append(f"a scrub has looked at {scrubbed[what]} of {there} {what}")
    return wrong + audit(collections.data_dir)


def expect_work(actors: Sequence[Actor], collections: Collections, secs: float) -> list[str]:
    """A soak in which nothing happened shows nothing."""
    manifests = sum(actor.counts["manifests"] for actor in actors)
    found = []
    for what, count, least in (
        ("collections", collections.runs, secs),
        ("manifests acknowledged", manifests, 5 * secs),
        ("manifests collected", collections.gave["manifests"], secs),
        ("blobs collected", collections.gave["blobs"], secs),
    ):
        if count < least:
            found.append(f"only {count} {what} in {secs:.0f} s: that shows nothing")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Both ways, one after the other; 0 when all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="half a minute in all")
    parser.add_argument("--minutes", type=float, help="in all, both ways together")
    parser.add_argument("--seed", default=secrets.token_hex(4))
    options = parser.parse_args(arguments)
    minutes = options.minutes or (QUICK_MINUTES if options.quick else MINUTES)
    print(f"seed {options.seed}", flush=True)
    found = 0
    for allows in ("true", "false"):
        print(f"allow_missing_manifest_references = {allows}, {minutes * 30:.0f} s", flush=True)
        with tempfile.TemporaryDirectory(prefix="angos-trio-soak-") as scratch:
            config = Path(scratch) / "registry.toml"
            config.write_text(
                CONFIG.format(lease=LEASE_SECS, untagged=UNTAGGED_SECS, allows=allows)
            )
            with running_registry(
                Path(scratch) / "data", arguments=["-c", str(config)]
            ) as registry:
                soaked = soak(registry, f"{options.seed}/{allows}", minutes * 30)
                for line in soaked.lines():
                    print(line, flush=True)
                found += len(soaked.wrong)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
