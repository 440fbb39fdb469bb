"""Who is calling, over HTTP: what is right, what is wrong, and what the audit log says of it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from angos_trio.auth.api_keys import make_key
from angos_trio.auth.passwords import hash_password
from angos_trio.limits.callers import FAILURE_REFUSAL_SECS
from tests.api.client import expect_error
from tests.api.serving import ServedRegistry, serving
from tests.auth.issuer import AUDIENCE, Issuer, issuer, rsa_key
from tests.net.web import Reply, Request, web
from tests.server.log_lines import LogLines

pytestmark = pytest.mark.slow

PASSWORD = "correct horse"
HASHED = hash_password(PASSWORD)
KEY = base64.b64encode(bytes(range(32))).decode()
USERS = {"a": {"username": "alice", "password": HASHED}}
RULES = [
    "identity.username == 'alice'",
    "identity.oidc != null && identity.oidc.claims.sub == 'job-1'",
    "request.action in ['get-api-version', 'list-tags']",
]
POLICY = {"access_policy": {"default": "deny", "rules": RULES}}


def now() -> dict[str, Any]:
    """Times of a token that counts at this moment."""
    moment = int(time.time())
    return {"iat": moment, "nbf": moment, "exp": moment + 600}


@pytest.fixture(scope="module")
def provider() -> Iterator[Issuer]:
    with issuer() as serving:
        yield serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, provider: Issuer) -> Iterator[ServedRegistry]:
    auth = {
        "identity": USERS,
        "oidc": {"ci": {"issuer": provider.url, "required_audience": AUDIENCE}},
        "token_service": {"secret_key": KEY},
    }
    root: Path = tmp_path_factory.mktemp("callers")
    with serving(root, auth=auth, global_=POLICY) as served:
        yield served


@pytest.fixture
def client(served: ServedRegistry) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, trust_env=False) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_who_shows_nothing_is_sent_to_the_token_service(client: httpx.Client) -> None:
    answer = client.get("/v2/")

    expect_error(answer, 401, "UNAUTHORIZED")
    host = f"{client.base_url.host}:{client.base_url.port}"
    assert answer.headers["WWW-Authenticate"] == (
        f'Bearer realm="http://{host}/token",service="angos-trio"'
    )


def test_token_for_nobody_lets_pass_what_is_for_everybody(client: httpx.Client) -> None:
    token = client.get("/token").json()["token"]

    assert client.get("/v2/", headers=bearer(token)).status_code == 200
    refused = client.post("/v2/app/blobs/uploads/", headers=bearer(token))
    expect_error(refused, 401, "UNAUTHORIZED")
    assert 'scope="repository:app:pull,push"' in refused.headers["WWW-Authenticate"]


def test_password_gets_a_token_by_get_and_by_post(client: httpx.Client) -> None:
    got = client.get(
        "/token", headers=basic("alice", PASSWORD), params={"scope": "x", "account": "y"}
    )
    form = {"grant_type": "password", "username": "alice", "password": PASSWORD, "service": "z"}
    posted = client.post("/token", data=form)

    for answer in (got, posted):
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store"
        document = answer.json()
        assert document["token"] == document["access_token"]
        assert document["expires_in"] == 3600
        assert document["issued_at"].endswith("Z")
        issued_at = datetime.fromisoformat(document["issued_at"]).timestamp()
        assert abs(issued_at - time.time()) < 60
        assert client.get("/v2/_catalog", headers=bearer(document["token"])).status_code == 200


def test_form_that_is_too_large_is_refused_as_what_it_is(client: httpx.Client) -> None:
    answer = client.post("/token", data={"grant_type": "password", "password": "x" * 20_000})

    expect_error(answer, 413, "MANIFEST_INVALID", {"limit": 16 * 1024})
    assert answer.json()["errors"][0]["message"] == "body is larger than 16384 bytes"


def test_no_token_is_given_for_a_token_or_for_a_wrong_password(client: httpx.Client) -> None:
    token = client.get("/token", headers=basic("alice", PASSWORD)).json()["token"]

    expect_error(client.get("/token", headers=bearer(token)), 403, "DENIED")
    form = {"grant_type": "password", "username": "alice", "password": "wrong"}
    for answer in (
        client.post("/token", data=form),
        client.get("/token", headers=basic("alice", "wrong")),
    ):
        expect_error(answer, 401, "UNAUTHORIZED")
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_token_of_a_provider_counts_as_bearer_and_beside_its_name(
    client: httpx.Client, provider: Issuer
) -> None:
    token = provider.token(**now())

    assert client.get("/v2/_catalog", headers=bearer(token)).status_code == 200
    assert client.get("/v2/_catalog", headers=basic("ci", token)).status_code == 200
    exchanged = client.get("/token", headers=basic("ci", token)).json()["token"]
    assert client.get("/v2/_catalog", headers=bearer(exchanged)).status_code == 200


def test_another_subject_of_the_provider_is_known_and_refused(
    client: httpx.Client, provider: Issuer
) -> None:
    token = provider.token(**{**now(), "sub": "job-2"})

    expect_error(client.get("/v2/_catalog", headers=bearer(token)), 403, "DENIED")


def unsigned(provider: Issuer) -> str:
    parts = [{"alg": "none", "typ": "JWT"}, {"iss": provider.url, "aud": AUDIENCE, **now()}]
    encoded = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts
    ]
    return ".".join([*encoded, ""])


Wrong = Callable[[Issuer], dict[str, str]]
WRONG: dict[str, tuple[Wrong, str]] = {
    "wrong password": (lambda p: basic("alice", "wrong"), "the password is wrong"),
    "unknown user": (lambda p: basic("mallory", PASSWORD), "there is no user of this name"),
    "no base64": (lambda p: {"Authorization": "Basic !"}, "cannot be read"),
    "no password": (
        lambda p: {"Authorization": "Basic " + base64.b64encode(b"alice").decode()},
        "have no password",
    ),
    "unknown scheme": (lambda p: {"Authorization": "Digest x"}, "of no scheme"),
    "no scheme": (lambda p: {"Authorization": "x"}, "of no scheme"),
    "no token": (lambda p: bearer("x"), "of nobody"),
    "expired": (lambda p: bearer(p.token(exp=int(time.time()) - 100)), "has expired"),
    "not yet valid": (
        lambda p: bearer(p.token(**{**now(), "nbf": int(time.time()) + 1000})),
        "is not valid yet",
    ),
    "wrong issuer": (lambda p: bearer(p.token(**now(), iss="http://other")), "of nobody"),
    "wrong audience": (lambda p: bearer(p.token(**now(), aud="other")), "for another audience"),
    "wrong issuer beside the name": (
        lambda p: basic("ci", p.token(**now(), iss="http://other")),
        "is of another issuer",
    ),
    "none": (lambda p: bearer(unsigned(p)), "is signed in a way"),
    "another key": (
        lambda p: bearer(p.token(rsa_key(1), **now())),
        "has a wrong signature",
    ),
    "embedded key": (
        lambda p: bearer(p.token(rsa_key(1), headers={"kid": "one", "jwk": {}}, **now())),
        "the token",
    ),
    "critical header": (
        lambda p: bearer(p.token(headers={"kid": "one", "crit": ["x"], "x": 1}, **now())),
        "the token",
    ),
    "20,000 characters": (lambda p: bearer("x" * 20_000), "of nobody"),
    "API key of nobody": (
        lambda p: bearer("atk_abcdefghij23_" + "A" * 43),
        "there is no API key",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_401_and_in_the_audit_log(
    tmp_path: Path, provider: Issuer, name: str, log_lines: LogLines
) -> None:
    make, reason = WRONG[name]
    auth: dict[str, Any] = {
        "identity": USERS,
        "oidc": {"ci": {"issuer": provider.url, "required_audience": AUDIENCE}},
        "token_service": {"secret_key": KEY},
    }
    allow = {"access_policy": {"default": "allow"}}
    with (
        serving(tmp_path, auth=auth, global_=allow) as served,
        httpx.Client(base_url=served.url, trust_env=False) as client,
    ):
        shown = make(provider)
        answer = client.get("/v2/_catalog", headers=shown)

        expect_error(answer, 401, "UNAUTHORIZED")
        assert client.get("/v2/_catalog").status_code == 200, "and never anonymous"
    [line] = log_lines.of("authentication.failed")
    assert line["request_id"] == answer.headers["X-Request-Id"]
    assert reason in line["reason"]
    secret = shown["Authorization"].partition(" ")[2]
    assert len(secret) < 8 or secret not in json.dumps(line)


def test_megabyte_of_token_is_refused_before_anybody_looks(client: httpx.Client) -> None:
    answer = client.get("/v2/_catalog", headers=bearer("x" * 1_000_000))

    assert answer.status_code == 431


def test_dead_provider_is_503_and_others_go_on(tmp_path: Path, log_lines: LogLines) -> None:
    with issuer() as gone:
        token = gone.token(**now())
        auth = {"identity": USERS, "oidc": {"ci": {"issuer": gone.url}}}
    with (
        serving(tmp_path, auth=auth, global_=POLICY) as served,
        httpx.Client(base_url=served.url, trust_env=False) as client,
    ):
        expect_error(client.get("/v2/_catalog", headers=bearer(token)), 503, "UNAVAILABLE")
        assert client.get("/v2/_catalog", headers=basic("alice", PASSWORD)).status_code == 200
    assert [line["status"] for line in log_lines.of("authentication.failed")] == [503]


def test_too_many_wrong_passwords_are_429_and_who_was_let_in_goes_on(tmp_path: Path) -> None:
    with (
        serving(tmp_path, auth={"identity": USERS}) as served,
        httpx.Client(base_url=served.url, trust_env=False) as client,
    ):
        right = basic("alice", PASSWORD)
        assert client.get("/v2/", headers=right).status_code == 200
        # Attempts come back with time, and a slow machine takes some for each of these.
        refused, tried = client.get("/v2/", headers=basic("alice", "0")), 1
        while refused.status_code == 401 and tried < 60:
            began = time.monotonic()
            refused = client.get("/v2/", headers=basic("alice", f"{tried}"))
            tried += 1

        assert tried > 10
        expect_error(refused, 429, "TOOMANYREQUESTS")
        assert time.monotonic() - began >= FAILURE_REFUSAL_SECS
        assert int(refused.headers["Retry-After"]) >= 1
        assert client.get("/v2/", headers=right).status_code == 200


def test_pages_of_other_sites_change_nothing(client: httpx.Client) -> None:
    foreign = {**basic("alice", PASSWORD), "Origin": "http://other.example.test"}

    expect_error(client.post("/v2/app/blobs/uploads/", headers=foreign), 403, "DENIED")
    assert client.get("/v2/_catalog", headers=foreign).status_code == 200
    assert "Access-Control-Allow-Origin" not in client.get("/v2/", headers=foreign).headers


def test_log_tells_the_client_behind_a_proxy_of_what_is_refused_too(
    tmp_path: Path, log_lines: LogLines
) -> None:
    proxies = {"trusted_proxies": ["127.0.0.1"]}
    with (
        serving(tmp_path, auth={"identity": USERS}, global_=proxies) as served,
        httpx.Client(
            base_url=served.url, trust_env=False, headers={"X-Forwarded-For": "198.51.100.7"}
        ) as client,
    ):
        for headers, status in (({}, 401), (basic("alice", PASSWORD), 202)):
            answer = client.post("/v2/app/blobs/uploads/", headers=headers)
            assert answer.status_code == status
        assert client.post("/v2/nothing").status_code == 404
        lines = log_lines.wait_for("request", 3)
    assert [line["client"] for line in lines] == ["198.51.100.7"] * 3


class Asker:
    """A webhook that lets pass what concerns one namespace; says nothing useful when it is down."""

    def __init__(self) -> None:
        self.is_down = False

    def __call__(self, request: Request) -> Reply:
        if self.is_down:
            return Reply(500)
        namespaces = request.all("X-Registry-Namespace")
        return Reply(204 if namespaces in ([], ["open/app"]) else 403)


def test_webhook_is_asked_and_its_word_counts(tmp_path: Path, log_lines: LogLines) -> None:
    asker = Asker()
    with web(asker) as asked:
        auth = {
            "identity": USERS,
            "webhook": {"asker": {"url": asked.url, "timeout_ms": 2000, "cache_ttl": 60}},
        }
        with (
            serving(tmp_path, auth=auth, global_={"authorization_webhook": "asker"}) as served,
            httpx.Client(
                base_url=served.url, trust_env=False, headers=basic("alice", PASSWORD)
            ) as client,
        ):
            assert client.post("/v2/open/app/blobs/uploads/").status_code == 202
            expect_error(client.post("/v2/shut/app/blobs/uploads/"), 403, "DENIED")
            request = asked.asked[0]
            assert request.all("X-Registry-Action") == ["start-upload"]
            assert request.all("X-Registry-Username") == ["alice"]
            assert request.all("X-Forwarded-Uri") == ["/v2/open/app/blobs/uploads/"]
            assert request.all("Authorization") == []

            asker.is_down = True
            expect_error(client.get("/v2/open/app/tags/list"), 403, "DENIED")
            asker.is_down = False
            assert client.get("/v2/open/app/tags/list").status_code == 404, "not remembered"
    rules = {line["rule"] for line in log_lines.of("access.denied")}
    assert rules == {"auth.webhook.asker"}


def test_key_in_the_place_of_a_name_is_not_in_the_log(
    client: httpx.Client, log_lines: LogLines
) -> None:
    text = make_key().text
    expect_error(client.get("/v2/", headers=basic(text, "x")), 401, "UNAUTHORIZED")
    (line,) = log_lines.of("authentication.failed")
    assert line["subject"] == "atk_"


def test_registry_token_for_a_provider_s_token_ends_when_another_audience_is_wanted(
    tmp_path: Path, provider: Issuer
) -> None:
    def audience(wanted: str) -> dict[str, Any]:
        oidc = {"ci": {"issuer": provider.url, "required_audience": wanted}}
        return {"oidc": oidc, "token_service": {"secret_key": KEY}}

    def ask(folder: Path, auth: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
        with (
            serving(folder, auth=auth, global_=POLICY) as served,
            httpx.Client(base_url=served.url, trust_env=False) as client,
        ):
            if "Basic" in headers["Authorization"]:
                return client.get("/token", headers=headers)
            return client.get("/v2/_catalog", headers=headers)

    given = ask(tmp_path / "a", audience(AUDIENCE), basic("ci", provider.token(**now())))
    token = bearer(given.json()["token"])

    assert ask(tmp_path / "b", audience(AUDIENCE), token).status_code == 200
    expect_error(ask(tmp_path / "c", audience("other"), token), 401, "UNAUTHORIZED")
