"""The official conformance program against a registry in its default configuration; then over TLS
with a user and password, and again with the token flow.

Everything that the program can test is switched on. It passes when no check failed, broke, was
skipped or was disabled, and when there were as many checks as tests/pins.toml expects; each time,
and each time as many. Started by `make conformance`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.suite import CACHE, give_up, go, require_go
from tests.pins import pins
from tests.running import RegistryDidNotStart, RegistryDidNotStop, RunningRegistry, running_registry
from tests.secure import PASSWORD, USER, Secure

RUN_SECS_MAX = 600

# Every switch of the program's config.go. One that a later version adds keeps its default; when
# that is off, `switched_off` finds it.
APIS = (
    "PING",
    "PULL",
    "PUSH",
    "BLOBS_ATOMIC",
    "BLOBS_DELETE",
    "BLOBS_DIGEST_HEADER",
    "BLOBS_MOUNT_ANONYMOUS",
    "BLOBS_UPLOAD_CANCEL",
    "MANIFESTS_ATOMIC",
    "MANIFESTS_DELETE",
    "MANIFESTS_DIGEST_HEADER",
    "MANIFESTS_TAG_PARAM",
    "TAGS_ATOMIC",
    "TAGS_DELETE",
    "TAGS_LIST",
    "REFERRER",
)
DATA = (
    "IMAGE",
    "INDEX",
    "INDEX_LIST",
    "SPARSE",
    "ARTIFACT",
    "SUBJECT",
    "SUBJECT_MISSING",
    "ARTIFACT_LIST",
    "SUBJECT_LIST",
    "DATA_FIELD",
    "NONDISTRIBUTABLE",
    "CUSTOM_FIELDS",
    "NO_LAYERS",
    "EMPTY_BLOB",
    "SHA512",
)


@dataclass(frozen=True)
class Check:
    """One check that did not pass."""

    name: str
    status: str
    message: str


@dataclass(frozen=True)
class Results:
    """What the program counted, and the checks that did not pass."""

    passed: int
    failed: int
    errors: int
    skipped: int
    disabled: int
    not_passed: list[Check]

    def is_good(self, checks_min: int) -> bool:
        """Everything ran, and everything passed."""
        faults = self.failed + self.errors + self.skipped + self.disabled
        return faults == 0 and not self.not_passed and self.passed >= checks_min


def install(module: str, version: str) -> Path:
    """The program at its pin, built once."""
    program = CACHE / version / "conformance"
    if program.exists():
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    print(f"installing {module}@{version}", flush=True)
    built = go("install", f"{module}@{version}", environment={"GOBIN": str(program.parent)})
    if built.returncode != 0 or not program.exists():
        give_up(f"go could not install {module}@{version}:\n{built.stderr}")
    return program


def settings(
    registry: RunningRegistry, oci_version: str, results: Path, secure: Secure | None
) -> dict[str, str]:
    """The environment of the program: nothing inherited that could switch something off."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("OCI_")}
    return {
        **inherited,
        **{f"OCI_API_{name}": "true" for name in APIS},
        **{f"OCI_DATA_{name}": "true" for name in DATA},
        "OCI_REGISTRY": registry.address,
        "OCI_VERSION": oci_version,
        "OCI_RESULTS_DIR": str(results),
        **({"OCI_TLS": "disabled"} if secure is None else trust(secure)),
    }


def trust(secure: Secure) -> dict[str, str]:
    """What lets the program in: whom it trusts, and who it is."""
    return {
        "OCI_TLS": "enabled",
        "OCI_USERNAME": USER,
        "OCI_PASSWORD": PASSWORD,
        "SSL_CERT_FILE": str(secure.ca),
        "SSL_CERT_DIR": str(secure.folder / "none"),
    }


def read_results(junit: Path) -> Results:
    """The counts of the suite and the names of its leaves, from the program's junit.xml."""
    suite = ET.parse(junit).getroot().find("testsuite")
    if suite is None:
        raise ValueError(f"{junit} holds no test suite")
    count = {name: int(suite.get(name, "0")) for name in _COUNTS}
    not_passed = [
        Check(case.get("name", ""), case.get("status", ""), _message(case))
        for case in suite.findall("testcase")
        if case.get("status") != "passed"
    ]
    faults = sum(count[name] for name in _COUNTS if name != "tests")
    return Results(
        passed=count["tests"] - faults,
        failed=count["failures"],
        errors=count["errors"],
        skipped=count["skipped"],
        disabled=count["disabled"],
        not_passed=not_passed,
    )


