"""The gate: who is calling, and may they pass."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import cast

import pytest
import trio
from hypercorn.typing import HTTPScope
from hypothesis import given
from hypothesis import strategies as st
from quart_trio.wrappers.request import TrioRequest
from werkzeug.datastructures import Headers

from angos_trio.auth.access import Access
from angos_trio.http.call import Call
from angos_trio.http.gate import Gate, is_loopback_address, is_loopback_host
from angos_trio.http.reply import Reply
from angos_trio.http.routing import Operation
from angos_trio.identity import Action, Caller, Decision, Identity, Target
from angos_trio.oci.codes import Code, OciError
from tests.oci.refusals import refused
from tests.oci.strategies import QUICK, texts
from tests.server.log_lines import LogLines

ADDRESS = "192.0.2.7"
OPEN = Access(is_open=True, loopback_only=False)
CLOSED = Access(is_open=False, loopback_only=False)
LOCAL = Access(is_open=True, loopback_only=True)
NAME = {"name": "library/nginx"}


async def answer(call: Call) -> Reply:
    return Reply(200)


def operation_of(action: Action = Action.GET_BLOB, is_public: bool = False) -> Operation:
    return Operation(action, answer, is_public)


def admit(
    access: Access,
    *,
    operation: Operation | None = None,
    values: Mapping[str, str] = NAME,
    host: str | None = "registry.example.test",
    caller: Caller | None = None,
) -> None:
    gate = Gate(access)
    call = call_of(caller or gate.identify(ADDRESS), values, host)
    trio.run(gate.admit, call, operation or operation_of())


def call_of(
    caller: Caller, values: Mapping[str, str], host: str | None = None, query: bytes = b""
) -> Call:
    headers = Headers({} if host is None else {"Host": host})
    scope = cast(HTTPScope, {"type": "http"})
    request = TrioRequest(
        "GET", "http", "/", query, headers, "", "1.1", scope, send_push_promise=push
    )
    return Call(request, caller, values, "request-1")


async def push(path: str, headers: Headers) -> None:
    raise AssertionError("nothing is pushed")


class Asked:
    """An access rule that notes what it is asked and always gives the same answer."""

    def __init__(self, allowed: bool) -> None:
        self.allowed = allowed
        self.questions: list[tuple[Action, Target]] = []

    async def may(self, action: Action, target: Target) -> Decision:
        self.questions.append((action, target))
        return Decision(self.allowed, "rule 7", "because")

    def sees(self, namespace: str) -> bool:
        return self.allowed


def caller_of(asked: Asked, subject: str) -> Caller:
    return Caller(Identity("basic", "local", subject, ADDRESS), asked.may, asked.sees)


@pytest.mark.parametrize("access", [OPEN, CLOSED])
def test_everybody_is_anonymous_and_bound_to_the_access_rules(access: Access) -> None:
    caller = Gate(access).identify(ADDRESS)
    decision = trio.run(caller.may, Action.GET_BLOB, Target("library/nginx"))

    assert caller.identity == Identity("anonymous", "", "", ADDRESS)
    assert decision.allowed == access.is_open
    assert caller.sees("library/nginx") == access.is_open


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize(("values", "namespace"), [(NAME, "library/nginx"), ({}, None)])
def test_declared_action_is_asked_about_the_namespace_once(
    action: Action, values: Mapping[str, str], namespace: str | None
) -> None:
    asked = Asked(allowed=True)
    admit(CLOSED, operation=operation_of(action), values=values, caller=caller_of(asked, "alice"))

    assert asked.questions == [(action, Target(namespace))]


def test_open_registry_lets_everybody_pass() -> None:
    admit(OPEN)


def test_stranger_is_refused_with_a_challenge() -> None:
    with pytest.raises(OciError) as caught:
        admit(CLOSED)

    error = caught.value
    assert (error.code, error.status) == (Code.UNAUTHORIZED, 401)
    assert error.headers["WWW-Authenticate"].startswith('Basic realm="')
    assert error.detail == "get-blob"


def test_known_caller_is_denied_without_a_challenge() -> None:
    with pytest.raises(OciError) as caught:
        admit(CLOSED, caller=caller_of(Asked(allowed=False), "alice"))

    error = caught.value
    assert (error.code, error.status) == (Code.DENIED, 403)
    assert error.headers == {}
    assert error.detail == "get-blob"


@pytest.mark.parametrize("access", [CLOSED, LOCAL])
def test_public_route_is_outside_any_policy(access: Access) -> None:
    asked = Asked(allowed=False)
    admit(
        access,
        operation=operation_of(Action.HEALTH, is_public=True),
        values={},
        caller=caller_of(asked, ""),
    )

    assert asked.questions == []


@pytest.mark.parametrize("name", ["", "..", "Library", "a/../b", "a\n", "a" * 10_000])
@pytest.mark.parametrize("access", [OPEN, CLOSED, LOCAL])
@pytest.mark.parametrize("is_public", [True, False])
def test_malformed_name_is_refused_before_anything_is_asked(
    name: str, access: Access, is_public: bool
) -> None:
    asked = Asked(allowed=True)
    with refused(Code.NAME_INVALID, 400):
        admit(
            access,
            operation=operation_of(is_public=is_public),
            values={"name": name},
            caller=caller_of(asked, "alice"),
        )

    assert asked.questions == []


@pytest.mark.parametrize("host", [None, "", "registry.example.test", "192.0.2.1:8000"])
def test_foreign_host_is_denied_on_a_registry_for_this_machine(host: str | None) -> None:
    asked = Asked(allowed=True)
    with refused(Code.DENIED, 403):
        admit(LOCAL, host=host, caller=caller_of(asked, "alice"))

    assert asked.questions == []


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000"])
def test_loopback_host_passes_on_a_registry_for_this_machine(host: str) -> None:
    admit(LOCAL, host=host)


@pytest.mark.parametrize("host", [None, "", "registry.example.test", "no host at all"])
def test_host_does_not_matter_where_a_policy_decides(host: str | None) -> None:
    admit(OPEN, host=host)


def test_denial_is_in_the_audit_log_with_the_rule_that_decided(log_lines: LogLines) -> None:
    with refused(Code.DENIED, 403):
        admit(CLOSED, caller=caller_of(Asked(allowed=False), "alice"))
    [line] = log_lines.of("access.denied")

    assert line["room"] == "audit"
    assert (line["action"], line["namespace"]) == ("get-blob", "library/nginx")
    assert (line["rule"], line["reason"], line["address"]) == ("rule 7", "because", ADDRESS)


def test_denial_of_a_foreign_host_is_in_the_audit_log(log_lines: LogLines) -> None:
    with refused(Code.DENIED, 403):
        admit(LOCAL)
    [line] = log_lines.of("access.denied")

    assert line["rule"]


def test_request_that_passes_is_not_in_the_audit_log(log_lines: LogLines) -> None:
    admit(OPEN)

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
