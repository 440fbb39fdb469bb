"""Cookies of browsers (RFC 6265, and the prefixes of its successor): their names and attributes.

A browser gives the cookies of a host to all of its ports, so the port is part of the name: two
registries on one host do not take each other's. Over TLS nobody but this very host can set one of a
name with `__Host-`, and without TLS nobody can have such a name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

_PREFIX: Final = "__Host-"
_PORT: Final = re.compile(r":([0-9]{1,5})$", re.ASCII)
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
"""32 random bytes in base64url, as all of our secrets are."""


class Cookie(StrEnum):
    """What a browser keeps for us. Neither can be read by a script."""

    SESSION = "angos-session"
    """Who somebody is. Also sent when a link leads here from another site."""
    FORM = "angos-form"
    """What forms of a browser without a session are bound to; never sent with what another site
    begins."""


_SAME_SITE: Final = {Cookie.SESSION: "Lax", Cookie.FORM: "Strict"}


def name_of(cookie: Cookie, url: str | None) -> str:
    """What it is called where a client reaches the registry by this address."""
    address = url or ""
    port = _PORT.search(address)
    name = str(cookie) if port is None else f"{cookie}-{port[1]}"
    return f"{_PREFIX}{name}" if address.startswith("https:") else name


def secret_in(cookies: Mapping[str, str], cookie: Cookie, url: str | None) -> str | None:
    """The secret that a request shows in a cookie; what has another form is none."""
    value = cookies.get(name_of(cookie, url))
    return value if value is not None and _SECRET.fullmatch(value) else None


def kept(cookie: Cookie, url: str | None, secret: str, max_age_secs: int | None = None) -> str:
    """`Set-Cookie` for so long; without a time until the browser is closed."""
    age = "" if max_age_secs is None else f"; Max-Age={max_age_secs}"
    is_secure = "; Secure" if (url or "").startswith("https:") else ""
    attributes = f"Path=/; HttpOnly; SameSite={_SAME_SITE[cookie]}"
    return f"{name_of(cookie, url)}={secret}{age}; {attributes}{is_secure}"


def forgotten(cookie: Cookie, url: str | None) -> str:
    """`Set-Cookie` that ends it."""
    return kept(cookie, url, "", 0)
