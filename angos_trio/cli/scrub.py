"""`angos-trio scrub`: is all there, and is it what it was?"""

from __future__ import annotations

from functools import partial
from typing import Any

from angos_trio.cli.asking import Place, run, run_to_its_end, size_of
from angos_trio.cli.codes import FOUND
from angos_trio.config.values import parse_size


def scrub(place: Place, *, dry_run: bool, rate: str | None) -> int:
    """Look at everything, and say in a line what was found."""
    options: dict[str, Any] = {"dry_run": dry_run}
    if rate is not None:
        options["rate"] = parse_size(rate.removesuffix("/s"), "--rate")
    outcome = run(place, partial(run_to_its_end, path="/v2/_ext/_scrub", options=options))
    print(summary(outcome, dry_run=dry_run))
    return FOUND if outcome["findings"] or outcome["failed"] else 0


def summary(outcome: dict[str, Any], *, dry_run: bool) -> str:
    """What a run came to, in a line."""
    looked = (
        f"looked at {outcome['blobs']} blobs ({size_of(outcome['bytes'])}), "
        f"{outcome['manifests']} manifests and {outcome['files']} files"
    )
    findings: dict[str, int] = outcome["findings"]
    verb = "found" if dry_run else "found and saw to"
    counts = ", ".join(f"{kind}={count}" for kind, count in findings.items())
    told = f"{verb} {sum(findings.values())}: {counts}" if findings else "found nothing wrong"
    unread = f"; could not look at {outcome['failed']}" if outcome["failed"] else ""
    return f"{looked}; {told}{unread}"
