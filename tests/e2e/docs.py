"""docs/clients.md, written from a run in which nothing failed."""

from __future__ import annotations

import platform

from tests.e2e.machine import REPOSITORY
from tests.e2e.report import KNOWN_IMPOSSIBLE, OK, REGISTRY, Report

PAGE = REPOSITORY / "docs" / "clients.md"

HEAD = """\
# Clients

These programs were tried against angos-trio, each in the version given: over HTTP on the loopback
address, and, where it says so, over TLS under a host name, in a network without a way out.
`make e2e` tries them again, and `make e2e WRITE_DOCS=1` writes this page from what it ran: what is
not in it was not tried.

Over TLS these read the files of [`client-config`](client-configuration.md) as they are printed.
"""


def page(report: Report) -> str:
    """The page: a table of clients and versions, and below it what each of them did."""
    clients = [name for name in report.versions if name != REGISTRY and _tried(report, name)]
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    lines = [HEAD, "| Client | Version | Checks |", "|---|---|---|"]
    lines += [
        f"| {_title(report, client)} | {report.versions[client] or '–'} |"
        f" {len(_tried(report, client))} |"
        for client in clients
    ]
    lines += [
        "",
        f"Against {report.versions[REGISTRY]} on {system}, Python {platform.python_version()}.",
    ]
    for client in clients:
        lines += ["", f"## {_title(report, client)}", ""]
        lines += [f"- {name}" for name in _tried(report, client)]
    if KNOWN_IMPOSSIBLE:
        lines += ["", "## Not tried", ""]
        lines += [f"- {client}: {reason}" for client, reason in KNOWN_IMPOSSIBLE.items()]
    return "\n".join(lines) + "\n"


def _title(report: Report, client: str) -> str:
    return report.titles.get(client, client)


def _tried(report: Report, client: str) -> list[str]:
    return [
        outcome.name
        for outcome in report.outcomes
        if outcome.client == client and outcome.verdict == OK
    ]


def write_page(report: Report) -> None:
    """Write the page."""
    PAGE.write_text(page(report), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(REPOSITORY)}")
