"""Tokens of forms: only a page that we made, for this very browser, can send one of our forms.

A token is the HMAC of what the browser is known by: its session, or a random cookie where there is
none. It is masked anew in each page, so that nothing in a compressed page stays the same (BREACH).
The gate refuses other origins already; this holds also where a browser does not say whose page
sends a form.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final

from angos_trio.http.call import Request
from angos_trio.http.cookies import Cookie, kept, secret_in

FIELD: Final = "form_token"
"""The input of each form that is sent by POST."""
_BYTES: Final = 32


def make_token(key: bytes, binding: str) -> str:
    """A token for a browser, under the key of this registry."""
    mask = secrets.token_bytes(_BYTES)
    return base64.urlsafe_b64encode(mask + _masked(mask, _code(key, binding))).decode()


def is_token(key: bytes, binding: str, text: str) -> bool:
    """Whether a token was made for this browser."""
    try:
        content = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return False
    code = _masked(content[:_BYTES], content[_BYTES:])
    return len(content) == 2 * _BYTES and hmac.compare_digest(code, _code(key, binding))


def _code(key: bytes, binding: str) -> bytes:
    return hmac.digest(key, f"form of {binding}".encode(), hashlib.sha256)


def _masked(mask: bytes, content: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(mask, content, strict=False))


def binding_of(request: Request, url: str | None) -> str | None:
    """What the browser of a request is known by; None for one that has nothing yet."""
    for cookie in Cookie:
        secret = secret_in(request.cookies, cookie, url)
        if secret is not None:
            return f"{cookie} {secret}"
    return None


@dataclass(slots=True)
class Stamp:
    """Gives tokens to the forms of one page."""

    key: bytes
    url: str | None
    binding: str
    fresh: str | None = None
    """A secret that the browser does not have yet."""
    is_used: bool = field(default=False, init=False)

    @classmethod
    def of(cls, key: bytes, request: Request, url: str | None) -> Stamp:
        """For the browser that asks for the page."""
        binding = binding_of(request, url)
        return cls.anew(key, url) if binding is None else cls(key, url, binding)

    @classmethod
    def anew(cls, key: bytes, url: str | None) -> Stamp:
        """For a browser that has nothing yet, or will not have it any more."""
        fresh = secrets.token_urlsafe(_BYTES)
        return cls(key, url, f"{Cookie.FORM} {fresh}", fresh)

    def token(self) -> str:
        """A token for a form."""
        self.is_used = True
        return make_token(self.key, self.binding)

    def cookies(self) -> list[str]:
        """`Set-Cookie` that goes with the page; nothing where no form needs it."""
        if self.fresh is None or not self.is_used:
            return []
        return [kept(Cookie.FORM, self.url, self.fresh)]
