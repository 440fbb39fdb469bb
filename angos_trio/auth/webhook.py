"""An authorization webhook: a service elsewhere that is asked about each request as well.

It is sent a GET with the facts in headers: 2xx allows, 401 and 403 deny, and everything else means
that it could not be asked, which denies and is not remembered. What is remembered goes by all that
is sent, so that a question that differs in anything is another question.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlsplit

from angos_trio.auth.access import Question
from angos_trio.auth.memory import AskedOnce, ShortMemory
from angos_trio.auth.remembered import Marks
from angos_trio.identity import Decision
from angos_trio.limits.callers import WEBHOOK_ANSWERS_MAX
from angos_trio.net.client import HttpClient, NetError

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_OURS: Final = ("x-registry-", "x-forwarded-")
_NEVER_FORWARDED: Final = frozenset({
    "accept-encoding", "connection", "content-length", "expect", "forwarded", "host",
    "http2-settings", "keep-alive", "proxy-authenticate", "proxy-authorization",
    "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "via", "x-real-ip",
})  # fmt: skip
"""What belongs to a connection and not to a request (RFC 9110 7.6.1), what we say ourselves, and
what stands for the client's address."""
_AUTHORIZATION: Final = "authorization"
_PRINTABLE: Final = "".join(map(chr, range(0x20, 0x7F)))
_UNESCAPED: Final = _PRINTABLE.replace("%", "")


def bearer(token: str) -> str:
    """The `Authorization` of a bearer token (RFC 6750 2.1)."""
    return f"Bearer {token}"


def basic(user: str, password: str) -> str:
    """The `Authorization` of a user and password (RFC 7617 2)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """What the configuration says of a webhook. `authorization` is what we show it; see `bearer`
    and `basic`. `forward_headers` are names of the client's headers that it is sent."""

    name: str
    url: str
    authorization: str | None = field(default=None, repr=False)
    forward_headers: tuple[str, ...] = ()
    cache_secs: float = 60


