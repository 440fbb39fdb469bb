"""Refusals as pages: what failed, the id of the request, and what can be done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from angos_trio.http.call import Request
from angos_trio.http.challenge import BASIC
from angos_trio.http.reply import Reply
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.names import RepositoryName
from angos_trio.web.frame import Site, show
from angos_trio.web.login import ask_to_sign_in
from angos_trio.web.recipes import recipes_for
from angos_trio.web.words import visible

_CAUSES: Final[dict[int, Sequence[str]]] = {
    401: (
        "Give the user and the password, or the token, that the registry knows you by.",
        "With a client certificate: choose it when the browser asks, and see that it has not "
        "expired.",
    ),
    403: (
        "Ask whoever runs this registry for the right that is named above.",
        "If you came here from another page, open the address by hand.",
    ),
    405: ("This address is there to be looked at only.",),
    429: ("Wait a minute, and try again with the right password.",),
    500: ("Tell whoever runs this registry the id of the request: the log says what happened.",),
    503: (
        "Try again in a moment: the database may be busy, or a disk may not answer.",
        "If it stays so, tell whoever runs this registry the id of the request.",
    ),
    507: ("Space must be freed before anything can be changed; what is here can be pulled.",),
}
_OF_NAMES: Final = (
    "Names are parts with a slash between them. A part has lower-case letters and digits, and "
    "single dots, underscores and dashes inside.",
    "A tag or a digest is on the page of its namespace: leave out what is behind the name.",
)
_HEADINGS: Final = {
    400: "This address cannot be read",
    401: "Sign in to see this",
    403: "You may not see this",
    404: "There is nothing here",
    405: "This cannot be done here",
    429: "Too many attempts",
    503: "The registry is busy",
    507: "The disk is full",
}


def word(site: Site, request: Request, error: OciError, request_id: str) -> Reply:
    """A refusal as a page of its status, with the headers that belong to it."""
    status = error.status
    if status == 401 and "Authorization" not in request.headers:
        return ask_to_sign_in(site, request, error, request_id)
    name = _missing_name(error)
    address = site.address_of(request)
    recipes = None
    if name is not None and address is not None:
        recipes = recipes_for(address, name, needs_login=site.needs_login, is_whole="/" in name)
    causes = _CAUSES.get(status, _CAUSES[500] if status >= 500 else ())
    values = {
        "title": f"{status} · {_heading(status)}",
        "heading": _heading(status),
        "sentence": _sentence(error, name),
        "causes": _OF_NAMES if error.code is Code.NAME_UNKNOWN and name is None else causes,
        "recipes": recipes,
        "name": name,
        "status": f"{status} {error.code}",
        "request_id": request_id,
        "crumbs": [("Repositories", "/"), (str(status), "")],
    }
    reply = show(site, request, "error.html", values, status)
    reply.headers.update(error.headers or {})
    if status == 401:
        # Who showed something in this header is asked for it once more: a browser of its own box
        # forgets what was wrong, and to the challenge of the token flow it has no answer.
        reply.headers["WWW-Authenticate"] = BASIC
    return reply


def _heading(status: int) -> str:
    return _HEADINGS.get(status, "The registry failed" if status >= 500 else "This cannot be done")


def _missing_name(error: OciError) -> RepositoryName | None:
    """The name that was looked for, where something could be pushed there."""
    if error.code is not Code.NAME_UNKNOWN or not isinstance(error.detail, str):
        return None
    try:
        return RepositoryName(error.detail)
    except OciError:
        return None


def _sentence(error: OciError, name: str | None) -> str:
    """What happened, in a sentence; a fault tells nothing but that it is one."""
    if name is not None:
        return f"Nothing was pushed to {name}, or you may not see it."
    if error.code is Code.MANIFEST_UNKNOWN:
        return "No tag and no manifest of this namespace has this name, or you may not see it."
    if error.status == 404:
        return "No repository can have this name, and no other page is here."
    if error.status >= 500:
        return "It is a fault of the registry, which its log tells more about."
    if error.code in (Code.DENIED, Code.UNAUTHORIZED) and isinstance(error.detail, str):
        return f"It takes the right to {visible(error.detail, 80)} here."
    return visible(f"{error.message[:1].upper()}{error.message[1:]}.")
