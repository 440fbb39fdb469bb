"""Paths of pages about the registry as a whole, with their actions."""

from __future__ import annotations

from angos_trio.http.routing import Admission, Handler, Operation, Route, Worder
from angos_trio.identity import Action
from angos_trio.registry.context import Registry
from angos_trio.web.activity import EXPORT, Activity
from angos_trio.web.around import ACTIVITY, FIND, HEALTH, HELP, STORAGE
from angos_trio.web.find import Finding
from angos_trio.web.forms import Posted, posted
from angos_trio.web.frame import Site
from angos_trio.web.health import HealthPage
from angos_trio.web.help import Help
from angos_trio.web.jobs import VERBS, Verb, decide_about_job
from angos_trio.web.runs import RUNS, Run
from angos_trio.web.settings import choose
from angos_trio.web.storage import StoragePage


def house_routes(registry: Registry, site: Site, word: Worder) -> list[Route]:
    """The routes; all refuse with pages."""

    def reading(path: str, action: Action, handler: Handler) -> Route:
        return Route(path, {"GET": Operation(action, handler)}, word)

    def starting(run: Run) -> Route:
        form = Posted(run.starts, health.start(run))
        return Route(f"{HEALTH}/{run.kind}", {"POST": posted(site, form)}, word)

    def deciding(path: str, action: Action, verb: Verb) -> Route:
        form = Posted(action, decide_about_job(registry, verb))
        return Route(path, {"POST": posted(site, form)}, word)

    activity, health = Activity(registry, site), HealthPage(registry, site)
    public = Operation(Action.UI_ASSET, choose, Admission.PUBLIC)
    return [
        reading(FIND, Action.FIND, Finding(registry, site).show),
        reading(ACTIVITY, Action.GET_ACTIVITY, activity.show),
        reading(EXPORT, Action.GET_ACTIVITY, activity.export),
        reading(STORAGE, Action.GET_STORAGE, StoragePage(registry, site).show),
        reading(HEALTH, Action.GET_HEALTH, health.show),
        *(starting(run) for run in RUNS),
        *(deciding(*each) for each in VERBS),
        reading(HELP, Action.UI_CONFIG, Help(site).show),
        Route("/_ui/settings", {"POST": public}, word),
    ]
