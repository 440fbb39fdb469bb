"""What must be true after the registry was killed: asked over HTTP, and seen on the disk."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.crash.client import Client, ServerGone, blob_path, digest_of, manifest_path
from tests.crash.model import BLOB, TAG, Change, Key, Model, Value

READERS = 4
SHOWN_MAX = 40
LOST = "LOST"
"""Begins what tells of a lost acknowledgement; other findings say what else is wrong."""


@dataclass(frozen=True)
class Outcome:
    """What one part of the program did, in words, and what it found."""

    did: str
    wrong: list[str]

    @property
    def lost(self) -> int:
        """Lost acknowledgements."""
        return sum(LOST in line for line in self.wrong)

    def __str__(self) -> str:
        shown = [f"  {line[:600]}" for line in self.wrong[:SHOWN_MAX]]
        others = len(self.wrong) - self.lost
        return "\n".join([*shown, f"{self.did}; other findings: {others}; lost: {self.lost}"])


def check_facts(address: str, model: Model, keys: Iterable[Key]) -> list[str]:
    """Read what the keys hold, compare it with what they may hold, and settle it.

    Changes without an answer must have happened as a whole or not at all.
    """
    doubtful = [change for change in model.in_doubt() if model.is_alone(change)]
    asked = sorted(set(keys) | {key for change in doubtful for key in change.values})
    shares = [asked[number::READERS] for number in range(READERS)]
    found: dict[Key, Value] = {}
    wrong: list[str] = []
    with ThreadPoolExecutor(READERS) as readers:
        for values, findings in readers.map(lambda share: _read(address, model, share), shares):
            found.update(values)
            wrong.extend(findings)
    wrong.extend(_half_done(change, found) for change in doubtful if _is_half(change, found))
    for key, value in found.items():
        possible = model.possible(key)
        if not model.observe(key, value):
            wrong.append(f"LOST {key}: holds {value}, must be one of {sorted(map(str, possible))}")
    return wrong


def _read(address: str, model: Model, keys: list[Key]) -> tuple[dict[Key, Value], list[str]]:
    found: dict[Key, Value] = {}
    wrong: list[str] = []
    with Client(address) as client:
        for key in keys:
            value, finding = _read_one(client, model, key)
            if finding is None:
                found[key] = value
            else:
                wrong.append(finding)
    return found, wrong


def _read_one(client: Client, model: Model, key: Key) -> tuple[Value, str | None]:
    """What the key holds, and what is wrong with it if that cannot be said."""
    kind, namespace, name = key
    path = blob_path(namespace, name) if kind == BLOB else manifest_path(namespace, name)
    try:
        answer = client.ask("GET", path)
    except ServerGone as error:
        return None, f"no whole answer: {error}"
    if answer.status == 404:
        return None, None
    if answer.status != 200:
        return None, f"GET {path}: {answer.status} {answer.body[:200]!r}"
    value = answer.headers.get("docker-content-digest", "")
    if kind != TAG and value != name:
        return None, f"GET {path}: says that it is {value}"
    if digest_of(answer.body, value.partition(":")[0] or "sha256") != value:
        return None, f"LOST {path}: {len(answer.body)} bytes that are not {value}"
    if kind == TAG and model.bodies.get(value) != answer.body:
        return None, f"GET {path}: a manifest that nobody pushed, {value}"
    return value, None


def _is_half(change: Change, found: dict[Key, Value]) -> bool:
    """Whether some of the change is there and some is not, as far as the two can be told apart."""
    telling = [
        found[key] == value
        for key, value in change.values.items()
        if key in found and value not in change.before[key]
    ]
    return len(set(telling)) > 1


def _half_done(change: Change, found: dict[Key, Value]) -> str:
    seen = {key: found.get(key) for key in change.values}
    return f"half done: wanted {dict(change.values)}, found {seen}"


def check_listings(address: str, model: Model, namespaces: Iterable[str]) -> list[str]:
    """Listed tags are those that are there, once everything is settled."""
    wrong = []
    with Client(address) as client:
        for namespace in sorted(set(namespaces)):
            answer = client.ask("GET", f"/v2/{namespace}/tags/list")
            listed = json.loads(answer.body).get("tags") if answer.status == 200 else []
            there = sorted(key[2] for key, _ in model.settled_in(namespace) if key[0] == TAG)
            if answer.status not in (200, 404) or sorted(listed or []) != there:
                wrong.append(f"tags of {namespace}: {answer.status} {listed}, expected {there}")
    return wrong


def check_directory(data_dir: Path, scratch: Path) -> list[str]:
    """While the registry is down: the database is sound, and each of its blobs is on the disk.

    The database is looked at as a copy, so that the next start finds it exactly as it was left.
    """
    copy = scratch / "copy.db"
    for suffix in ("", "-wal"):
        source, target = Path(f"{data_dir}/metadata.db{suffix}"), Path(f"{copy}{suffix}")
        target.unlink(missing_ok=True)
        if source.exists():
            shutil.copyfile(source, target)
    rows = sqlite3.connect(copy)
    try:
        if rows.execute("PRAGMA user_version").fetchone()[0] == 0:
            return []
        return [*_unsound_rows(rows), *_unsound_blobs(rows, data_dir)]
    finally:
        rows.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{copy}{suffix}").unlink(missing_ok=True)


CONTRADICTIONS = {
    "a tag differs from the last entry of its history": (
        "SELECT t.namespace, t.name FROM tags t WHERE t.digest IS NOT (SELECT h.digest "
        "FROM tag_history h WHERE h.namespace = t.namespace AND h.name = t.name "
        "ORDER BY h.id DESC LIMIT 1)"
    ),
    "a namespace miscounts its manifests": (
        "SELECT n.name FROM namespaces n WHERE n.manifest_count <> "
        "(SELECT count(*) FROM manifests m WHERE m.namespace = n.id)"
    ),
    "a body belongs to no manifest": (
        "SELECT b.digest FROM manifest_bodies b "
        "WHERE NOT EXISTS (SELECT 1 FROM manifests m WHERE m.digest = b.digest)"
    ),
}


def _unsound_rows(rows: sqlite3.Connection) -> Iterator[str]:
    for pragma in ("integrity_check", "foreign_key_check"):
        found = rows.execute(f"PRAGMA {pragma}").fetchall()
        if found not in ([], [("ok",)]):
            yield f"{pragma}: {found[:5]}"
    for name, query in CONTRADICTIONS.items():
        found = rows.execute(query).fetchall()
        if found:
            yield f"{name}: {found[:5]}"
    for digest, body in rows.execute("SELECT digest, body FROM manifest_bodies"):
        if digest_of(body, digest.partition(":")[0]) != digest:
            yield f"LOST body of {digest}"


def _unsound_blobs(rows: sqlite3.Connection, data_dir: Path) -> Iterator[str]:
    for digest, size, state in rows.execute("SELECT digest, size, state FROM blobs"):
        path = blob_file(data_dir, digest)
        if state != "present" or not path.is_file():
            yield f"LOST blob {digest}: state {state}, file {path.exists()}"
        elif path.stat().st_size != size:
            yield f"LOST blob {digest}: {path.stat().st_size} bytes of {size}"


def blob_file(data_dir: Path, digest: str) -> Path:
    """Where a blob's bytes are."""
    algorithm, _, number = digest.partition(":")
    return data_dir / "blobs" / algorithm / number[:2] / number


def file_is(path: Path, digest: str) -> bool:
    """Whether a file's content has the digest."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, digest.partition(":")[0]).hexdigest() in digest


def check_uploads_directory(data_dir: Path) -> list[str]:
    """After a start: every file in `uploads/` belongs to a session whose record can be read."""
    wrong = []
    names = set(os.listdir(data_dir / "uploads"))
    for name in sorted(names):
        stem, extension = os.path.splitext(name)
        if extension not in (".json", ".data") or not _is_uuid(stem):
            wrong.append(f"uploads/ holds {name}")
        elif extension == ".data" and f"{stem}.json" not in names:
            wrong.append(f"uploads/ holds {name} without a session")
        elif extension == ".json" and not _is_session(data_dir / "uploads" / name):
            wrong.append(f"uploads/ holds {name}, which is no open session")
    return wrong


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _is_session(path: Path) -> bool:
    try:
        record, *marks = path.read_bytes().split(b"\n")
        # A mark that a crash tore has no end of line, and says nothing.
        return json.loads(record)["id"] == path.stem and not any(marks[:-1])
    except (ValueError, KeyError):
        return False
