"""A real image in and out: a Debian system of more than 100 MB, by skopeo and by podman.

skopeo pushes an OCI image layout and pulls it back: manifest and blobs must be the same bytes.
podman pulls the image, pushes it to a second repository and to a second registry, and pulls those:
the image must be the same.
Needs root on Debian or a system made from it; installs the tools that are missing. Started by
`make image`.
"""

from __future__ import annotations

import filecmp
import gzip
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.running import RegistryDidNotStart, running_registry

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / ".cache" / "image"
TOOLS = ("mmdebstrap", "podman", "skopeo")
COMMAND_SECS_MAX = 900
PIECE_BYTES = 1 << 20
TAG = "there-and-back"

CONFIG = "application/vnd.oci.image.config.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Failure(Exception):
    """The image did not make it, or what the test needs is missing; the message says which."""


@dataclass(frozen=True)
class Image:
    """What was put into the layout: its manifest, its configuration and its layer unpacked."""

    manifest: str
    config: str
    layer_unpacked: str


def command(*arguments: str | Path) -> str:
    """Run a program to its end and return what it printed."""
    done = subprocess.run(
        [str(argument) for argument in arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECS_MAX,
        check=False,
    )
    if done.returncode != 0:
        raise Failure(
            f"{' '.join(map(str, arguments))}\nended with {done.returncode}:\n{done.stderr}"
        )
    return done.stdout


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print how long a step took."""
    started = time.monotonic()
    yield
    print(f"{name:<44} {time.monotonic() - started:6.1f} s", flush=True)


def install_tools() -> None:
    """Install what is missing, as root and with apt-get."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise Failure(f"please install {', '.join(missing)}: only root on Debian can do it here")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    command("apt-get", "update")
    command("apt-get", "install", "--yes", "--no-install-recommends", *missing)


def root_file_system(packages: Sequence[str]) -> Path:
    """A tar of a small Debian system with some packages, made once and kept.

    The packages come from where this machine gets its own.
    """
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    wish = hashlib.sha256(" ".join([suite, *packages]).encode()).hexdigest()
    tar = CACHE / f"{suite}-{wish[:12]}.tar"
    if not tar.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        partial = CACHE / "partial.tar"
        command(
            "mmdebstrap",
            "--variant=minbase",
            "--format=tar",
            f"--include={','.join(packages)}",
            suite,
            partial,
            *package_sources(),
        )
        partial.rename(tar)
    return tar


def package_sources() -> list[Path]:
    """The file in which this machine names its Debian mirror; none means the usual mirror."""
    apt = Path("/etc/apt")
    names = ("sources.list.d/debian.sources", "sources.list.d/ubuntu.sources", "sources.list")
    return [apt / name for name in names if (apt / name).is_file()][:1]


def make_layout(tar: Path, layout: Path) -> Image:
    """An OCI image layout with one image of one gzip layer: the tar."""
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    diff_id, layer = _compress(tar, blobs)
    config = _put_json(
        blobs,
        CONFIG,
        {
            "architecture": command("dpkg", "--print-architecture").strip(),
            "os": "linux",
            "config": {"Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "mmdebstrap"}],
        },
    )
    manifest = _put_json(
        blobs,
        MANIFEST,
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]},
    )
    named = {**manifest, "annotations": {"org.opencontainers.image.ref.name": TAG}}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [named]}
    (layout / "index.json").write_text(json.dumps(index))
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return Image(manifest["digest"], config["digest"], diff_id)


def _put_json(blobs: Path, media_type: str, document: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps(document).encode()
    digest = hashlib.sha256(body).hexdigest()
    (blobs / digest).write_bytes(body)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(body)}


def _compress(tar: Path, blobs: Path) -> tuple[str, dict[str, Any]]:
    """The digest of the tar, and the descriptor of its gzip as a blob."""
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
    packed.rename(blobs / digest)
    size = (blobs / digest).stat().st_size
    descriptor = {"mediaType": LAYER, "digest": f"sha256:{digest}", "size": size}
    return f"sha256:{unpacked.hexdigest()}", descriptor


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def compare_layouts(pushed: Path, pulled: Path) -> None:
    """Fail unless both hold the same manifest and the same blobs, byte for byte."""
    if _manifest_of(pushed) != _manifest_of(pulled):
        raise Failure(f"pushed {_manifest_of(pushed)}, pulled {_manifest_of(pulled)}")
    left, right = pushed / "blobs" / "sha256", pulled / "blobs" / "sha256"
    names = sorted(path.name for path in left.iterdir())
    if names != sorted(path.name for path in right.iterdir()):
        raise Failure(f"other blobs came back than {names}")
    for name in names:
        if file_digest(right / name) != name:
            raise Failure(f"blob {name} came back with other bytes")
        if not filecmp.cmp(left / name, right / name, shallow=False):
            raise Failure(f"blob {name} differs")


