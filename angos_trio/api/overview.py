"""`/v2/_ext/`: finding, what happened, what the disk holds, how the registry is, who is calling."""

from __future__ import annotations

import time
from typing import Any

import trio

from angos_trio import __version__
from angos_trio.api.context import Runtime
from angos_trio.browse.activity import LATEST, WantedActivity, list_activity, tell
from angos_trio.browse.finding import find
from angos_trio.browse.over_time import list_samples, outlook_of
from angos_trio.browse.rights import rights_of
from angos_trio.browse.storage_use import look_at_storage
from angos_trio.browse.unpulled import UnpulledLook, look_for_unpulled
from angos_trio.clock import DAY_SECS, date_of
from angos_trio.events.telling import may_know_origins
from angos_trio.http.call import Call
from angos_trio.http.reply import Reply, json_reply
from angos_trio.identity import Certificate, Identity
from angos_trio.jobs.listing import count_jobs
from angos_trio.limits.lists import ACTIVITY_ENTRIES_DEFAULT, FILTER_CHARACTERS_MAX
from angos_trio.limits.requests import PAGE_ENTRIES_MAX
from angos_trio.maintenance.tasks import describe
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.pagination import next_link, parse_number
from angos_trio.records import asdict
from angos_trio.registry.read_only import find_read_only
from angos_trio.telemetry.health import BEGAN

_CODE = Code.PAGINATION_NUMBER_INVALID
_PRIVATE = {"Cache-Control": "private, no-cache"}


class Overview:
    """Handlers of the paths."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._registry = runtime.registry
        self._looks = runtime.looks

    async def find(self, call: Call) -> Reply:
        """GET: what there is by a part of a name."""
        text = call.query.one("q", Code.NAME_INVALID) or ""
        if not 0 < len(text) <= FILTER_CHARACTERS_MAX:
            raise OciError(
                Code.NAME_INVALID,
                message=f"q has between 1 and {FILTER_CHARACTERS_MAX} characters",
                detail=f"{len(text)} are there",
            )
        found = await find(self._registry, call.caller, text)
        document = {
            "namespaces": found.namespaces,
            "tags": [
                {"namespace": name, "tag": tag, "digest": digest}
                for name, tag, digest in found.tags
            ],
            "manifests": [
                {"namespace": name, "digest": digest, "kind": kind}
                for name, digest, kind in found.manifests
            ],
            "blobs": [
                {"namespace": name, "digest": digest, "size": size}
                for name, digest, size in found.blobs
            ],
        }
        return json_reply(200, document, _PRIVATE)

    async def activity(self, call: Call) -> Reply:
        """GET: what happened, the latest first."""
        query = call.query
        asked = {
            name: query.one(name, _CODE)
            for name in ("n", "before", "namespace", "actor", "kind", "since")
        }
        number, before, since = asked["n"], asked["before"], asked["since"]
        size = ACTIVITY_ENTRIES_DEFAULT if number is None else parse_number(number)
        wanted = WantedActivity(
            size=min(size, PAGE_ENTRIES_MAX),
            before=LATEST if before is None else parse_number(before),
            namespace=asked["namespace"],
            actor=asked["actor"],
            kind=asked["kind"] or "",
            since=0 if since is None else parse_number(since),
        )
        found, following = await list_activity(self._registry, call.caller, wanted)
        headers = dict(_PRIVATE)
        if following is not None:
            kept = {name: text for name, text in asked.items() if text is not None}
            path = call.request.scope["path"]
            headers["Link"] = next_link(path, {**kept, "before": str(following)})
        knows = await may_know_origins(call.caller)
        told = [tell(call.caller, each, has_origin=knows) for each in found]
        return json_reply(200, {"activity": told}, headers)

    async def storage(self, call: Call) -> Reply:
        """GET: sums over the whole registry, half a minute old or a little more."""
        use = await look_at_storage(self._registry, call.caller, self._looks)
        storage = self._registry.storage
        space = await trio.to_thread.run_sync(storage.space)
        database = await trio.to_thread.run_sync(storage.database_bytes)
        samples = await list_samples(self._registry)
        outlook = outlook_of(samples, space, self._registry.now() // DAY_SECS)
        unpulled = await look_for_unpulled(self._registry, call.caller, self._runtime.unpulled)
        document = {
            "at": use.at,
            **asdict(use.totals),
            "free_bytes": space.free_bytes,
            "reserve_bytes": space.reserve_bytes,
            "database_bytes": database,
            "largest_namespaces": [
                {"namespace": name, "held_bytes": size} for name, size in use.namespaces
            ],
            "largest_blobs": [
                {"digest": digest, "size": size, "namespaces": count}
                for digest, size, count in use.blobs
            ],
            "samples": [{**asdict(each), "day": date_of(each.day)} for each in samples],
            "days_to_full": None if outlook is None else outlook.days,
            "unpulled": _unpulled(unpulled),
        }
        return json_reply(200, document, _PRIVATE)

    async def health(self, call: Call) -> Reply:
        """GET: how the registry is, in one answer for people who look after it."""
        found = await trio.to_thread.run_sync(self._runtime.readiness)
        switched = await find_read_only(self._registry)
        document = {
            "status": "ready" if found.is_ready else "not_ready",
            "problems": list(found.problems),
            "degraded": list(found.degraded),
            "version": __version__,
            "uptime_secs": int(time.monotonic() - BEGAN),
            "read_only_since": None if switched is None else switched.since,
            "runs": {
                kind: describe(await self._runtime.tasks.find(kind))
                for kind in ("gc", "scrub", "prune")
            },
            "jobs": {
                queue: {"waiting": each.waiting, "failed": each.failed}
                for queue, each in (await count_jobs(self._registry.storage)).items()
            },
        }
        return json_reply(200, document, _PRIVATE)

    async def me(self, call: Call) -> Reply:
        """GET: who calls, and what they may do to the repository `repository`, or to each that is
        configured."""
        name = call.query.one("repository", Code.NAME_INVALID)
        configured = sorted(self._registry.tag_rules.by_repository)
        names = configured[:PAGE_ENTRIES_MAX] if name is None else [name]
        document = {
            **_identity(call.caller.identity),
            "repositories": [
                {"name": each, "can": await rights_of(call.caller, each)}
                for each in names
                if name is not None or call.caller.sees(each)
            ],
        }
        return json_reply(200, document, _PRIVATE)


def _unpulled(look: UnpulledLook) -> dict[str, Any]:
    return {
        "pulls_noted_since": look.noted_since,
        "is_known": look.is_known,
        "is_whole": look.is_whole,
        "manifests": [
            {**asdict(each.root), "tag": each.tag, "last_pulled_at": each.last_at}
            for each in look.found
        ],
    }


def _identity(identity: Identity) -> dict[str, Any]:
    certificate, grant = identity.certificate, identity.grant
    return {
        "method": identity.method,
        "provider": identity.provider or None,
        "subject": identity.subject or None,
        "id": identity.id,
        "owner": identity.owner,
        "address": identity.address,
        "claims": None if identity.claims is None else dict(identity.claims),
        "certificate": None if certificate is None else _certificate(certificate),
        "key": None if grant is None else asdict(grant),
    }


def _certificate(certificate: Certificate) -> dict[str, Any]:
    kept = (
        *("subject", "issuer", "serial", "fingerprint", "not_before", "not_after"),
        *("common_names", "organizations", "dns_names", "uris", "emails"),
    )
    return {name: getattr(certificate, name) for name in kept}
