"""What goes in and out: a real Debian system, and small images, as OCI image layouts."""

from __future__ import annotations

import filecmp
import gzip
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.e2e.machine import REPOSITORY, Failure, command
from tests.pins import pins

CACHE = REPOSITORY / ".cache" / "image"
PIECE_BYTES = 1 << 20
LAYER_BYTES = 4_000_000
MANY_LAYERS = 12
MANY_LAYERS_BYTES = 4_000_000
TAG = "there-and-back"
PLATFORMS = ("amd64", "arm64")

CONFIG = "application/vnd.oci.image.config.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"

Descriptor = dict[str, Any]


@dataclass(frozen=True)
class Image:
    """One image of a layout: the digests of its manifest, its configuration and its layers."""

    manifest: str
    config: str
    layers: tuple[str, ...]
    layers_unpacked: tuple[str, ...]
    descriptor: Descriptor

    @property
    def layer(self) -> str:
        """The first layer, which is the only one of most images here."""
        return self.layers[0]


@dataclass(frozen=True)
class Layout:
    """A directory in the form of an OCI image layout, to which images are added."""

    root: Path

    @property
    def blobs(self) -> Path:
        """The directory of all content, each file named by its SHA-256."""
        return self.root / "blobs" / "sha256"

    @property
    def sizes(self) -> dict[str, int]:
        """The bytes of each blob, by digest."""
        return {f"sha256:{path.name}": path.stat().st_size for path in self.blobs.iterdir()}

    def document(self, digest: str) -> dict[str, Any]:
        """A JSON document of the layout."""
        content: dict[str, Any] = json.loads(self.read(digest))
        return content

    def read(self, digest: str) -> bytes:
        """The bytes of a blob."""
        return self.blob(digest).read_bytes()

    def blob(self, digest: str) -> Path:
        """The file of a blob."""
        return self.blobs / digest.partition(":")[2]

    def make(self) -> Layout:
        """Make the empty directory."""
        self.blobs.mkdir(parents=True)
        (self.root / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        return self

    def put(self, body: bytes, media_type: str) -> Descriptor:
        """Add a blob."""
        digest = hashlib.sha256(body).hexdigest()
        (self.blobs / digest).write_bytes(body)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(body)}

    def put_json(self, document: Mapping[str, Any], media_type: str) -> Descriptor:
        """Add a JSON document."""
        return self.put(json.dumps(document).encode(), media_type)

    def put_image(self, architecture: str, layers: Sequence[tuple[Descriptor, str]]) -> Image:
        """Add the configuration and the manifest of an image; a layer comes with its unpacked
        digest."""
        unpacked = [digest for _, digest in layers]
        config = self.put_json(
            {
                "architecture": architecture,
                "os": "linux",
                "config": {"Cmd": ["/bin/sh"]},
                "rootfs": {"type": "layers", "diff_ids": unpacked},
                "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "e2e"}] * len(layers),
            },
            CONFIG,
        )
        packed = [descriptor for descriptor, _ in layers]
        manifest = self.put_json(
            {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": packed},
            MANIFEST,
        )
        return Image(
            manifest["digest"],
            config["digest"],
            tuple(descriptor["digest"] for descriptor in packed),
            tuple(unpacked),
            {**manifest, "platform": {"architecture": architecture, "os": "linux"}},
        )

    def put_layer(self, name: str, size: int) -> tuple[Descriptor, str]:
        """Add a layer with a file that cannot be compressed, and one that tells its name."""
        tar = tar_of({f"which-{name}": name.encode(), f"data-{name}": noise(name, size)})
        layer = self.put(gzip.compress(tar, 1, mtime=0), LAYER)
        return layer, f"sha256:{hashlib.sha256(tar).hexdigest()}"

    def name(self, descriptor: Descriptor, tag: str = TAG) -> None:
        """Let the index of the layout name one manifest."""
        annotations = {"org.opencontainers.image.ref.name": tag}
        named = {**descriptor, "annotations": annotations}
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [named]}
        (self.root / "index.json").write_text(json.dumps(index))


