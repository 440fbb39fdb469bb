"""`angos-trio gc` and `gc explain`: give space back, and say what is kept and why."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

from angos_trio.app.operator import Ask
from angos_trio.cli.asking import (
    Place,
    document_of,
    plain,
    run,
    run_to_its_end,
    size_of,
    time_of,
)
from angos_trio.net.control import Request

_PATH: Final = "/v2/_ext/_gc"
_WHY: Final = {
    "tag": "the tag {by} points to it",
    "manifest": "the manifest {by} names it",
    "subject": "it refers to {by}, which is there",
    "lease": "it was pushed, promised or released lately: until {until} (global.gc_grace_secs)",
    "upload": "an upload to its namespace is open",
    "policy": "untagged manifests are kept{until_words} (global.untagged_grace)",
    "nobody": "nothing: it goes with the next run of the collection",
}


def collect(place: Place, *, dry_run: bool, now: bool) -> int:
    """Collect what nothing keeps, and say what stays."""
    options = {"dry_run": dry_run, "now": now}

    async def work(ask: Ask) -> tuple[dict[str, Any], dict[str, Any]]:
        outcome = await run_to_its_end(ask, _PATH, options)
        return outcome, document_of(await ask(Request("GET", _PATH)))

    outcome, report = run(place, work)
    for line in (_gone(outcome, dry_run=dry_run), *_staying(report)):
        print(line)
    return 0


def explain(place: Place, what: str) -> int:
    """Say what keeps a digest, or what a namespace keeps."""
    document = run(place, partial(_explain, what))
    lines = _of_digest(document) if "digest" in document else _kept_lines(document["kept"], None)
    for line in lines:
        print(line)
    return 0


async def _explain(what: str, ask: Ask) -> dict[str, Any]:
    query = urlencode({"digest" if ":" in what else "namespace": what})
    found: dict[str, Any] = document_of(await ask(Request("GET", f"{_PATH}?{query}")))
    return found


def _gone(outcome: dict[str, Any], *, dry_run: bool) -> str:
    verb = "would give back" if dry_run else "gave back"
    least = "" if outcome.get("is_whole", True) else "at least "
    return (
        f"{verb} {least}{size_of(outcome['bytes'])}: {outcome['blobs']} blobs, and in namespaces "
        f"{outcome['manifests']} manifests and {outcome['holds']} holds on blobs"
    )


def _staying(report: dict[str, Any]) -> Iterator[str]:
    yield from _kept_lines(report["kept"], report["untagged_grace"])


def _kept_lines(kept: dict[str, Any], untagged_secs: int | None) -> Iterator[str]:
    for kind in ("blobs", "manifests"):
        tally = kept[f"leased_{kind}"]
        if tally["count"]:
            yield (
                f"kept for now: {_tally(tally)} {kind} that nothing names, pushed, promised or "
                f"released lately; until {time_of(tally['last'])} at the latest"
            )
    tally = kept["untagged"]
    if tally["count"]:
        policy = "until somebody deletes them" if untagged_secs is None else "for a time"
        yield (
            f"kept by policy: {_tally(tally)} manifests without a tag, {policy} "
            "(global.untagged_grace); what they name stays with them"
        )
    if kept["has_upload"]:
        yield "kept meanwhile: whatever namespaces with an open upload have received"


def _tally(tally: dict[str, Any]) -> str:
    least = "" if tally["is_whole"] else "at least "
    return f"{least}{tally['count']} ({size_of(tally['bytes'])})"


def _of_digest(document: dict[str, Any]) -> Iterator[str]:
    yield f"{document['digest']}: {size_of(document['size'])}"
    for holder in document["holders"]:
        until = None if holder["until"] is None else time_of(holder["until"])
        words = "" if until is None else f" until {until}"
        why = _WHY[holder["kept_by"]].format(by=holder["by"], until=until or "", until_words=words)
        yield f"  {plain(holder['namespace'])}, {holder['kind']}: {why}"
    if not document["holders"]:
        yield "  no namespace holds it: its bytes go with the next run of the collection"
    if not document["is_whole"]:
        yield "  and further namespaces"
