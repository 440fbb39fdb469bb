"""What somebody chooses about pages, kept by their browser in cookies: no more than a word each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from angos_trio.http.body import BodyTooLargeError
from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.limits import THEME_FORM_BYTES_MAX
from angos_trio.web import headers
from angos_trio.web.frame import own_path

_YEAR_SECS: Final = 365 * 86_400
CHOICES: Final[Mapping[str, tuple[str, str]]] = {
    "times": ("absolute", "relative"),
    "keys": ("off", "on"),
}
"""Of each setting the word that is kept, and the one that takes it back."""


async def choose(call: Call) -> Reply:
    """POST: keep a setting, or forget it; then back to the page that the form is on."""
    try:
        body = await call.read_body(THEME_FORM_BYTES_MAX)
        form = dict(parse_qsl(body.decode(), max_num_fields=8))
    except (ValueError, BodyTooLargeError):
        form = {}
    reply = Reply(303, {"Location": own_path(form.get("next", "/")), **headers.PAGE})
    for name, (kept, _) in CHOICES.items():
        if name in form:
            value = f"{kept}; Max-Age={_YEAR_SECS}" if form[name] == kept else "; Max-Age=0"
            reply.headers["Set-Cookie"] = f"{name}={value}; Path=/; SameSite=Lax; HttpOnly"
            break
    return reply