class WebhookAuthorizer:
    """Asks one webhook. `client` has its certificates and its deadline."""

    def __init__(
        self,
        settings: WebhookSettings,
        client: HttpClient,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ValueError for settings that cannot be kept to: see `check_settings`."""
        check_settings(settings)
        self._settings = settings
        self._client = client
        self._clock = clock
        self._rule = f"auth.webhook.{settings.name}"
        self._marks = Marks()
        self._answers: ShortMemory[Decision] = ShortMemory(WEBHOOK_ANSWERS_MAX)
        self._asked: AskedOnce[Decision] = AskedOnce()

    async def ask(self, question: Question) -> Decision:
        """What the webhook says, now or a short time ago; where it cannot be asked, no. The same
        question of several requests at once is asked once. Raises nothing."""
        headers = list(headers_of(question, self._settings))
        mark = self._mark(headers)
        known = self._answers.get(mark, self._clock())
        if known is not None:
            return known

        async def work() -> Decision:
            return await self._ask(headers, mark)

        return await self._asked.ask(mark, work)

    def remembered(self, question: Question) -> Decision | None:
        """What it said a short time ago, if it did."""
        mark = self._mark(list(headers_of(question, self._settings)))
        return self._answers.get(mark, self._clock())

    def _mark(self, headers: list[tuple[str, str]]) -> bytes:
        return self._marks.mark(*(text for header in headers for text in header))

    async def _ask(self, headers: list[tuple[str, str]], mark: bytes) -> Decision:
        try:
            answer = await self._client.get(self._settings.url, headers=headers)
        except NetError as error:
            return Decision(False, self._rule, f"the webhook cannot be asked: {error.reason}")
        decision = decided(answer.status, self._rule)
        if decision is None:
            reason = f"the webhook answered with status {answer.status}"
            return Decision(False, self._rule, reason)
        if self._settings.cache_secs > 0:
            self._answers.put(mark, decision, self._clock() + self._settings.cache_secs)
        return decision


def decided(status: int, rule: str) -> Decision | None:
    """What a status says; None where it says nothing."""
    if 200 <= status < 300:
        return Decision(True, rule)
    if status in (401, 403):
        return Decision(False, rule, f"the webhook denied it with status {status}")
    return None


def check_settings(settings: WebhookSettings) -> None:
    """Refuse an address that cannot be asked and headers that may not be forwarded. Raises
    ValueError that names the key."""
    try:
        url = urlsplit(settings.url)
        is_usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or url.username is not None or url.fragment:
        raise ValueError("url: must be an http or https address, without a user and a fragment")
    for name in settings.forward_headers:
        check_forwarded(name, has_credential=settings.authorization is not None)


def check_forwarded(name: str, *, has_credential: bool) -> None:
    """Refuse the name of a header that a client could pretend with, or that would break the
    request. Raises ValueError.

    A name with `_` for `-` is the same to many servers. The client's own `Authorization` may be
    forwarded to a webhook that we show none ourselves.
    """
    lower = name.lower().replace("_", "-")
    if not _TOKEN.fullmatch(name):
        raise ValueError("forward_headers: has a name that is none of a header")
    if lower.startswith(_OURS) or lower in _NEVER_FORWARDED:
        raise ValueError(f"forward_headers: {name} may not be forwarded; the registry says it")
    if lower == _AUTHORIZATION and has_credential:
        raise ValueError(
            f"forward_headers: {name} may not be forwarded to a webhook that has a credential of "
            "ours"
        )


def headers_of(question: Question, settings: WebhookSettings) -> Iterator[tuple[str, str]]:
    """Everything that is sent, in an order that is always the same."""
    approach = question.approach
    yield "X-Forwarded-Method", as_sent(approach.method)
    yield "X-Forwarded-Proto", as_sent(approach.scheme)
    if approach.host is not None:
        yield "X-Forwarded-Host", as_sent(approach.host)
    yield "X-Forwarded-Uri", as_sent(approach.uri)
    yield "X-Forwarded-For", as_sent(approach.address)
    for name, value in facts_of(question):
        yield f"X-Registry-{name}", as_value(value)
    wanted = {name.lower(): name for name in settings.forward_headers}
    for name, value in approach.headers:
        if name in wanted:
            yield wanted[name], as_sent(value)
    if settings.authorization is not None:
        yield "Authorization", settings.authorization


def facts_of(question: Question) -> Iterator[tuple[str, str]]:
    """What is said of the request and its caller; what there is not is left out."""
    identity, target = question.identity, question.target
    yield "Action", str(question.action)
    if target.namespace is not None:
        yield "Namespace", target.namespace
    for fact in ("reference", "digest"):
        value = target.named.get(fact)
        if isinstance(value, str):
            yield fact.capitalize(), value
    if identity.method == "basic":
        yield "Username", identity.subject
    if identity.id is not None:
        yield "Identity-ID", identity.id
    certificate = identity.certificate
    if certificate is not None:
        yield from (("Certificate-CN", name) for name in certificate.common_names)
        yield from (("Certificate-O", name) for name in certificate.organizations)
    if identity.method == "oidc":
        yield "OIDC-Provider", identity.provider
        yield "OIDC-Subject", identity.subject


def as_value(text: str) -> str:
    """A fact as the value of a header: what is not printable ASCII is percent-encoded, and so are
    `%` and spaces at the ends, so that no two facts look the same."""
    return _without_ends(quote(text, safe=_UNESCAPED, errors="surrogatepass"))


def as_sent(text: str) -> str:
    """The same for what a client has sent, where `%` stands already as the client meant it."""
    return _without_ends(quote(text, safe=_PRINTABLE, errors="surrogatepass"))


def _without_ends(text: str) -> str:
    inner = text.strip(" ")
    if inner == text:
        return text
    before = len(text) - len(text.lstrip(" "))
    after = len(text) - before - len(inner)
    return "%20" * before + inner + "%20" * after
