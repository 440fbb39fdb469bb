"""crane: push, pull, copy, index append, mutate, validate, delete."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from tests.e2e.lab import Lab
from tests.e2e.machine import Failure, expect_refusal
from tests.e2e.material import (
    INDEX,
    LAYER,
    PLATFORMS,
    TAG,
    expect_same_layout,
    file_digest,
    noise,
    tar_of,
)
from tests.e2e.tools import GO_PROGRAMS

CLIENT = "crane"


class Crane:
    """crane against one registry."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.scratch = lab.directory(CLIENT)
        self._sandbox = lab.sandbox(CLIENT)

    def run(self, *arguments: str | Path) -> str:
        """One command; crane takes HTTP for a loopback address by itself."""
        return self._sandbox.run(GO_PROGRAMS / "crane", *arguments)

    def save(self, target: Path, *arguments: str | Path) -> None:
        """One command, what it prints kept in a file."""
        self._sandbox.save(target, GO_PROGRAMS / "crane", *arguments)

    def name(self, repository: str, tag: str = TAG) -> str:
        """An image of the registry."""
        return f"{self.lab.address}/crane/{repository}:{tag}"


def run(lab: Lab) -> None:
    """All checks of crane."""
    crane = Crane(lab)
    _there_and_back(crane)
    _copies(crane)
    _questions(crane)
    _changes(crane)
    _deletes(crane)


def _there_and_back(crane: Crane) -> None:
    lab = crane.lab
    layout, image = lab.material.debian
    with lab.check(CLIENT, "push of the Debian system from an OCI layout"):
        crane.run("push", layout.root, crane.name("debian"))
        if lab.digest("crane/debian", TAG) != image.manifest:
            raise Failure("the tag points at another manifest")
    with lab.check(CLIENT, "pull into an OCI layout: byte-identical"):
        back = crane.scratch / "debian"
        crane.run("pull", "--format=oci", crane.name("debian"), back)
        expect_same_layout(layout.root, back)
    many, image = lab.material.many_layers
    with lab.check(CLIENT, "push of an image of twelve layers at once, pull: byte-identical"):
        back = crane.scratch / "many"
        crane.run("push", many.root, crane.name("many"))
        crane.run("pull", "--format=oci", crane.name("many"), back)
        expect_same_layout(many.root, back)
    two, index, _ = lab.material.two_platforms
    with lab.check(CLIENT, "push of a two-platform index"):
        crane.run("push", "--index", two.root, crane.name("two"))
        # crane pushes the index.json of the layout; what it names is our index.
        (entry,) = lab.manifest("crane/two", TAG)["manifests"]
        if entry["digest"] != index["digest"]:
            raise Failure(f"the index names {entry}")
        crane.run("tag", f"{lab.address}/crane/two@{index['digest']}", "index")
        if lab.digest("crane/two", "index") != index["digest"]:
            raise Failure("the tag points at another index")
    with lab.check(CLIENT, "pull of one platform of the index"):
        tar = crane.scratch / "arm64.tar"
        crane.run("pull", f"--platform=linux/{PLATFORMS[1]}", crane.name("two", "index"), tar)
        expected = lab.material.two_platforms[2][1]
        with tarfile.open(tar) as archive:
            if expected.config not in archive.getnames():
                raise Failure(f"{archive.getnames()} came back")


def _copies(crane: Crane) -> None:
    lab = crane.lab
    _, image = lab.material.debian
    _, index, images = lab.material.two_platforms
    with (
        lab.check(CLIENT, "copy to another repository mounts and moves no bytes"),
        lab.only_mounts(1, image.layer),
    ):
        crane.run("copy", crane.name("debian"), crane.name("debian-twin"))
        if lab.digest("crane/debian-twin", TAG) != image.manifest:
            raise Failure("the tag points at another manifest")
    with (
        lab.check(CLIENT, "copy of an index to another repository mounts all layers"),
        lab.only_mounts(2, *(image.layer for image in images)),
    ):
        crane.run("copy", crane.name("two", "index"), crane.name("two-twin"))
        if lab.digest("crane/two-twin", TAG) != index["digest"]:
            raise Failure("the tag points at another index")
    for name in ("debian-twin", "two-twin"):
        with lab.check(CLIENT, f"validate --remote of the copy {name}"):
            crane.run("validate", "--remote", crane.name(name))


