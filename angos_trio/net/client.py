"""Outbound HTTP: one GET on a connection of its own, within a deadline and a bound of bytes.

A connection of its own costs 1 ms of the event loop, with TLS 3 ms, and needs nobody who closes it;
one that is kept would save half of that and fail when the other side has just let go of it.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import trio

from angos_trio.limits.callers import ANSWER_HEADER_BYTES_MAX, OUTBOUND_CALLS_MAX
from angos_trio.net.names import use_own_threads

if TYPE_CHECKING:
    import httpx

Headers = Sequence[tuple[str, str]]
_CAUSES_MAX: Final = 16


class NetError(Exception):
    """There is no answer that can be used. The reason is for logs; it has no header and no body."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Names of headers are in lower case; of a repeated one the values are joined
    by commas (RFC 9110 5.3)."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class HttpClient:
    """Asks with the given TLS context. Follows no redirect, and looks at no variable of the
    environment: no proxy, no other certificates, no `.netrc`."""

    def __init__(
        self, tls: ssl.SSLContext, *, timeout_secs: float, calls_max: int = OUTBOUND_CALLS_MAX
    ) -> None:
        # Takes 50 ms: with the configuration that needs it, so that no request waits for it.
        from angos_trio.net import connections  # noqa: F401

        self._tls = tls
        self._timeout_secs = timeout_secs
        self._calls = trio.CapacityLimiter(calls_max)

    async def get(
        self,
        url: str,
        *,
        headers: Headers = (),
        bytes_max: int = 0,
        timeout_secs: float | None = None,
    ) -> Answer:
        """The answer to a GET, whatever its status; with `bytes_max` of 0 its body is not read.

        Values of headers are sent as latin-1. Raises NetError when the name is not known, nobody
        listens, TLS fails, the answer is longer than `bytes_max` or is no HTTP, or when the whole
        takes longer than the client's time, or than `timeout_secs` if that is given.
        """
        secs = self._timeout_secs if timeout_secs is None else timeout_secs
        use_own_threads()
        try:
            with trio.fail_after(secs):
                async with self._calls:
                    return await self._get(url, headers, bytes_max)
        except trio.TooSlowError:
            raise NetError(f"no answer within {secs:g} s") from None

    async def _get(self, url: str, headers: Headers, bytes_max: int) -> Answer:
        import httpx

        from angos_trio.net.connections import TooMuchError, Transport

        try:
            async with Transport(self._tls, bytes_max + ANSWER_HEADER_BYTES_MAX) as transport:
                response = await transport.handle_async_request(_request(url, headers))
                try:
                    return await _read(response, bytes_max)
                finally:
                    await response.aclose()
        except TooMuchError:
            raise NetError(_too_long(bytes_max)) from None
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            httpx.StreamError,
            trio.BrokenResourceError,
            trio.ClosedResourceError,
            OSError,
            UnicodeError,
        ) as error:
            raise NetError(reason_of(error)) from None


def _request(url: str, headers: Headers) -> httpx.Request:
    import httpx

    # `identity`, so that a small answer cannot grow when it is unpacked.
    own = [("Accept-Encoding", "identity"), ("Connection", "close")]
    encoded = [(name.encode("ascii"), value.encode("latin-1")) for name, value in [*own, *headers]]
    return httpx.Request("GET", url, headers=encoded)


async def _read(response: httpx.Response, bytes_max: int) -> Answer:
    body = b""
    if bytes_max > 0:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise NetError("the answer is compressed, which was not asked for")
        # To its end: who leaves the generators of httpx half way leaves them to the collector.
        body = b"".join([part async for part in response.aiter_raw()])
        if len(body) > bytes_max:
            raise NetError(_too_long(bytes_max))
    return Answer(response.status_code, dict(response.headers), body)


def _too_long(bytes_max: int) -> str:
    return f"the answer is longer than {bytes_max} bytes"


def reason_of(error: BaseException) -> str:
    """The first cause that says something, in words for an operator."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the server's certificate is refused: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS fails: {(cause.reason or 'unknown').lower().replace('_', ' ')}"
        if isinstance(cause, socket.gaierror):
            return f"the name cannot be resolved: {cause.strerror}"
        if isinstance(cause, OSError) and cause.errno:
            return f"no connection: {os.strerror(cause.errno)}"
    return f"no HTTP answer ({type(error).__name__})"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it; of a group the first."""
    cause: BaseException | None = error
    for _ in range(_CAUSES_MAX):
        if cause is None:
            return
        yield cause
        inner = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else None
        cause = inner or cause.__cause__ or cause.__context__
