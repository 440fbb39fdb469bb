"""docker: import, load, build, push, pull and manifest lists, with a dockerd of our own."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from angos_trio.records import replace
from tests.e2e.lab import Lab
from tests.e2e.machine import Failure, Sandbox, daemon, require
from tests.e2e.material import PLATFORMS, TAG, Image, Layout, tar_of

CLIENT = "docker"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


class Docker:
    """docker against one dockerd and one registry."""

    def __init__(self, lab: Lab, scratch: Path, sandbox: Sandbox) -> None:
        self.lab = lab
        self.scratch = scratch
        self.sandbox = sandbox

    def run(self, *arguments: str | Path) -> str:
        """One command."""
        return self.sandbox.run(require("docker"), *arguments, errors_too=True)

    def feed(self, source: Path, *arguments: str | Path) -> str:
        """One command that reads a file."""
        return self.sandbox.feed(source, require("docker"), *arguments)

    def name(self, repository: str, tag: str = TAG, lab: Lab | None = None) -> str:
        """An image of a registry."""
        return f"{(lab or self.lab).address}/docker/{repository}:{tag}"

    def identity(self, image: str) -> str:
        """The digest of an image's configuration."""
        return self.run("image", "inspect", "--format", "{{.Id}}", image).strip()

    def push(self, image: str) -> str:
        """Push; the digest that the registry has given, and what was said on the way."""
        told = self.run("push", image)
        repository, _, tag = image.partition("/")[2].rpartition(":")
        found = re.search(r"digest: (sha256:\w+) size", told)
        lab = self.lab
        if found is None:
            raise Failure(f"no digest in:\n{told}")
        if image.startswith(lab.address) and lab.digest(repository, tag) != found[1]:
            raise Failure(f"the tag points at {lab.digest(repository, tag)}:\n{told}")
        return told

    def pull(self, image: str, *options: str) -> None:
        """Pull into an empty storage."""
        self.forget_all()
        self.run("pull", "--quiet", *options, image)

    def forget_all(self) -> None:
        """Remove all images."""
        if images := self.run("images", "--quiet", "--no-trunc").split():
            self.run("rmi", "--force", *sorted(set(images)))


@contextmanager
def dockerd(lab: Lab, mounts: Mapping[str, Path] | None = None) -> Iterator[Docker]:
    """A dockerd of our own; `mounts` are what its sandbox has besides."""
    scratch = lab.directory("docker")
    host = f"unix://{scratch}/docker.sock"
    sandbox = lab.sandbox("docker", DOCKER_HOST=host)
    sandbox = replace(sandbox, mounts={**(mounts or {}), **sandbox.mounts})
    docker = Docker(lab, scratch, sandbox)
    configuration = scratch / "daemon.json"
    configuration.write_text(json.dumps({"deprecated-key-path": str(scratch / "key.json")}))
    started = [
        require("dockerd"),
        *("--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver=vfs"),
        *(f"--config-file={configuration}", f"--data-root={scratch / 'data'}"),
        *(f"--exec-root={scratch / 'exec'}", f"--pidfile={scratch / 'pid'}", "-H", host),
    ]
    with daemon(sandbox, started, scratch / "log", lambda: docker.run("info")):
        yield docker


def run(lab: Lab) -> None:
    """All checks of docker."""
    with dockerd(lab) as docker:
        _debian(docker)
        _many_layers(docker)
        _load(docker)
        _build(docker)
        _manifest_list(docker)
        _oci_index(docker)


def _debian(docker: Docker) -> None:
    lab, debian, twin = docker.lab, docker.name("debian"), docker.name("debian-twin")
    identity, layer = "", ""
    with lab.check(CLIENT, "import of the Debian system, push"):
        docker.run("import", lab.material.debian_tar, debian)
        identity = docker.identity(debian)
        docker.push(debian)
        layer = lab.manifest("docker/debian", TAG)["layers"][0]["digest"]
    with (
        lab.check(CLIENT, "push to another repository: 'Mounted from', no bytes moved"),
        lab.only_mounts(1, layer),
    ):
        docker.run("tag", debian, twin)
        told = docker.push(twin)
        if "Mounted from docker/debian" not in told:
            raise Failure(f"not mounted:\n{told}")
    with lab.check(CLIENT, "push again: 'Layer already exists'"):
        told = docker.push(debian)
        if "Layer already exists" not in told:
            raise Failure(f"pushed again:\n{told}")
    with lab.check(CLIENT, "pull of the Debian system: same image"):
        docker.pull(twin)
        if docker.identity(twin) != identity:
            raise Failure(f"pulled {docker.identity(twin)}, pushed {identity}")