def _questions(crane: Crane) -> None:
    lab = crane.lab
    layout, image = lab.material.debian
    with lab.check(CLIENT, "digest, manifest and config: the bytes that were pushed"):
        told = crane.run("digest", crane.name("debian")).strip()
        if told != image.manifest:
            raise Failure(f"digest is {told}")
        for verb, digest in (("manifest", image.manifest), ("config", image.config)):
            if crane.run(verb, crane.name("debian")).rstrip("\n") != layout.read(digest).decode():
                raise Failure(f"{verb} is {crane.run(verb, crane.name('debian'))}")
    with lab.check(CLIENT, "ls and catalog"):
        if set(crane.run("ls", f"{lab.address}/crane/two").split()) != {"index", TAG}:
            raise Failure(f"ls is {crane.run('ls', f'{lab.address}/crane/two')}")
        listed = crane.run("catalog", lab.address).split()
        if not {"crane/debian", "crane/debian-twin", "crane/two"} <= set(listed):
            raise Failure(f"catalog is {listed}")
    with lab.check(CLIENT, "export of the file system of an image from the registry"):
        out = crane.scratch / "files.tar"
        crane.run("export", crane.name("two", "index"), out)
        with tarfile.open(out) as tar:
            if sorted(tar.getnames()) != ["data-amd64", "which-amd64"]:
                raise Failure(f"exported {tar.getnames()}")
    with lab.check(CLIENT, "blob: the bytes of a layer"):
        out = crane.scratch / "layer"
        crane.save(out, "blob", f"{lab.address}/crane/debian@{image.layer}")
        if file_digest(out) != image.layer:
            raise Failure("another layer came back")


def _changes(crane: Crane) -> None:
    lab = crane.lab
    small, image = lab.material.small
    base = crane.name("changed", "base")
    crane.run("push", small.root, base)
    with lab.check(CLIENT, "append of a layer to an image"):
        layer = crane.scratch / "more.tar"
        layer.write_bytes(tar_of({"more": noise("more", 10_000)}))
        appended = crane.name("changed", "appended")
        crane.run("append", "--base", base, "--new_layer", layer, "--new_tag", appended)
        layers = lab.manifest("crane/changed", "appended")["layers"]
        if len(layers) != 2 or layers[0]["digest"] != image.layer:
            raise Failure(f"the layers are {layers}")
        crane.run("validate", "--remote", appended)
    with lab.check(CLIENT, "mutate: label, annotation and command"):
        mutated = crane.name("changed", "mutated")
        crane.run(
            *("mutate", base, "--label=a=b", "--annotation=c=d", "--cmd=/bin/true"),
            *("--tag", mutated),
        )
        config = json.loads(crane.run("config", mutated))["config"]
        if (config["Labels"], config["Cmd"]) != ({"a": "b"}, ["/bin/true"]):
            raise Failure(f"the configuration is {config}")
        if lab.manifest("crane/changed", "mutated")["annotations"] != {"c": "d"}:
            raise Failure("the manifest has no such annotation")
    with lab.check(CLIENT, "index append: an index of two images of the registry"):
        names = [crane.name("changed", tag) for tag in ("base", "mutated")]
        crane.run(
            "index",
            "append",
            *(f"--manifest={name}" for name in names),
            f"--tag={crane.name('changed', 'index')}",
        )
        index = lab.manifest("crane/changed", "index")
        if index["mediaType"] != INDEX or len(index["manifests"]) != 2:
            raise Failure(f"the registry serves {index}")
        crane.run("validate", "--remote", crane.name("changed", "index"))
    with lab.check(CLIENT, "flatten of an image to one layer"):
        flat = crane.name("changed", "flat")
        crane.run("flatten", crane.name("changed", "appended"), "--tag", flat)
        (only,) = lab.manifest("crane/changed", "flat")["layers"]
        if only["mediaType"] != LAYER:
            raise Failure(f"the layer is {only}")


def _deletes(crane: Crane) -> None:
    lab = crane.lab
    with lab.check(CLIENT, "delete by digest: the manifest and its tags are gone"):
        digest = crane.run("digest", crane.name("changed", "flat")).strip()
        crane.run("delete", f"{lab.address}/crane/changed@{digest}")
        lab.expect(404, "GET", "/v2/crane/changed/manifests/flat")
        expect_refusal("MANIFEST_UNKNOWN", "manifest", crane.name("changed", "flat"), run=crane.run)
    with lab.check(CLIENT, "delete by tag: the others stay"):
        crane.run("delete", crane.name("changed", "mutated"))
        if "mutated" in lab.tags("crane/changed") or "base" not in lab.tags("crane/changed"):
            raise Failure(f"the tags are {lab.tags('crane/changed')}")
