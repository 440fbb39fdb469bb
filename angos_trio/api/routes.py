"""Every route with its action: the one list that the server, the gate and the docs agree on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

from angos_trio.api.backups import Backups, Hold
from angos_trio.api.blobs import Blobs
from angos_trio.api.browsing import Browsing
from angos_trio.api.context import Runtime
from angos_trio.api.details import Details
from angos_trio.api.events import Events
from angos_trio.api.jobs import Jobs
from angos_trio.api.keys import Keys
from angos_trio.api.listings import Listings
from angos_trio.api.manifests import Manifests
from angos_trio.api.overview import Overview
from angos_trio.api.pruning import Pruning
from angos_trio.api.pulls import Pulls
from angos_trio.api.read_only import ReadOnly
from angos_trio.api.reclaiming import Reclaiming
from angos_trio.api.scrubbing import Scrubbing
from angos_trio.api.status import Status
from angos_trio.api.token import Tokens
from angos_trio.api.uploads import Uploads
from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.http.routing import Admission, Handler, Operation, Route, RouteTable
from angos_trio.identity import Action


def build_routes(runtime: Runtime) -> RouteTable:
    """The route table over a runtime. GET answers HEAD where no HEAD is named."""
    status, blobs, uploads = Status(runtime), Blobs(runtime), Uploads(runtime)
    manifests, listings, tokens = Manifests(runtime), Listings(runtime), Tokens(runtime)
    changing, pushing = partial(_changing, runtime), partial(_pushing, runtime)
    return RouteTable(
        [
            Route("/v2/", {"GET": Operation(Action.GET_API_VERSION, status.version)}),
            Route("/v2", {"GET": Operation(Action.GET_API_VERSION, status.version)}),
            Route("/v2/_catalog", {"GET": Operation(Action.LIST_CATALOG, listings.catalog)}),
            Route(
                "/v2/{name}/blobs/{digest}",
                {
                    "HEAD": Operation(Action.GET_BLOB, blobs.head),
                    "GET": Operation(Action.GET_BLOB, blobs.get),
                    "DELETE": Operation(Action.DELETE_BLOB, changing(blobs.delete)),
                },
            ),
            Route(
                "/v2/{name}/blobs/uploads/",
                {"POST": Operation(Action.START_UPLOAD, pushing(uploads.start))},
            ),
            Route(
                "/v2/{name}/blobs/uploads/{session}",
                {
                    "GET": Operation(Action.GET_UPLOAD, uploads.status),
                    "PATCH": Operation(Action.UPDATE_UPLOAD, pushing(uploads.append)),
                    "PUT": Operation(Action.COMPLETE_UPLOAD, pushing(uploads.finish)),
                    "DELETE": Operation(Action.CANCEL_UPLOAD, changing(uploads.cancel)),
                },
            ),
            Route(
                "/v2/{name}/manifests/{reference}",
                {
                    "GET": Operation(Action.GET_MANIFEST, manifests.get),
                    "PUT": Operation(Action.PUT_MANIFEST, pushing(manifests.put)),
                    "DELETE": Operation(Action.DELETE_MANIFEST, changing(manifests.delete)),
                },
            ),
            Route("/v2/{name}/tags/list", {"GET": Operation(Action.LIST_TAGS, listings.tags)}),
            Route(
                "/v2/{name}/referrers/{digest}",
                {"GET": Operation(Action.GET_REFERRERS, listings.referrers)},
            ),
            *_lists(runtime),
            *_housekeeping(runtime),
            *_jobs(runtime),
            Route("/v2/_ext/_events", {"GET": Operation(Action.GET_EVENTS, Events(runtime).get)}),
            Route(
                "/token",
                {
                    "GET": Operation(Action.GET_TOKEN, tokens.get, Admission.IDENTITY),
                    "POST": Operation(Action.GET_TOKEN, tokens.post, Admission.IDENTITY),
                },
            ),
            *_probes(status, Admission.OPTIONAL),
            Route("/metrics", {"GET": Operation(Action.METRICS, status.metrics)}),
        ]
    )


def build_operator_routes(
    runtime: Runtime, users: Callable[[], Collection[str]], hold: Hold
) -> RouteTable:
    """The same and what only the operator is offered, on the control socket: API keys, backups,
    and the switch that makes the registry read-only.

    `users` are those whose keys can be made: the Basic users of the configuration in force.
    """
    keys, read_only = Keys(runtime, users), ReadOnly(runtime)
    return RouteTable(
        [
            *build_routes(runtime).routes,
            Route(
                "/v2/_ext/_keys",
                {
                    "GET": Operation(Action.LIST_API_KEYS, keys.list),
                    "POST": Operation(Action.CREATE_API_KEY, keys.create),
                },
            ),
            Route("/v2/_ext/_keys/{id}", {"DELETE": Operation(Action.DELETE_API_KEY, keys.revoke)}),
            Route("/v2/_ext/_backup", {"POST": Operation(Action.MAKE_BACKUP, Backups(hold).hold)}),
            Route(
                "/v2/_ext/_read_only",
                {
                    "GET": Operation(Action.GET_READ_ONLY, read_only.status),
                    "PUT": Operation(Action.SET_READ_ONLY, read_only.switch),
                },
            ),
        ]
    )


def _changing(runtime: Runtime, handler: Handler) -> Handler:
    """A handler that a registry that is read-only refuses (405), before a byte of a body is read.

    A change that is committed looks at the switch once more: see `Registry.change`.
    """

    async def guarded(call: Call) -> Reply:
        await runtime.registry.require_changeable()
        return await handler(call)

    return guarded


def _pushing(runtime: Runtime, handler: Handler) -> Handler:
    """The same for what pushes: refused (405) where a repository's content comes from upstream."""

    async def guarded(call: Call) -> Reply:
        runtime.registry.require_takes_pushes(call.name)
        return await handler(call)

    return _changing(runtime, guarded)


