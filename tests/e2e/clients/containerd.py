"""containerd's `ctr`: fetch, pull, import and push, with a containerd of our own."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from angos_trio.records import replace
from tests.e2e.lab import Lab
from tests.e2e.machine import Failure, Sandbox, daemon, require
from tests.e2e.material import INDEX, PLATFORMS, TAG, Layout, file_digest
from tests.e2e.tools import path_with_go_programs

CLIENT = "ctr"
CERTIFICATES = Path("/etc/containerd/certs.d")
LOST_BY_CONTAINERD = "failed to copy: rpc error: code = Internal desc = unexpected EOF"
CONFIGURATION = """\
version = 2
root = "{0}/root"
state = "{0}/state"
{1}
[grpc]
  address = "{0}/containerd.sock"
"""
WITHOUT_CRI = 'disabled_plugins = ["io.containerd.grpc.v1.cri"]'
SNAPSHOTTER = "native"
# What Kubernetes asks; it reads the same files.
CRI = f"""\
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "{SNAPSHOTTER}"
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "{CERTIFICATES}"
"""


class Ctr:
    """`ctr` against one containerd and one registry."""

    def __init__(self, lab: Lab, scratch: Path, sandbox: Sandbox) -> None:
        self.lab = lab
        self.scratch = scratch
        self.hosts = CERTIFICATES if lab.has_tls else scratch / "certs.d"
        self.way = ["--hosts-dir", str(self.hosts)] if lab.has_tls else ["--plain-http"]
        self.sandbox = sandbox

    def run(self, *arguments: str | Path) -> str:
        """One command."""
        return self.sandbox.run("ctr", *arguments)

    def name(self, repository: str, lab: Lab | None = None) -> str:
        """An image of a registry."""
        return f"{(lab or self.lab).address}/ctr/{repository}:{TAG}"

    def push(self, target: str, local: str, *options: str) -> None:
        """Push everything that an image refers to.

        Once more when ctr did not get the bytes from its own containerd, which happens at times
        when it pushes several manifests at once, whatever the registry (nerdctl issue 984).
        """
        command = ("images", "push", *self.way, *options, target, local)
        try:
            self.run(*command)
        except Failure as error:
            if LOST_BY_CONTAINERD not in str(error):
                raise
            print(f"    {CLIENT}: pushed again after: {LOST_BY_CONTAINERD}", flush=True)
            self.run(*command)

    def pull(self, name: str, *options: str) -> None:
        """Pull an image and unpack it."""
        self.run("images", "pull", *self.way, *options, name)

    def forget(self, *names: str) -> None:
        """Remove images, and what only they held."""
        self.run("images", "remove", "--sync", *names)

    def expect_image(self, name: str, digest: str) -> None:
        """Fail unless a name stands for a manifest, of which every blob is there."""
        for line in self.run("images", "check", f"name=={name}").splitlines():
            fields = line.split()
            if fields[0] == name:
                if fields[2] != digest:
                    raise Failure(f"{name} is {fields[2]}, not {digest}")
                if fields[3] != "complete":
                    raise Failure(f"not all of {name} is there: {line}")
                return
        raise Failure(f"there is no {name}")

    def expect_blob(self, digest: str) -> None:
        """Fail unless a blob has the bytes that its digest says."""
        out = self.scratch / "blob"
        self.sandbox.save(out, "ctr", "content", "get", digest)
        if file_digest(out) != digest:
            raise Failure(f"{digest} holds the bytes of {file_digest(out)}")


@contextmanager
def containerd(lab: Lab, mounts: Mapping[str, Path] | None = None) -> Iterator[Ctr]:
    """A containerd of our own; `mounts` are what its sandbox has besides."""
    scratch = lab.directory("containerd")
    configuration = scratch / "config.toml"
    configuration.write_text(CONFIGURATION.format(scratch, CRI if lab.has_tls else WITHOUT_CRI))
    sandbox = lab.sandbox(
        "containerd",
        CONTAINERD_ADDRESS=str(scratch / "containerd.sock"),
        CONTAINERD_SNAPSHOTTER=SNAPSHOTTER,
        CONTAINER_RUNTIME_ENDPOINT=f"unix://{scratch}/containerd.sock",
        PATH=path_with_go_programs(),
    )
    sandbox = replace(sandbox, mounts={**(mounts or {}), **sandbox.mounts})
    ctr = Ctr(lab, scratch, sandbox)
    started: list[str | Path] = [require("containerd"), "--config", configuration]
    with daemon(sandbox, started, scratch / "log", lambda: ctr.run("version")):
        yield ctr


def run(lab: Lab) -> None:
    """All checks of containerd."""
    with containerd(lab) as ctr:
        _debian(ctr)
        _many_layers(ctr)
        _two_platforms(ctr)
        _import(ctr)


def _debian(ctr: Ctr) -> None:
    lab = ctr.lab
    layout, image = lab.material.debian
    lab.seed("ctr/debian", layout, [image.manifest])
    debian, twin = ctr.name("debian"), ctr.name("debian-twin")
    with lab.check(CLIENT, "images pull of the Debian system, unpacked by the native snapshotter"):
        ctr.pull(debian)
        ctr.expect_image(debian, image.manifest)
        ctr.expect_blob(image.layer)
    with (
        lab.check(CLIENT, "images push to another repository mounts and moves no bytes"),
        lab.only_mounts(1, image.layer),
    ):
        ctr.push(twin, debian)
        if lab.digest("ctr/debian-twin", TAG) != image.manifest:
            raise Failure("the tag points at another manifest")
    with (
        lab.check(CLIENT, "images push to an empty registry sends everything; pull: same bytes"),
        lab.another() as other,
    ):
        sent = ctr.name("debian", other)
        ctr.push(sent, debian)
        ctr.forget(debian)
        ctr.pull(sent)
        ctr.expect_image(sent, image.manifest)
        ctr.expect_blob(image.layer)
        ctr.forget(sent)


def _many_layers(ctr: Ctr) -> None:
    lab = ctr.lab
    layout, image = lab.material.many_layers
    lab.seed("ctr/many", layout, [image.manifest])
    with (
        lab.check(CLIENT, "images pull of twelve layers at once, push to an empty registry"),
        lab.another() as other,
    ):
        many, sent = ctr.name("many"), ctr.name("many", other)
        ctr.pull(many)
        ctr.expect_image(many, image.manifest)
        ctr.push(sent, many)
        for layer in image.layers:
            other.expect(200, "HEAD", f"/v2/ctr/many/blobs/{layer}")
        if other.digest("ctr/many", TAG) != image.manifest:
            raise Failure("the tag points at another manifest")


def _two_platforms(ctr: Ctr) -> None:
    lab = ctr.lab
    layout, index, images = lab.material.two_platforms
    lab.seed("ctr/two", layout, [*(image.manifest for image in images), index["digest"]])
    two = ctr.name("two")
    with lab.check(CLIENT, "content fetch of one platform of an index"):
        ctr.run("content", "fetch", "--plain-http", f"--platform=linux/{PLATFORMS[1]}", two)
        ctr.expect_blob(images[1].layer)
        held = ctr.run("content", "list", "--quiet").split()
        if images[0].layer in held:
            raise Failure("the other platform was fetched too")
    with lab.check(CLIENT, "content fetch of all platforms of an index"):
        ctr.run("content", "fetch", "--plain-http", "--all-platforms", two)
        for image in images:
            ctr.expect_blob(image.layer)
    with (
        lab.check(CLIENT, "images push of an index and all it lists to an empty registry"),
        lab.another() as other,
    ):
        ctr.push(ctr.name("two", other), two)
        if other.digest("ctr/two", TAG) != index["digest"]:
            raise Failure("the tag points at another index")
        for image in images:
            other.expect(200, "GET", f"/v2/ctr/two/manifests/{image.manifest}")
            other.expect(200, "HEAD", f"/v2/ctr/two/blobs/{image.layer}")
    with lab.check(CLIENT, "content fetch-object of an index by its tag"):
        told = ctr.run("content", "fetch-object", "--plain-http", two)
        if INDEX not in told:
            raise Failure(f"told {told}")


def _import(ctr: Ctr) -> None:
    lab = ctr.lab
    layout, image = lab.material.small
    with lab.check(CLIENT, "images import of an OCI archive, push, pull: same manifest"):
        archive = oci_archive(layout, ctr.scratch / "small.tar")
        name = ctr.name("small")
        ctr.run("images", "import", "--base-name", "imported", archive)
        ctr.push(name, f"imported:{TAG}")
        ctr.forget(f"imported:{TAG}")
        ctr.pull(name)
        ctr.expect_image(name, image.manifest)


def oci_archive(layout: Layout, target: Path) -> Path:
    """A layout as one tar."""
    with tarfile.open(target, "w") as tar:
        tar.add(layout.root, arcname=".")
    return target