_COUNTS = ("tests", "failures", "errors", "skipped", "disabled")


def _message(case: ET.Element) -> str:
    return (case.findtext("system-out") or "").strip()


def scheme(junit: Path) -> str:
    """How the program said who it is, in most of the requests that its report shows."""
    shown = Counter(re.findall(r"Authorization: \[(\w+)", junit.read_text(encoding="utf-8")))
    return max(shown, key=lambda name: shown[name], default="")


def switched_off(report: Path) -> list[str]:
    """The switches that results.yaml, which begins with the configuration, shows as off."""
    configuration = report.read_text(encoding="utf-8").partition("\napis:")[0]
    return re.findall(r"^ +(\w+): false$", configuration, re.MULTILINE)


def show(results: Results, seconds: float) -> None:
    """Name every check that did not pass, and count."""
    for check in results.not_passed:
        print(f"{check.status}: {check.name}")
        for line in check.message.splitlines():
            print(f"    {line}")
    print(
        f"{results.passed} passed, {results.failed} failed, {results.errors} errors, "
        f"{results.skipped} skipped, {results.disabled} disabled in {seconds:.1f} s"
    )


@dataclass(frozen=True)
class Way:
    """One way of asking: with TLS or without, and how the program says who it is."""

    name: str
    secure: Secure | None = None
    scheme: str = ""


def run(program: Path, oci_version: str, way: Way) -> Results:
    """Start a registry on an empty directory and test it; the reports stay in the cache."""
    results = CACHE / "results" / way.name.replace(" ", "-")
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    with _registry(way.secure) as registry, (results / "output.txt").open("wb") as output:
        subprocess.run(
            [str(program)],
            cwd=results,
            env=settings(registry, oci_version, results, way.secure),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=RUN_SECS_MAX,
            check=False,  # 1 for any check that did not pass: the report says which
        )
        (results / "registry.log").write_text(registry.log, encoding="utf-8")
    if not (results / "junit.xml").exists():
        give_up("the program made no report:\n" + (results / "output.txt").read_text())
    if missing := switched_off(results / "results.yaml"):
        give_up(f"not everything was switched on: {', '.join(missing)}")
    if (used := scheme(results / "junit.xml")) != way.scheme:
        give_up(f"the program showed {used or 'nothing'}, not {way.scheme or 'nothing'}")
    return read_results(results / "junit.xml")


def _registry(secure: Secure | None) -> AbstractContextManager[RunningRegistry]:
    if secure is None:
        return running_registry()
    return running_registry(arguments=["-c", str(secure.write())], probe=secure.probe)


def main() -> int:
    """Run the suite in each way; 0 when everything passed."""
    require_go()
    pinned = pins("conformance")
    CACHE.mkdir(parents=True, exist_ok=True)
    program = install(pinned["module"], pinned["version"])
    found = []
    with tempfile.TemporaryDirectory(prefix="angos-trio-conformance-") as scratch:
        for way in ways(Path(scratch)):
            started = time.monotonic()
            try:
                found.append(run(program, pinned["oci_version"], way))
            except (RegistryDidNotStart, RegistryDidNotStop) as error:
                give_up(str(error))
            print(f"{way.name}:")
            show(found[-1], time.monotonic() - started)
            if found[-1].passed < pinned["checks_min"]:
                print(f"expected at least {pinned['checks_min']} passed checks")
    if not all(results.is_good(pinned["checks_min"]) for results in found):
        return 1
    if len({results.passed for results in found}) > 1:
        print("not every way made as many checks")
        return 1
    return 0


def ways(folder: Path) -> list[Way]:
    """All that are tested; the files of a registry with TLS are below the folder."""
    basic = Secure(folder, has_client_ca=False)
    bearer = Secure(folder, has_client_ca=False, has_tokens=True)
    return [
        Way("plain"),
        Way("TLS with Basic", basic, "Basic"),
        Way("TLS with Bearer", bearer, "Bearer"),
    ]


if __name__ == "__main__":
    sys.exit(main())
