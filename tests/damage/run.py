"""Damage to a store, kind by kind and all at once: exact counters, nothing else touched, what can
be whole is whole, a second run is clean, and a push heals."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from angos_trio.telemetry import log
from tests.api.client import Client
from tests.api.serving import ServedRegistry, serving
from tests.damage.kinds import KINDS, Damage
from tests.damage.store import (
    Image,
    Store,
    difference,
    generated,
    lost,
    push_image,
    snapshot,
)
from tests.factories import make_blob
from tests.running import program, running_registry

RUN_SECS_MAX = 60.0
LEASE_SECS = 86_400
PRUNE = "/v2/_ext/_prune"
KEEPS_NOTHING = {"retention_policy": {"rules": ["image.pushed_at > now()"]}}
SCRUB = "/v2/_ext/_scrub"
ASIDE = re.compile(
    r"[+] quarantine/|[-+] (?:events|tag_history|sqlite_sequence|scrub_state|storage_samples): "
)
"""What a repair and a push leave besides what was there: names set aside, and what they tell."""


class Failed(Exception):
    """The store is not what it must be."""


def expect(wanted: object, found: object, what: str) -> None:
    """Raise Failed unless the two are the same."""
    if wanted != found:
        raise Failed(f"{what}\n  expected {wanted}\n  found    {found}")


def run_of(client: Client, path: str, **options: object) -> dict[str, Any]:
    """The outcome of a run that was asked for over HTTP."""
    answer = client.post(path, json=options)
    expect(202, answer.status_code, answer.text)
    number, deadline = answer.json()["run"]["number"], time.monotonic() + RUN_SECS_MAX
    while time.monotonic() < deadline:
        run = client.get(path).json()["run"]
        if run["number"] == number and run["ended_at"] is not None:
            expect("done", run["state"], str(run["outcome"]))
            outcome: dict[str, Any] = run["outcome"]
            return outcome
        time.sleep(0.01)
    raise Failed(f"{path}: the run has no end")


def findings(client: Client, **options: object) -> dict[str, int]:
    """What a scrub found; it could look at everything."""
    outcome = run_of(client, SCRUB, rate=0, **options)
    expect(0, outcome["failed"], "what could not be looked at")
    found: dict[str, int] = outcome["findings"]
    return found


def park(served: ServedRegistry) -> None:
    """Let the collection look at everything as if all leases were over."""
    collector = served.collector
    served.server.call(lambda: collector.collect(early_secs=LEASE_SECS))


def build(root: Path) -> Store:
    """The store, looked at by the collection: nothing is due any more."""
    store = Store(root)
    with serving(root.parent) as served, served.client() as client:
        for image in generated():
            push_image(client, image)
            store.images.append(image)
        expect([], lost(client, store.images), "a new store")
        park(served)  # last: a HEAD gives leases
    return store


def healthy(store: Store) -> str:
    """No dry run changes a byte or a row, and neither does a scrub of what is well."""
    with serving(store.root.parent) as served, served.client() as client:
        before = snapshot(store.root)
        for path in (SCRUB, "/v2/_ext/_gc"):
            run_of(client, path, dry_run=True)
            expect([], difference(before, snapshot(store.root)), f"after a dry run of {path}")
        expect({}, findings(client), "findings in a healthy store")
        expect([], difference(before, snapshot(store.root)), "after a scrub")
    with serving(store.root.parent, global_=KEEPS_NOTHING) as served, served.client() as client:
        outcome = run_of(client, PRUNE, dry_run=True)
        if outcome["tags_going"] < len(store.images) // 2 or outcome["tags_deleted"]:
            raise Failed(f"a dry run of retention came to {outcome}")
        expect([], difference(before, snapshot(store.root)), "after a dry run of retention")
    return (
        f"{len(store.images)} images, {len(before)} files and rows: every run left them as they are"
    )


def one(store: Store, client: Client, served: ServedRegistry, damage: Damage, image: Image) -> None:
    """One kind of damage, from the planting to the healing."""
    before = snapshot(store.root)
    damage.plant(store, image)
    planted = snapshot(store.root)
    expect(dict(damage.finds), findings(client, dry_run=True), "findings of a dry run")
    expect([], difference(planted, snapshot(store.root)), "after a dry run")
    expect(dict(damage.finds), findings(client), "findings")
    expect({}, findings(client), "findings of a second run")
    # Rows and files tell of all others; a few are pulled here, and all of them in `all_together`.
    others = [other for other in store.images[::12] if other is not image]
    expect([], lost(client, others), "images that were not damaged and do not pull")
    expect([image.key] if damage.loses else [], lost(client, [image]), "images that do not pull")
    push_image(client, image)
    expect([], lost(client, [image]), "images that do not pull after a push")
    park(served)
    marks = (*damage.leaves, "\0")
    left = [
        line
        for line in difference(before, snapshot(store.root))
        if not ASIDE.match(line) and not line.startswith(marks) and not _is_pushed(line, image)
    ]
    expect([], left, "what differs from before")
    _tidy(store)


def _is_pushed(line: str, image: Image) -> bool:
    """A push makes the rows of its own image anew: with another time, and no other difference."""
    is_row = line[2:].startswith(("manifests: ", "blobs: ", "tags: "))
    names = (image.top.digest, *(blob.digest for blob in image.blobs))
    return is_row and any(name in line for name in names)


def _tidy(store: Store) -> None:
    """Take away by hand what the registry rightly leaves."""
    for path in (store.root / "uploads").iterdir():
        path.unlink()
    (store.root / "notes-of-the-operator.txt").unlink(missing_ok=True)
    with store.rows() as rows:
        known = {row[0] for row in rows.execute("SELECT digest FROM blobs")}
    for path in store.root.glob("blobs/*/*/*"):
        if f"{path.parts[-3]}:{path.name}" not in known:
            path.unlink()


class Victims:
    """An image for each kind of damage, none of them twice."""

    def __init__(self, store: Store) -> None:
        self._left = {kind: store.of_kind(kind) for kind in {image.kind for image in store.images}}

    def next(self, kind: str) -> Image:
        return self._left[kind].pop(0)


def one_by_one(store: Store) -> str:
    """Each kind alone, all of them on one store that is served meanwhile."""
    with serving(store.root.parent) as served, served.client() as client:
        for number, damage in enumerate(KINDS):
            images = store.of_kind(damage.victim)
            try:
                one(store, client, served, damage, images[number % len(images)])
            except (Failed, AssertionError) as error:
                raise Failed(f"{damage.name}: {error}") from error
    return f"{len(KINDS)} kinds of damage, one by one"


def scrub(root: Path, *options: str) -> tuple[int, dict[str, int]]:
    """The command: its exit code, and what it says it found."""
    ended = subprocess.run(
        [*program(), "scrub", "--data-dir", str(root), "--rate", "0", *options],
        capture_output=True,
        text=True,
        timeout=RUN_SECS_MAX,
        check=False,
    )
    if ended.stderr or "could not" in ended.stdout:
        raise Failed(f"scrub: {ended.stdout}{ended.stderr}")
    found = re.findall(r"(\w+)=(\d+)", ended.stdout)
    return ended.returncode, {kind: int(count) for kind, count in found}


def all_together(store: Store) -> str:
    """Every kind at once, under a registry that runs, in the midst of an upload."""
    with running_registry(store.root) as running, Client(running.base_url) as client:
        live = make_blob("live " * 1000)
        location = client.open_upload("live/upload")
        half = len(live.body) // 2
        expect(202, client.patch(location, content=live.body[:half]).status_code, "first half")
        victims, expected, losing = Victims(store), Counter[str](), list[str]()
        for damage in KINDS:
            image = victims.next(damage.victim)
            damage.plant(store, image)
            expected.update(damage.finds)
            losing += [image.key] if damage.loses else []
        planted = snapshot(store.root)
        expect((3, dict(expected)), scrub(store.root, "--dry-run"), "a dry run")
        expect([], difference(planted, snapshot(store.root)), "after a dry run")
        expect((3, dict(expected)), scrub(store.root), "a scrub")
        expect((0, {}), scrub(store.root), "a second scrub")
        expect(sorted(losing), sorted(lost(client, store.images)), "images that do not pull")
        expect(201, client.finish(location, live, live.body[half:]).status_code, "the live upload")
        answer = client.get(f"/v2/live/upload/blobs/{live.digest}")
        expect(live.body, answer.content, "the live blob")
        for image in store.images:
            push_image(client, image)
        expect([], lost(client, store.images), "images that do not pull after a push")
        expect((0, {}), scrub(store.root), "a scrub after the push")
    expect((0, {}), scrub(store.root), "a scrub of the stopped registry")
    return f"{expected.total()} findings at once, {len(losing)} images lost and healed"


def stopped(store: Store) -> str:
    """What only a start meets: a torn log, the schema of an earlier version, a broken database."""
    log = Path(f"{store.root / 'metadata.db'}-wal")
    log.write_bytes(os.urandom(4096 + 32))
    expect((0, {}), scrub(store.root), "a scrub with a log that is none")
    with store.rows() as rows:
        _make_earlier(rows)
    expect((0, {}), scrub(store.root), "a scrub of an earlier version's database")
    _break_database(store.root / "metadata.db")
    ended = subprocess.run(
        [*program(), "scrub", "--data-dir", str(store.root)],
        capture_output=True,
        text=True,
        timeout=RUN_SECS_MAX,
        check=False,
    )
    expect(True, ended.returncode in (1, 3), f"a broken database: {ended}")
    return "a torn log, an earlier schema, a broken database"


ADDED = {
    "tags": ("facet", "checked_at"),
    "namespaces": ("blob_bytes", "exclusive_bytes", "named_bytes"),
}
"""Columns that the last three versions of the schema have added,"""
NEW_TABLES = ("tag_facets", "jobs", "webhook_cursors")
"""its tables,"""
NEW_VIEWS = ("faceted_tags",)
"""its views,"""
NEW_INDEXES = ("manifests_loose",)
"""its indexes,"""
NEW_TRIGGERS = (
    *("blobs_shared_in", "blobs_shared_out", "blobs_shared_again"),
    *("manifests_named_in", "manifests_named_out", "manifests_named_again"),
    *("tags_faceted_in", "tags_faceted_again", "manifests_faceted"),
    *("facets_counted", "facets_counted_out"),
)
"""its triggers."""


def _make_earlier(rows: sqlite3.Connection) -> None:
    """Undo the last three versions of the schema."""
    schema = resources.files("angos_trio.storage.schema")
    *earlier, _, _, _ = sorted(file.name for file in schema.iterdir() if file.name.endswith(".sql"))
    for name in NEW_TRIGGERS:
        rows.execute(f"DROP TRIGGER {name}")
    for kind, names in (("VIEW", NEW_VIEWS), ("INDEX", NEW_INDEXES), ("TABLE", NEW_TABLES)):
        for name in names:
            rows.execute(f"DROP {kind} {name}")
    for table, columns in ADDED.items():
        for column in columns:
            rows.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    rows.execute(f"PRAGMA user_version = {len(earlier)}")


def _break_database(path: Path) -> None:
    with sqlite3.connect(path) as rows:
        size = rows.execute("PRAGMA page_size").fetchone()[0]
        row = rows.execute("SELECT rootpage FROM sqlite_master WHERE name = 'tags'").fetchone()
    rows.close()
    with path.open("r+b") as file:
        file.seek((row[0] - 1) * size)
        file.write(b"\xff" * size)


def audit_fails(store: Store) -> str:
    """The looks of this suite see a byte, a row and a file that are not as they were."""
    image = store.of_kind("plain")[0]
    with serving(store.root.parent) as served, served.client() as client:
        before = snapshot(store.root)
        path = store.path(image.blobs[1].digest)
        content = path.read_bytes()
        path.chmod(0o640)
        path.write_bytes(content[::-1])
        try:
            whole = lost(client, store.images) == []
        except AssertionError:
            whole = False
        expect(False, whole, "pulling everything with a reversed blob")
        expect(1, len(difference(before, snapshot(store.root))), "a reversed blob")
        path.write_bytes(content)
        store.sql("UPDATE tags SET updated_by = 'x' WHERE name = ?", image.tag)
        expect(2, len(difference(before, snapshot(store.root))), "a changed row")
    return "the audit fails where it must"


@contextmanager
def copied(store: Store, scratch: Path, name: str) -> Iterator[Store]:
    """The store once more, to be damaged."""
    target = scratch / name / "data"
    shutil.copytree(store.root, target, symlinks=True)
    for leftover in ("shared.db", "shared.db-journal", "control.sock"):
        (target / leftover).unlink(missing_ok=True)
    yield Store(target, store.images)
    shutil.rmtree(target)  # the next part has one of its own


PARTS: tuple[Callable[[Store], str], ...] = (
    healthy,
    one_by_one,
    all_together,
    stopped,
    audit_fails,
)


def main() -> int:
    """Every part on a copy of its own; the exit code."""
    begun_at, code = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="angos-trio-damage-") as directory:
        scratch = Path(directory)
        log.configure(stream=(scratch / "log").open("w"))
        store = build(scratch / "healthy" / "data")
        for part in PARTS:
            with copied(store, scratch, "copy") as copy:
                try:
                    print(f"ok      {part(copy)}", flush=True)
                except Failed as error:
                    code = 1
                    print(f"FAILED  {part.__name__}: {error}", flush=True)
    print(f"{time.monotonic() - begun_at:.0f} s")
    return code


if __name__ == "__main__":
    sys.exit(main())
