"""helm: charts out and in."""

from __future__ import annotations

import filecmp
from pathlib import Path

from tests.e2e.lab import Lab
from tests.e2e.machine import Failure
from tests.e2e.tools import GO_PROGRAMS

CLIENT = "helm"
CHART = "example"
VERSIONS = ("0.1.0", "0.1.1", "0.2.0+build.7")
CHART_CONFIG = "application/vnd.cncf.helm.config.v1+json"


class Helm:
    """helm against one registry."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.scratch = lab.directory(CLIENT)
        self._sandbox = lab.sandbox(CLIENT)
        self.repository = f"oci://{lab.address}/helm/charts"

    def run(self, *arguments: str | Path) -> str:
        """One command."""
        return self._sandbox.run(GO_PROGRAMS / "helm", *arguments, directory=self.scratch)

    def pull(self, directory: str, *options: str) -> Path:
        """Pull the chart; its archive."""
        target = self.lab.directory(f"{CLIENT}/{directory}")
        chart = f"{self.repository}/{CHART}"
        self.run("pull", chart, "--plain-http", "--destination", target, *options)
        (archive,) = target.iterdir()
        return archive


def run(lab: Lab) -> None:
    """All checks of helm."""
    helm = Helm(lab)
    with lab.check(CLIENT, "create, package and push of a chart in three versions"):
        helm.run("create", CHART)
        for version in VERSIONS:
            helm.run("package", CHART, "--version", version)
            archive = helm.scratch / f"{CHART}-{version}.tgz"
            helm.run("push", archive, helm.repository, "--plain-http")
        # A tag has no plus sign; helm writes an underscore.
        expected = [version.replace("+", "_") for version in VERSIONS]
        if lab.tags(f"helm/charts/{CHART}") != expected:
            raise Failure(f"the tags are {lab.tags(f'helm/charts/{CHART}')}")
        config = lab.manifest(f"helm/charts/{CHART}", VERSIONS[0])["config"]
        if config["mediaType"] != CHART_CONFIG:
            raise Failure(f"the configuration is {config}")
    for version in VERSIONS:
        with lab.check(CLIENT, f"pull of version {version}: byte-identical"):
            _expect_same(helm, helm.pull(f"exact-{version}", "--version", version), version)
    with lab.check(CLIENT, "pull without a version gives the newest, with a range what fits it"):
        _expect_same(helm, helm.pull("newest"), VERSIONS[2])
        _expect_same(helm, helm.pull("range", "--version", "~0.1"), VERSIONS[1])
    with lab.check(CLIENT, "show chart and template straight from the registry"):
        chart = (f"{helm.repository}/{CHART}", "--plain-http", "--version", VERSIONS[0])
        if f"name: {CHART}\n" not in helm.run("show", "chart", *chart):
            raise Failure(helm.run("show", "chart", *chart))
        if "kind: Deployment" not in helm.run("template", "release", *chart):
            raise Failure(helm.run("template", "release", *chart))


def _expect_same(helm: Helm, archive: Path, version: str) -> None:
    original = helm.scratch / f"{CHART}-{version}.tgz"
    if not filecmp.cmp(archive, original, shallow=False):
        raise Failure(f"{archive.name} differs from {original.name}")
