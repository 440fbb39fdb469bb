"""The page of what happened, and the same as lines of JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from angos_trio.browse.activity import LATEST, WantedActivity, list_activity, tell
from angos_trio.events.model import EventKind
from angos_trio.events.telling import data_for, may_know_origins
from angos_trio.http.call import Call, Query
from angos_trio.http.reply import LinesReply, Reply, Say
from angos_trio.identity import NOWHERE, Caller, Origin
from angos_trio.limits.lists import (
    ACTIVITY_ENTRIES_DEFAULT,
    EXPORT_ENTRIES_MAX,
    FILTER_CHARACTERS_MAX,
)
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata.events import Stored
from angos_trio.web import headers
from angos_trio.web.around import ACTIVITY, show_page
from angos_trio.web.asking import Link
from angos_trio.web.frame import Site
from angos_trio.web.places import manifest_path_of, path_of
from angos_trio.web.words import counted, number, person, size, visible

EXPORT: Final = f"{ACTIVITY}.ndjson"
KINDS: Final = ("tag", "manifest", "blob", "key", "read_only", "gc", "scrub")
SINCE: Final[Mapping[str, int]] = {"1h": 3600, "24h": 86_400, "7d": 7 * 86_400}
"""In seconds."""
_VERBS: Final[Mapping[str, str]] = {
    EventKind.BLOB_PUSHED: "pushed blob",
    EventKind.BLOB_MOUNTED: "mounted blob",
    EventKind.BLOB_DELETED: "deleted blob",
    EventKind.MANIFEST_PUSHED: "pushed manifest",
    EventKind.MANIFEST_DELETED: "deleted manifest",
    EventKind.TAG_CREATED: "tagged",
    EventKind.TAG_UPDATED: "moved tag",
    EventKind.TAG_DELETED: "deleted tag",
    EventKind.KEY_CREATED: "made API key",
    EventKind.KEY_REVOKED: "revoked API key",
    EventKind.READ_ONLY_BEGUN: "made the registry read-only",
    EventKind.READ_ONLY_ENDED: "let the registry be changed again",
    EventKind.GC_ENDED: "collected",
    EventKind.SCRUB_ENDED: "scrubbed",
}
_WORDS: Final = {
    "key": "API keys",
    "read_only": "Read-only",
    "gc": "Collections",
    "scrub": "Scrubs",
    "": "Everything",
}
_KEPT: Final = ("namespace", "actor", "kind", "since")


class Happened(Frozen):
    """An event as a row: its verb, what it is about and where that has a page, what came of it, and
    who did it. `tone` is a kind of badge. `origin` is empty for those who may not know it."""

    at: int
    kind: str
    verb: str
    label: str
    href: str
    digest: str
    source: str
    actor: str
    who: str
    tone: str
    outcome: str = ""
    origin: Origin = NOWHERE

    @property
    def program(self) -> str:
        """The client's program without what else it says of itself."""
        return visible(self.origin.client.partition(" ")[0], 32)


def happened(caller: Caller, event: Stored, *, has_origin: bool = False) -> Happened:
    """What a row says of an event; a tag or a manifest that was deleted has no page any more."""
    data = data_for(caller, event)
    digest, tag, name = _text(data, "digest"), _text(data, "tag"), event.namespace
    is_gone = event.kind.endswith(".deleted")
    label, href = name, path_of(name) if name else ""
    if event.kind.startswith("tag.") and tag and name:
        label = f"{name}:{tag}"
        href = href if is_gone else manifest_path_of(name, tag)
    elif event.kind == EventKind.MANIFEST_PUSHED and ":" in digest:
        href = manifest_path_of(name, digest)
    elif not name:
        label = _text(data, "name")
    return Happened(
        at=event.at,
        kind=event.kind,
        verb=_VERBS.get(event.kind, visible(event.kind, 40)),
        label=visible(label),
        href=href,
        digest=digest if _is_digest(digest) else "",
        source=visible(_text(data, "from")),
        actor=event.actor,
        who=person(event.actor),
        tone="danger" if is_gone else "accent" if event.kind.startswith("tag.") else "",
        outcome=_outcome(event.kind, data),
        origin=Origin(event.address, event.client) if has_origin else NOWHERE,
    )


def _outcome(kind: str, data: Mapping[str, object]) -> str:
    """What a run came to, in a few words."""
    if kind == EventKind.GC_ENDED:
        return f"{counted(_count(data, 'blobs'), 'blob')}, {size(_count(data, 'bytes'))}"
    if kind == EventKind.SCRUB_ENDED:
        found = data.get("findings")
        flaws = sum(_count(found, each) for each in found) if isinstance(found, dict) else 0
        failed = _count(data, "failed")
        unread = f", {number(failed)} could not be looked at" if failed else ""
        return f"{counted(flaws, 'finding') if flaws else 'nothing found'}{unread}"
    return ""


