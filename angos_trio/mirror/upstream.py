"""One registry that is pulled through: how it is asked, shown who we are, and left alone."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urljoin, urlsplit

import trio

from angos_trio.clock import epoch_seconds
from angos_trio.limits.mirror import (
    EXCHANGE_RECEIVE_BYTES,
    REST_SECS,
    REST_SECS_MAX,
    TOO_MANY_REST_SECS,
)
from angos_trio.mirror.challenge import parse_challenges
from angos_trio.mirror.failures import NotThere, UpstreamError
from angos_trio.mirror.reach import may_be_sent_to, place_of
from angos_trio.mirror.tokens import Credential, Tokens
from angos_trio.net.addresses import Address, is_public, may_ask
from angos_trio.net.client import NetError
from angos_trio.net.exchange import Asked, Exchange, SilentError, Waits, exchange
from angos_trio.oci.media_types import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from angos_trio.records import Frozen
from angos_trio.telemetry.log import logger

_log = logger("mirror")
ACCEPT: Final = ", ".join((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST))
"""Everything that the registry stores; without it some registries convert to schema 1."""
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_GONE: Final = frozenset({404, 410})
Headers = Sequence[tuple[str, str]]
WAITS: Final = Waits(connect_secs=30, silence_secs=300)


class UpstreamSettings(Frozen):
    """What the configuration says of an upstream. `url` may have a path, which comes before the
    names of its repositories; `bytes_per_sec` is for all of its answers together."""

    url: str
    credential: Credential
    redirects_max: int = 5
    waits: Waits = WAITS
    connections_max: int = 16
    bytes_per_sec: int | None = None

    @property
    def host(self) -> str:
        """What it is called in logs, metrics and pages."""
        return urlsplit(self.url).netloc

    def path_of(self, name: str) -> str:
        """The path of a repository there, or empty where its name is: `/v2/prefix/name`."""
        prefix = urlsplit(self.url).path.strip("/")
        prefix = "" if prefix == "v2" else prefix.removeprefix("v2/")
        return "/".join(part for part in ("/v2", prefix, name) if part)

    def repository_of(self, name: str) -> str:
        """The name of a repository there, for the scope of a token."""
        return self.path_of(name).removeprefix("/v2").strip("/")


class Throttle:
    """Lets so many bytes pass in a second, whoever they are for."""

    def __init__(self, bytes_per_sec: int | None) -> None:
        self._rate = bytes_per_sec
        self._free_at = 0.0

    async def wait(self) -> None:
        """Wait until more may come."""
        if self._rate is not None:
            await trio.sleep_until(self._free_at)

    def at_once(self, bytes_max: int) -> int:
        """How many of so many bytes may come without a wait: a second's, so that the other side
        never finds us asleep for long."""
        return bytes_max if self._rate is None else max(1, min(bytes_max, self._rate))

    def note(self, count: int) -> None:
        """So many bytes have come."""
        if self._rate is not None:
            self._free_at = max(self._free_at, trio.current_time()) + count / self._rate


class Upstream:
    """Asks one upstream. What it remembers, tokens and how it does, is this process's."""

    def __init__(
        self,
        settings: UpstreamSettings,
        tls: ssl.SSLContext,
        tls_elsewhere: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tls` may show a client certificate; `tls_elsewhere`, for where the upstream sends us,
        shows none."""
        self.settings = settings
        self._tls = tls
        self._tls_elsewhere = tls_elsewhere or tls
        self._clock = clock
        self._connections = trio.CapacityLimiter(settings.connections_max)
        self._throttle = Throttle(settings.bytes_per_sec)
        self._tokens = Tokens(settings.credential, self._fetch_token, clock)
        self._is_public = False
        self._rests_until = 0.0
        self._rests_for: UpstreamError | None = None

    @property
    def problem(self) -> str | None:
        """Why it is left alone now; None while it is asked."""
        return self._rests_for.reason if self._rest_secs() > 0 and self._rests_for else None

    def _rest_secs(self) -> float:
        return self._rests_until - self._clock()

    @asynccontextmanager
    async def asked(
        self, method: str, name: str, rest: str, accept: str = "*/*", more: Headers = ()
    ) -> AsyncIterator[Exchange]:
        """The answer to a request about one of its repositories: 200, or 206 to a range.

        Raises NotThere for what it does not have, else UpstreamError.
        """
        await self._take_connection()
        try:
            answer = await self.ask(method, name, rest, accept, more)
            try:
                yield answer
            finally:
                answer.close()
        finally:
            self._connections.release()

    async def _take_connection(self) -> None:
        """Wait for one of those that may be open at once, as long as for a connection."""
        with trio.move_on_after(self.settings.waits.connect_secs) as waiting:
            await self._connections.acquire()
        if waiting.cancelled_caught:
            host = self.settings.host
            raise UpstreamError(f"{host}: all connections to it are taken", status=503)

    async def ask(
        self, method: str, name: str, rest: str, accept: str = "*/*", more: Headers = ()
    ) -> Exchange:
        """The same for who closes the answer. Counts against no limit of connections."""
        self._refuse_while_it_rests()
        url = urljoin(self.settings.url, f"{self.settings.path_of(name)}/{rest}")
        scope = f"repository:{self.settings.repository_of(name)}:pull"
        headers = [("Accept", accept), *more]
        try:
            answer = await self._authorized(method, url, headers, scope)
        except NetError as error:
            raise self._rest(self._failed(error), REST_SECS) from None
        if answer.status in (200, 206):
            return answer
        answer.close()
        raise self._refusal(answer)

    async def receive(self, answer: Exchange, bytes_max: int = EXCHANGE_RECEIVE_BYTES) -> bytes:
        """What comes next of an answer's body, no faster than is wanted; nothing is lost by being
        cancelled. Raises UpstreamError."""
        await self._throttle.wait()
        try:
            part = await answer.receive(self._throttle.at_once(bytes_max))
        except NetError as error:
            raise self._failed(error) from None
        self._throttle.note(len(part))
        return part

    async def read(self, answer: Exchange, bytes_max: int) -> bytes:
        """A whole body. Raises UpstreamError, also where it is longer than that."""
        try:
            body = await answer.read(bytes_max)
        except NetError as error:
            raise self._failed(error) from None
        self._throttle.note(len(body))
        return body

    async def _authorized(self, method: str, url: str, headers: Headers, scope: str) -> Exchange:
        known = self._tokens.known(scope)
        answer = await self._followed(method, url, headers, known)
        if answer.status != 401:
            return answer
        answer.close()
        self._tokens.forget(scope)
        challenges = parse_challenges(answer.headers.get("www-authenticate", ""))
        authorization = await self._tokens.answer(challenges, scope)
        if authorization is None:
            return answer
        return await self._followed(method, url, headers, authorization)

    async def _followed(
        self, method: str, url: str, headers: Headers, authorization: str | None
    ) -> Exchange:
        """Ask, and go where the answer sends us, so many times. A credential stays at its place."""
        home = place_of(url)
        for hop in range(self.settings.redirects_max + 1):
            shown = [("Authorization", authorization)] if authorization else []
            at_home = place_of(url) == home
            asked = Asked(method, url, [*headers, *(shown if at_home else [])])
            answer = await self._exchange(asked, is_chosen=hop == 0)
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or location is None:
                return answer
            answer.close()
            url = self._redirected(url, location)
        raise UpstreamError(f"{self.settings.host} redirects too often")

    def _redirected(self, url: str, location: str) -> str:
        try:
            target = urljoin(url, location)
            scheme, host, _ = place_of(target)
        except ValueError:
            scheme = host = ""
        if scheme not in ("http", "https") or not host or not target.isascii():
            raise UpstreamError(f"{self.settings.host} redirects to no address")
        if scheme == "http" and place_of(url)[0] == "https":
            raise UpstreamError(f"{self.settings.host} redirects from https to http")
        return target

    async def _exchange(self, asked: Asked, *, is_chosen: bool) -> Exchange:
        """`is_chosen`: by the operator, and not by what an upstream said."""

        def allows(address: Address) -> bool:
            if is_chosen:
                return may_ask(address)
            return may_be_sent_to(address, from_public=self._is_public)

        is_home = place_of(asked.url) == place_of(self.settings.url)
        tls = self._tls if is_home else self._tls_elsewhere
        answer = await exchange(asked, tls, self.settings.waits, allows)
        if is_chosen:
            self._is_public = is_public(answer.address)
        return answer

    async def _fetch_token(self, url: str, headers: Headers) -> Exchange:
        is_chosen = place_of(url) == place_of(self.settings.url)
        return await self._exchange(Asked("GET", url, headers), is_chosen=is_chosen)

    def _refuse_while_it_rests(self) -> None:
        secs = self._rest_secs()
        if secs > 0 and self._rests_for is not None:
            raise UpstreamError(
                self._rests_for.reason, status=self._rests_for.status, retry_secs=secs
            )

    def _failed(self, error: NetError) -> UpstreamError:
        """It could not be asked, or broke off."""
        is_silent = isinstance(error, SilentError) or error.reason.startswith("no connection")
        status = 503 if is_silent else 502
        return UpstreamError(f"{self.settings.host}: {error.reason}", status=status)

    def _refusal(self, answer: Exchange) -> Exception:
        status, host = answer.status, self.settings.host
        if status in _GONE:
            return NotThere(f"{host} answered {status}")
        failure = UpstreamError(f"{host} answered {status}")
        if status == 429:
            secs = retry_after(answer.headers.get("retry-after"), epoch_seconds())
            failure = UpstreamError(f"{host} answered 429", status=503, retry_secs=secs)
            return self._rest(failure, secs)
        return failure

    def _rest(self, failure: UpstreamError, secs: float) -> UpstreamError:
        _log.warning("upstream.failed", upstream=self.settings.host, reason=failure.reason)
        self._rests_until, self._rests_for = self._clock() + secs, failure
        return failure


def retry_after(text: str | None, now: float) -> float:
    """For how many seconds a `Retry-After` asks (RFC 9110 10.2.3), an hour at most; a minute where
    it says nothing that can be read."""
    if text is None:
        return TOO_MANY_REST_SECS
    try:
        is_count = text.strip().isdigit()
        secs = float(text) if is_count else parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return TOO_MANY_REST_SECS
    return min(max(secs, 1.0), REST_SECS_MAX)
