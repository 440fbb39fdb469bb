"""`/v2/_ext/{name}/_pulls`: who pulled a manifest lately."""

from __future__ import annotations

from typing import Any

from angos_trio.api.browsing import pulled_fields
from angos_trio.api.context import Runtime
from angos_trio.browse.pulls import PullHistory, pull_history_of
from angos_trio.clock import DAY_SECS, date_of, iso
from angos_trio.http.call import Call
from angos_trio.http.reply import Reply, json_reply
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.names import parse_reference_to_read
from angos_trio.registry.pull import find_manifest
from angos_trio.storage.metadata.pull_history import Line


class Pulls:
    """Handler of the path."""

    def __init__(self, runtime: Runtime) -> None:
        self._registry = runtime.registry

    async def list(self, call: Call) -> Reply:
        """GET: the last pulls of what `reference` names, the latest first, and how many there were
        on each of the last days."""
        text = call.query.one("reference", Code.TAG_INVALID)
        if text is None:
            raise OciError(
                Code.TAG_INVALID, message="no tag and no digest is named", detail="reference"
            )
        found = await find_manifest(self._registry, call.name, parse_reference_to_read(text))
        history = await pull_history_of(self._registry, call.caller, call.name, found.digest)
        document = {
            "digest": found.digest,
            "is_recorded": history.is_on,
            "recorded_since": history.since,
            **pulled_fields(history.pulled),
            "pulls": [_line(history, line) for line in history.lines],
            "days": [
                {"day": date_of(at // DAY_SECS), "pulls": count} for at, count in history.days
            ],
        }
        return json_reply(200, document, {"Cache-Control": "private, no-cache"})


def _line(history: PullHistory, line: Line) -> dict[str, Any]:
    return {
        "tag": line.tag,
        "pulled_at": line.at,
        "pulled_at_iso": iso(line.at),
        "pulled_by": line.owner,
        "client": line.client,
        "address": line.address if history.has_addresses else None,
    }
