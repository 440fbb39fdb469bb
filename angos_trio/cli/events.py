"""`angos-trio events`: what happens in a registry elsewhere, as lines of JSON."""

from __future__ import annotations

import base64
import getpass
import json
import os
import secrets
import ssl
import sys
from typing import Final
from urllib.parse import urlencode, urlsplit

import trio

from angos_trio.cli.asking import plain
from angos_trio.cli.streams import mute, say
from angos_trio.errors import OperatorError
from angos_trio.limits.callers import PASSWORD_BYTES_MAX
from angos_trio.limits.lists import EVENTS_AGAIN_SECS_MAX, EVENTS_AGAIN_SECS_MIN
from angos_trio.net.client import NetError
from angos_trio.net.socket import Closed, Endpoint, RejectedError, listen
from angos_trio.net.tls import Names, context_of
from angos_trio.records import Frozen

_PATH: Final = "/v2/_ext/_events"
_SCHEMES: Final = {"http": "ws", "https": "wss"}
PASSWORD_VARIABLE: Final = "ANGOS_PASSWORD"
_FILES: Final = Names("--ca", "--cert", "--key")
_DONE: Final = 1000
_REFUSED: Final = 4401
_FINAL_STATUSES: Final = frozenset({400, 401, 403, 404, 405})
"""Answers that would be the same again. A WebSocket is no redirect, nor a plain answer."""


class Wanted(Frozen):
    """What the command was told."""

    url: str
    follows: bool
    after: int | None
    namespace: str | None
    user: str | None
    certificate: str | None
    key: str | None
    ca: str | None


class _NobodyReadsError(Exception):
    """Whoever read what is printed has left. No BrokenPipeError: that would be the connection's."""


def events(wanted: Wanted) -> int:
    """Print events until all are told, or until stopped. Raises OperatorError."""
    place = url_of(wanted.url)
    tls = None
    if place.startswith("wss:"):
        tls = context_of(_FILES, wanted.ca, wanted.certificate, wanted.key)
    headers = [] if wanted.user is None else [_credentials(wanted.user)]
    try:
        trio.run(_Follower(place, wanted, tls, headers).run)
    except _NobodyReadsError:
        mute(sys.stdout)  # to leave is how a reader ends it
    except BaseExceptionGroup as group:
        if group.subgroup(KeyboardInterrupt) is not None:
            raise KeyboardInterrupt from None
        raise
    return 0


def url_of(text: str) -> str:
    """The WebSocket of a registry. Raises OperatorError."""
    try:
        parts = urlsplit(text)
        is_plain = parts.scheme in _SCHEMES and parts.hostname and parts.port != 0
    except ValueError:
        is_plain = False
    if not is_plain or parts.username or parts.query or parts.fragment:
        raise OperatorError(f"{plain(text)} is not like https://registry.example.test:8443")
    path = parts.path.rstrip("/")
    if path not in ("", _PATH):
        raise OperatorError(f"{plain(text)}: give the registry's address without a path")
    return f"{_SCHEMES[parts.scheme]}://{parts.netloc}{_PATH}"


def _credentials(user: str) -> tuple[str, str]:
    if ":" in user:
        raise OperatorError("--user: a name has no colon")
    shown = base64.b64encode(f"{user}:{_password(user)}".encode()).decode()
    return "Authorization", f"Basic {shown}"


def _password(user: str) -> str:
    """From the environment, a terminal, or the first line of what is piped in."""
    found = os.environ.get(PASSWORD_VARIABLE)
    if found is None and sys.stdin.isatty():
        try:
            found = getpass.getpass(f"Password of {plain(user)}: ")
        except EOFError:
            found = ""
    if found is None:
        line = sys.stdin.buffer.readline(PASSWORD_BYTES_MAX + 2)
        found = line.decode(errors="replace").rstrip("\r\n")
    if not found:
        raise OperatorError("no password was given")
    return found


class _Follower:
    """Prints events, and comes back with its cursor when the connection is lost."""

    def __init__(
        self,
        url: str,
        wanted: Wanted,
        tls: ssl.SSLContext | None,
        headers: list[tuple[str, str]],
    ) -> None:
        self._url = url
        self._wanted = wanted
        self._tls = tls
        self._headers = headers
        self._cursor = wanted.after
        if wanted.after is None and not wanted.follows:
            self._cursor = 0
        self._again_secs_max = EVENTS_AGAIN_SECS_MIN
        self._chance = secrets.SystemRandom()

    async def run(self) -> None:
        """Until all is told, or for ever. Raises OperatorError."""
        while True:
            problem = await self._once()
            if problem is None:
                return
            if not self._wanted.follows:
                raise OperatorError(problem)
            self._again_secs_max = min(2 * self._again_secs_max, EVENTS_AGAIN_SECS_MAX)
            secs = self._chance.uniform(EVENTS_AGAIN_SECS_MIN, self._again_secs_max)
            say(f"angos-trio: {problem}; again in {secs:.1f} s")
            await trio.sleep(secs)

    async def _once(self) -> str | None:
        """One connection; why it ended, None when all was told. Raises OperatorError."""
        try:
            closed = await listen(self._endpoint(), self._hear)
        except RejectedError as error:
            problem = f"the registry answers {error.status}: {plain(error.reason)}"
            if error.status in _FINAL_STATUSES or error.status < 400:
                raise OperatorError(problem) from None
            return problem
        except NetError as error:
            return error.reason
        return self._problem_of(closed)

    def _problem_of(self, closed: Closed) -> str | None:
        if closed.code == _DONE and not self._wanted.follows:
            return None
        word = plain(closed.reason) or f"code {closed.code}"
        if closed.code == _REFUSED:
            raise OperatorError(f"the registry ends the feed: {word}")
        return f"the registry has closed the connection: {word}"

    def _endpoint(self) -> Endpoint:
        query = {"follow": str(self._wanted.follows).lower()}
        if self._cursor is not None:
            query["after"] = str(self._cursor)
        if self._wanted.namespace is not None:
            query["namespace"] = self._wanted.namespace
        return Endpoint(f"{self._url}?{urlencode(query)}", self._tls, self._headers)

    def _hear(self, text: str) -> None:
        """Print a message, and remember where it was. It blocks while nobody takes what is printed:
        the registry then waits, or cuts us off, and we come back."""
        message = json.loads(text)
        if message["type"] != "heartbeat":
            try:
                print(text, flush=True)
            except BrokenPipeError:
                raise _NobodyReadsError from None
        self._cursor = message["seq"]
        self._again_secs_max = EVENTS_AGAIN_SECS_MIN