def build_health_routes(runtime: Runtime, *, has_metrics: bool) -> RouteTable:
    """The routes of the listener for probes, which have no credentials."""
    status = Status(runtime)
    routes = _probes(status, Admission.PUBLIC)
    if has_metrics:
        metrics = Operation(Action.METRICS, status.metrics, Admission.PUBLIC)
        routes.append(Route("/metrics", {"GET": metrics}))
    return RouteTable(routes)


def _lists(runtime: Runtime) -> list[Route]:
    """What is there, for people and programs that look around."""
    browsing, details, overview = Browsing(runtime), Details(runtime), Overview(runtime)

    def reading(template: str, action: Action, handler: Handler) -> Route:
        return Route(f"/v2/_ext/{template}", {"GET": Operation(action, handler)})

    return [
        reading("_repositories", Action.LIST_REPOSITORIES, browsing.repositories),
        reading("{name}/_namespaces", Action.LIST_NAMESPACES, browsing.namespaces),
        reading("{name}/_revisions", Action.LIST_REVISIONS, browsing.revisions),
        reading("{name}/_uploads", Action.LIST_UPLOADS, browsing.uploads),
        reading("{name}/_tags", Action.LIST_TAGS, browsing.tags),
        reading("{name}/_manifest/{reference}", Action.GET_MANIFEST, details.manifest),
        reading("{name}/_tag_history", Action.GET_TAG_HISTORY, details.tag_history),
        reading("{name}/_pulls", Action.LIST_PULLS, Pulls(runtime).list),
        reading("_find", Action.FIND, overview.find),
        reading("_activity", Action.GET_ACTIVITY, overview.activity),
        reading("_storage", Action.GET_STORAGE, overview.storage),
        reading("_health", Action.GET_HEALTH, overview.health),
        Route("/v2/_ext/_me", {"GET": Operation(Action.GET_ME, overview.me, Admission.IDENTITY)}),
        Route(
            "/v2/_ext/{name}/_impact",
            {"GET": Operation(Action.DELETE_MANIFEST, details.impact, Admission.IDENTITY)},
        ),
        Route(
            "/v2/_ext/{name}/_delete",
            {
                "POST": Operation(
                    Action.DELETE_MANIFEST, _changing(runtime, details.delete), Admission.IDENTITY
                )
            },
        ),
    ]


def _housekeeping(runtime: Runtime) -> list[Route]:
    """What is done about space, for whom policies let."""
    reclaiming, scrubbing, pruning = Reclaiming(runtime), Scrubbing(runtime), Pruning(runtime)
    return [
        Route(
            "/v2/_ext/_gc",
            {
                "GET": Operation(Action.GET_COLLECTION, reclaiming.get),
                "POST": Operation(Action.RUN_COLLECTION, reclaiming.start),
            },
        ),
        Route(
            "/v2/_ext/_scrub",
            {
                "GET": Operation(Action.GET_SCRUB, scrubbing.get),
                "POST": Operation(Action.RUN_SCRUB, scrubbing.start),
            },
        ),
        Route(
            "/v2/_ext/_prune",
            {
                "GET": Operation(Action.GET_RETENTION, pruning.get),
                "POST": Operation(Action.RUN_RETENTION, pruning.start),
            },
        ),
    ]


def _jobs(runtime: Runtime) -> list[Route]:
    """What is done apart from requests."""
    jobs = Jobs(runtime)
    return [
        Route("/v2/_ext/_jobs", {"GET": Operation(Action.LIST_JOBS, jobs.list)}),
        Route(
            "/v2/_ext/_jobs/{id}",
            {"DELETE": Operation(Action.DELETE_JOB, _changing(runtime, jobs.delete))},
        ),
        Route(
            "/v2/_ext/_jobs/{id}/retry",
            {"POST": Operation(Action.RETRY_JOB, _changing(runtime, jobs.retry))},
        ),
    ]


def _probes(status: Status, readiness: Admission) -> list[Route]:
    """What probes ask: whether the process answers, and whether it is ready."""
    health = {"GET": Operation(Action.HEALTH, status.health, Admission.PUBLIC)}
    return [
        Route("/health", health),
        Route("/healthz", health),
        Route("/readyz", {"GET": Operation(Action.READINESS, status.ready, readiness)}),
    ]
