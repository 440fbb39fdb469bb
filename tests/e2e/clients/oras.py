"""oras: an artifact with its signature and its SBOM, blobs, manifests, copies."""

from __future__ import annotations

import filecmp
import json
from pathlib import Path
from typing import Any

from tests.e2e.lab import Lab
from tests.e2e.machine import Failure, expect_refusal
from tests.e2e.material import INDEX, PLATFORMS, TAG, file_digest, noise
from tests.e2e.tools import GO_PROGRAMS

CLIENT = "oras"
ARTIFACT = "application/vnd.example.artifact"
SIGNATURE = "application/vnd.example.signature"
SBOM = "application/vnd.example.sbom"
FILES = {"readme.txt": b"An artifact.\n", "large.bin": noise("oras", 5_000_000)}
REFERRERS = {SIGNATURE: "signature.json", SBOM: "sbom.json"}


class Oras:
    """oras against one registry; files are named below its own directory."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.scratch = lab.directory(CLIENT)
        self._sandbox = lab.sandbox(CLIENT)

    def run(self, *arguments: str | Path) -> str:
        """One command."""
        return self._sandbox.run(GO_PROGRAMS / "oras", *arguments, directory=self.scratch)

    def name(self, repository: str, tag: str = TAG) -> str:
        """An artifact of the registry."""
        return f"{self.lab.address}/oras/{repository}:{tag}"

    def at(self, repository: str, digest: str) -> str:
        """A blob or manifest of the registry."""
        return f"{self.lab.address}/oras/{repository}@{digest}"

    def referrers(self, name: str, *options: str) -> dict[str, str]:
        """The digests of what refers to an artifact, by artifact type."""
        discover = ("discover", "--plain-http", "--format=json", *options)
        told: dict[str, Any] = json.loads(self.run(*discover, name))
        return {entry["artifactType"]: entry["digest"] for entry in told["referrers"]}


def run(lab: Lab) -> None:
    """All checks of oras."""
    oras = Oras(lab)
    _artifact(oras)
    _copy(oras)
    _layouts(oras)
    _blobs(oras)
    _manifests(oras)


def _artifact(oras: Oras) -> None:
    lab, artifact = oras.lab, oras.name("artifact")
    for file, content in FILES.items():
        (oras.scratch / file).write_bytes(content)
    with lab.check(CLIENT, "push of an artifact of two files"):
        push = ("push", "--plain-http", f"--artifact-type={ARTIFACT}", artifact)
        oras.run(*push, "readme.txt:text/plain", "large.bin")
        manifest = lab.manifest("oras/artifact", TAG)
        if manifest["artifactType"] != ARTIFACT or len(manifest["layers"]) != len(FILES):
            raise Failure(f"the registry serves {manifest}")
    with lab.check(CLIENT, "pull: the files are byte-identical"):
        oras.run("pull", "--plain-http", "--output=back", artifact)
        for file in FILES:
            if not filecmp.cmp(oras.scratch / "back" / file, oras.scratch / file, shallow=False):
                raise Failure(f"{file} differs")
    with lab.check(CLIENT, "attach of a signature and of an SBOM"):
        for kind, file in REFERRERS.items():
            (oras.scratch / file).write_text(json.dumps({"kind": kind}))
            attach = ("attach", "--plain-http", f"--artifact-type={kind}", artifact)
            oras.run(*attach, f"{file}:application/json")
    with lab.check(CLIENT, "discover shows both, and one when asked for its type"):
        if set(oras.referrers(artifact)) != set(REFERRERS):
            raise Failure(f"discovered {oras.referrers(artifact)}")
        if set(oras.referrers(artifact, f"--artifact-type={SBOM}")) != {SBOM}:
            raise Failure("the filter shows something else")
        digest = lab.digest("oras/artifact", TAG)
        path = f"/v2/oras/artifact/referrers/{digest}?artifactType={SIGNATURE}"
        answer = lab.expect(200, "GET", path)
        if answer.headers["OCI-Filters-Applied"] != "artifactType":
            raise Failure(f"the filter is not told: {answer.headers}")
    with lab.check(CLIENT, "pull of the signature by its digest: byte-identical"):
        digest = oras.referrers(artifact)[SIGNATURE]
        oras.run("pull", "--plain-http", "--output=referrer", oras.at("artifact", digest))
        back = oras.scratch / "referrer" / REFERRERS[SIGNATURE]
        if not filecmp.cmp(back, oras.scratch / REFERRERS[SIGNATURE], shallow=False):
            raise Failure("the signature differs")


def _copy(oras: Oras) -> None:
    lab, artifact, twin = oras.lab, oras.name("artifact"), oras.name("twin")
    copy = ("cp", "--recursive", "--from-plain-http", "--to-plain-http")
    large = file_digest(oras.scratch / "large.bin")
    with (
        lab.check(CLIENT, "cp -r to another repository mounts and moves no bytes"),
        # Two files, the signature, the SBOM, and the empty configuration.
        lab.only_mounts(5, large),
    ):
        oras.run(*copy, artifact, twin)
    with lab.check(CLIENT, "the copy has the same referrers"):
        if oras.referrers(twin) != oras.referrers(artifact):
            raise Failure(f"discovered {oras.referrers(twin)}")
    with (
        lab.check(CLIENT, "cp -r to an empty registry sends everything"),
        lab.another() as other,
    ):
        sent = f"{other.address}/oras/artifact:{TAG}"
        oras.run(*copy, artifact, sent)
        if oras.referrers(sent) != oras.referrers(artifact):
            raise Failure(f"discovered {oras.referrers(sent)}")


def _layouts(oras: Oras) -> None:
    lab = oras.lab
    layout, index, images = lab.material.two_platforms
    with lab.check(CLIENT, "cp of a two-platform index from an OCI layout, and back"):
        source = f"{layout.root}@{index['digest']}"
        oras.run("cp", "--from-oci-layout", "--to-plain-http", source, oras.name("two"))
        if lab.digest("oras/two", TAG) != index["digest"]:
            raise Failure("the tag points at another index")
        back = ("cp", "--from-plain-http", "--to-oci-layout", oras.name("two"), f"two:{TAG}")
        oras.run(*back)
        for image in images:
            came = oras.scratch / "two" / "blobs" / image.layer.replace(":", "/")
            if file_digest(came) != image.layer:
                raise Failure(f"{image.layer} came back with other bytes")
    with lab.check(CLIENT, "resolve of one platform of the index"):
        platform = f"--platform=linux/{PLATFORMS[1]}"
        told = oras.run("resolve", "--plain-http", platform, oras.name("two")).strip()
        if told != images[1].manifest:
            raise Failure(f"resolved {told}")
    with lab.check(CLIENT, "backup of a repository with referrers, restore to another one"):
        archive = "backup.tar"
        source = oras.name("artifact")
        oras.run("backup", "--plain-http", "--include-referrers", f"--output={archive}", source)
        restored = oras.name("restored")
        oras.run("restore", "--plain-http", f"--input={archive}", restored)
        if oras.referrers(restored) != oras.referrers(source):
            raise Failure(f"discovered {oras.referrers(restored)}")


def _blobs(oras: Oras) -> None:
    lab = oras.lab
    digest = file_digest(oras.scratch / "large.bin")
    blob = oras.at("blobs", digest)
    with lab.check(CLIENT, "blob push, fetch: byte-identical"):
        oras.run("blob", "push", "--plain-http", blob, "large.bin")
        oras.run("blob", "fetch", "--plain-http", "--output=blob", blob)
        if not filecmp.cmp(oras.scratch / "blob", oras.scratch / "large.bin", shallow=False):
            raise Failure("the blob differs")
    with lab.check(CLIENT, "blob delete: it is gone from this repository alone"):
        oras.run("blob", "delete", "--plain-http", "--force", blob)
        lab.expect(404, "HEAD", f"/v2/oras/blobs/blobs/{digest}")
        lab.expect(200, "HEAD", f"/v2/oras/artifact/blobs/{digest}")
        fetch = ("blob", "fetch", "--plain-http", "--output=gone", blob)
        expect_refusal("not found", *fetch, run=oras.run)


def _manifests(oras: Oras) -> None:
    lab, artifact = oras.lab, oras.name("artifact")
    with lab.check(CLIENT, "repo ls and repo tags"):
        oras.run("tag", "--plain-http", artifact, "latest", "v1")
        tags = oras.run("repo", "tags", "--plain-http", f"{lab.address}/oras/artifact").split()
        if tags != ["latest", TAG, "v1"]:
            raise Failure(f"the tags are {tags}")
        listed = oras.run("repo", "ls", "--plain-http", f"{lab.address}/oras/").split()
        if not {"artifact", "twin"} <= set(listed):
            raise Failure(f"the repositories are {listed}")
    with lab.check(CLIENT, "manifest fetch and push: the same digest"):
        oras.run("manifest", "fetch", "--plain-http", "--output=manifest.json", artifact)
        oras.run("manifest", "push", "--plain-http", oras.name("artifact", "v2"), "manifest.json")
        if lab.digest("oras/artifact", "v2") != lab.digest("oras/artifact", TAG):
            raise Failure("the manifest got another digest")
    with lab.check(CLIENT, "manifest index create of two artifacts"):
        create = ("manifest", "index", "create", "--plain-http", oras.name("two", "index"))
        oras.run(*create, *(image.manifest for image in lab.material.two_platforms[2]))
        served = lab.manifest("oras/two", "index")
        if served["mediaType"] != INDEX or len(served["manifests"]) != 2:
            raise Failure(f"the registry serves {served}")
    with lab.check(CLIENT, "manifest delete: its tags are gone, its referrers stay"):
        digest = lab.digest("oras/twin", TAG)
        oras.run("manifest", "delete", "--plain-http", "--force", oras.name("twin"))
        lab.expect(404, "GET", f"/v2/oras/twin/manifests/{TAG}")
        entries = lab.expect(200, "GET", f"/v2/oras/twin/referrers/{digest}").json()["manifests"]
        if {entry["artifactType"] for entry in entries} != set(REFERRERS):
            raise Failure(f"the referrers are {entries}")
