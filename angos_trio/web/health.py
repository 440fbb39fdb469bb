"""The page of how the registry is, and the forms that ask for a run of housekeeping."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import trio

from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.identity import Action
from angos_trio.maintenance.explain import Kept, explain_all
from angos_trio.oci.codes import OciError
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.registry.read_only import find_read_only
from angos_trio.storage.metadata import integrity
from angos_trio.storage.metadata.leases import Tally
from angos_trio.storage.metadata.switches import Switched
from angos_trio.storage.store import Space
from angos_trio.telemetry.health import BEGAN, Readiness
from angos_trio.web import headers
from angos_trio.web.around import HEALTH, may, show_page
from angos_trio.web.forms import Form, FormHandler
from angos_trio.web.frame import Site
from angos_trio.web.jobs import jobs_part
from angos_trio.web.runs import RUNS, Run, Told, schedule_of, tell_run
from angos_trio.web.words import counted, person, size, span, visible

WORKS: Final = ("ok", "All is well")
DEGRADED: Final = ("warn", "Requests are served; something else needs a look")
FAILS: Final = ("danger", "Not every request can be served")


class Check(Frozen):
    """Something that was looked at: how it is in a word, with the tone of its badge, and more."""

    name: str
    tone: str
    state: str
    more: str = ""


class Part(Frozen):
    """A kind of run on the page. `may_start`: the caller may ask for one; `last_pass` is when the
    last one that nobody asked for ended."""

    run: Run
    schedule: str
    told: Told | None
    may_start: bool
    last_pass: int | None = None

    @property
    def is_free(self) -> bool:
        """Whether one can be asked for now."""
        return self.may_start and (self.told is None or self.told.is_over)


class HealthPage:
    """Handlers of the page and of its forms."""

    def __init__(self, registry: Registry, site: Site) -> None:
        self._registry = registry
        self._site = site

    async def show(self, call: Call) -> Reply:
        """GET: how everything is; of the runs those that the caller may see."""
        home, registry = self._site.home, self._registry
        readiness = await trio.to_thread.run_sync(home.readiness)
        switched = await find_read_only(registry)
        values = {
            "title": "Health",
            "crumbs": [("Repositories", "/"), ("Health", "")],
            "state": state_of(readiness),
            "sentences": [
                visible(text, 400) for text in (*readiness.problems, *readiness.degraded)
            ],
            "checks": checks_of(registry, await self._space(), switched),
            "uptime": span(int(time.monotonic() - BEGAN)),
            "methods": home.methods,
            "runs": await self._parts(call),
            "kept": await self._kept(call),
            "jobs": await jobs_part(registry, call),
            "notices": _notices(call),
        }
        return await show_page(self._site, call, "health.html", values)

    async def _space(self) -> Space | None:
        """None where the disk does not answer."""
        try:
            return await trio.to_thread.run_sync(self._registry.storage.space)
        except OciError:
            return None

    async def _parts(self, call: Call) -> Sequence[Part]:
        found = []
        for run in RUNS:
            if not await may(call, run.sees):
                continue
            task = await self._site.home.tasks.find(run.kind)
            found.append(
                Part(
                    run=run,
                    schedule=schedule_of(run.kind, self._registry),
                    told=None if task is None else tell_run(task),
                    may_start=await may(call, run.starts),
                    last_pass=await self._last_pass(run),
                )
            )
        return found

    async def _last_pass(self, run: Run) -> int | None:
        if run.kind != "scrub":
            return None
        state = await self._registry.storage.read(integrity.state)
        return None if state is None else state[1]

    async def _kept(self, call: Call) -> list[tuple[str, str, int | None]] | None:
        """What is kept without a reference, where it is asked for: it takes a look at much."""
        if call.query.all("kept") != ["all"] or not await may(call, Action.GET_COLLECTION):
            return None
        return kept_lines(await explain_all(self._registry.storage))

    def start(self, run: Run) -> FormHandler:
        """The handler that asks for a run of a kind."""

        async def handler(_: Call, form: Form) -> Reply:
            """POST: ask for the run, as the path of the API does; then back to the page."""
            # A run is begun by the word for it and nothing else.
            options = {"dry_run": form.one("mode") != "run"}
            to = f"{HEALTH}#{run.kind}"
            try:
                await self._site.home.tasks.want(run.kind, options)
            except OciError as error:
                if error.status != 429:
                    raise
                to = f"{HEALTH}?busy={run.kind}#{run.kind}"
            return Reply(303, {"Location": to, **headers.PAGE})

        return handler


def _notices(call: Call) -> list[str]:
    busy = [run.title for run in RUNS if run.kind in call.query.all("busy")]
    return [f"{title} was asked for already, and goes on." for title in busy]


def state_of(readiness: Readiness) -> tuple[str, str]:
    """The tone and the words for all of it."""
    if not readiness.is_ready:
        return FAILS
    return DEGRADED if readiness.degraded else WORKS


def checks_of(registry: Registry, space: Space | None, switched: Switched | None) -> list[Check]:
    """What the page looks at itself; `space` is None where the disk does not answer."""
    broken = registry.storage.broken
    database = Check("Database", "ok", "can be written")
    if broken is not None:
        database = Check("Database", "danger", "read-only until a restart", visible(str(broken)))
    if space is None:
        disk = Check("Disk", "danger", "does not answer")
    else:
        free = f"{size(space.free_bytes)} free, {size(space.reserve_bytes)} must stay free"
        tone, state = ("ok", "has room") if space.is_enough else ("danger", "is full")
        disk = Check("Disk", tone, state, free)
    changes = Check("Changes", "ok", "are taken")
    if switched is not None:
        changes = Check("Changes", "warn", "are refused", f"switched by {person(switched.by)}")
    return [database, disk, changes]


def kept_lines(kept: Kept) -> list[tuple[str, str, int | None]]:
    """What is kept though nothing refers to it: what, how much, and until when at the latest."""
    found = [
        ("Pushed or released lately", _tally(kept.leased_blobs, "blob"), kept.leased_blobs.last),
        ("The same", _tally(kept.leased_manifests, "manifest"), kept.leased_manifests.last),
        ("Without a tag (global.untagged_grace)", _tally(kept.untagged, "manifest"), None),
    ]
    if kept.has_upload:
        what = "whatever came to namespaces with one"
        found.append(("While an upload is under way", what, None))
    return found


def _tally(tally: Tally, noun: str) -> str:
    least = "" if tally.is_whole else "at least "
    return f"{least}{counted(tally.count, noun)} in {size(tally.bytes)}"