def _manifest_of(layout: Path) -> tuple[str, str, int]:
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    return entry["mediaType"], entry["digest"], entry["size"]


def through_skopeo(layout: Path, address: str, scratch: Path) -> None:
    """Push the layout, pull it into a new one, compare."""
    remote = f"docker://{address}/debian/system:{TAG}"
    skopeo = ("skopeo", "--insecure-policy", "copy", "--preserve-digests")
    with step("skopeo pushes"):
        command(*skopeo, "--dest-tls-verify=false", f"oci:{layout}:{TAG}", remote)
    back = scratch / "back"
    with step("skopeo pulls"):
        command(*skopeo, "--src-tls-verify=false", remote, f"oci:{back}:{TAG}")
    with step("bytes compared"):
        compare_layouts(layout, back)


@contextmanager
def podman_storage(scratch: Path) -> Iterator[tuple[str, ...]]:
    """A podman with storage of its own, which needs no kernel features and is emptied after."""
    podman = (
        "podman",
        f"--root={scratch / 'podman'}",
        f"--runroot={scratch / 'podman-run'}",
        "--storage-driver=vfs",
        "--events-backend=file",
        "--cgroup-manager=cgroupfs",
    )
    try:
        yield podman
    finally:
        command(*podman, "rmi", "--all", "--force")


def through_podman(image: Image, address: str, other: str, scratch: Path) -> None:
    """Pull what skopeo pushed; push it beside that, where its layer is mounted, and to an empty
    registry, where it is sent; pull both and compare."""
    pulled, mounted = (f"{address}/debian/{name}:{TAG}" for name in ("system", "twin"))
    sent = f"{other}/debian/copy:{TAG}"
    with podman_storage(scratch) as podman:
        with step("podman pulls"):
            command(*podman, "pull", "--quiet", "--tls-verify=false", pulled)
        _expect_image(podman, pulled, image)
        if image.manifest != _inspect(podman, pulled)["Digest"]:
            raise Failure(f"podman pulled another manifest than {image.manifest}")
        for name, way in ((mounted, "mounts"), (sent, "sends")):
            with step(f"podman pushes, {way} the layer"):
                command(
                    *podman, "push", "--quiet", "--tls-verify=false", pulled, f"docker://{name}"
                )
        for name, way in ((mounted, "mounted"), (sent, "sent")):
            command(*podman, "rmi", "--all", "--force")
            with step(f"podman pulls what it {way}"):
                command(*podman, "pull", "--quiet", "--tls-verify=false", name)
            _expect_image(podman, name, image)


def _inspect(podman: Sequence[str], name: str) -> dict[str, Any]:
    (found,) = json.loads(command(*podman, "image", "inspect", name))
    return dict(found)


def _expect_image(podman: Sequence[str], name: str, image: Image) -> None:
    """The image id is the digest of the configuration; the layers are named by their tar."""
    found = _inspect(podman, name)
    if f"sha256:{found['Id']}" != image.config:
        raise Failure(f"{name} has image id {found['Id']}, not {image.config}")
    if found["RootFS"]["Layers"] != [image.layer_unpacked]:
        raise Failure(f"{name} has layers {found['RootFS']['Layers']}")


def run() -> None:
    """The whole round trip, on a registry of its own."""
    pins = tomllib.loads((REPOSITORY / "tests" / "pins.toml").read_text())["image"]
    with step("tools"):
        install_tools()
    with step("Debian system"):
        tar = root_file_system(pins["packages"])
    size = tar.stat().st_size
    if size < pins["tar_bytes_min"]:
        raise Failure(f"{tar} has only {size} bytes")
    with tempfile.TemporaryDirectory(prefix="angos-trio-image-") as name:
        scratch = Path(name)
        layout = scratch / "layout"
        with step("image layout"):
            image = make_layout(tar, layout)
        blobs = [path.stat().st_size for path in (layout / "blobs" / "sha256").iterdir()]
        print(f"tar {size:,} bytes; {len(blobs)} blobs, {sum(blobs):,} bytes; {image.manifest}")
        with running_registry() as registry, running_registry() as other:
            through_skopeo(layout, registry.address, scratch)
            through_podman(image, registry.address, other.address, scratch)


def main() -> int:
    """Run the round trip; 0 when every byte came back."""
    started = time.monotonic()
    try:
        run()
    except (Failure, RegistryDidNotStart) as error:
        print(f"image: {error}", file=sys.stderr)
        return 1
    print(f"image: byte-identical in {time.monotonic() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
