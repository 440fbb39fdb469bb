"""skopeo: whole images and indexes from and to OCI layouts, and between repositories."""

from __future__ import annotations

import json

from tests.e2e.lab import Lab
from tests.e2e.machine import Failure, Sandbox, expect_refusal
from tests.e2e.material import INDEX, LAYER_ZSTD, TAG, Layout, expect_layout, expect_same_layout

CLIENT = "skopeo"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Skopeo:
    """skopeo against one registry."""

    def __init__(self, lab: Lab, sandbox: str = CLIENT) -> None:
        self.lab = lab
        self.is_safe = str(lab.has_tls).lower()
        self.sandbox: Sandbox = lab.sandbox(sandbox)
        self.scratch = lab.directory(CLIENT)

    def run(self, verb: str, *arguments: str) -> str:
        """One command."""
        return self.sandbox.run("skopeo", "--insecure-policy", verb, *arguments)

    def copy(self, source: str, target: str, *options: str) -> None:
        """`skopeo copy`, with the digests kept unless an option changes the format."""
        way = [f"--{side}-tls-verify={self.is_safe}" for side in ("src", "dest")]
        self.run("copy", *way, *options, source, target)

    def remote(self, name: str, tag: str = TAG) -> str:
        """An image of the registry, as skopeo names it."""
        return f"docker://{self.lab.address}/{name}:{tag}"


def run(lab: Lab) -> None:
    """All checks of skopeo."""
    skopeo = Skopeo(lab)
    _there_and_back(skopeo)
    _between_repositories(skopeo)
    _formats(skopeo)
    _questions(skopeo)


def _there_and_back(skopeo: Skopeo) -> None:
    lab, keep = skopeo.lab, "--preserve-digests"
    layout, _ = lab.material.debian
    with lab.check(CLIENT, "push of a Debian system of more than 100 MB"):
        skopeo.copy(f"oci:{layout.root}:{TAG}", skopeo.remote("debian/system"), keep)
    with lab.check(CLIENT, "pull of it: manifest and blobs byte-identical"):
        back = skopeo.scratch / "debian"
        skopeo.copy(skopeo.remote("debian/system"), f"oci:{back}:{TAG}", keep)
        expect_same_layout(layout.root, back)
    layout, _ = lab.material.many_layers
    with lab.check(CLIENT, "push of an image of twelve layers at once, pull: byte-identical"):
        back = skopeo.scratch / "many"
        skopeo.copy(f"oci:{layout.root}:{TAG}", skopeo.remote("many"), keep)
        skopeo.copy(skopeo.remote("many"), f"oci:{back}:{TAG}", keep)
        expect_same_layout(layout.root, back)
    layout, index, _ = lab.material.two_platforms
    with lab.check(CLIENT, "push of a two-platform index and all it lists"):
        skopeo.copy(f"oci:{layout.root}:{TAG}", skopeo.remote("two/all"), keep, "--all")
        if lab.digest("two/all", TAG) != index["digest"]:
            raise Failure("the tag points at another index")
    with lab.check(CLIENT, "pull of the index and all it lists: byte-identical"):
        back = skopeo.scratch / "two"
        skopeo.copy(skopeo.remote("two/all"), f"oci:{back}:{TAG}", keep, "--all")
        expect_same_layout(layout.root, back)


def _between_repositories(skopeo: Skopeo) -> None:
    lab, keep = skopeo.lab, "--preserve-digests"
    _, image = lab.material.debian
    with (
        lab.check(CLIENT, "copy to another repository mounts the layer and moves no bytes"),
        lab.only_mounts(1, image.layer),
    ):
        skopeo.copy(skopeo.remote("debian/system"), skopeo.remote("debian/twin"), keep)
    with lab.check(CLIENT, "pull of what was mounted: byte-identical"):
        back = skopeo.scratch / "twin"
        skopeo.copy(skopeo.remote("debian/twin"), f"oci:{back}:{TAG}", keep)
        expect_same_layout(lab.material.debian[0].root, back)
    _, index, images = lab.material.two_platforms
    with (
        lab.check(CLIENT, "copy of an index to another repository mounts both layers"),
        lab.only_mounts(2, *(image.layer for image in images)),
    ):
        skopeo.copy(skopeo.remote("two/all"), skopeo.remote("two/twin"), keep, "--all")
        if lab.digest("two/twin", TAG) != index["digest"]:
            raise Failure("the tag points at another index")


