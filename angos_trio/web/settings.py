"""What somebody chooses about pages, kept by their browser in cookies: no more than a word each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.web import headers
from angos_trio.web.forms import read_form
from angos_trio.web.frame import COOKIE, THEMES, own_path

_YEAR_SECS: Final = 365 * 86_400
CHOICES: Final[Mapping[str, Sequence[str]]] = {
    COOKIE: THEMES,
    "times": ("absolute",),
    "keys": ("off",),
}
"""Of each setting the words that are kept; any other takes it back."""


async def choose(call: Call) -> Reply:
    """POST: keep a setting, or forget it; then back to the page that the form is on.

    These forms are on every page and need no token: they change nothing here, nor who may do what,
    and a cookie for each visitor would cost more than it saves. Other origins are refused all the
    same.
    """
    form = await read_form(call)
    reply = Reply(303, {"Location": own_path(form.one("next") or "/"), **headers.PAGE})
    for name, kept in CHOICES.items():
        chosen = form.one(name)
        if chosen:
            value = f"{chosen}; Max-Age={_YEAR_SECS}" if chosen in kept else "; Max-Age=0"
            reply.cookies.append(f"{name}={value}; Path=/; SameSite=Lax; HttpOnly")
    return reply
