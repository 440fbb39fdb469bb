"""What stands around every page: whose registry this is, who looks at it, in which theme."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import trio

from angos_trio import __version__
from angos_trio.auth.browser_sessions import SignIn
from angos_trio.http.call import Request
from angos_trio.http.cookies import Cookie, secret_in
from angos_trio.http.front import SAFE_METHODS
from angos_trio.http.reply import Reply
from angos_trio.identity import Identity
from angos_trio.oci.names import RepositoryName
from angos_trio.records import Frozen, field
from angos_trio.registry.pull import Source
from angos_trio.web import freshness, rendering, words
from angos_trio.web.form_tokens import Stamp
from angos_trio.web.house import House
from angos_trio.web.places import path_of
from angos_trio.web.recipes import Address
from angos_trio.web.words import Now

THEMES: Final = ("light", "dark")
COOKIE: Final = "theme"
PATH_CHARACTERS_MAX: Final = 4096
"""Of an address that a page repeats: a name, a reference, and a query with all there is."""


def _none_but_pushes(name: RepositoryName) -> Sequence[Source]:
    return ()


class Site(Frozen):
    """What pages know of the registry as a whole.

    `url_of` is its scheme and authority for whoever sends a request. `needs_login`: callers say
    who they are before they push.
    """

    name: str
    url_of: Callable[[Request], str | None]
    needs_login: bool = False
    has_webhooks: bool = False
    """What callers may do is not decided by the policies alone."""
    now: Callable[[], int] = lambda: 0
    """Epoch seconds."""
    form_key: bytes = b""
    """What tokens of forms are made with; the same in each process of the registry."""
    sign_in: SignIn | None = None
    """What lets people sign in; None: nothing does."""
    sources: Callable[[RepositoryName], Sequence[Source]] = _none_but_pushes
    """From where a namespace's content comes, besides from those who push."""
    house: House | None = None
    """What pages about the whole registry need; those alone."""
    renders: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(1))
    """So many pages are made at once."""

    @property
    def home(self) -> House:
        """The same for pages that are served with it."""
        if self.house is None:
            raise RuntimeError("these pages are served without the registry that they are about")
        return self.house

    def address_of(self, request: Request) -> Address | None:
        """The registry as commands name it; None when the request does not say."""
        url = self.url_of(request)
        return None if url is None else Address.of(url)


class NavLink(Frozen):
    """A place of the header; `key` goes there, behind a `g`."""

    text: str
    href: str
    key: str


class Frame(Frozen):
    """As the templates see it. `next` is where the page itself is, `back` where the browser came
    from; `who` is empty for strangers, `theme` where the system decides. `links` are the places of
    the header, `finds` whether there is a box that finds; times are exact if they are absolute, and
    keys do something if `has_keys`."""

    site: str
    version: str
    host: str
    theme: str
    next: str
    back: str
    stamp: Stamp
    who: str = ""
    method: str = ""
    has_session: bool = False
    """The browser signed in here, or says so where nobody looked at it."""
    offers_sign_in: bool = False
    here: str = ""
    """The path alone."""
    links: tuple[NavLink, ...] = (NavLink("Repositories", "/", "r"),)
    finds: bool = False
    is_absolute: bool = False
    has_keys: bool = True

    def form_token(self) -> str:
        """For a form of this page."""
        return self.stamp.token()


def frame_of(site: Site, request: Request, identity: Identity | None = None) -> Frame:
    """The frame of a page; without an identity, of one that is for nobody in particular."""
    address = site.address_of(request)
    theme = request.cookies.get(COOKIE, "")
    known = identity is not None and identity.subject
    url, path = site.url_of(request), request.scope["raw_path"]
    has_session = secret_in(request.cookies, Cookie.SESSION, url) is not None
    is_stranger = not known and not has_session and "Authorization" not in request.headers
    has_forms = site.sign_in is not None and site.sign_in.is_there
    return Frame(
        site=words.visible(site.name),
        version=__version__,
        host="" if address is None else address.host,
        theme=theme if theme in THEMES else "",
        next=_here(request) if request.method in SAFE_METHODS else back_of(site, request),
        back=back_of(site, request),
        stamp=Stamp.of(site.form_key, request, url),
        who=words.visible(identity.subject, 80) if identity is not None and known else "",
        method=method_of(identity) if identity is not None and known else "",
        has_session=has_session and "Authorization" not in request.headers,
        offers_sign_in=is_stranger and has_forms and not path.startswith(b"/_ui/log"),
        here=path.decode("latin-1"),
        is_absolute=request.cookies.get("times") == "absolute",
        has_keys=request.cookies.get("keys") != "off",
    )


def method_of(identity: Identity) -> str:
    """By what somebody is known, in words."""
    if identity.grant is not None:
        return f"the API key {words.visible(identity.grant.name, 80)}"
    if identity.method == "oidc":
        return f"a token of {words.visible(identity.provider, 80)}"
    return {"basic": "a password", "certificate": "a client certificate"}.get(
        identity.method, identity.method
    )


def _here(request: Request) -> str:
    path: str = request.scope["raw_path"].decode("latin-1")
    query: str = request.scope["query_string"].decode("latin-1")
    return own_path(f"{path}?{query}" if query else path)


def back_of(site: Site, request: Request) -> str:
    """The page of ours that a request comes from, or the front page."""
    url, referer = site.url_of(request), request.headers.get("Referer", "")
    if url is None or not referer.startswith(f"{url}/"):
        return "/"
    return own_path(referer.removeprefix(url))


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
    frame = around.setdefault("frame", frame_of(site, request))
    reply = rendering.page(template, around, status=status, url=site.url_of(request))
    if mark := around.get("mark"):
        reply.headers["ETag"] = freshness.tag_of(str(mark), now)
    if isinstance(frame, Frame):
        reply.cookies += frame.stamp.cookies()
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
