"""regctl: copies with referrers and digest tags, sparse indexes, blobs, tags, SHA-512."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

from tests.e2e.lab import Lab
from tests.e2e.machine import Failure, expect_refusal
from tests.e2e.material import INDEX, PLATFORMS, TAG, expect_layout, file_digest, noise
from tests.e2e.tools import GO_PROGRAMS

CLIENT = "regctl"
SIGNATURE = "application/vnd.example.signature"
SBOM = "application/vnd.example.sbom"


class Regctl:
    """regctl against one registry, which its command line declares to speak plain HTTP."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.scratch = lab.directory(CLIENT)
        self._sandbox = lab.sandbox(CLIENT)
        self._program = (GO_PROGRAMS / "regctl", "--host", f"reg={lab.address},tls=disabled")

    def run(self, *arguments: str | Path) -> str:
        """One command."""
        return self._sandbox.run(*self._program, *arguments, directory=self.scratch)

    def feed(self, source: Path, *arguments: str | Path) -> str:
        """One command that reads a file."""
        return self._sandbox.feed(source, *self._program, *arguments)

    def save(self, target: Path, *arguments: str | Path) -> None:
        """One command, what it prints kept in a file."""
        self._sandbox.save(target, *self._program, *arguments)

    def repository(self, name: str) -> str:
        """A repository of the registry."""
        return f"{self.lab.address}/regctl/{name}"

    def name(self, repository: str, tag: str = TAG) -> str:
        """An image of the registry."""
        return f"{self.repository(repository)}:{tag}"


def run(lab: Lab) -> None:
    """All checks of regctl."""
    regctl = Regctl(lab)
    _images(regctl)
    _referrers(regctl)
    _sparse(regctl)
    _indexes(regctl)
    _blobs(regctl)
    _sha512(regctl)
    _tags(regctl)


def _images(regctl: Regctl) -> None:
    lab = regctl.lab
    layout, index, images = lab.material.two_platforms
    with lab.check(CLIENT, "image copy of a two-platform index from an OCI layout"):
        regctl.run("image", "copy", f"ocidir://{layout.root}:{TAG}", regctl.name("image"))
        if lab.digest("regctl/image", TAG) != index["digest"]:
            raise Failure("the tag points at another index")
    with lab.check(CLIENT, "image digest, manifest get and inspect, also of one platform"):
        if regctl.run("image", "digest", regctl.name("image")).strip() != index["digest"]:
            raise Failure("another digest")
        raw = ("manifest", "get", "--format=raw-body", regctl.name("image"))
        if regctl.run(*raw).encode() != layout.read(index["digest"]):
            raise Failure(f"the manifest is {regctl.run(*raw)}")
        inspect = ("image", "inspect", f"--platform=linux/{PLATFORMS[1]}", regctl.name("image"))
        config = json.loads(regctl.run(*inspect))
        if config["rootfs"]["diff_ids"] != list(images[1].layers_unpacked):
            raise Failure(f"inspected {config}")
    many, image = lab.material.many_layers
    with lab.check(CLIENT, "image copy of twelve layers from and to an OCI layout"):
        regctl.run("image", "copy", f"ocidir://{many.root}:{TAG}", regctl.name("many"))
        back = regctl.scratch / "many"
        regctl.run("image", "copy", regctl.name("many"), f"ocidir://{back}:{TAG}")
        expect_layout(back, image.manifest)
    with lab.check(CLIENT, "image mod: a label on every platform"):
        mod = ("image", "mod", regctl.name("image"), "--create", "labelled", "--label=a=b")
        regctl.run(*mod)
        for architecture in PLATFORMS:
            platform = f"--platform=linux/{architecture}"
            name = regctl.name("image", "labelled")
            config = json.loads(regctl.run("image", "inspect", platform, name))
            if config["config"].get("Labels") != {"a": "b"}:
                raise Failure(f"inspected {config}")


