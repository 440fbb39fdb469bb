"""Every path of the web interface with its action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from angos_trio.http.call import Call
from angos_trio.http.reply import Reply, json_reply
from angos_trio.http.routing import Admission, Match, Operation, Pages, Route
from angos_trio.identity import Action
from angos_trio.oci.codes import Code, OciError
from angos_trio.registry.context import Registry
from angos_trio.web import errors, headers, login
from angos_trio.web.assets import FOLDER, assets
from angos_trio.web.deletes import PATH as DELETE
from angos_trio.web.deletes import Deletes
from angos_trio.web.forms import FormHandler, Posted, posted
from angos_trio.web.frame import Site
from angos_trio.web.house_routes import house_routes
from angos_trio.web.live import Handler, following
from angos_trio.web.manifests import Manifests
from angos_trio.web.me import Me
from angos_trio.web.pages import Pages as Handlers
from angos_trio.web.places import BROWSE, Place, View, resolve
from angos_trio.web.tag_history import PATH as POINT
from angos_trio.web.tag_history import Points
from angos_trio.web.uploads import PATH as UPLOADS
from angos_trio.web.uploads import Uploads


def build_pages(registry: Registry, site: Site) -> tuple[list[Route], Pages]:
    """Routes at fixed paths, and pages at those that begin with a name."""
    handlers, word = Handlers(registry, site), partial(errors.word, site)
    entrance = login.Login(site)
    manifests = Manifests(registry, site)

    def live(action: Action, handler: Handler) -> Operation:
        return Operation(action, following(registry, handler))

    def page(template: str, operation: Operation) -> Route:
        return Route(template, {"GET": operation}, word)

    home = live(Action.LIST_REPOSITORIES, handlers.home)
    by_view: Mapping[View, Route] = {
        View.REPOSITORY: page("/{repository}", live(Action.LIST_NAMESPACES, handlers.repository)),
        View.NAMESPACE: page("/{name}", live(Action.LIST_TAGS, handlers.namespace)),
        View.MANIFEST: page("/{name}:{reference}", live(Action.GET_MANIFEST, manifests.show)),
        View.MOVED: page("/{name}/", Operation(Action.UI_ASSET, _moved, Admission.PUBLIC)),
        View.UNKNOWN: page("/{unknown}", Operation(Action.UI_ASSET, _nothing, Admission.PUBLIC)),
    }

    def find(segments: Sequence[str] | None) -> Match | None:
        place = resolve(segments, registry.tag_rules.by_repository)
        if place is None:
            return None
        if place.view is View.REPOSITORIES:
            return Match(page(BROWSE, home), {})
        route = by_view.get(place.view, by_view[View.UNKNOWN])
        return Match(route, _values(place))

    fixed = [
        page("/", home),
        page(BROWSE, home),
        page("/_ui/config", Operation(Action.UI_CONFIG, partial(_config, site))),
        Route(login.PATH, _login_of(site, entrance), word),
        Route(login.SIGNED_OUT, _logout_of(site, entrance), word),
        page("/_ui/me", Operation(Action.GET_ME, Me(registry, site).show, Admission.IDENTITY)),
        *house_routes(registry, site, word),
        Route(f"{FOLDER}/{{file}}", {"GET": Operation(Action.UI_ASSET, _asset, Admission.PUBLIC)}),
        *_doing(registry, site),
    ]
    return fixed, Pages(tuple(by_view.values()), find)


def _login_of(site: Site, entrance: login.Login) -> Mapping[str, Operation]:
    form = Posted(Action.UI_ASSET, entrance.sign_in, Admission.PUBLIC, entrance.not_sent)
    return {
        "GET": Operation(Action.UI_ASSET, entrance.form, Admission.PUBLIC),
        "POST": posted(site, form),
    }


def _logout_of(site: Site, entrance: login.Login) -> Mapping[str, Operation]:
    form = Posted(Action.UI_ASSET, entrance.sign_out, Admission.PUBLIC)
    return {
        "GET": Operation(Action.UI_ASSET, entrance.signed_out, Admission.PUBLIC),
        "POST": posted(site, form),
    }


def _doing(registry: Registry, site: Site) -> list[Route]:
    """What people do on pages. Forms name what they are about in their bodies, so their handlers
    ask the policies about each."""
    word = partial(errors.word, site)
    deletes, uploads = Deletes(registry, site), Uploads(registry, site)

    def form(action: Action, handler: FormHandler) -> Operation:
        return posted(site, Posted(action, handler, Admission.IDENTITY))

    look = Operation(Action.DELETE_MANIFEST, deletes.look, Admission.IDENTITY)
    return [
        Route(DELETE, {"GET": look, "POST": form(Action.DELETE_MANIFEST, deletes.delete)}, word),
        Route(
            UPLOADS,
            {
                "GET": Operation(Action.LIST_UPLOADS, uploads.show),
                "POST": form(Action.CANCEL_UPLOAD, uploads.cancel),
            },
            word,
        ),
        Route(POINT, {"POST": form(Action.PUT_MANIFEST, Points(registry, site).point)}, word),
    ]


def _values(place: Place) -> Mapping[str, str]:
    if place.view in (View.REPOSITORY, View.NAMESPACE) and place.name is not None:
        return {"name": place.name}
    if place.view is View.MANIFEST and place.name is not None:
        values = {"name": str(place.name), "reference": str(place.reference)}
        is_pinned = place.pinned is not None and place.pinned != place.reference
        return values | ({"pinned": str(place.pinned)} if is_pinned else {})
    return {"location": place.location} if place.location else {}


async def _config(site: Site, call: Call) -> Reply:
    """GET: what the contract has: the name of the registry."""
    reply = json_reply(200, {"name": site.name})
    reply.headers.update(headers.page_headers(site.url_of(call.request)))
    return reply


async def _asset(call: Call) -> Reply:
    """GET: a file, under a name that has its hash in it."""
    found = assets().by_name.get(call.values["file"])
    if found is None:
        raise OciError(Code.NAME_UNKNOWN, message="no such path", detail=call.values["file"])
    return Reply(200, {"Content-Type": found.media_type, **headers.ASSET}, found.content)


async def _moved(call: Call) -> Reply:
    """GET: the same address without empty segments."""
    query = call.request.scope["query_string"].decode("latin-1")
    location = call.values["location"]
    return Reply(308, {"Location": f"{location}?{query}" if query else location, **headers.PAGE})


async def _nothing(call: Call) -> Reply:
    """GET: a path that no name can have."""
    detail = call.request.scope["raw_path"].decode("latin-1")
    raise OciError(Code.NAME_UNKNOWN, message="no such path", detail=detail)
