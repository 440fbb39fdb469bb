"""The gate: who is calling, and may they pass."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest
import trio
from hypercorn.typing import HTTPScope
from hypothesis import given
from hypothesis import strategies as st
from quart_trio.wrappers.request import TrioRequest
from werkzeug.datastructures import Headers

from angos_trio.auth.access import Access
from angos_trio.auth.authenticate import NotAuthenticatedError, Shown
from angos_trio.http.call import Call
from angos_trio.http.challenge import Challenges
from angos_trio.http.front import Front, is_loopback_address, is_loopback_host
from angos_trio.http.gate import Gate
from angos_trio.http.reply import Reply
from angos_trio.http.routing import Admission, Operation
from angos_trio.identity import (
    CERTIFICATE_EXTENSION,
    Action,
    Approach,
    Certificate,
    Decision,
    Identity,
    Target,
    anonymous,
)
from angos_trio.oci.codes import Code, OciError
from tests.factories import make_certificate
from tests.oci.refusals import refused
from tests.oci.strategies import QUICK, texts
from tests.server.log_lines import LogLines

ADDRESS = "192.0.2.7"
ALICE = Identity("basic", "", "alice", ADDRESS, id="a")
NOBODY = anonymous(ADDRESS)
NAME = {"name": "library/nginx"}
TOKENS = Challenges(has_tokens=True)


async def answer(call: Call) -> Reply:
    return Reply(200)


class Asked:
    """Rules that note what they are asked and always give the same answer."""

    def __init__(self, *, allowed: bool, loopback_only: bool = False) -> None:
        self.allowed = allowed
        self.loopback_only = loopback_only
        self.questions: list[tuple[Identity, Action, Target]] = []
        self.approaches: list[Approach] = []

    async def authorize(
        self, identity: Identity, action: Action, target: Target, approach: Approach
    ) -> Decision:
        self.questions.append((identity, action, target))
        self.approaches.append(approach)
        return Decision(self.allowed, "rule 7", "because")

    def visible(self, identity: Identity, namespace: str, approach: Approach) -> bool:
        return self.allowed

    def sees_all(self, identity: Identity, repository: str) -> bool:
        return self.allowed

    async def learn(
        self, identity: Identity, namespaces: Sequence[str], approach: Approach, deadline: float
    ) -> None:
        self.approaches.append(approach)


class Knows:
    """Says that everybody is the same, or that something is wrong; notes what was shown."""

    def __init__(self, answer: Identity | Exception = NOBODY) -> None:
        self.answer = answer
        self.shown: list[Shown] = []

    async def authenticate(self, shown: Shown) -> Identity:
        self.shown.append(shown)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def gate_of(
    asked: Asked, knows: Knows, front: Front | None = None, challenges: Challenges | None = None
) -> Gate:
    return Gate(cast(Access, asked), knows, front or Front(), challenges or Challenges())


def request_of(
    *headers: tuple[str, str],
    method: str = "GET",
    certificate: Certificate | None = None,
    query: bytes = b"",
) -> TrioRequest:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    scope: dict[str, Any] = {
        "type": "http",
        "scheme": "http",
        "raw_path": b"/v2/x",
        "query_string": query,
        "headers": raw,
        "client": (ADDRESS, 1),
        "extensions": {CERTIFICATE_EXTENSION: certificate} if certificate else {},
    }
    return TrioRequest(
        method,
        "http",
        "/v2/x",
        query,
        Headers(list(headers)),
        "",
        "1.1",
        cast(HTTPScope, scope),
        send_push_promise=push,
    )


async def push(path: str, headers: Headers) -> None:
    raise AssertionError("nothing is pushed")


def admit(
    gate: Gate,
    *headers: tuple[str, str],
    action: Action = Action.GET_BLOB,
    admission: Admission = Admission.POLICY,
    values: Mapping[str, str] = NAME,
    **request: Any,
) -> Call:
    return admitted(
        gate, request_of(*headers, **request), Operation(action, answer, admission), values
    )


def admitted(
    gate: Gate, request: TrioRequest, operation: Operation, values: Mapping[str, str]
) -> Call:
    return trio.run(gate.admit, request, operation, values, gate.approach(request), "request-1")


def passing(knows: Knows | None = None, **options: Any) -> Gate:
    return gate_of(Asked(allowed=True), knows or Knows(ALICE), **options)


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize(("values", "namespace"), [(NAME, "library/nginx"), ({}, None)])
def test_declared_action_is_asked_about_the_namespace_once(
    action: Action, values: Mapping[str, str], namespace: str | None
) -> None:
    asked = Asked(allowed=True)
    call = admit(gate_of(asked, Knows(ALICE)), action=action, values=values)

    assert asked.questions == [(ALICE, action, Target(namespace))]
    assert call.caller.identity == ALICE
    assert call.decision == Decision(True, "rule 7", "because")


@pytest.mark.parametrize(
    ("action", "query", "named"),
    [
        (Action.GET_MANIFEST, b"digest=sha256:a&n=1&from=x", {}),
        (Action.UPDATE_UPLOAD, b"digest=sha256:a", {}),
        (Action.LIST_TAGS, b"n=1&last=a&digest=sha256:a", {"n": "1", "last": "a"}),
        (Action.COMPLETE_UPLOAD, b"digest=sha256:a&mount=sha256:b", {"digest": "sha256:a"}),
        (
            Action.START_UPLOAD,
            b"digest=sha256:a&mount=sha256:b&from=x",
            {"digest": "sha256:b", "from": "x"},
        ),
    ],
)
def test_query_says_to_rules_what_it_says_to_the_handler(
    action: Action, query: bytes, named: Mapping[str, str]
) -> None:
    asked = Asked(allowed=True)
    admit(gate_of(asked, Knows(ALICE)), action=action, query=query)
    assert asked.questions == [(ALICE, action, Target("library/nginx", named))]


def test_each_tag_of_a_push_by_digest_is_asked_about_as_a_reference() -> None:
    asked, digest = Asked(allowed=True), "sha256:" + "a" * 64
    query = b"tag=v1&tag=latest&tag=v1"
    admit(
        gate_of(asked, Knows(ALICE)),
        action=Action.PUT_MANIFEST,
        values={**NAME, "reference": digest},
        query=query,
    )
    named = [target.named for _, _, target in asked.questions]
    assert [each["reference"] for each in named] == [digest, "v1", "latest"]
    assert all(each["digest"] == digest for each in named)
    assert all(each["tags"] == ["v1", "latest", "v1"] for each in named)


def test_caller_is_bound_to_the_rules_and_to_how_they_came() -> None:
    asked = Asked(allowed=True)
    call = admit(gate_of(asked, Knows(ALICE)), ("Host", "registry.example.test"))
    trio.run(call.caller.may, Action.GET_BLOB, Target("other"))
    trio.run(call.caller.learn, ["other"], math.inf)

    assert asked.questions[-1] == (ALICE, Action.GET_BLOB, Target("other"))
    assert {approach.host for approach in asked.approaches} == {"registry.example.test"}
    assert call.caller.sees("other")


def test_what_is_shown_is_the_header_the_certificate_and_the_address() -> None:
    knows, certificate = Knows(ALICE), make_certificate()
    admit(passing(knows), ("Authorization", "Bearer x"), certificate=certificate)

    assert knows.shown == [Shown(ADDRESS, "Bearer x", certificate)]


def test_two_authorization_headers_are_shown_as_one_that_nobody_takes() -> None:
    knows = Knows(ALICE)
    admit(passing(knows), ("Authorization", "Bearer x"), ("Authorization", "Basic y"))

    assert knows.shown[0].authorization == "Bearer x, Basic y"


def test_stranger_is_refused_with_a_challenge() -> None:
    with pytest.raises(OciError) as caught:
        admit(gate_of(Asked(allowed=False), Knows()))

    error = caught.value
    assert (error.code, error.status) == (Code.UNAUTHORIZED, 401)
    assert error.headers["WWW-Authenticate"].startswith('Basic realm="')
    assert error.detail == "get-blob"


def test_stranger_is_sent_to_the_token_service_where_there_is_one() -> None:
    gate = gate_of(Asked(allowed=False), Knows(), challenges=TOKENS)
    with pytest.raises(OciError) as caught:
        admit(gate, ("Host", "registry.example.test"))

    assert caught.value.headers["WWW-Authenticate"] == (
        'Bearer realm="http://registry.example.test/token",service="angos-trio",'
        'scope="repository:library/nginx:pull"'
    )


def test_known_caller_is_denied_without_a_challenge() -> None:
    with pytest.raises(OciError) as caught:
        admit(gate_of(Asked(allowed=False), Knows(ALICE)))

    error = caught.value
    assert (error.code, error.status) == (Code.DENIED, 403)
    assert error.headers == {}
    assert error.detail == "get-blob"


@pytest.mark.parametrize(
    ("knows", "headers", "is_asked"),
    [
        (Knows(), [], True),
        (Knows(), [("Authorization", "Bearer anonymous")], False),
        (Knows(ALICE), [], False),
    ],
    ids=["nothing", "an anonymous token", "a certificate"],
)
def test_version_check_asks_who_is_there_when_nothing_is_shown(
    knows: Knows, headers: list[tuple[str, str]], is_asked: bool
) -> None:
    gate = passing(knows, challenges=TOKENS)

    def ask() -> None:
        admit(gate, ("Host", "a.example.test"), *headers, action=Action.GET_API_VERSION, values={})

    if is_asked:
        with refused(Code.UNAUTHORIZED, 401):
            ask()
    else:
        ask()


def test_what_is_shown_and_wrong_is_refused_and_told_to_the_log(log_lines: LogLines) -> None:
    asked = Asked(allowed=True)
    wrong = NotAuthenticatedError("the password is wrong", "alice")
    with refused(Code.UNAUTHORIZED, 401):
        admit(gate_of(asked, Knows(wrong)))
    [line] = log_lines.of("authentication.failed")

    assert asked.questions == []
    assert (line["room"], line["request_id"]) == ("audit", "request-1")
    assert (line["subject"], line["reason"]) == ("alice", "the password is wrong")


@pytest.mark.parametrize(
    "error",
    [
        OciError(Code.TOOMANYREQUESTS, headers={"Retry-After": "7"}),
        OciError(Code.UNAVAILABLE, status=503, message="the provider does not answer"),
    ],
)
def test_other_refusals_of_the_authenticator_are_the_answer(
    error: OciError, log_lines: LogLines
) -> None:
    with pytest.raises(OciError) as caught:
        admit(passing(Knows(error)))
    [line] = log_lines.of("authentication.failed")

    assert caught.value is error
    assert line["status"] == error.status


@pytest.mark.parametrize("loopback_only", [True, False])
def test_public_route_asks_nobody(loopback_only: bool) -> None:
    asked, knows = Asked(allowed=False, loopback_only=loopback_only), Knows(ALICE)
    call = admit(gate_of(asked, knows), action=Action.HEALTH, admission=Admission.PUBLIC, values={})

    assert (asked.questions, knows.shown) == ([], [])
    assert call.caller.identity == NOBODY


def test_route_for_everybody_knows_who_asks_if_it_can() -> None:
    def ask(knows: Knows) -> Identity:
        gate = gate_of(Asked(allowed=False), knows)
        return admit(gate, admission=Admission.OPTIONAL, values={}).caller.identity

    assert ask(Knows(ALICE)) == ALICE
    assert ask(Knows(NotAuthenticatedError("wrong"))) == NOBODY
    assert ask(Knows(OciError(Code.TOOMANYREQUESTS))) == NOBODY


def test_route_that_wants_an_identity_asks_no_policy_and_takes_nothing_wrong() -> None:
    asked = Asked(allowed=False)
    call = admit(gate_of(asked, Knows()), admission=Admission.IDENTITY, values={})

    assert call.caller.identity == NOBODY
    assert asked.questions == []
    with refused(Code.UNAUTHORIZED, 401):
        wrong = Knows(NotAuthenticatedError("wrong"))
        admit(gate_of(asked, wrong), admission=Admission.IDENTITY, values={})


def test_call_says_who_somebody_is_that_shows_something_else() -> None:
    knows, certificate = Knows(ALICE), make_certificate()
    call = admit(passing(knows), certificate=certificate)

    assert trio.run(call.identify, "Basic x") == ALICE
    assert knows.shown[-1] == Shown(ADDRESS, "Basic x", certificate)


@pytest.mark.parametrize("name", ["", "..", "Library", "a/../b", "a\n", "a" * 10_000])
@pytest.mark.parametrize("loopback_only", [True, False])
@pytest.mark.parametrize("admission", Admission)
def test_malformed_name_is_refused_before_anything_is_asked(
    name: str, loopback_only: bool, admission: Admission
) -> None:
    asked, knows = Asked(allowed=True, loopback_only=loopback_only), Knows(ALICE)
    with refused(Code.NAME_INVALID, 400):
        admit(gate_of(asked, knows), admission=admission, values={"name": name})

    assert (asked.questions, knows.shown) == ([], [])


HERE = Asked(allowed=True, loopback_only=True)


@pytest.mark.parametrize("host", [None, "", "registry.example.test", "192.0.2.1:8000"])
def test_foreign_host_is_denied_on_a_registry_for_this_machine(host: str | None) -> None:
    asked, knows = Asked(allowed=True, loopback_only=True), Knows()
    with refused(Code.DENIED, 403):
        admit(gate_of(asked, knows), *([] if host is None else [("Host", host)]))

    assert (asked.questions, knows.shown) == ([], [])


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000"])
def test_loopback_host_passes_on_a_registry_for_this_machine(host: str) -> None:
    admit(gate_of(HERE, Knows()), ("Host", host))


@pytest.mark.parametrize("host", ["", "registry.example.test", "no host at all"])
def test_host_does_not_matter_where_a_policy_decides(host: str) -> None:
    admit(passing(), ("Host", host))


def test_page_of_another_site_changes_nothing(log_lines: LogLines) -> None:
    asked, knows = Asked(allowed=True), Knows(ALICE)
    with refused(Code.DENIED, 403):
        admit(
            gate_of(asked, knows),
            ("Host", "registry.example.test"),
            ("Origin", "http://other.example.test"),
            method="DELETE",
        )
    [line] = log_lines.of("access.denied")

    assert (asked.questions, knows.shown) == ([], [])
    assert line["rule"] == "origin"


def test_denial_is_in_the_audit_log_with_the_rule_that_decided(log_lines: LogLines) -> None:
    with refused(Code.DENIED, 403):
        admit(gate_of(Asked(allowed=False), Knows(ALICE)))
    [line] = log_lines.of("access.denied")

    assert (line["room"], line["request_id"]) == ("audit", "request-1")
    assert (line["action"], line["namespace"]) == ("get-blob", "library/nginx")
    assert (line["rule"], line["reason"], line["address"]) == ("rule 7", "because", ADDRESS)
    assert line["identity"] == "basic::alice"


def test_denial_of_a_foreign_host_is_in_the_audit_log(log_lines: LogLines) -> None:
    with refused(Code.DENIED, 403):
        admit(gate_of(HERE, Knows()))
    [line] = log_lines.of("access.denied")

    assert line["rule"] == "loopback-host"


def test_request_that_passes_is_not_in_the_audit_log(log_lines: LogLines) -> None:
    admit(passing())

    assert log_lines.all() == []


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "LOCALHOST:8000",
        "localhost.",
        "localhost.:8000",
        "registry.localhost",
        "registry.localhost.:8000",
        "127.0.0.1",
        "127.0.0.1:8000",
        "127.255.255.254:1",
        "[::1]",
        "[::1]:8000",
        "[0:0:0:0:0:0:0:1]:8000",
    ],
)
def test_host_names_this_machine(host: str) -> None:
    assert is_loopback_host(host)


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        ":",
        ":8000",
        "registry.example.test",
        "localhost.example.test",
        "notlocalhost",
        "localhostx",
        "127.0.0.1.example.test",
        "127-0-0-1.example.test",
        "128.0.0.1",
        "192.0.2.1:8000",
        "0.0.0.0:8000",
        "[::]:8000",
        "[2001:db8::1]:8000",
        "::1",
        "::1:8000",
        "[::1",
        "::1]",
        "[]",
        "[localhost]",
        "[::1].example.test",
        "[::1]example.test",
        "[::1]:",
        "[::1]:x",
        "[[::1]]",
        "localhost:x",
        "localhost:80.example.test",
        "localhost:80:80",
        "127.0.0.1:80@example.test",
        "example.test@localhost",
        "example.test/localhost",
        "localhost/example.test",
        "localhost, example.test",
        "localhost example.test",
        " localhost",
        "localhost\n",
        "localhost\x00",
        "localhost\x00.example.test",
        "example.test\n.localhost",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.0.0.01",
        "\u0661\u0662\u0667.0.0.1",
        "\uff11\uff12\uff17.0.0.1",
        "l\u043ecalhost",  # a Cyrillic letter
        "localho\u017ft",  # LATIN SMALL LETTER LONG S
        "localhost" * 1_000,
    ],
    ids=lambda host: repr(host)[:40],
)
def test_other_or_malformed_host_does_not_name_this_machine(host: str | None) -> None:
    assert not is_loopback_host(host)


@pytest.mark.parametrize(
    ("address", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("localhost", False),
        ("", False),
        ("127.0.0.1/8", False),
        ("127.0.0.1\n", False),
        ("[::1]", False),
    ],
)
def test_address_of_this_machine_is_told_apart(address: str, is_loopback: bool) -> None:
    assert is_loopback_address(address) == is_loopback


@QUICK
@given(st.ip_addresses(v=4), st.none() | st.integers(0, 65535))
def test_only_addresses_that_begin_with_127_name_this_machine(
    address: ipaddress.IPv4Address, port: int | None
) -> None:
    host = str(address) if port is None else f"{address}:{port}"

    assert is_loopback_host(host) == (address.packed[0] == 127)


@QUICK
@given(texts(st.sampled_from(["localhost:8000", "127.0.0.1", "[::1]:8000", "a.localhost"])))
def test_any_host_is_an_answer_and_only_plain_ascii_is_yes(host: str) -> None:
    if is_loopback_host(host):
        assert host.isascii()
        assert not set(host) & set(" \t\r\n\x00/@%,;?#\\")