def _many_layers(docker: Docker) -> None:
    lab, many = docker.lab, docker.name("many")
    layout, image = lab.material.many_layers
    lab.seed("docker/many", layout, [image.manifest])
    with (
        lab.check(CLIENT, "pull of twelve layers at once, push to an empty registry, pull"),
        lab.another() as other,
    ):
        sent = docker.name("many", lab=other)
        docker.pull(many)
        docker.run("tag", many, sent)
        docker.push(sent)
        docker.pull(sent)
        if docker.identity(sent) != image.config:
            raise Failure(f"pulled {docker.identity(sent)}, not {image.config}")


def _load(docker: Docker) -> None:
    lab, small = docker.lab, docker.name("small")
    layout, image = lab.material.small
    with lab.check(CLIENT, "load of a docker archive, push, pull: same image"):
        docker.run("load", "--input", docker_archive(layout, image, small, docker.scratch))
        docker.push(small)
        docker.pull(small)
        if docker.identity(small) != image.config:
            raise Failure(f"pulled {docker.identity(small)}, not {image.config}")


def docker_archive(layout: Layout, image: Image, name: str, scratch: Path) -> Path:
    """An image in the form that `docker load` takes."""
    layers = {f"{number}.tar": layer for number, layer in enumerate(image.layers)}
    entry = {"Config": "config.json", "RepoTags": [name], "Layers": list(layers)}
    files = {
        "manifest.json": json.dumps([entry]).encode(),
        "config.json": layout.read(image.config),
        **{file: gzip.decompress(layout.read(layer)) for file, layer in layers.items()},
    }
    target = scratch / "archive.tar"
    target.write_bytes(tar_of(files))
    return target


def _build(docker: Docker) -> None:
    lab, built = docker.lab, docker.name("built")
    context = lab.directory("docker/context")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\nLABEL a=b\n")
    with lab.check(CLIENT, "build FROM scratch, push, pull: same image"):
        docker.run("build", "--quiet", "--tag", built, context)
        identity = docker.identity(built)
        docker.push(built)
        docker.pull(built)
        if docker.identity(built) != identity:
            raise Failure(f"pulled {docker.identity(built)}, pushed {identity}")


def _manifest_list(docker: Docker) -> None:
    """`docker manifest` talks to the registry by itself, and copies with mounts."""
    lab, whole = docker.lab, docker.name("list")
    layout, _, images = lab.material.two_platforms
    with lab.check(CLIENT, "manifest create and push of a two-platform list"):
        names = [docker.name("list", architecture) for architecture in PLATFORMS]
        for name, image in zip(names, images, strict=True):
            docker.run("load", "--input", docker_archive(layout, image, name, docker.scratch))
            docker.push(name)
        docker.run("manifest", "create", "--insecure", whole, *names)
        docker.run("manifest", "push", "--insecure", whole)
        served = lab.manifest("docker/list", TAG)
        if served["mediaType"] != LIST or _architectures(served) != list(PLATFORMS):
            raise Failure(f"the registry serves {served}")
    with lab.check(CLIENT, "manifest inspect of the list"):
        told = json.loads(docker.run("manifest", "inspect", "--insecure", whole))
        if _architectures(told) != list(PLATFORMS):
            raise Failure(f"told {told}")
    for architecture, image in zip(PLATFORMS, images, strict=True):
        with lab.check(CLIENT, f"pull of the list for linux/{architecture}: same image"):
            docker.pull(whole, f"--platform=linux/{architecture}")
            if docker.identity(whole) != image.config:
                raise Failure(f"pulled {docker.identity(whole)}, not {image.config}")


def _architectures(served: Mapping[str, Any]) -> list[str]:
    return sorted(entry["platform"]["architecture"] for entry in served["manifests"])


def _oci_index(docker: Docker) -> None:
    lab, two = docker.lab, docker.name("two")
    layout, index, images = lab.material.two_platforms
    manifests = [image.manifest for image in images]
    lab.seed("docker/two", layout, [*manifests, index["digest"]])
    with lab.check(CLIENT, "pull of one platform of an OCI index, by tag and by digest"):
        docker.pull(two, f"--platform=linux/{PLATFORMS[1]}")
        if docker.identity(two) != images[1].config:
            raise Failure(f"pulled {docker.identity(two)}, not {images[1].config}")
        digest = f"{lab.address}/docker/two@{images[0].manifest}"
        docker.pull(digest)
        if docker.identity(digest) != images[0].config:
            raise Failure(f"pulled {docker.identity(digest)}, not {images[0].config}")
    with lab.check(CLIENT, "pull of a tag that is not there is refused"):
        missing = hashlib.sha256(b"missing").hexdigest()
        for reference in (f"two:{missing[:8]}", f"two@sha256:{missing}"):
            try:
                docker.run("pull", f"{lab.address}/docker/{reference}")
            except Failure as failure:
                if "not found" not in str(failure) and "manifest unknown" not in str(failure):
                    raise
            else:
                raise Failure(f"{reference} was pulled")
