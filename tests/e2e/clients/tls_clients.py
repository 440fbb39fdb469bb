"""The clients that push and pull over TLS, in one form: each with one image."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from tests.e2e.client_files import Place
from tests.e2e.clients.containerd import Ctr, containerd, oci_archive
from tests.e2e.clients.containers import Engine
from tests.e2e.clients.docker import Docker, docker_archive, dockerd
from tests.e2e.clients.skopeo import Skopeo
from tests.e2e.lab import request_counts
from tests.e2e.machine import Failure, Sandbox
from tests.e2e.material import LAYER_BYTES, TAG, Image, Layout, expect_same_layout
from tests.e2e.secure import NAME, Pair, SecureLab

LARGE_LAYER_BYTES: Final = 20_000_000
CLIENTS: Final[Mapping[str, str]] = {
    "skopeo": "skopeo",
    "podman": "podman",
    "buildah": "buildah",
    "ctr": "containerd",
    "docker": "docker",
}
"""What `client-config` calls the client of each program."""


def image_of(repository: str) -> str:
    """The image of a repository, as clients name it."""
    return f"{NAME}/{repository}:{TAG}"


class Client(Protocol):
    """A program that holds an image under a name of its own at the registry, and reads its files
    in a place."""

    place: Place

    @property
    def repository(self) -> str:
        """Where it pushes the image to, unless it is told otherwise."""

    @property
    def sandbox(self) -> Sandbox:
        """Where a command of it finds all that it needs."""

    def show(self, ca: Path | None, pair: Pair | None) -> None:
        """From now on trust this authority only, and show this certificate."""

    def log_in(self, user: str, password: str) -> None:
        """From now on be this user."""

    def log_out(self) -> None:
        """From now on be nobody in particular."""

    def push(self, repository: str | None = None) -> None:
        """Push what is held, by default to its own repository."""

    def empty(self) -> None:
        """Hold nothing any more."""

    def pull(self) -> None:
        """Pull the image."""

    def pull_other(self, name: str) -> None:
        """Pull an image of another registry."""

    def expect_pulled(self) -> None:
        """Fail unless it is the one that was pushed."""


class OfContainers:
    """podman or buildah."""

    def __init__(self, program: str, lab: SecureLab, *, is_large: bool) -> None:
        self.repository = f"{program}/tls"
        self.image = image_of(self.repository)
        self.engine = Engine(program, lab, LARGE_LAYER_BYTES if is_large else LAYER_BYTES)
        self.place = Place(lab, program, way="sh" if program == "podman" else "tar")
        self.sandbox = self.engine.sandbox = self.place.within(self.engine.sandbox)
        self.engine.write_context("tls")
        self.engine.run("build", "--quiet", "--tag", self.image, ".")

    def show(self, ca: Path | None, pair: Pair | None) -> None:
        self.place.write(ca, pair)

    def log_in(self, user: str, password: str) -> None:
        secret = self.engine.context / "password"
        secret.write_text(password)
        word = [self.engine.client, "login", "--username", user, "--password-stdin", NAME]
        self.engine.sandbox.feed(secret, *word)

    def log_out(self) -> None:
        self.engine.run("logout", "--all")

    def push(self, repository: str | None = None) -> None:
        self.engine.push(self.image, target=image_of(repository or self.repository))

    def empty(self) -> None:
        self.engine.run("rmi", "--all", "--force")

    def pull(self) -> None:
        # buildah asks nobody for what it has, unless it is told to.
        anew = ["--policy=always"] if self.engine.client == "buildah" else []
        self.engine.run("pull", "--quiet", *anew, self.image)

    def pull_other(self, name: str) -> None:
        self.engine.run("pull", "--quiet", name)

    def expect_pulled(self) -> None:
        self.engine.expect_content(self.image, "tls")


class OfSkopeo:
    """skopeo, from and to OCI layouts."""

    def __init__(self, lab: SecureLab, layout: Layout) -> None:
        self.repository = "skopeo/tls"
        self.image = image_of(self.repository)
        self.skopeo = Skopeo(lab)
        self.sandbox = self.skopeo.sandbox
        self.place = Place(lab, "skopeo", home=self.skopeo.sandbox.root / "home")
        self.layout = layout
        self.back = lab.scratch / "back"

    def show(self, ca: Path | None, pair: Pair | None) -> None:
        self.place.write(ca, pair)

    def log_in(self, user: str, password: str) -> None:
        self.skopeo.run("login", "--username", user, "--password", password, NAME)

    def log_out(self) -> None:
        self.skopeo.run("logout", "--all")

    def push(self, repository: str | None = None) -> None:
        self.skopeo.copy(
            f"oci:{self.layout.root}:{TAG}",
            f"docker://{image_of(repository or self.repository)}",
            "--preserve-digests",
        )

    def empty(self) -> None:
        shutil.rmtree(self.back, ignore_errors=True)

    def pull(self) -> None:
        self.skopeo.copy(f"docker://{self.image}", f"oci:{self.back}:{TAG}", "--preserve-digests")

    def pull_other(self, name: str) -> None:
        self.skopeo.copy(f"docker://{name}", f"oci:{self.back}-other:{TAG}")

    def expect_pulled(self) -> None:
        expect_same_layout(self.layout.root, self.back)


class OfContainerd:
    """containerd's `ctr`, which is told who it is with each command."""

    def __init__(self, ctr: Ctr, layout: Layout, image: Image, place: Place) -> None:
        self.place = place
        self.repository = "ctr/tls"
        self.image = image_of(self.repository)
        self.ctr = ctr
        self.sandbox = ctr.sandbox
        self.content = image
        self.user: list[str] = []
        archive = oci_archive(layout, ctr.scratch / "archive.tar")
        ctr.run("images", "import", "--base-name", "imported", archive)
        ctr.run("images", "tag", f"imported:{TAG}", self.image)

    def show(self, ca: Path | None, pair: Pair | None) -> None:
        self.place.write(ca, pair)

    def log_in(self, user: str, password: str) -> None:
        self.user = ["--user", f"{user}:{password}"]

    def log_out(self) -> None:
        self.user = []

    def push(self, repository: str | None = None) -> None:
        self.ctr.push(image_of(repository or self.repository), f"imported:{TAG}", *self.user)

    def empty(self) -> None:
        self.ctr.forget(self.image, f"imported:{TAG}")

    def pull(self) -> None:
        self.ctr.pull(self.image, *self.user)

    def pull_other(self, name: str) -> None:
        self.ctr.pull(name)

    def expect_pulled(self) -> None:
        self.ctr.expect_image(self.image, self.content.manifest)
        for layer in self.content.layers:
            self.ctr.expect_blob(layer)
        self.ctr.run("images", "tag", self.image, f"imported:{TAG}")