def noise(seed: str, size: int) -> bytes:
    """Bytes without a pattern, the same for the same seed."""
    return hashlib.shake_128(seed.encode()).digest(size)


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """A tar of some files, the same for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """The digest of a file."""
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def expect_same_layout(pushed: Path, pulled: Path) -> None:
    """Fail unless both hold the same manifest and the same blobs, byte for byte."""
    if _named(pushed) != _named(pulled):
        raise Failure(f"pushed {_named(pushed)}, pulled {_named(pulled)}")
    left, right = Layout(pushed).blobs, Layout(pulled).blobs
    names = sorted(path.name for path in left.iterdir())
    if names != sorted(path.name for path in right.iterdir()):
        raise Failure(f"other blobs came back than {names}")
    for name in names:
        if file_digest(right / name) != f"sha256:{name}":
            raise Failure(f"blob {name} came back with other bytes")
        if not filecmp.cmp(left / name, right / name, shallow=False):
            raise Failure(f"blob {name} differs")


def expect_layout(pulled: Path, digest: str) -> None:
    """Fail unless a layout names this manifest, and holds it and its blobs as their names say."""
    layout = Layout(pulled)
    if _named(pulled)[1] != digest:
        raise Failure(f"{_named(pulled)[1]} came back, not {digest}")
    manifest = layout.document(digest)
    for name in (digest, manifest["config"]["digest"], *(x["digest"] for x in manifest["layers"])):
        if file_digest(layout.blob(name)) != name:
            raise Failure(f"blob {name} came back with other bytes")


def _named(layout: Path) -> tuple[str, str, int]:
    """What the index of a layout names; clients differ in what else they write there."""
    entries = json.loads((layout / "index.json").read_text())["manifests"]
    found = {(entry["mediaType"], entry["digest"], entry["size"]) for entry in entries}
    if len(found) != 1:
        raise Failure(f"{layout.name} names {len(found)} manifests")
    return found.pop()


class Material:
    """Everything that is pushed, made when it is first asked for."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @cached_property
    def debian_tar(self) -> Path:
        """The tar of a Debian system of a known smallest size."""
        pinned = pins("image")
        tar = _root_file_system(pinned["packages"])
        if tar.stat().st_size < pinned["tar_bytes_min"]:
            raise Failure(f"{tar.name} has only {tar.stat().st_size} bytes")
        return tar

    @cached_property
    def debian(self) -> tuple[Layout, Image]:
        """The Debian system as an image of one layer, the tar compressed."""
        layout = Layout(self._directory / "debian").make()
        layer, unpacked = _compress(self.debian_tar, layout.blobs)
        architecture = command("dpkg", "--print-architecture").strip()
        image = layout.put_image(architecture, [(layer, unpacked)])
        layout.name(image.descriptor)
        return layout, image

    @cached_property
    def small(self) -> tuple[Layout, Image]:
        """A small image for this machine's platform."""
        layout = Layout(self._directory / "small").make()
        image = layout.put_image(PLATFORMS[0], [layout.put_layer(PLATFORMS[0], LAYER_BYTES)])
        layout.name(image.descriptor)
        return layout, image

    @cached_property
    def many_layers(self) -> tuple[Layout, Image]:
        """An image of many layers of several megabytes, which clients move at the same time."""
        layout = Layout(self._directory / "many-layers").make()
        layers = [layout.put_layer(str(number), MANY_LAYERS_BYTES) for number in range(MANY_LAYERS)]
        image = layout.put_image(PLATFORMS[0], layers)
        layout.name(image.descriptor)
        return layout, image

    @cached_property
    def two_platforms(self) -> tuple[Layout, Descriptor, Sequence[Image]]:
        """An index of two images that have nothing in common."""
        layout = Layout(self._directory / "two-platforms").make()
        images = [
            layout.put_image(architecture, [layout.put_layer(architecture, LAYER_BYTES)])
            for architecture in PLATFORMS
        ]
        index = layout.put_json(
            {
                "schemaVersion": 2,
                "mediaType": INDEX,
                "manifests": [image.descriptor for image in images],
            },
            INDEX,
        )
        layout.name(index)
        return layout, index, images


def _root_file_system(packages: Sequence[str]) -> Path:
    """A tar of a small Debian system with some packages, made once and kept.

    The packages come from where this machine gets its own.
    """
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    wish = hashlib.sha256(" ".join([suite, *packages]).encode()).hexdigest()
    tar = CACHE / f"{suite}-{wish[:12]}.tar"
    if not tar.exists():
        print(f"making a Debian system with {', '.join(packages)}", flush=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        partial = CACHE / "partial.tar"
        command(
            "mmdebstrap",
            "--variant=minbase",
            "--format=tar",
            f"--include={','.join(packages)}",
            suite,
            partial,
            *_package_sources(),
        )
        partial.rename(tar)
    return tar


def _package_sources() -> list[Path]:
    """The file in which this machine names its Debian mirror; none means the usual mirror."""
    apt = Path("/etc/apt")
    names = ("sources.list.d/debian.sources", "sources.list.d/ubuntu.sources", "sources.list")
    return [apt / name for name in names if (apt / name).is_file()][:1]


def _compress(tar: Path, blobs: Path) -> tuple[Descriptor, str]:
    """The descriptor of a tar's gzip as a blob, and the digest of the tar."""
    unpacked = hashlib.sha256()
    packed = blobs / "layer"
    with (
        tar.open("rb") as source,
        packed.open("wb") as target,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=target, mtime=0) as writer,
    ):
        while piece := source.read(PIECE_BYTES):
            unpacked.update(piece)
            writer.write(piece)
    digest = file_digest(packed)
    blob = packed.rename(blobs / digest.partition(":")[2])
    descriptor = {"mediaType": LAYER, "digest": digest, "size": blob.stat().st_size}
    return descriptor, f"sha256:{unpacked.hexdigest()}"
