"""Large stores, written past the registries: rows and files as they would have come by pushes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from angos_trio.oci.natural import natural_key
from tests.bench.sides import OURS, start

DAY = 86_400
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class Sizes:
    """How much there is. One namespace has half of the tags and as many referrers as `referrers`;
    the others share the rest."""

    tags: int = 1_000_000
    manifests: int = 200_000
    blobs: int = 1_000_000
    namespaces: int = 2_000
    referrers: int = 10_000
    garbage: int = 100_000


LARGE = "large/one"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def numbered(kind: str, number: int) -> str:
    """A digest of something that nobody reads."""
    return digest_of(f"{kind} {number}".encode())


@contextmanager
def writing(data_dir: Path) -> Iterator[sqlite3.Connection]:
    """The rows of a stopped registry, all of it one change."""
    with closing(sqlite3.connect(data_dir / "metadata.db", isolation_level=None)) as rows:
        rows.execute("PRAGMA synchronous = OFF")
        rows.execute("PRAGMA cache_size = -400000")
        rows.execute("BEGIN")
        yield rows
        rows.execute("COMMIT")
        rows.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def begin(root: Path) -> Path:
    """An empty store of ours, made by a first start; the data directory."""
    shutil.rmtree(root, ignore_errors=True)
    with start(OURS, root):
        pass
    return root / "data"


def fill(data_dir: Path, sizes: Sizes) -> None:
    """The rows of a registry that has run for long: everything was looked at since its last lease,
    but for the garbage, whose leases end within a day."""
    now = int(time.time())
    with writing(data_dir) as rows:
        rows.executemany(
            "INSERT INTO namespaces (id, name, created_at) VALUES (?, ?, ?)",
            ((number, LARGE if number == 1 else f"team/app-{number:05d}", now)
             for number in range(1, sizes.namespaces + 1)),
        )  # fmt: skip
        _fill_manifests(rows, sizes, now)
        _fill_blobs(rows, sizes, now)
        _fill_tags(rows, sizes, now)
        _fill_garbage(rows, data_dir, sizes, now)


def _namespace_of(number: int, sizes: Sizes) -> int:
    """Half of all is the first one's."""
    return 1 if number % 2 == 0 else 2 + number // 2 % (sizes.namespaces - 1)


def _fill_manifests(rows: sqlite3.Connection, sizes: Sizes, now: int) -> None:
    subject = numbered("manifest", 0)

    def manifests() -> Iterator[tuple[object, ...]]:
        for number in range(sizes.manifests):
            refers = 0 < number <= 2 * sizes.referrers and number % 2 == 0
            yield (
                _namespace_of(number, sizes), numbered("manifest", number), MANIFEST_TYPE, "image",
                CONFIG_TYPE, subject if refers else None, 500, "{}", now, "basic::alice", 0,
            )  # fmt: skip

    rows.executemany(
        "INSERT INTO manifest_bodies (digest, body) VALUES (?, ?)",
        ((numbered("manifest", number), b"{}" * 250) for number in range(sizes.manifests)),
    )
    rows.executemany(
        "INSERT INTO manifests (namespace, digest, media_type, kind, artifact_type, subject, size, "
        "annotations, pushed_at, pushed_by, lease_until, role, total_size) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'image', 10500)",
        manifests(),
    )


def _fill_blobs(rows: sqlite3.Connection, sizes: Sizes, now: int) -> None:
    """Each manifest names as many blobs as there are for it."""
    rows.executemany(
        "INSERT INTO blobs (digest, size, created_at) VALUES (?, 1000, ?)",
        ((numbered("blob", number), now) for number in range(sizes.blobs)),
    )
    of_manifest = [
        (_namespace_of(number % sizes.manifests, sizes), number) for number in range(sizes.blobs)
    ]
    rows.executemany(
        "INSERT INTO namespace_blobs (namespace, digest, lease_until) VALUES (?, ?, 0)",
        ((namespace, numbered("blob", number)) for namespace, number in of_manifest),
    )
    rows.executemany(
        "INSERT INTO manifest_references (namespace, manifest, digest, kind) "
        "VALUES (?, ?, ?, 'layer')",
        (
            (namespace, numbered("manifest", number % sizes.manifests), numbered("blob", number))
            for namespace, number in of_manifest
        ),
    )


def _fill_tags(rows: sqlite3.Connection, sizes: Sizes, now: int) -> None:
    rows.executemany(
        "INSERT INTO tags (namespace, name, digest, updated_at, updated_by, sort_key) "
        "VALUES (?, ?, ?, ?, 'basic::alice', ?)",
        (
            (
                _namespace_of(number % sizes.manifests, sizes),
                f"v{number:07d}",
                numbered("manifest", number % sizes.manifests),
                now,
                natural_key(f"v{number:07d}"),
            )
            for number in range(sizes.tags)
        ),
    )


