"""Authorization webhooks: what they are asked, what answers mean, and what is kept of them."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.auth.access import Question
from angos_trio.auth.webhook import (
    WebhookAuthorizer,
    WebhookSettings,
    as_sent,
    as_value,
    basic,
    bearer,
    check_settings,
    headers_of,
)
from angos_trio.identity import Action, Approach, Decision, Identity, Target, anonymous
from angos_trio.limits.callers import WEBHOOK_ANSWERS_MAX
from angos_trio.net.client import HttpClient
from angos_trio.records import replace
from tests.auth.issuer import PLAIN
from tests.factories import make_certificate
from tests.net.web import Reply, Request, Web, web
from tests.oci.strategies import QUICK

Result = TypeVar("Result")
RULE = "auth.webhook.gate"
ADDRESS = "192.0.2.1"
APPROACH = Approach(
    "GET", "https", "registry.example.test", "/v2/team/app/manifests/v1?ns=a%20b", ADDRESS
)
QUESTION = Question(
    APPROACH, anonymous(ADDRESS), Action.GET_MANIFEST, Target("team/app", {"reference": "v1"})
)
ALLOWED = Decision(True, RULE)


def settings(url: str = "http://127.0.0.1:1/", **more: Any) -> WebhookSettings:
    return WebhookSettings("gate", url, **more)


def asking(
    script: Callable[[WebhookAuthorizer, Web], Awaitable[Result]],
    reply: Reply | Callable[[Request], Reply] = Reply(200),  # noqa: B008 (frozen)
    secs: float = 5,
    **more: Any,
) -> Result:
    """Play a script with a webhook that answers so."""
    clock = more.pop("clock", None)
    with web(reply) as served:
        client = HttpClient(PLAIN, timeout_secs=secs)
        wanted = settings(served.url + "/allowed?from=registry", **more)
        authorizer = WebhookAuthorizer(wanted, client, *([clock] if clock else []))
        return trio.run(script, authorizer, served)


def sent(question: Question = QUESTION, **more: Any) -> Request:
    """What the webhook is sent for a question."""

    async def script(authorizer: WebhookAuthorizer, served: Web) -> Request:
        assert (await authorizer.ask(question)).allowed
        (request,) = served.asked
        return request

    return asking(script, **more)


def test_question_is_a_get_with_the_facts_in_headers() -> None:
    request = sent()

    assert (request.method, request.target) == ("GET", "/allowed?from=registry")
    assert {name: value for name, value in request.headers if name.startswith("X-")} == {
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "registry.example.test",
        "X-Forwarded-Uri": "/v2/team/app/manifests/v1?ns=a%20b",
        "X-Forwarded-For": ADDRESS,
        "X-Registry-Action": "get-manifest",
        "X-Registry-Namespace": "team/app",
        "X-Registry-Reference": "v1",
    }
    assert request.all("Authorization") == []


CERTIFICATE = make_certificate(common_names=("client", "a, b"), organizations=("team", "Ops"))


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        (anonymous(ADDRESS), {}),
        (
            Identity("basic", "", "alice", ADDRESS, id="team-alice"),
            {"Username": ["alice"], "Identity-ID": ["team-alice"]},
        ),
        (
            Identity("oidc", "ci", "repo:org/app", ADDRESS, claims={"sub": "repo:org/app"}),
            {"OIDC-Provider": ["ci"], "OIDC-Subject": ["repo:org/app"]},
        ),
        (
            Identity("certificate", "CN=ca", "CN=client", ADDRESS, certificate=CERTIFICATE),
            {"Certificate-CN": ["client", "a, b"], "Certificate-O": ["team", "Ops"]},
        ),
        (
            Identity("basic", "", "alice", ADDRESS, certificate=CERTIFICATE),
            {
                "Username": ["alice"],
                "Certificate-CN": ["client", "a, b"],
                "Certificate-O": ["team", "Ops"],
            },
        ),
    ],
)
def test_caller_is_described_by_what_there_is(
    identity: Identity, expected: dict[str, list[str]]
) -> None:
    names = (
        "Username", "Identity-ID", "OIDC-Provider", "OIDC-Subject", "Certificate-CN",
        "Certificate-O",
    )  # fmt: skip
    request = sent(replace(QUESTION, identity=identity))

    assert {
        name: values for name in names if (values := request.all(f"X-Registry-{name}"))
    } == expected


def test_what_a_request_does_not_name_is_not_sent() -> None:
    bare = Question(replace(APPROACH, host=None), anonymous(ADDRESS), Action.LIST_CATALOG, Target())
    names = {name for name, _ in sent(bare).headers if name.startswith("X-Registry-")}

    assert names == {"X-Registry-Action"}
    assert sent(bare).all("X-Forwarded-Host") == []


def test_digest_is_sent() -> None:
    target = Target("team/app", {"digest": "sha256:abc", "tags": ["a", "b"]})

    assert sent(replace(QUESTION, target=target)).all("X-Registry-Digest") == ["sha256:abc"]


WORD = base64.b64encode("registry:pä:ss".encode()).decode()


@pytest.mark.parametrize(
    ("credential", "shown"),
    [
        (bearer("t0ken"), "Bearer t0ken"),
        (basic("registry", "pä:ss"), f"Basic {WORD}"),
    ],
)
def test_credential_is_shown_to_the_webhook_and_in_no_repr(credential: str, shown: str) -> None:
    wanted = settings(authorization=credential)

    assert sent(authorization=credential).all("Authorization") == [shown]
    assert shown.split()[1] not in repr(wanted)


CLIENT_HEADERS = (
    ("x-tenant", "a"),
    ("x-tenant", "b"),
    ("x-registry-username", "admin"),
    ("x-forwarded-for", "203.0.113.9"),
    ("authorization", "Basic stolen"),
    ("cookie", "session=1"),
    ("user-agent", "client/1"),
)


def test_named_headers_are_forwarded_with_all_their_values_and_no_others() -> None:
    question = replace(QUESTION, approach=replace(APPROACH, headers=CLIENT_HEADERS))
    request = sent(question, forward_headers=("X-Tenant", "User-Agent", "X-Absent"))

    assert request.all("X-Tenant") == ["a", "b"]
    assert request.all("User-Agent") == ["client/1"]
    for name, expected in (
        ("X-Registry-Username", []),
        ("X-Forwarded-For", [ADDRESS]),
        ("Authorization", []),
        ("Cookie", []),
        ("X-Absent", []),
    ):
        assert request.all(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        "X-Registry-Username", "x-registry-anything", "X_Registry_Username", "X-Forwarded-For",
        "x-forwarded-anything", "X_Forwarded_Host", "Forwarded", "X-Real-IP", "Host", "Connection",
        "Content-Length", "Transfer-Encoding", "TE", "Upgrade", "Keep-Alive", "Expect",
        "Proxy-Authorization", "Accept-Encoding", "", "a b", "a:b", "a\r\nb", "é",
    ],
)  # fmt: skip
def test_name_that_would_pretend_or_break_the_request_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"^forward_headers: "):
        check_settings(settings(forward_headers=("X-Tenant", name)))


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
def test_authorization_of_the_client_never_stands_beside_our_own(name: str) -> None:
    with pytest.raises(ValueError, match=r"^forward_headers: "):
        check_settings(settings(authorization=bearer("x"), forward_headers=(name,)))

    question = replace(QUESTION, approach=replace(APPROACH, headers=CLIENT_HEADERS))
    assert sent(question, forward_headers=(name,)).all("Authorization") == ["Basic stolen"]


@pytest.mark.parametrize(
    "url",
    [
        "", "gate", "ftp://gate.example.test", "http://", "https://user:word@gate.example.test",
        "http://gate.example.test/#part", "http://[::1", "http://gate.example.test:99999",
    ],
)  # fmt: skip
def test_address_that_cannot_be_asked_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^url: ") as raised:
        WebhookAuthorizer(settings(url), HttpClient(PLAIN, timeout_secs=1))
    assert "word" not in str(raised.value)


HOSTILE = [
    "a\r\nX-Registry-Username: admin",
    "a\nb",
    "a\x00b",
    "a\x7fb",
    "\x1b[31m",
    " alice",
    "alice ",
    "  ",
    "",
    "é",
    "日本",
    "\ud800",
    "\u202egnp",
    "100%",
    "a%0d%0ab",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_arrives_as_one_value_and_nothing_else(text: str) -> None:
    identity = Identity("basic", "", text, ADDRESS, id=text)
    approach = Approach(text, text, text, text, text, (("x-tenant", text),))
    question = Question(approach, identity, Action.GET_BLOB, Target(text, {"reference": text}))
    request = sent(question, forward_headers=("X-Tenant",))

    assert request.all("X-Registry-Username") == [as_value(text)]
    assert request.all("X-Registry-Namespace") == [as_value(text)]
    assert request.all("X-Forwarded-Uri") == [as_sent(text)]
    assert request.all("X-Tenant") == [as_sent(text)]
    assert request.all("X-Registry-Identity-ID") == [as_value(text)]


TEXTS = st.text(st.characters(codec=None), max_size=8)


@QUICK
@given(TEXTS, TEXTS)
def test_values_are_printable_and_no_two_facts_look_the_same(one: str, other: str) -> None:
    for text in (as_value(one), as_sent(one)):
        assert text.isascii()
        assert text == "" or text.isprintable()
        assert text.strip() == text
    assert (as_value(one) == as_value(other)) == (one == other)


def test_plain_text_is_sent_as_it_is() -> None:
    assert as_value('alice (ops) <a@example.test>; "x"') == 'alice (ops) <a@example.test>; "x"'
    assert as_sent("/v2/a%2Fb?c=%20") == "/v2/a%2Fb?c=%20"


@pytest.mark.parametrize(
    ("status", "allowed", "is_kept"),
    [
        (200, True, True), (204, True, True), (299, True, True),
        (401, False, True), (403, False, True),
        (301, False, False), (302, False, False), (400, False, False), (404, False, False),
        (418, False, False), (429, False, False), (500, False, False), (503, False, False),
    ],
)  # fmt: skip
def test_status_decides_and_only_a_decision_is_kept(
    status: int, allowed: bool, is_kept: bool
) -> None:
    async def script(authorizer: WebhookAuthorizer, served: Web) -> None:
        decision = await authorizer.ask(QUESTION)
        assert (decision.allowed, decision.rule) == (allowed, RULE)
        assert allowed or str(status) in decision.reason
        assert authorizer.remembered(QUESTION) == (decision if is_kept else None)
        assert await authorizer.ask(QUESTION) == decision
        assert len(served.asked) == (1 if is_kept else 2)

    asking(script, Reply(status, headers={"Location": "/elsewhere"}))


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply(raw=b"", hangs=True), "no answer within 0.1 s"),
        (Reply(raw=b""), "no HTTP answer"),
        (Reply(raw=b"nonsense\r\n\r\n"), "no HTTP answer"),
    ],
)
def test_webhook_that_cannot_be_asked_denies_and_nothing_is_kept(reply: Reply, why: str) -> None:
    async def script(authorizer: WebhookAuthorizer, served: Web) -> None:
        decision = await authorizer.ask(QUESTION)
        assert not decision.allowed
        assert decision.reason.startswith(f"the webhook cannot be asked: {why}")
        served.handler = Reply(200)
        assert await authorizer.ask(QUESTION) == ALLOWED

    asking(script, reply, secs=0.1)


def test_answer_is_kept_for_its_time() -> None:
    now = [1000.0]

    async def script(authorizer: WebhookAuthorizer, served: Web) -> None:
        assert await authorizer.ask(QUESTION) == ALLOWED
        served.handler = Reply(403)
        now[0] += 29.9
        assert await authorizer.ask(QUESTION) == ALLOWED
        now[0] += 0.1
        assert authorizer.remembered(QUESTION) is None
        assert not (await authorizer.ask(QUESTION)).allowed

    asking(script, cache_secs=30, clock=lambda: now[0])


def test_without_a_time_nothing_is_kept() -> None:
    async def script(authorizer: WebhookAuthorizer, served: Web) -> int:
        for _ in range(3):
            await authorizer.ask(QUESTION)
            assert authorizer.remembered(QUESTION) is None
        return len(served.asked)

    assert asking(script, cache_secs=0) == 3


ALICE = Identity("basic", "", "alice", ADDRESS, id="a", certificate=CERTIFICATE)
BASE = Question(
    replace(APPROACH, headers=(("x-tenant", "a"), ("x-tenant", "b"))),
    ALICE,
    Action.GET_MANIFEST,
    Target("team/app", {"reference": "v1", "digest": "sha256:a"}),
)


def of_approach(**fields: Any) -> Question:
    return replace(BASE, approach=replace(BASE.approach, **fields))


DIFFERENT: dict[str, Question] = {
    "method": of_approach(method="HEAD"),
    "scheme": of_approach(scheme="http"),
    "host": of_approach(host="other.example.test"),
    "no host": of_approach(host=None),
    "uri": of_approach(uri="/v2/team/app/manifests/v2"),
    "address": of_approach(address="192.0.2.2"),
    "a forwarded value": of_approach(headers=(("x-tenant", "a"), ("x-tenant", "c"))),
    "fewer values": of_approach(headers=(("x-tenant", "a"),)),
    "values in one": of_approach(headers=(("x-tenant", "a, b"),)),
    "values in another order": of_approach(headers=(("x-tenant", "b"), ("x-tenant", "a"))),
    "action": replace(BASE, action=Action.PUT_MANIFEST),
    "namespace": replace(BASE, target=Target("team/other", BASE.target.named)),
    "reference": replace(BASE, target=Target("team/app", {"reference": "v2"})),
    "no reference": replace(BASE, target=Target("team/app", {"digest": "sha256:a"})),
    "user": replace(BASE, identity=replace(ALICE, subject="bob")),
    "id": replace(BASE, identity=replace(ALICE, id="b")),
    "method of the caller": replace(BASE, identity=replace(ALICE, method="oidc")),
    "certificate": replace(BASE, identity=replace(ALICE, certificate=None)),
    "name in the certificate": replace(
        BASE, identity=replace(ALICE, certificate=replace(CERTIFICATE, common_names=("x",)))
    ),
}


def test_question_that_differs_in_anything_that_is_sent_is_another() -> None:
    async def script(authorizer: WebhookAuthorizer, served: Web) -> None:
        await authorizer.ask(BASE)
        for number, (what, question) in enumerate(DIFFERENT.items(), 2):
            assert authorizer.remembered(question) is None, what
            await authorizer.ask(question)
            assert len(served.asked) == number, what
        assert authorizer.remembered(of_approach(headers=(*BASE.approach.headers, ("x", "y"))))

    asking(script, forward_headers=("X-Tenant",))


def test_same_question_of_many_at_once_is_asked_once() -> None:
    async def script(authorizer: WebhookAuthorizer, served: Web) -> None:
        answers = []

        async def ask() -> None:
            answers.append(await authorizer.ask(QUESTION))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask)
        assert answers == [ALLOWED] * 20
        assert len(served.asked) == 1

    asking(script, cache_secs=0)


def test_client_that_leaves_takes_no_answer_from_others() -> None:
    async def script(authorizer: WebhookAuthorizer, served: Web) -> None:
        answers = []

        async def ask() -> None:
            answers.append(await authorizer.ask(QUESTION))

        with trio.CancelScope() as leaving:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                while not served.asked:
                    await trio.lowlevel.checkpoint()
                leaving.cancel()
        served.handler = Reply(204)
        await ask()
        assert answers == [ALLOWED]

    asking(script, Reply(raw=b"", hangs=True))


def test_no_more_answers_are_kept_than_may_be() -> None:
    async def script(authorizer: WebhookAuthorizer, served: Web) -> None:
        for number in range(WEBHOOK_ANSWERS_MAX + 5):
            mark = authorizer._mark([("X-Forwarded-Uri", f"/{number}")])
            authorizer._answers.put(mark, ALLOWED, 1e12)
        assert len(authorizer._answers) == WEBHOOK_ANSWERS_MAX

    asking(script)


def test_order_of_what_is_sent_never_changes() -> None:
    assert list(headers_of(BASE, settings())) == list(headers_of(BASE, settings()))
