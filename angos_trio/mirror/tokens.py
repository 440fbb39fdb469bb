"""Tokens of one upstream: got with its credentials, or without, and remembered by their purpose.

A token belongs to a realm, a service and a scope, and to the credentials of the upstream that this
object is for. One who asks for it waits for another who asks for the same.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from angos_trio.auth.memory import AskedOnce, ShortMemory
from angos_trio.auth.webhook import basic, bearer
from angos_trio.limits.mirror import (
    TOKEN_ANSWER_BYTES_MAX,
    TOKEN_SECS_DEFAULT,
    TOKEN_SECS_MAX,
    TOKENS_MAX,
)
from angos_trio.mirror.challenge import Challenge
from angos_trio.mirror.failures import UpstreamError
from angos_trio.mirror.reach import may_show_credentials, place_of
from angos_trio.net.exchange import Exchange

Fetch = Callable[[str, Sequence[tuple[str, str]]], Awaitable[Exchange]]
"""GET a place of tokens with these headers."""
_MARGIN: Final = 0.8
"""Of a token's life that it is used for."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What the operator gives for an upstream, and the hosts besides its own that may see it."""

    upstream: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token_hosts: tuple[str, ...] = ()

    @property
    def header(self) -> str | None:
        """The `Authorization` of the user; None where there is none."""
        if self.username is None or self.password is None:
            return None
        return basic(self.username, self.password)


class Tokens:
    """What is shown to one upstream."""

    def __init__(
        self, credential: Credential, fetch: Fetch, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._credential = credential
        self._fetch = fetch
        self._clock = clock
        self._known: ShortMemory[str] = ShortMemory(TOKENS_MAX)
        self._wanted: ShortMemory[tuple[str, str]] = ShortMemory(TOKENS_MAX)
        self._asked: AskedOnce[str] = AskedOnce()
        self._is_basic = False

    def known(self, scope: str) -> str | None:
        """The `Authorization` that was taken for this scope before, without asking anybody."""
        if self._is_basic:
            return self._credential.header
        place = self._wanted.get(scope.encode(), self._clock())
        return None if place is None else self._known.get(_key(*place, scope), self._clock())

    async def answer(self, challenges: Sequence[Challenge], scope: str) -> str | None:
        """The `Authorization` that meets a challenge; None where nothing here does.

        Raises UpstreamError when the place of tokens refuses or cannot be asked.
        """
        for challenge in challenges:
            realm = challenge.parameters.get("realm", "")
            if challenge.scheme == "bearer" and _is_place(realm):
                service = challenge.parameters.get("service", "")
                wanted = challenge.parameters.get("scope") or scope
                return await self._token(realm, service, wanted, scope)
        if any(challenge.scheme == "basic" for challenge in challenges):
            self._is_basic = self._credential.header is not None
            return self._credential.header
        return None

    def forget(self, scope: str) -> None:
        """What was taken for the scope is refused now."""
        place = self._wanted.get(scope.encode(), self._clock())
        if place is not None:
            self._known.put(_key(*place, scope), "", self._clock())
        self._is_basic = False

    async def _token(self, realm: str, service: str, wanted: str, scope: str) -> str:
        key = _key(realm, service, scope)

        async def work() -> str:
            return await self._fetched(realm, service, wanted, key)

        token = await self._asked.ask(key, work)
        self._wanted.put(scope.encode(), (realm, service), self._clock() + TOKEN_SECS_MAX)
        return token

    async def _fetched(self, realm: str, service: str, scope: str, key: bytes) -> str:
        credential, headers = self._credential, list[tuple[str, str]]()
        if credential.header is not None and may_show_credentials(
            credential.upstream, realm, credential.token_hosts
        ):
            headers.append(("Authorization", credential.header))
        answer = await self._fetch(_with_query(realm, service, scope), headers)
        try:
            body = await answer.read(TOKEN_ANSWER_BYTES_MAX)
        finally:
            answer.close()
        if answer.status != 200:
            host = place_of(realm)[1]
            raise UpstreamError(f"{host} gives no token: it answered {answer.status}")
        token, secs = parse_token(body)
        header = bearer(token)
        self._known.put(key, header, self._clock() + secs * _MARGIN)
        return header


def _is_place(realm: str) -> bool:
    try:
        scheme, host, _ = place_of(realm)
    except ValueError:
        return False
    return scheme in ("http", "https") and bool(host) and realm.isascii()


def _key(realm: str, service: str, scope: str) -> bytes:
    return "\n".join((realm, service, scope)).encode()


def _with_query(realm: str, service: str, scope: str) -> str:
    """The realm, which may have a query of its own, with what the token is for."""
    parts = urlsplit(realm)
    fields = [(name, value) for name, value in (("service", service),) if value]
    fields += [("scope", each) for each in scope.split(" ") if each]
    query = "&".join(text for text in (parts.query, urlencode(fields)) if text)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))


def parse_token(body: bytes) -> tuple[str, int]:
    """A token and for how many seconds it counts. Raises UpstreamError for anything else."""
    try:
        document = json.loads(body)
        token = document.get("token") or document.get("access_token")
        secs = document.get("expires_in") or TOKEN_SECS_DEFAULT
    except (ValueError, AttributeError, RecursionError):
        raise UpstreamError("the place of tokens answered something else") from None
    is_text = isinstance(token, str) and token.isascii() and token.isprintable()
    if not is_text or not token or " " in token:
        raise UpstreamError("the place of tokens answered without a token")
    if not isinstance(secs, (int, float)) or not 0 < secs <= TOKEN_SECS_MAX:
        secs = TOKEN_SECS_DEFAULT
    return token, int(secs)
