"""podman and buildah: build, push, pull, manifest lists, zstd."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.e2e.lab import Lab
from tests.e2e.machine import Failure
from tests.e2e.material import INDEX, LAYER_BYTES, LAYER_ZSTD, PLATFORMS, TAG, noise

BUILD_FILE = """\
FROM scratch
ARG TARGETARCH
COPY data-${TARGETARCH} /data
LABEL org.opencontainers.image.title=data
"""


class Engine:
    """podman or buildah in a sandbox, against one registry."""

    def __init__(self, client: str, lab: Lab, layer_bytes: int = LAYER_BYTES) -> None:
        self.client = client
        self.layer_bytes = layer_bytes
        self.lab = lab
        self.context = lab.directory(f"{client}/context")
        registries = lab.directory(client) / "registries.conf"
        insecure = "false" if lab.has_tls else "true"
        registries.write_text(f'[[registry]]\nlocation = "{lab.address}"\ninsecure = {insecure}\n')
        self.sandbox = lab.sandbox(client, CONTAINERS_REGISTRIES_CONF=str(registries))
        self.plain = [] if lab.has_tls else ["--tls-verify=false"]
        # One takes the file from its environment, the other as an option before the verb.
        self.insecure = [f"--registries-conf={registries}"] if client == "buildah" else []

    def run(self, *arguments: str | Path) -> str:
        """One command."""
        return self.sandbox.run(self.client, *arguments, directory=self.context)

    def name(self, repository: str, lab: Lab | None = None) -> str:
        """An image of a registry."""
        return f"{(lab or self.lab).address}/{self.client}/{repository}:{TAG}"

    def write_context(self, seed: str) -> None:
        """Files to build from; no two seeds give a layer in common."""
        (self.context / "Dockerfile").write_text(BUILD_FILE)
        for architecture in PLATFORMS:
            content = noise(f"{self.client}-{seed}-{architecture}", self.layer_bytes)
            (self.context / f"data-{architecture}").write_bytes(content)

    def push(self, image: str, *options: str, target: str | None = None) -> None:
        """Push an image under its own name or another one."""
        where = f"docker://{target or image}"
        self.run("push", "--quiet", *self.plain, *options, image, where)

    def pull(self, image: str, *options: str) -> None:
        """Pull an image into a storage that holds nothing."""
        self.run("rmi", "--all", "--force")
        self.run("pull", "--quiet", *self.plain, *options, image)

    def config(self, image: str) -> str:
        """The digest of an image's configuration, which is its id."""
        listed = self.run("images", "--no-trunc", "--format", "{{.ID}}", image)
        return f"sha256:{listed.split()[0].removeprefix('sha256:')}"

    def content(self, image: str, file: str) -> bytes:
        """A file of an image, read through a mount of it."""
        mount = {
            "podman": 'podman image mount "$0"',
            "buildah": 'buildah mount "$(buildah from --pull-never "$0")"',
        }[self.client]
        out = self.context / "content"
        self.sandbox.run("sh", "-c", f'cp "$({mount})/{file}" "$1"', image, out)
        return out.read_bytes()

    def expect_content(self, image: str, seed: str, architecture: str = PLATFORMS[0]) -> None:
        """Fail unless an image holds the file that it was built from."""
        wish = noise(f"{self.client}-{seed}-{architecture}", self.layer_bytes)
        if self.content(image, "data") != wish:
            raise Failure(f"{image} holds another file")


def podman(lab: Lab) -> None:
    """All checks of podman."""
    engine = Engine("podman", lab)
    _build(engine)
    _debian(engine)
    _two_platforms(engine)
    _zstd(engine)
    with lab.check("podman", "search lists the repositories, and the tags of one"):
        search = ("search", "--tls-verify=false", "--format", "{{.Name}}")
        found = engine.run(*search, "--limit=100", f"{lab.address}/").split()
        if f"{lab.address}/podman/built" not in found:
            raise Failure(f"found {found}")
        repository = f"{lab.address}/podman/built"
        listed = engine.run("search", "--tls-verify=false", "--list-tags", repository)
        if listed.split()[2:] != [repository, TAG]:
            raise Failure(f"found the tags {listed}")


def buildah(lab: Lab) -> None:
    """All checks of buildah."""
    engine = Engine("buildah", lab)
    _build(engine)
    with lab.check("buildah", "from, copy, commit straight to the registry, pull"):
        image = engine.name("committed")
        container = engine.run("from", "scratch").strip()
        engine.run("copy", container, "data-amd64", "/data")
        engine.run("commit", "--quiet", "--tls-verify=false", container, f"docker://{image}")
        engine.run("rm", container)
        engine.pull(image)
        engine.expect_content(image, "build")
    _two_platforms(engine)
    _zstd(engine)
    with lab.check(
        "buildah", "build with the layer cache in a repository (--cache-to, --cache-from)"
    ):
        _layer_cache(engine)


