"""What every answer to a browser says about itself, so that nothing foreign runs in it.

No page has a script, a style or an address of another origin in it: `style` attributes, too, are
blocked. Text never becomes HTML in a browser: Trusted Types refuse it.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

_POLICY: Final = (
    *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:"),
    *("connect-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"),
    *("require-trusted-types-for 'script'", "trusted-types 'none'"),
)
_DENIED: Final = (
    *("accelerometer", "camera", "geolocation", "gyroscope", "magnetometer"),
    *("microphone", "payment", "usb"),
)
PAGE: Final = MappingProxyType(
    {
        "Content-Security-Policy": "; ".join(_POLICY),
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": ", ".join(
            [*(f"{feature}=()" for feature in _DENIED), "clipboard-write=(self)"]
        ),
        "Cache-Control": "private, no-cache",
    }
)
ASSET: Final = MappingProxyType(
    {
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "public, max-age=31536000, immutable",
    }
)
_STRICT_TRANSPORT: Final = "max-age=86400"
"""A day: the name of a host in a laboratory is often that of other services too, without TLS."""


def page_headers(url: str | None) -> dict[str, str]:
    """The headers of a page at an address: over TLS a browser is told to stay with that."""
    headers = dict(PAGE)
    if url is not None and url.startswith("https://"):
        headers["Strict-Transport-Security"] = _STRICT_TRANSPORT
    return headers