def _count(data: Mapping[str, object], key: str) -> int:
    found = data.get(key)
    return found if isinstance(found, int) else 0


def _text(data: Mapping[str, object], key: str) -> str:
    found = data.get(key)
    return found if isinstance(found, str) else ""


def _is_digest(text: str) -> bool:
    digits = text.partition(":")[2][:12]
    return len(digits) == 12 and all(each in "0123456789abcdef" for each in digits)


class Asked(Frozen):
    """What the address asks for: the filter as it was written, and as it is looked for."""

    link: Link
    wanted: WantedActivity
    notices: Sequence[str]

    def value(self, name: str) -> str:
        """A part of the filter as it was written."""
        return dict(self.link.parameters).get(name, "")


def asked_of(query: Query, now: int, size: int) -> Asked:
    """Read the query; what cannot be is left out, and said."""
    given, notices = {}, []
    for name in (*_KEPT, "before"):
        text = next(iter(reversed(query.all(name))), "").strip()
        problem = _problem(name, text) if text else None
        if problem is not None:
            notices.append(f"{name}={visible(text, 40)} is left out: {problem}.")
        elif text:
            given[name] = text
    since = given.get("since")
    wanted = WantedActivity(
        size=size,
        before=int(given.get("before", LATEST)),
        namespace=given.get("namespace"),
        who=given.get("actor", ""),
        kind=_kind(given.get("kind", "")),
        since=0 if since is None else now - SINCE[since],
    )
    return Asked(Link(ACTIVITY, tuple(given.items())), wanted, notices)


def _kind(text: str) -> str:
    """A word such as `tag` is all kinds of it, and never the beginning of another word."""
    return f"{text}." if text in KINDS else text


def _problem(name: str, text: str) -> str | None:
    """Why a value cannot be used."""
    if len(text) > FILTER_CHARACTERS_MAX:
        return f"it has more than {FILTER_CHARACTERS_MAX} characters"
    if name == "since" and text not in SINCE:
        return f"one of {', '.join(SINCE)}"
    if name == "kind" and text not in (*KINDS, *_VERBS):
        return f"one of {', '.join(KINDS)}, or a kind such as tag.updated"
    is_number = text.isascii() and text.isdigit() and len(text) < len(str(LATEST))
    if name == "before" and not is_number:
        return "it is no place in the list"
    return None


class Activity:
    """Handlers of both."""

    def __init__(self, registry: Registry, site: Site) -> None:
        self._registry = registry
        self._site = site

    async def show(self, call: Call) -> Reply:
        """GET: a page of what happened, the latest first."""
        asked = asked_of(call.query, self._registry.now(), ACTIVITY_ENTRIES_DEFAULT)
        found, following = await list_activity(self._registry, call.caller, asked.wanted)
        link, knows = asked.link, await may_know_origins(call.caller)
        filters = {name: asked.value(name) for name in _KEPT}
        values = {
            "title": "Activity",
            "crumbs": [("Repositories", "/"), ("Activity", "")],
            "rows": [happened(call.caller, each, has_origin=knows) for each in found],
            "has_origin": knows,
            "filters": filters,
            "kinds": list(_choices()),
            "sinces": [("", "30 days"), ("1h", "an hour"), ("24h", "a day"), ("7d", "a week")],
            "by": lambda actor: link.having(actor=actor, before=""),
            "export": Link(EXPORT, link.parameters).having(before=""),
            "first": link.having(before="") if asked.value("before") else "",
            "next": link.having(before=str(following)) if following is not None else "",
            "cleared": ACTIVITY if any(filters.values()) else "",
            "notices": asked.notices,
        }
        return await show_page(self._site, call, "activity.html", values)

    async def export(self, call: Call) -> Reply:
        """GET: the same filter, as lines of JSON; the last line says if there is more."""
        asked = asked_of(call.query, self._registry.now(), EXPORT_ENTRIES_MAX)
        found, following = await list_activity(self._registry, call.caller, asked.wanted)
        knows = await may_know_origins(call.caller)
        told = [tell(call.caller, each, has_origin=knows) for each in found]
        return LinesReply(
            200,
            {**headers.PAGE, "Content-Disposition": 'inline; filename="activity.ndjson"'},
            talk=partial(_talk, told, following),
        )


async def _talk(entries: Sequence[object], following: int | None, say: Say) -> None:
    await say.all(entries)
    if following is not None:
        await say({"type": "more", "before": following})


def _choices() -> Iterator[tuple[str, str]]:
    """Kinds for a form: value and words."""
    yield "", _WORDS[""]
    for kind in KINDS:
        yield kind, _WORDS.get(kind, f"{kind}s".capitalize())
        for each, verb in _VERBS.items():
            if each.startswith(f"{kind}."):
                yield str(each), f"– {verb}"
