"""Signing in and out: a credential that is shown once becomes a session of the browser."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

from angos_trio.http.call import Call, Request
from angos_trio.http.challenge import LOGIN
from angos_trio.http.cookies import Cookie, forgotten, kept, secret_in
from angos_trio.http.front import SAFE_METHODS
from angos_trio.http.reply import Reply
from angos_trio.limits.callers import TOKEN_CHARACTERS_MAX
from angos_trio.limits.requests import LOGIN_CHARACTERS_MAX
from angos_trio.oci.codes import TABLE, Code, OciError
from angos_trio.records import Frozen, replace
from angos_trio.telemetry.log import logger
from angos_trio.web.form_tokens import Stamp
from angos_trio.web.forms import Form
from angos_trio.web.frame import Site, frame_of, own_path, show
from angos_trio.web.headers import page_headers

_audit = logger("audit")
PATH: Final = "/_ui/login"
SIGNED_OUT: Final = "/_ui/logout"
_UNTOLD: Final = TABLE[Code.UNAUTHORIZED].message
_WRONG_PASSWORD: Final = "The user or the password is not right."
_WRONG_TOKEN: Final = "This token does not count here: see that it is whole, and of this provider."
_NOT_SENT: Final = (
    "Nothing was sent: the form was made for another sign-in, or before the registry was started "
    "anew. Try again; if this comes again, the browser may refuse cookies of this site."
)
_HINTS: Final = {
    "the token has expired": "Get a new one.",
    "the token is not valid yet": "The clocks of its provider and of this registry may differ.",
    "the token is for another audience": "Ask its provider for one that is for this registry.",
    "the token is of another issuer": "Choose the provider that gave it.",
    "the session has ended": "Sign in again to come back to this page.",
}


class Problem(Frozen):
    """Why nobody is signed in, with what was typed that need not be typed again."""

    sentence: str
    status: int = 401
    user: str = ""
    provider: str = ""
    headers: Mapping[str, str] | None = None


class Login:
    """Handlers of signing in and out."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def form(self, call: Call) -> Reply:
        """GET: the forms."""
        after = next(iter(reversed(call.query.all("next"))), "/")
        return login_page(self._site, call.request, own_place(after))

    async def sign_in(self, call: Call, form: Form) -> Reply:
        """POST: whoever shows a credential that counts has a session from now on."""
        after = own_place(form.one("next"))
        try:
            authorization = authorization_of(form)
            if authorization is None:
                raise OciError(Code.UNAUTHORIZED)
            return await self._begin(call, authorization, after)
        except OciError as error:
            if error.status >= 500:
                raise
            return login_page(self._site, call.request, after, problem_of(error, form))

    async def _begin(self, call: Call, authorization: str, after: str) -> Reply:
        """The credential goes the way of all others, with the same limits. What the browser was
        known by before is good for nothing from now on."""
        sign_in, url = self._site.sign_in, self._site.url_of(call.request)
        identity = await call.identify(authorization)
        begun = None if sign_in is None else await sign_in.begin(identity)
        if sign_in is None or begun is None:
            raise OciError(Code.UNAUTHORIZED)
        before = secret_in(call.request.cookies, Cookie.SESSION, url)
        if before is not None:
            await sign_in.end(before)
        _audit.info(
            "browser.signed_in",
            request_id=call.request_id,
            address=identity.address,
            identity=identity.owner,
            secs=begun.secs,
        )
        cookie = kept(Cookie.SESSION, url, begun.secret, begun.secs)
        return Reply(303, {"Location": after, **page_headers(url)}, cookies=[cookie])

    async def sign_out(self, call: Call, form: Form) -> Reply:
        """POST: the session ends here and in the browser."""
        url = self._site.url_of(call.request)
        secret = secret_in(call.request.cookies, Cookie.SESSION, url)
        if secret is not None and self._site.sign_in is not None:
            was_there = await self._site.sign_in.end(secret)
            _audit.info("browser.signed_out", request_id=call.request_id, was_there=was_there)
        cookie = forgotten(Cookie.SESSION, url)
        return Reply(303, {"Location": SIGNED_OUT, **page_headers(url)}, cookies=[cookie])

    async def signed_out(self, call: Call) -> Reply:
        """GET: what a browser sees after it."""
        values = {"title": "Signed out", "crumbs": [("Repositories", "/"), ("Signed out", "")]}
        return show(self._site, call.request, "logout.html", values)

    def not_sent(self, call: Call, form: Form) -> Reply:
        """The forms once more, for a form without a token that counts; no password is repeated."""
        problem = Problem(_NOT_SENT, 403, form.one("user")[:LOGIN_CHARACTERS_MAX])
        return login_page(self._site, call.request, own_place(form.one("next")), problem)