def _referrers(regctl: Regctl) -> None:
    lab, image, twin = regctl.lab, regctl.name("image"), regctl.name("twin")
    _, index, images = lab.material.two_platforms
    digest_tag = f"{index['digest'].replace(':', '-')}.example"
    with lab.check(CLIENT, "artifact put of a signature and of an SBOM; artifact list shows both"):
        for kind in (SIGNATURE, SBOM):
            file = regctl.scratch / "artifact.json"
            file.write_text(json.dumps({"kind": kind}))
            put = ("artifact", "put", f"--artifact-type={kind}", f"--subject={image}")
            regctl.run(*put, f"--file={file}", "--file-media-type=application/json")
        _expect_referrers(regctl, image)
    with (
        lab.check(CLIENT, "image copy --referrers --digest-tags mounts and moves no bytes"),
        lab.only_mounts(2, *(entry.layer for entry in images)),
    ):
        regctl.run(
            "image", "copy", regctl.name("image", "labelled"), regctl.name("image", digest_tag)
        )
        regctl.run("image", "copy", "--referrers", "--digest-tags", image, twin)
    with lab.check(CLIENT, "the copy has the referrers and the digest tag"):
        _expect_referrers(regctl, twin)
        if digest_tag not in lab.tags("regctl/twin"):
            raise Failure(f"the tags are {lab.tags('regctl/twin')}")
    with (
        lab.check(CLIENT, "image copy --referrers to an empty registry"),
        lab.another() as other,
    ):
        host = ("--host", f"reg={other.address},tls=disabled")
        sent = f"{other.address}/regctl/image:{TAG}"
        regctl.run(*host, "image", "copy", "--referrers", image, sent)
        if other.digest("regctl/image", TAG) != index["digest"]:
            raise Failure("the tag points at another index")
        path = f"/v2/regctl/image/referrers/{index['digest']}"
        if len(other.expect(200, "GET", path).json()["manifests"]) != 2:
            raise Failure("the referrers did not come along")


def _expect_referrers(regctl: Regctl, name: str) -> None:
    told = json.loads(regctl.run("artifact", "list", "--format={{json .}}", name))
    kinds = {entry["artifactType"] for entry in told["descriptors"]}
    if kinds != {SIGNATURE, SBOM}:
        raise Failure(f"{name} has the referrers {told}")


def _sparse(regctl: Regctl) -> None:
    """An index of two platforms, pushed to a repository that holds only the first of them."""
    lab, sparse = regctl.lab, regctl.name("sparse")
    layout, index, (present, absent) = lab.material.two_platforms
    with lab.check(CLIENT, "push of a sparse index: one of its two platforms is not there"):
        source = f"{regctl.repository('image')}@{present.manifest}"
        regctl.run("image", "copy", source, regctl.name("sparse", "present"))
        body = layout.blob(index["digest"])
        regctl.feed(body, "manifest", "put", f"--content-type={INDEX}", sparse)
        if lab.digest("regctl/sparse", TAG) != index["digest"]:
            raise Failure("the tag points at another index")
    with lab.check(CLIENT, "pull of the platform of the sparse index that is there"):
        out = regctl.scratch / "present.tar"
        export = ("image", "export", f"--platform=linux/{PLATFORMS[0]}", sparse)
        regctl.save(out, *export)
        with tarfile.open(out) as tar:
            if f"blobs/{present.layer.replace(':', '/')}" not in tar.getnames():
                raise Failure(f"exported {tar.getnames()}")
    with lab.check(CLIENT, "the platform that is not there is refused as not found"):
        export = ("image", "export", f"--platform=linux/{PLATFORMS[1]}", sparse)
        expect_refusal("not found", *export, run=regctl.run)
        lab.expect(404, "GET", f"/v2/regctl/sparse/manifests/{absent.manifest}")
        lab.expect(404, "GET", f"/v2/regctl/sparse/blobs/{absent.layer}")


