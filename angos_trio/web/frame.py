"""What stands around every page: whose registry this is, who looks at it, in which theme."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from angos_trio import __version__
from angos_trio.http.call import Request
from angos_trio.http.reply import Reply
from angos_trio.identity import Identity
from angos_trio.web import freshness, rendering, words
from angos_trio.web.places import path_of
from angos_trio.web.recipes import Address
from angos_trio.web.words import Now

THEMES: Final = ("light", "dark")
COOKIE: Final = "theme"
PATH_CHARACTERS_MAX: Final = 4096
"""Of an address that a page repeats: a name, a reference, and a query with all there is."""


@dataclass(frozen=True, slots=True)
class Site:
    """What pages know of the registry as a whole.

    `url_of` is its scheme and authority for whoever sends a request. `needs_login`: callers say
    who they are before they push.
    """

    name: str
    url_of: Callable[[Request], str | None]
    needs_login: bool = False
    now: Callable[[], int] = lambda: 0
    """Epoch seconds."""

    def address_of(self, request: Request) -> Address | None:
        """The registry as commands name it; None when the request does not say."""
        url = self.url_of(request)
        return None if url is None else Address.of(url)


@dataclass(frozen=True, slots=True)
class Frame:
    """As the templates see it. `next` is where the page itself is; `who` is empty for strangers,
    `theme` where the system decides."""

    site: str
    version: str
    host: str
    theme: str
    next: str
    who: str = ""
    method: str = ""
    is_home: bool = False


def frame_of(site: Site, request: Request, identity: Identity | None = None) -> Frame:
    """The frame of a page; without an identity, of one that is for nobody in particular."""
    address = site.address_of(request)
    theme = request.cookies.get(COOKIE, "")
    known = identity is not None and identity.subject
    return Frame(
        site=words.visible(site.name),
        version=__version__,
        host="" if address is None else address.host,
        theme=theme if theme in THEMES else "",
        next=_here(request),
        who=words.visible(identity.subject, 80) if identity is not None and known else "",
        method=identity.method if identity is not None else "",
        is_home=request.scope["raw_path"] == b"/",
    )


def _here(request: Request) -> str:
    path: str = request.scope["raw_path"].decode("latin-1")
    query: str = request.scope["query_string"].decode("latin-1")
    return own_path(f"{path}?{query}" if query else path)


def own_path(text: str) -> str:
    """An address on this site, or its front page: never one that leads to another site.

    Browsers read `//host` and `/\\host` as the address of a host.
    """
    try:
        parts = urlsplit(text)
    except ValueError:
        return "/"
    if len(text) > PATH_CHARACTERS_MAX:
        return "/"
    is_plain = text.isascii() and text.isprintable() and "\\" not in text and " " not in text
    if parts.scheme or parts.netloc or not is_plain:
        return "/"
    return text if text.startswith("/") and not text.startswith("//") else "/"


def show(
    site: Site, request: Request, template: str, values: Mapping[str, object], status: int = 200
) -> Reply:
    """A page. `values` are those of the template; a frame among them is used. A `mark` among them
    is all that the page is made from, and gives it an entity tag."""
    now = Now(site.now())
    around = {"notices": (), "crumbs": (), "live": None, "now": now, **values}
    around.setdefault("frame", frame_of(site, request))
    reply = rendering.page(template, around, status=status, url=site.url_of(request))
    if mark := around.get("mark"):
        reply.headers["ETag"] = freshness.tag_of(str(mark), now)
    return reply


def crumbs_to(name: str, owner: str) -> list[tuple[str, str]]:
    """The way to a name: text and address of each step, the last without one."""
    steps: list[tuple[str, str]] = [("Repositories", "/")]
    if name != owner:
        steps.append((owner, path_of(owner)))
    rest = name.removeprefix(owner).strip("/").split("/") if name != owner else []
    steps += [
        (rest[count - 1], path_of("/".join([owner, *rest[:count]])))
        for count in range(1, len(rest))
    ]
    steps.append((rest[-1] if rest else name, ""))
    return steps
