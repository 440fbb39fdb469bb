"""A store of 65 images of every kind, and what can be seen of it from outside."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.api.client import Client
from tests.factories import (
    Content,
    Document,
    make_blob,
    make_descriptor,
    make_image,
    make_index,
)

SHELVES = ("blobs", "uploads", "trash", "quarantine")
NAMESPACES = ("team/app", "team/web", "edge", "a/b/c")


@dataclass
class Image:
    """Something that was pushed with all its parts; its parts before it."""

    kind: str
    name: str
    top: Document
    tag: str | None = None
    manifests: list[Document] = field(default_factory=list)
    blobs: list[Content] = field(default_factory=list)

    @property
    def key(self) -> str:
        """What a report calls it."""
        return f"{self.name}@{self.top.digest}"

    @property
    def documents(self) -> list[Document]:
        return [*self.manifests, self.top]


@dataclass
class Store:
    """A data directory and the images that were pushed into it."""

    root: Path
    images: list[Image] = field(default_factory=list)

    def of_kind(self, kind: str) -> list[Image]:
        return [image for image in self.images if image.kind == kind]

    def path(self, digest: str) -> Path:
        algorithm, _, hexadecimal = digest.partition(":")
        return self.root / "blobs" / algorithm / hexadecimal[:2] / hexadecimal

    @contextmanager
    def rows(self) -> Iterator[sqlite3.Connection]:
        """The database, written to as nobody may."""
        rows = sqlite3.connect(self.root / "metadata.db", timeout=10, isolation_level=None)
        try:
            rows.execute("PRAGMA ignore_check_constraints = ON")
            yield rows
        finally:
            rows.close()

    def sql(self, statement: str, *parameters: object) -> None:
        with self.rows() as rows:
            rows.execute(statement, parameters)

    def number(self, name: str) -> int:
        with self.rows() as rows:
            row = rows.execute("SELECT id FROM namespaces WHERE name = ?", (name,)).fetchone()
        return int(row[0])


def image_of(number: int, algorithm: str = "sha256", **more: Any) -> tuple[Document, list[Content]]:
    """An image whose config and layers no other has."""
    blobs = [make_blob(f"{part} of {number} " * 40, algorithm) for part in ("config", "one", "two")]
    config = make_descriptor(blobs[0], "application/vnd.oci.image.config.v1+json")
    layers = [make_descriptor(blob) for blob in blobs[1:]]
    document = make_image(config, layers, annotations={"number": str(number)}, **more)
    return document.in_sha512() if algorithm == "sha512" else document, blobs


def generated() -> Iterator[Image]:
    """The 65 images."""
    for number in range(50):
        name = NAMESPACES[number % len(NAMESPACES)]
        top, blobs = image_of(number)
        yield Image("plain", name, top, f"v{number}", blobs=blobs)
    for number in range(100, 105):
        name = NAMESPACES[number % len(NAMESPACES)]
        parts = [image_of(number * 10 + part) for part in range(3)]
        children = [document for document, _ in parts]
        top = make_index([make_descriptor(child) for child in children])
        blobs = [blob for _, own in parts for blob in own]
        yield Image("multi-arch", name, top, f"v{number}", children, blobs)
    for number in range(200, 202):
        child, blobs = image_of(number)
        inner = make_index([make_descriptor(child)])
        top = make_index([make_descriptor(inner)])
        yield Image("nested", "edge", top, f"v{number}", [child, inner], blobs)
    for number in range(300, 302):
        blobs = [make_blob(f"cache {number} {part}" * 30) for part in range(3)]
        top = make_index([make_descriptor(blob) for blob in blobs])
        yield Image("cache", "team/app", top, f"cache-{number}", blobs=blobs)
    for number in range(400, 402):
        subject, subject_blobs = image_of(number)
        top, blobs = image_of(
            number + 50,
            subject=make_descriptor(subject),
            artifactType="application/vnd.example.signature",
        )
        yield Image("subject", "team/web", subject, f"v{number}", blobs=subject_blobs)
        yield Image("referrer", "team/web", top, None, blobs=blobs)
    for number in range(500, 502):
        top, blobs = image_of(number, "sha512")
        yield Image("sha512", "a/b/c", top, f"v{number}", blobs=blobs)


def push_image(client: Client, image: Image) -> None:
    """All of an image, as a client does that does not ask what is there."""
    for blob in image.blobs:
        client.push_blob(image.name, blob)
    for document in image.manifests:
        client.stored(image.name, document)
    client.stored(image.name, image.top, tags=[image.tag] if image.tag else [])


def lost(client: Client, images: list[Image]) -> list[str]:
    """The images that do not pull whole: everything over HTTP, every byte compared."""
    return [image.key for image in images if not _is_whole(client, image)]


def _is_whole(client: Client, image: Image) -> bool:
    manifests = f"/v2/{image.name}/manifests"
    for document in image.documents:
        for method in ("GET", "HEAD"):
            answer = client.request(method, f"{manifests}/{document.digest}")
            if answer.status_code not in (200, 404):
                raise AssertionError(f"{method} {image.key}: {answer.status_code} {answer.text}")
            if answer.status_code == 404:
                return False
            if method == "GET" and answer.content != document.body:
                raise AssertionError(f"{image.key}: other bytes")
    if image.tag and client.get(f"{manifests}/{image.tag}").content != image.top.body:
        return False
    for blob in image.blobs:
        answer = client.get(f"/v2/{image.name}/blobs/{blob.digest}")
        if answer.status_code == 404:
            return False
        if answer.status_code != 200 or answer.content != blob.body:
            raise AssertionError(f"{blob.digest} of {image.key}: {answer.status_code}")
    return True


Snapshot = dict[str, str]


COUNTING_UP = ("generation", "last_pushed_at")
"""Columns of namespaces that tell of each push, whatever it is of."""


def snapshot(root: Path) -> Snapshot:
    """Every file with what it holds, and every row; the rows of running uploads aside."""
    found = dict(_files(root))
    rows = sqlite3.connect(f"file:{root / 'metadata.db'}?mode=ro", uri=True)
    try:
        tables = [
            row[0] for row in rows.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        for table in tables:
            names = [row[1] for row in rows.execute(f"PRAGMA table_info({table})")]
            kept = ", ".join(name for name in names if name not in COUNTING_UP)
            for row in rows.execute(f"SELECT {kept} FROM {table}"):
                found[f"{table}: {row!r}"] = ""
    finally:
        rows.close()
    return found


def _files(root: Path) -> Iterator[tuple[str, str]]:
    for shelf in SHELVES:
        for folder, directories, names in os.walk(root / shelf):
            for name in (*directories, *names):
                path = Path(folder) / name
                relative = str(path.relative_to(root))
                if path.is_symlink():
                    yield relative, f"-> {path.readlink()}"
                elif path.is_dir():
                    yield f"{relative}/", ""
                else:
                    yield relative, hashlib.sha256(path.read_bytes()).hexdigest()


def difference(before: Snapshot, after: Snapshot) -> list[str]:
    """What is not the same, a line each."""
    gone = [f"- {key}" for key in before.keys() - after.keys()]
    new = [f"+ {key}" for key in after.keys() - before.keys()]
    other = [f"~ {key}" for key in before.keys() & after.keys() if before[key] != after[key]]
    return sorted([*gone, *new, *other])
