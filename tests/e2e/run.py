"""Real clients against a registry: `make e2e`.

Every client that people push and pull with, on real content; over HTTP, and then over TLS with
certificates, passwords, keys and tokens. Each check prints its verdict and its seconds; the run
fails when one fails, or when a client does not run for a reason that is not known. Needs root on
Debian, and Go for the clients that are built.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench.sides import versions
from tests.e2e.clients import (
    containerd,
    containers,
    crane,
    docker,
    helm,
    oras,
    pull_through,
    regctl,
    resume,
    skopeo,
    tls_bearer,
    tls_certificates,
    tls_login,
    tls_rotation,
    tls_scan,
    told,
)
from tests.e2e.docs import write_page
from tests.e2e.lab import Lab, expect_clean_stop, expect_no_crash, expect_sound_store
from tests.e2e.machine import Failure, NotRunnable, command
from tests.e2e.material import Material
from tests.e2e.report import FAILED, MISHAPS, NOT_RUN, REGISTRY, Outcome, Report, tell
from tests.e2e.tools import (
    debian_version,
    install_debian,
    install_go,
    install_npm,
    install_pypi,
)
from tests.pins import pins
from tests.running import RegistryDidNotStart, RegistryDidNotStop, program, running_registry
from tests.zipapp.built import NotBuilt

BETWEEN_CHECKS = "start, or what its checks rest on"
REASON_CHARS = 2000
"""Of what a check failed with, again at the end of a run."""


@dataclass(frozen=True)
class Suite:
    """The checks of one client, and the programs that they need. `version` also installs what
    comes from elsewhere; without it the version is that of the first program."""

    client: str
    run: Callable[[Lab], None]
    debian: tuple[str, ...] = ()
    go: str | None = None
    version: Callable[[], str] | None = None
    is_quick: bool = True
    title: str | None = None
    """In the docs, if it is not called as its client."""


def _of_login() -> str:
    provider = f"oidc-provider {install_npm('oidc-provider')}"
    return f"{debian_version('podman')}, {provider}"


def _of_bearer() -> str:
    return ", ".join(f"{program} {debian_version(program)}" for program in tls_bearer.REFUSALS)


SUITES = (
    Suite("skopeo", skopeo.run, ("skopeo",)),
    Suite("podman", containers.podman, ("podman",)),
    Suite("buildah", containers.buildah, ("buildah",)),
    Suite("ctr", containerd.run, ("ctr", "containerd")),
    Suite("docker", docker.run, ("docker", "dockerd")),
    Suite("crane", crane.run, go="crane"),
    Suite("oras", oras.run, go="oras"),
    Suite("regctl", regctl.run, go="regctl"),
    Suite("helm", helm.run, go="helm", is_quick=False),
    Suite(
        "python",
        resume.run,
        ("skopeo",),
        version=lambda: f"{platform.python_version()} (http.client and sockets)",
    ),
    *(
        Suite(
            f"{programs[0]}-tls",
            partial(tls_certificates.run, programs[0]),
            (*programs, "ip"),
            title=f"{programs[0]} over TLS",
        )
        for programs in (
            ("skopeo",),
            ("podman",),
            ("buildah",),
            ("ctr", "containerd"),
            ("docker", "dockerd"),
        )
    ),
    Suite(
        "crictl",
        tls_certificates.crictl,
        ("ctr", "containerd", "ip"),
        go="crictl",
        is_quick=False,
        title="crictl over TLS",
    ),
    Suite("curl-tls", partial(told.run, "curl"), ("curl", "ip"), title="curl over TLS"),
    Suite("oras-tls", partial(told.run, "oras"), ("ip",), go="oras", title="oras over TLS"),
    Suite(
        "helm-tls",
        partial(told.run, "helm"),
        ("ip",),
        go="helm",
        is_quick=False,
        title="helm over TLS",
    ),
    Suite("login", tls_login.run, ("podman", "ip"), version=_of_login, title="podman login"),
    Suite(
        "bearer",
        tls_bearer.run,
        ("docker", "dockerd", "podman", "skopeo", "ctr", "containerd", "ip"),
        version=_of_bearer,
        title="The Bearer flow",
    ),
    Suite(
        "mirror",
        pull_through.run,
        ("skopeo", "podman", "ctr", "containerd", "htpasswd", "curl"),
        version=lambda: f"docker-registry {versions()[1]}",
        title="Pulling through",
    ),
    Suite(
        "rotation",
        tls_rotation.run,
        ("ip",),
        version=lambda: f"{platform.python_version()} (http.client)",
        title="Certificates that are replaced",
    ),
    Suite(
        "sslyze",
        tls_scan.run,
        ("ip",),
        version=partial(install_pypi, "sslyze"),
    ),
)


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line, or these words in its place."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="without the clients that build long")
    parser.add_argument(
        "--only", nargs="+", metavar="CLIENT", choices=[suite.client for suite in SUITES]
    )
    parser.add_argument("--write-docs", action="store_true", help="write docs/clients.md")
    parser.add_argument("--keep-log", type=Path, metavar="FILE", help="keep the registry's log")
    options = parser.parse_args(words)
    if options.write_docs and (options.quick or options.only or os.environ.get("ZIPAPP")):
        parser.error("--write-docs needs a run of everything, of the sources")
    return options


def chosen(options: argparse.Namespace) -> list[Suite]:
    """The suites that the command line asks for; one that it names runs in a quick run too."""
    if options.only:
        return [suite for suite in SUITES if suite.client in options.only]
    left_out = [suite.client for suite in SUITES if options.quick and not suite.is_quick]
    if left_out:
        print(f"left out by --quick, as they build long: {', '.join(left_out)}", flush=True)
    return [suite for suite in SUITES if suite.client not in left_out]


def install(suites: Sequence[Suite], report: Report) -> list[Suite]:
    """Install the clients; those whose client is then there."""
    install_debian(["mmdebstrap", *(program for suite in suites for program in suite.debian)])
    there = []
    for suite in suites:
        started = time.monotonic()
        report.versions[suite.client] = ""
        report.titles[suite.client] = suite.title or suite.client
        try:
            report.versions[suite.client] = _version(suite)
        except (Failure, NotRunnable) as error:
            secs = time.monotonic() - started
            report.add(Outcome(suite.client, "install", NOT_RUN, secs, str(error)))
        else:
            there.append(suite)
    return there


def _version(suite: Suite) -> str:
    if suite.go is not None:
        install_go(suite.go)
        return str(pins("e2e")[suite.go]["version"]).removeprefix("v")
    return suite.version() if suite.version else debian_version(suite.debian[0])


def run_suite(suite: Suite, lab: Lab) -> None:
    """All checks of one client; one that cannot start, or checks nothing, is an outcome too."""
    started, before = time.monotonic(), len(lab.report.outcomes)
    try:
        suite.run(lab)
        if len(lab.report.outcomes) == before:
            raise Failure("nothing was checked")
    except (NotRunnable, *MISHAPS) as error:
        verdict = NOT_RUN if isinstance(error, NotRunnable) else FAILED
        secs = time.monotonic() - started
        lab.report.add(Outcome(suite.client, BETWEEN_CHECKS, verdict, secs, tell(error)))


def run(
    suites: Sequence[Suite], report: Report, keep_log: Path | None, *, is_quick: bool = False
) -> None:
    """Every suite on one registry, and what the registry has to say about it."""
    with tempfile.TemporaryDirectory(prefix="angos-trio-e2e-") as name:
        scratch = Path(name)
        with running_registry(scratch / "data") as registry:
            lab = Lab(registry, Material(scratch), report, scratch, is_quick)
            lab.sandbox("probe").probe()
            try:
                for suite in suites:
                    run_suite(suite, lab)
                with report.check(REGISTRY, "no crash in its log, no answer of 500 or more"):
                    expect_no_crash(lab)
                with report.check(REGISTRY, "stops in order when it is asked to"):
                    expect_clean_stop(registry)
            finally:
                if keep_log is not None:
                    keep_log.write_text(registry.log)
        with report.check(REGISTRY, "every blob has the bytes that its name says"):
            expect_sound_store(registry)


def main(words: Sequence[str] | None = None) -> int:
    """Run the suites; 0 when no check failed and every client ran."""
    options = arguments(words)
    report = Report()
    try:
        suites = install(chosen(options), report)
        print(", ".join(f"{client} {version}" for client, version in report.versions.items()))
        report.versions[REGISTRY] = command(*program(), "--version").strip()
        print(f"against {report.versions[REGISTRY]}: {' '.join(program())}", flush=True)
        run(suites, report, options.keep_log, is_quick=options.quick)
    except (Failure, NotRunnable, NotBuilt, RegistryDidNotStart, RegistryDidNotStop) as error:
        print(f"e2e: {error}", file=sys.stderr)
        return 1
    print(report.table())
    for outcome in report.failures:
        print(f"{outcome.verdict}: {outcome.client}: {outcome.name}")
        print(textwrap.indent(outcome.reason[-REASON_CHARS:], "    "))
    if report.failures:
        return 1
    if options.write_docs:
        write_page(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