def _formats(skopeo: Skopeo) -> None:
    lab = skopeo.lab
    layout, image = lab.material.small
    source = f"oci:{layout.root}:{TAG}"
    with lab.check(CLIENT, "push in Docker's format, pull back into OCI's"):
        skopeo.copy(source, skopeo.remote("formats/docker"), "--format=v2s2")
        if lab.manifest("formats/docker", TAG)["mediaType"] != DOCKER_MANIFEST:
            raise Failure("the registry serves another media type")
        back = Layout(skopeo.scratch / "docker")
        skopeo.copy(skopeo.remote("formats/docker"), f"oci:{back.root}:{TAG}")
        if image.layer not in back.sizes:
            raise Failure("the layer did not come back")
    with lab.check(CLIENT, "push of a zstd-compressed image, pull: byte-identical"):
        # A skopeo that remembers the layer as gzip would have it mounted instead of packing it.
        skopeo = Skopeo(lab, f"{CLIENT}-without-memory")
        skopeo.copy(source, skopeo.remote("formats/zstd"), "--dest-compress-format=zstd")
        kinds = {layer["mediaType"] for layer in lab.manifest("formats/zstd", TAG)["layers"]}
        if kinds != {LAYER_ZSTD}:
            raise Failure(f"the layers are {kinds}")
        zstd = skopeo.scratch / "zstd"
        skopeo.copy(skopeo.remote("formats/zstd"), f"oci:{zstd}:{TAG}", "--preserve-digests")
        expect_layout(zstd, lab.digest("formats/zstd", TAG))


def _questions(skopeo: Skopeo) -> None:
    lab = skopeo.lab
    layout, image = lab.material.small
    for tag in ("one", "two"):
        skopeo.copy(f"oci:{layout.root}:{TAG}", skopeo.remote("asked", tag), "--preserve-digests")
    with lab.check(CLIENT, "inspect, also --raw and --config"):
        told = json.loads(
            skopeo.run("inspect", "--tls-verify=false", skopeo.remote("asked", "one"))
        )
        if (told["Digest"], told["RepoTags"]) != (image.manifest, ["one", "two"]):
            raise Failure(f"told {told}")
        raw = skopeo.run("inspect", "--tls-verify=false", "--raw", skopeo.remote("two/all"))
        if json.loads(raw)["mediaType"] != INDEX:
            raise Failure(f"raw is {raw}")
        config = json.loads(
            skopeo.run("inspect", "--tls-verify=false", "--config", skopeo.remote("asked", "one"))
        )
        if config["rootfs"]["diff_ids"] != list(image.layers_unpacked):
            raise Failure(f"config is {config}")
    with lab.check(CLIENT, "list-tags"):
        listed = skopeo.run("list-tags", "--tls-verify=false", f"docker://{lab.address}/asked")
        if json.loads(listed)["Tags"] != ["one", "two"]:
            raise Failure(f"listed {listed}")
    with lab.check(CLIENT, "delete: the manifest and its tags are gone"):
        skopeo.run("delete", "--tls-verify=false", skopeo.remote("asked", "one"))
        for reference in ("one", "two", image.manifest):
            lab.expect(404, "GET", f"/v2/asked/manifests/{reference}")
        expect_refusal(
            "manifest unknown",
            *("inspect", "--tls-verify=false", skopeo.remote("asked", "two")),
            run=skopeo.run,
        )