def _fill_garbage(rows: sqlite3.Connection, data_dir: Path, sizes: Sizes, now: int) -> None:
    """Blobs with real files that nothing names."""
    contents = [f"garbage {number}".encode() for number in range(sizes.garbage)]
    put_files(data_dir, contents)
    lease_until = now + DAY - 3600
    rows.executemany(
        "INSERT INTO blobs (digest, size, created_at) VALUES (?, ?, ?)",
        ((digest_of(content), len(content), now) for content in contents),
    )
    rows.executemany(
        "INSERT INTO namespace_blobs (namespace, digest, lease_until) VALUES (?, ?, ?)",
        (
            (_namespace_of(number, sizes), digest_of(content), lease_until)
            for number, content in enumerate(contents)
        ),
    )


def put_files(data_dir: Path, contents: Iterable[bytes]) -> None:
    """Blobs under their final names."""
    for content in contents:
        hexadecimal = hashlib.sha256(content).hexdigest()
        path = data_dir / "blobs" / "sha256" / hexadecimal[:2] / hexadecimal
        path.write_bytes(content)


@dataclass(frozen=True)
class Image:
    """An image of a config and a layer of its own, and a layer that all have."""

    number: int

    @property
    def blobs(self) -> list[bytes]:
        return [
            f"config {self.number}".encode(),
            f"layer {self.number}".encode() * 40,
            b"base" * 99,
        ]

    @property
    def body(self) -> bytes:
        config, *layers = [
            {"mediaType": LAYER_TYPE, "digest": digest_of(blob), "size": len(blob)}
            for blob in self.blobs
        ]
        config["mediaType"] = CONFIG_TYPE
        document = {
            "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": layers,
        }  # fmt: skip
        return json.dumps(document).encode()


def put_images_of_ours(data_dir: Path, images: Iterable[Image], deleted: set[int]) -> None:
    """Images in one namespace; the blobs of a deleted one wait for the collection."""
    now = int(time.time())
    with writing(data_dir) as rows:
        rows.execute("INSERT INTO namespaces (id, name, created_at) VALUES (1, 'app', ?)", (now,))
        for image in images:
            is_deleted = image.number in deleted
            put_files(data_dir, image.blobs)
            for blob in image.blobs:
                rows.execute(
                    "INSERT OR IGNORE INTO blobs (digest, size, created_at) VALUES (?, ?, ?)",
                    (digest_of(blob), len(blob), now),
                )
                rows.execute(
                    "INSERT OR IGNORE INTO namespace_blobs VALUES (1, ?, ?)",
                    (digest_of(blob), 1 if is_deleted else 0),
                )
            if not is_deleted:
                _put_image(rows, image, now)


def _put_image(rows: sqlite3.Connection, image: Image, now: int) -> None:
    digest = digest_of(image.body)
    rows.execute("INSERT INTO manifest_bodies VALUES (?, ?)", (digest, image.body))
    rows.execute(
        "INSERT INTO manifests (namespace, digest, media_type, kind, artifact_type, size, "
        "annotations, pushed_at, pushed_by, lease_until, role) "
        "VALUES (1, ?, ?, 'image', ?, ?, '{}', ?, '', 0, 'image')",
        (digest, MANIFEST_TYPE, CONFIG_TYPE, len(image.body), now),
    )
    rows.executemany(
        "INSERT INTO manifest_references VALUES (1, ?, ?, 'layer')",
        ((digest, digest_of(blob)) for blob in image.blobs),
    )
    tag = f"v{image.number}"
    rows.execute(
        "INSERT INTO tags (namespace, name, digest, updated_at, updated_by, sort_key) "
        "VALUES (1, ?, ?, ?, '', ?)",
        (tag, digest, now, natural_key(tag)),
    )


def put_images_of_theirs(root: Path, images: Iterable[Image], deleted: set[int]) -> None:
    """The same as docker-registry stores them, with the manifest of a deleted one taken away."""
    base = root / "data" / "docker" / "registry" / "v2"
    repository = base / "repositories" / "app"
    for image in images:
        for blob in image.blobs:
            _put_theirs(base, digest_of(blob), blob)
            _link(repository / "_layers" / "sha256" / digest_of(blob)[7:], digest_of(blob))
        if image.number not in deleted:
            digest = digest_of(image.body)
            _put_theirs(base, digest, image.body)
            _link(repository / "_manifests" / "revisions" / "sha256" / digest[7:], digest)
            tag = repository / "_manifests" / "tags" / f"v{image.number}"
            _link(tag / "current", digest)
            _link(tag / "index" / "sha256" / digest[7:], digest)


def _put_theirs(base: Path, digest: str, content: bytes) -> None:
    folder = base / "blobs" / "sha256" / digest[7:9] / digest[7:]
    os.makedirs(folder, exist_ok=True)
    (folder / "data").write_bytes(content)


def _link(folder: Path, digest: str) -> None:
    os.makedirs(folder, exist_ok=True)
    (folder / "link").write_text(digest)
