"""The conformance suite of the specification's tag v1.1.1, against a registry in its default
configuration.

It passes when nothing failed and nothing was skipped but what tests/pins.toml names: tests of which
one excludes the other. Only the standard library is used; started by `make conformance-v1.1.1`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.suite import CACHE, give_up, go, require_go
from tests.pins import pins
from tests.running import RegistryDidNotStart, RunningRegistry, running_registry

RUN_SECS_MAX = 600

SETTINGS = {
    "OCI_NAMESPACE": "conformance/test",
    "OCI_CROSSMOUNT_NAMESPACE": "conformance/cross",
    "OCI_AUTOMATIC_CROSSMOUNT": "1",
    "OCI_TEST_PULL": "1",
    "OCI_TEST_PUSH": "1",
    "OCI_TEST_CONTENT_DISCOVERY": "1",
    "OCI_TEST_CONTENT_MANAGEMENT": "1",
    "OCI_HIDE_SKIPPED_WORKFLOWS": "0",
}


@dataclass(frozen=True)
class Results:
    """The names of the tests, by what became of them."""

    passed: list[str]
    failed: list[str]
    skipped: list[str]


def download(module: str, version: str) -> Path:
    """The source of the suite, from the module proxy."""
    done = go("mod", "download", "-json", f"{module}@{version}")
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = {}
    if done.returncode != 0 or "Dir" not in answer:
        why = answer.get("Error") or done.stderr
        give_up(f"the module proxy does not serve {module}@{version}:\n{why}")
    return Path(answer["Dir"])


def build(source: Path) -> Path:
    """The suite as a program, built in a writable copy: the module cache is read-only."""
    program = CACHE / "v1.1.1" / "conformance.test"
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="angos-trio-") as name:
        copy = Path(name) / "conformance"
        shutil.copytree(source, copy, copy_function=shutil.copyfile)
        copy.chmod(0o755)
        built = go("test", "-c", "-o", str(program), ".", directory=copy)
    if built.returncode != 0:
        give_up(f"go could not build the suite:\n{built.stderr}")
    return program


def settings(registry: RunningRegistry, results: Path) -> dict[str, str]:
    """The environment of the suite: nothing inherited that could switch something off."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("OCI_")}
    return {
        **inherited,
        **SETTINGS,
        "OCI_ROOT_URL": registry.base_url,
        "OCI_REPORT_DIR": str(results),
    }


def read_results(junit: Path) -> Results:
    """What the suite wrote into its junit.xml."""
    results = Results([], [], [])
    for case in ET.parse(junit).getroot().iter("testcase"):
        name = case.get("name", "")
        if case.find("failure") is not None or case.find("error") is not None:
            results.failed.append(name)
        elif case.find("skipped") is not None:
            results.skipped.append(name)
        else:
            results.passed.append(name)
    return results


def run(program: Path) -> Results:
    """Start a registry on an empty directory and test it; the reports stay in the cache."""
    results = CACHE / "results-v1.1.1"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    with running_registry() as registry, (results / "output.txt").open("wb") as output:
        subprocess.run(
            [str(program)],
            cwd=results,
            env=settings(registry, results),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=RUN_SECS_MAX,
            check=False,  # 1 for any test that failed: the report says which
        )
        (results / "registry.log").write_text(registry.log, encoding="utf-8")
    if not (results / "junit.xml").exists():
        give_up("the suite made no report:\n" + (results / "output.txt").read_text())
    return read_results(results / "junit.xml")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite; 0 when nothing failed and only the expected tests were skipped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, help="a copy of the suite instead of the download")
    options = parser.parse_args(arguments)
    require_go()
    pinned = pins("conformance-v1_1_1")
    CACHE.mkdir(parents=True, exist_ok=True)
    source = options.source or download(pinned["module"], pinned["version"])
    program = build(source)
    started = time.monotonic()
    try:
        results = run(program)
    except RegistryDidNotStart as error:
        give_up(str(error))
    for name in results.failed:
        print(f"failed: {name}")
    for name in results.skipped:
        print(f"skipped: {name}" + ("" if name in pinned["skips"] else " (not expected)"))
    print(
        f"{len(results.passed)} passed, {len(results.failed)} failed, "
        f"{len(results.skipped)} skipped in {time.monotonic() - started:.1f} s"
    )
    is_good = bool(results.passed) and not results.failed
    return 0 if is_good and set(results.skipped) <= set(pinned["skips"]) else 1


if __name__ == "__main__":
    sys.exit(main())