def _build(engine: Engine) -> None:
    lab, image = engine.lab, engine.name("built")
    config = ""
    with lab.check(engine.client, "build FROM scratch, push"):
        engine.write_context("build")
        engine.run("build", "--quiet", "--tag", image, ".")
        config = engine.config(image)
        engine.push(image)
    with lab.check(engine.client, "pull into an empty storage: same image, same file"):
        engine.pull(image)
        if engine.config(image) != config:
            raise Failure(f"pulled {engine.config(image)}, pushed {config}")
        engine.expect_content(image, "build")


def _debian(engine: Engine) -> None:
    """Pull; push where the layer is mounted, and to another registry, where it is sent."""
    lab = engine.lab
    layout, image = lab.material.debian
    lab.seed(f"{engine.client}/debian", layout, [image.manifest])
    debian, twin = engine.name("debian"), engine.name("debian-twin")
    with lab.check(engine.client, "pull of the Debian system: same manifest, same image"):
        engine.pull(debian)
        _expect_image(engine, debian, image.config)
        digest = engine.run("images", "--format", "{{.Digest}}", debian).strip()
        if digest != image.manifest:
            raise Failure(f"pulled {digest}, not {image.manifest}")
    with (
        lab.check(engine.client, "push to another repository mounts the layer and moves no bytes"),
        lab.only_mounts(1, image.layer),
    ):
        engine.push(debian, target=twin)
    with (
        lab.check(engine.client, "push to an empty registry sends the layer; pull: same image"),
        lab.another() as other,
    ):
        sent = engine.name("debian", other)
        engine.push(debian, target=sent)
        engine.pull(sent)
        _expect_image(engine, sent, image.config)
    with lab.check(engine.client, "pull of what was mounted: same image"):
        engine.pull(twin)
        _expect_image(engine, twin, image.config)


def _expect_image(engine: Engine, name: str, config: str) -> None:
    """The configuration names the layers by their unpacked bytes, which the engine has checked."""
    if engine.config(name) != config:
        raise Failure(f"{name} is {engine.config(name)}, not {config}")


def _two_platforms(engine: Engine) -> None:
    lab, repository = engine.lab, f"{engine.client}/list"
    remote, local = engine.name("list"), f"localhost/{engine.client}-list"
    with lab.check(engine.client, "build for two platforms, push of the manifest list with --all"):
        engine.write_context("list")
        platforms = ",".join(f"linux/{architecture}" for architecture in PLATFORMS)
        engine.run("build", "--quiet", "--platform", platforms, "--manifest", local, ".")
        engine.run(
            *("manifest", "push", "--quiet", "--all", "--tls-verify=false"),
            *(local, f"docker://{remote}"),
        )
        index = lab.manifest(repository, TAG)
        if index["mediaType"] != INDEX or _architectures(index["manifests"]) != list(PLATFORMS):
            raise Failure(f"the registry serves {index}")
    for architecture in PLATFORMS:
        with lab.check(engine.client, f"pull of the list for linux/{architecture}: its own file"):
            engine.pull(remote, f"--platform=linux/{architecture}")
            engine.expect_content(remote, "list", architecture)
    with lab.check(engine.client, "manifest inspect of the list"):
        told = json.loads(engine.run(*engine.insecure, "manifest", "inspect", remote))
        if _architectures(told["manifests"]) != list(PLATFORMS):
            raise Failure(f"told {told}")


def _architectures(manifests: Sequence[dict[str, Any]]) -> list[str]:
    return sorted(entry["platform"]["architecture"] for entry in manifests)


def _zstd(engine: Engine) -> None:
    lab, image = engine.lab, engine.name("zstd")
    with lab.check(engine.client, "push with --compression-format zstd"):
        engine.write_context("zstd")
        engine.run("build", "--quiet", "--tag", image, ".")
        engine.push(image, "--compression-format=zstd")
        layers = lab.manifest(f"{engine.client}/zstd", TAG)["layers"]
        if {layer["mediaType"] for layer in layers} != {LAYER_ZSTD}:
            raise Failure(f"the layers are {layers}")
    with lab.check(engine.client, "pull of the zstd-compressed image: same file"):
        engine.pull(image)
        engine.expect_content(image, "zstd")


def _layer_cache(engine: Engine) -> None:
    """Build twice with nothing in the storage; the second build must find the first one's layer."""
    engine.write_context("cache")
    build_file = f"FROM scratch\nCOPY data-{PLATFORMS[0]} /data\nLABEL a=b\n"
    (engine.context / "Dockerfile").write_text(build_file)
    repository = engine.name("cache").removesuffix(f":{TAG}")
    for option in ("--cache-to", "--cache-from"):
        engine.run("rmi", "--all", "--force")
        told = engine.sandbox.run(
            *("buildah", "build", "--layers", "--tls-verify=false", option, repository),
            *("--tag", "localhost/cached", "."),
            directory=engine.context,
            errors_too=True,
        )
        wish = "Pushing cache" if option == "--cache-to" else "Cache pulled from remote"
        if wish.lower() not in told.lower():
            raise Failure(f"with {option} it did not say {wish!r}:\n{told}")