class OfDocker:
    """docker, with a dockerd that finds its files in a place."""

    def __init__(self, docker: Docker, layout: Layout, image: Image, place: Place) -> None:
        self.repository = "docker/tls"
        self.image = image_of(self.repository)
        self.docker = docker
        self.sandbox = docker.sandbox
        self.content = image
        self.place = place
        archive = docker_archive(layout, image, self.image, docker.scratch)
        docker.run("load", "--input", archive)

    def show(self, ca: Path | None, pair: Pair | None) -> None:
        self.place.write(ca, pair)

    def log_in(self, user: str, password: str) -> None:
        secret = self.docker.scratch / "password"
        secret.write_text(password)
        self.docker.feed(secret, "login", "--username", user, "--password-stdin", NAME)

    def log_out(self) -> None:
        self.docker.run("logout", NAME)

    def push(self, repository: str | None = None) -> None:
        image = image_of(repository or self.repository)
        self.docker.run("tag", self.image, image)
        self.docker.push(image)

    def empty(self) -> None:
        self.docker.forget_all()

    def pull(self) -> None:
        self.docker.run("pull", "--quiet", self.image)

    def pull_other(self, name: str) -> None:
        self.docker.run("pull", "--quiet", name)

    def expect_pulled(self) -> None:
        if self.docker.identity(self.image) != self.content.config:
            raise Failure(f"pulled {self.docker.identity(self.image)}, not {self.content.config}")


@contextmanager
def tokens(lab: SecureLab, *, are_given: bool = True) -> Iterator[None]:
    """Fail unless registry tokens are given out meanwhile, or, where none are to be, if one is."""
    before = _tokens_given(lab)
    yield
    if (_tokens_given(lab) > before) != are_given:
        raise Failure("nobody asked for a token" if are_given else "tokens were given out")


def _tokens_given(lab: SecureLab) -> int:
    counts = request_counts(lab)
    return sum(counts[method, "get-token", "200"] for method in ("GET", "POST"))


@contextmanager
def started(program: str, lab: SecureLab, *, is_large: bool = False) -> Iterator[Client]:
    """A client with its image, and its daemon where it has one. A large image takes more than the
    kernel holds for a connection."""
    layout, image = lab.material.many_layers if is_large else lab.material.small
    if program == "ctr":
        place = Place(lab, CLIENTS[program])
        with containerd(lab, place.mounts()) as ctr:
            yield OfContainerd(ctr, layout, image, place)
    elif program == "docker":
        place = Place(lab, CLIENTS[program])
        with dockerd(lab, place.mounts()) as docker:
            yield OfDocker(docker, layout, image, place)
    elif program == "skopeo":
        yield OfSkopeo(lab, layout)
    else:
        yield OfContainers(program, lab, is_large=is_large)