def authorization_of(form: Form) -> str | None:
    """What a client would show for this: Basic, with the provider's name as the user of a token.

    None where a field is empty or longer than what it is for; so nothing is ever shown of nobody.
    """
    provider = form.one("provider")
    if provider:
        user, secret = provider, "".join(form.one("token").split())
    else:
        user, secret = form.one("user"), form.one("password")
    is_plain = ":" not in user and len(user) <= LOGIN_CHARACTERS_MAX
    if not user or not secret or not is_plain or len(secret) > TOKEN_CHARACTERS_MAX:
        return None
    return f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"


def problem_of(error: OciError, form: Form) -> Problem:
    """What may be said of a refusal: of a token why, of a password nothing."""
    provider = form.one("provider")[:LOGIN_CHARACTERS_MAX]
    if error.status == 429:
        secs = error.headers.get("Retry-After", "60")
        sentence = f"Too many attempts have failed. Try again in {secs} seconds."
    elif error.message != _UNTOLD:
        sentence = told(error.message)
    else:
        sentence = _WRONG_TOKEN if provider else _WRONG_PASSWORD
    user = form.one("user")[:LOGIN_CHARACTERS_MAX]
    return Problem(sentence, error.status, user, provider, error.headers)


def told(message: str) -> str:
    """What the authenticator lets a caller know, as a sentence with a way on."""
    return f"{message[:1].upper()}{message[1:]}. {_HINTS.get(message, '')}".strip()


def login_page(
    site: Site,
    request: Request,
    after: str,
    problem: Problem | None = None,
    values: Mapping[str, object] | None = None,
) -> Reply:
    """The forms, and what was wrong. The challenge is one that browsers show a page for."""
    sign_in = site.sign_in
    around = {
        "title": "Sign in",
        "after": after,
        "problem": problem,
        "has_passwords": sign_in is not None and sign_in.has_passwords,
        "providers": () if sign_in is None else sign_in.providers,
        "has_ended": False,
        "sentence": "",
        "request_id": "",
        "crumbs": [("Repositories", "/"), ("Sign in", "")],
        **(values or {}),
    }
    status = 200 if problem is None else problem.status
    reply = show(site, request, "login.html", around, status)
    if problem is not None:
        reply.headers.update(problem.headers or {})
    if status == 401:
        reply.headers["WWW-Authenticate"] = LOGIN
    return reply


def ask_to_sign_in(site: Site, request: Request, error: OciError, request_id: str) -> Reply:
    """401 as a page: the forms, which lead back to the page that was asked for.

    A session that has ended is taken out of the browser, so that it can go on as nobody.
    """
    has_ended = (error.headers or {}).get("WWW-Authenticate") == LOGIN
    url = site.url_of(request)
    frame = frame_of(site, request)
    stamp = Stamp.anew(site.form_key, url) if has_ended else frame.stamp
    frame = replace(frame, stamp=stamp, has_session=False, offers_sign_in=False)
    after = own_place(frame.next if request.method in SAFE_METHODS else frame.back)
    problem = Problem("" if error.message == _UNTOLD else told(error.message))
    values = {
        "sentence": "This page is for those whom the registry knows.",
        "request_id": request_id,
        "has_ended": has_ended,
        "frame": frame,
    }
    reply = login_page(site, request, after, problem, values)
    if has_ended:
        reply.cookies.append(forgotten(Cookie.SESSION, url))
    return reply


def own_place(text: str) -> str:
    """A page of ours to go to after signing in; never one of signing in or out."""
    path = own_path(text)
    return "/" if path.startswith((PATH, SIGNED_OUT)) else path