def _indexes(regctl: Regctl) -> None:
    lab, made = regctl.lab, regctl.name("index")
    _, _, images = lab.material.two_platforms
    with lab.check(CLIENT, "index create of one platform, add of the other, delete of the first"):
        image = regctl.name("image")
        create = ("index", "create", made, "--ref", image, "--platform", f"linux/{PLATFORMS[0]}")
        regctl.run(*create)
        regctl.run("index", "add", made, "--ref", image, "--platform", f"linux/{PLATFORMS[1]}")
        digests = [entry["digest"] for entry in lab.manifest("regctl/index", TAG)["manifests"]]
        if digests != [image.manifest for image in images]:
            raise Failure(f"the index lists {digests}")
        regctl.run("index", "delete", made, "--digest", images[0].manifest)
        digests = [entry["digest"] for entry in lab.manifest("regctl/index", TAG)["manifests"]]
        if digests != [images[1].manifest]:
            raise Failure(f"the index lists {digests}")


def _blobs(regctl: Regctl) -> None:
    lab, repository = regctl.lab, regctl.repository("blobs")
    blob, back = regctl.scratch / "blob", regctl.scratch / "blob-back"
    blob.write_bytes(noise("regctl", 3_000_000))
    digest = file_digest(blob)
    with lab.check(CLIENT, "blob put, head and get: byte-identical"):
        if regctl.feed(blob, "blob", "put", repository).strip() != digest:
            raise Failure("put under another digest")
        head = regctl.run("blob", "head", repository, digest)
        if digest not in head:
            raise Failure(f"the head is {head}")
        regctl.save(back, "blob", "get", repository, digest)
        if file_digest(back) != digest:
            raise Failure("other bytes came back")
    with lab.check(CLIENT, "blob copy to another repository, delete: gone from the first alone"):
        regctl.run("blob", "copy", repository, regctl.repository("blobs-twin"), digest)
        regctl.run("blob", "delete", repository, digest)
        lab.expect(404, "HEAD", f"/v2/regctl/blobs/blobs/{digest}")
        lab.expect(200, "HEAD", f"/v2/regctl/blobs-twin/blobs/{digest}")


def _sha512(regctl: Regctl) -> None:
    lab = regctl.lab
    with lab.check(CLIENT, "image mod --digest-algo sha512, copy out to an OCI layout"):
        mod = ("image", "mod", regctl.name("image"), "--create", "sha512", "--digest-algo=sha512")
        regctl.run(*mod)
        if not lab.digest("regctl/image", "sha512").startswith("sha512:"):
            raise Failure(f"the digest is {lab.digest('regctl/image', 'sha512')}")
        served = lab.manifest("regctl/image", "sha512")
        if not all(entry["digest"].startswith("sha512:") for entry in served["manifests"]):
            raise Failure(f"the index lists {served}")
        back = f"ocidir://{regctl.scratch / 'sha512'}:{TAG}"
        regctl.run("image", "copy", regctl.name("image", "sha512"), back)
        if not any((regctl.scratch / "sha512" / "blobs" / "sha512").iterdir()):
            raise Failure("nothing came back under SHA-512")


def _tags(regctl: Regctl) -> None:
    lab, repository = regctl.lab, regctl.repository("sparse")
    with lab.check(CLIENT, "tag ls, tag rm: the other tags of the same manifest stay"):
        regctl.run("image", "copy", regctl.name("sparse", "present"), regctl.name("sparse", "kept"))
        if regctl.run("tag", "ls", repository).split() != ["kept", "present", TAG]:
            raise Failure(f"the tags are {regctl.run('tag', 'ls', repository)}")
        regctl.run("tag", "rm", regctl.name("sparse", "present"))
        if lab.tags("regctl/sparse") != ["kept", TAG]:
            raise Failure(f"the tags are {lab.tags('regctl/sparse')}")
    with lab.check(CLIENT, "repo ls"):
        listed = regctl.run("repo", "ls", lab.address).split()
        if not {"regctl/image", "regctl/sparse", "regctl/twin"} <= set(listed):
            raise Failure(f"the repositories are {listed}")
    with lab.check(CLIENT, "manifest delete by digest: its tags are gone"):
        digest = lab.digest("regctl/sparse", "kept")
        regctl.run("manifest", "delete", f"{repository}@{digest}")
        if lab.tags("regctl/sparse") != [TAG]:
            raise Failure(f"the tags are {lab.tags('regctl/sparse')}")
