"""Signing in, being known, and signing out; and all that must not make anybody known."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import httpx
import pytest
import trio.testing

from angos_trio.auth.browser_sessions import BrowserSessions
from angos_trio.auth.passwords import hash_password
from angos_trio.clock import epoch_seconds
from angos_trio.identity import Identity
from angos_trio.limits.callers import BROWSER_SESSION_SECS_MAX, BROWSER_SESSIONS_OF_OWNER
from angos_trio.registry.api_keys import WantedKey, create_key, revoke_key
from angos_trio.storage.directory import DataDirectory
from angos_trio.storage.shared import Shared, begin_instance
from angos_trio.web.frame import Site
from angos_trio.web.routes import build_pages
from tests.api.client import expect_error
from tests.api.serving import ServedRegistry, serving
from tests.auth.issuer import AUDIENCE, Issuer, issuer, rsa_key
from tests.factories import make_image
from tests.registry.support import caller_of
from tests.server.frames import Frames, Refused
from tests.server.log_lines import LogLines
from tests.server.secured import Secured
from tests.web.pages import page_of
from tests.web.signing_in import LOGIN, Browser, form_of, problem_of, who

pytestmark = pytest.mark.slow

PASSWORD = "correct horse"
HASHED, OTHER = hash_password(PASSWORD), hash_password("battery staple")
TOKEN_SERVICE = {"secret_key": base64.b64encode(bytes(range(32))).decode()}
POLICY = {
    "access_policy": {
        "default": "deny",
        "rules": ["identity.username != null", "identity.oidc != null"],
    }
}
EVENTS = "/v2/_ext/_events"


def users(*names: str, hashed: str = HASHED) -> dict[str, Any]:
    return {name: {"username": name, "password": hashed} for name in names}


@pytest.fixture(scope="module")
def provider() -> Iterator[Issuer]:
    with issuer() as serving:
        yield serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, provider: Issuer) -> Iterator[ServedRegistry]:
    root: Path = tmp_path_factory.mktemp("login")
    with serving(root, **tables(provider)) as served, Browser(served.url) as filler:
        filler.auth = httpx.BasicAuth("alice", PASSWORD)
        filler.stored("demo/app", make_image(), "v1")
        yield served


def tables(provider: Issuer) -> dict[str, Any]:
    oidc = {"ci": {"issuer": provider.url, "required_audience": AUDIENCE}}
    auth = {"identity": users("alice", "bob"), "oidc": oidc, "token_service": TOKEN_SERVICE}
    return {"auth": auth, "global_": POLICY}


@pytest.fixture
def browser(served: ServedRegistry) -> Iterator[Browser]:
    with Browser(served.url) as browser:
        yield browser


def token_of(provider: Issuer, **claims: Any) -> str:
    now = int(time.time())
    return provider.token(**{"iat": now, "nbf": now, "exp": now + 600, **claims})


def session_in(browser: Browser) -> str:
    """The only secret of a session that the browser has."""
    (found,) = [each.value for each in browser.cookies.jar if "session" in each.name]
    assert found is not None
    return found


def test_password_makes_the_browser_known_on_pages_and_what_they_ask(browser: Browser) -> None:
    answer = browser.sign_in("alice", PASSWORD)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert who(browser.page("/demo/app")) == "alice"
    assert browser.get("/v2/_ext/_me").json()["owner"] == "basic::alice"
    assert 'class="sign-out"' in browser.get("/").text


def test_cookie_of_a_session_is_for_this_host_and_no_script_and_says_nothing(
    browser: Browser,
) -> None:
    answer = browser.sign_in("alice", PASSWORD)

    cookie = answer.headers["Set-Cookie"]
    port = browser.base_url.port
    assert cookie.startswith(f"angos-session-{port}={session_in(browser)}; ")
    age = BROWSER_SESSION_SECS_MAX
    assert cookie.endswith(f"; Max-Age={age}; Path=/; HttpOnly; SameSite=Lax")
    assert "alice" not in cookie


def test_session_is_good_for_nothing_that_clients_of_registries_do(browser: Browser) -> None:
    browser.sign_in("alice", PASSWORD)

    for path in ("/v2/", "/v2/demo/app/tags/list", "/v2/demo/app/manifests/v1", "/v2/_catalog"):
        expect_error(browser.get(path), 401, "UNAUTHORIZED")
    token = browser.get("/token").json()["token"]
    shown = {"Authorization": f"Bearer {token}"}
    assert browser.get("/v2/_ext/_me", headers=shown).json()["method"] == "anonymous"
    own = {"Origin": browser.origin}
    expect_error(browser.post("/v2/demo/app/blobs/uploads/", headers=own), 401, "UNAUTHORIZED")
    expect_error(browser.delete("/v2/demo/app/manifests/v1", headers=own), 401, "UNAUTHORIZED")


def test_page_asks_to_sign_in_and_leads_back_to_itself(browser: Browser) -> None:
    path = "/demo/app?sort=name&q=v"

    asked = browser.get(path)
    page = page_of(asked, 401)
    assert asked.headers["WWW-Authenticate"] == 'Bearer realm="angos-trio"'
    assert page.one("h1").text == "Sign in"
    answer = browser.submit(form_of(page, "by-password"), user="alice", password=PASSWORD)
    assert (answer.status_code, answer.headers["Location"]) == (303, path)
    assert "v1" in browser.page(path).text


def test_credentials_of_a_program_go_on_as_before(browser: Browser) -> None:
    assert who(page_of(browser.get("/", auth=("alice", PASSWORD)))) == "alice"
    wrong = browser.get("/", auth=("bob", "wrong"))
    page_of(wrong, 401)
    assert wrong.headers["WWW-Authenticate"].startswith("Basic ")
    assert browser.get("/v2/").headers["WWW-Authenticate"].startswith('Bearer realm="http')


def test_header_of_a_request_counts_before_its_session(browser: Browser) -> None:
    browser.sign_in("alice", PASSWORD)

    page = page_of(browser.get("/", auth=("bob", PASSWORD)))
    assert who(page) == "bob"
    assert page.all("form", class_="sign-out") == []
    page_of(browser.get("/", auth=("alice", "wrong")), 401)


@pytest.mark.parametrize(
    ("user", "password"),
    [("alice", "wrong"), ("nobody", PASSWORD), ("", ""), ("alice", ""), ("", PASSWORD),
     ("ali:ce", PASSWORD), ("x" * 300, PASSWORD), ("é\u202e<b>", "ü")],
)  # fmt: skip
def test_wrong_password_says_one_sentence_whatever_is_wrong(
    browser: Browser, user: str, password: str
) -> None:
    answer = browser.sign_in(user, password)

    assert problem_of(answer) == "The user or the password is not right."
    assert "Set-Cookie" not in answer.headers
    assert password not in answer.text or password in ("", "wrong")
    assert page_of(answer, 401).one("input", id="user").attributes["value"] == user[:255]


def test_token_of_a_provider_makes_a_session_that_ends_with_it(
    browser: Browser, provider: Issuer
) -> None:
    answer = browser.show_token("ci", token_of(provider, exp=int(time.time()) + 300))

    assert answer.status_code == 303
    age = int(answer.headers["Set-Cookie"].partition("Max-Age=")[2].partition(";")[0])
    assert 240 < age <= 300
    page = browser.page("/_ui/me")
    assert who(page) == "job-1"
    assert "The registry knows you by a token of ci." in page.text
    assert page.one("section", **{"aria-labelledby": "claims"}).text.count(AUDIENCE) == 1
    assert "| docker login" in page.text


def test_spaces_of_pasting_are_no_part_of_a_token(browser: Browser, provider: Issuer) -> None:
    token = token_of(provider)

    assert browser.show_token("ci", f" {token[:40]}\r\n{token[40:]}\n").status_code == 303


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": 1_000_000_000, "iat": 1, "nbf": 1}, "The token has expired. Get a new one."),
        ({"aud": "other"}, "The token is for another audience."),
        ({"nbf": 4_000_000_000, "exp": 4_000_000_600}, "The token is not valid yet. The clocks"),
        ({"iss": "https://other.test"}, "The token is of another issuer."),
        ({"sub": ...}, "This token does not count here"),
    ],
)
def test_refused_token_says_why_where_its_bearer_can_read_it(
    browser: Browser, provider: Issuer, claims: dict[str, Any], said: str
) -> None:
    answer = browser.show_token("ci", token_of(provider, **claims))

    assert problem_of(answer).startswith(said)
    assert "Set-Cookie" not in answer.headers


def test_token_that_is_none_and_one_that_others_signed_are_refused(
    browser: Browser, provider: Issuer
) -> None:
    forged = provider.token(rsa_key(1), iat=1, nbf=1, exp=int(time.time()) + 600)

    for token in ("x", "a.b.c", forged, "t" * 20_000):
        assert problem_of(browser.show_token("ci", token)).startswith("This token does not count")
    assert problem_of(browser.show_token("none", "x")).startswith("This token does not count")


def test_registry_token_makes_no_session(browser: Browser) -> None:
    token = browser.get("/token", auth=("alice", PASSWORD)).json()["token"]

    assert browser.show_token("ci", token).status_code == 401
    assert browser.sign_in("alice", token).status_code == 401


@pytest.mark.parametrize(
    "target",
    ["//evil.test", "https://evil.test/", "/\\evil.test", "javascript:x", "evil.test", "/a\r\nX: y",
     "/\t/evil.test", "", "/_ui/login?next=/_ui/login", "/_ui/logout"],
)  # fmt: skip
def test_signing_in_leads_to_no_other_site_and_in_no_circle(browser: Browser, target: str) -> None:
    page = browser.page(f"{LOGIN}?next={quote(target)}")
    hidden = form_of(page, "by-password").one("input", name="next").attributes["value"]
    assert hidden == "/"

    answer = browser.submit(
        form_of(page, "by-password"), user="alice", password=PASSWORD, next=target
    )
    assert answer.headers["Location"] == "/"


def test_form_without_a_token_does_nothing_and_says_how_to_go_on(browser: Browser) -> None:
    browser.page(LOGIN)
    fields = {"user": "alice", "password": PASSWORD, "next": "/demo"}
    own = {"Origin": browser.origin}

    for token in ({}, {"form_token": ""}, {"form_token": "x" * 88}):
        answer = browser.post(LOGIN, data={**fields, **token}, headers=own)
        assert problem_of(answer, 403).startswith("Nothing was sent")
        assert PASSWORD not in answer.text
        again = form_of(page_of(answer, 403), "by-password")
        assert again.one("input", name="next").attributes["value"] == "/demo"
    assert browser.submit(again, user="alice", password=PASSWORD).status_code == 303


SETTINGS = "/_ui/settings"
"""Its form changes nothing here: the browser alone keeps what it says."""


def forms_of_pages() -> list[str]:
    """The path of each form that pages send."""
    fixed, pages = build_pages(cast(Any, None), Site("", lambda request: None))
    paths = [route.template for route in (*fixed, *pages.routes) if "POST" in route.operations]
    return [path for path in paths if path != SETTINGS]


@pytest.mark.parametrize("path", forms_of_pages())
def test_no_form_is_taken_without_a_token(browser: Browser, path: str) -> None:
    browser.sign_in("alice", PASSWORD)
    own = {"Origin": browser.origin}

    answer = browser.post(
        path.format(name="demo/app", reference="v1"), data={"x": "y"}, headers=own
    )
    assert answer.status_code == 403
    assert page_of(answer, 403).one("main").all("input", name="form_token")


def test_form_that_came_too_late_can_be_sent_again_by_a_button(browser: Browser) -> None:
    browser.sign_in("alice", PASSWORD)
    own = {"Origin": browser.origin}

    late = page_of(browser.post("/_ui/logout", data={"a": "1", "b": "<b>"}, headers=own), 403)
    form = late.one("form", class_="again")
    assert [each.attributes["value"] for each in form.all("input", name="b")] == ["<b>"]
    assert browser.submit(form).status_code == 303
    assert browser.get("/").status_code == 401


def test_form_of_nobody_knows_whom_is_not_repeated(browser: Browser) -> None:
    browser.sign_in("alice", PASSWORD)

    late = page_of(browser.post("/_ui/logout", data={"a": "1"}), 403)
    assert late.all("form", class_="again") == []
    referer = {"Referer": f"{browser.origin}/demo/app"}
    late = page_of(browser.post("/_ui/logout", data={"a": "1"}, headers=referer), 403)
    assert "/demo/app" in late.one("main").hrefs


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"\xff", "application/x-www-form-urlencoded", 400),
        (b"a=%ff", "application/x-www-form-urlencoded", 400),
        (b"&".join([b"a=b"] * 2000), "application/x-www-form-urlencoded", 400),
        (b"a" * 300_000, "application/x-www-form-urlencoded", 413),
        (b"a=b", "text/plain", 415),
        (b"a=b", "multipart/form-data; boundary=x", 415),
    ],
)
def test_form_that_cannot_be_read_is_a_page(
    browser: Browser, content: bytes, kind: str, status: int
) -> None:
    headers = {"Origin": browser.origin, "Content-Type": kind}
    page_of(browser.post("/_ui/logout", content=content, headers=headers), status)


def test_token_of_a_form_is_of_one_browser_alone(served: ServedRegistry, browser: Browser) -> None:
    with Browser(served.url) as other:
        others = form_of(other.page(LOGIN), "by-password")
        browser.page(LOGIN)
        answer = browser.submit(others, user="alice", password=PASSWORD)
    assert problem_of(answer, 403).startswith("Nothing was sent")
    assert browser.get("/").status_code == 401


def test_token_from_before_signing_in_does_not_count_after_it(browser: Browser) -> None:
    before = form_of(browser.page(LOGIN), "by-password")
    browser.sign_in("alice", PASSWORD)

    answer = browser.submit(before, user="bob", password=PASSWORD)
    assert problem_of(answer, 403).startswith("Nothing was sent")
    assert who(browser.page("/")) == "alice"


def test_no_two_pages_have_the_same_token_and_only_pages_with_forms_set_a_cookie(
    browser: Browser,
) -> None:
    tokens = {
        each.attributes["value"]
        for _ in range(3)
        for each in browser.page(LOGIN).all("input", name="form_token")
    }
    assert len(tokens) == 6
    with Browser(browser.origin) as fresh:
        assert "Set-Cookie" not in fresh.get("/_ui/logout").headers
        cookie = fresh.get(LOGIN).headers["Set-Cookie"]
    assert cookie.startswith("angos-form-")
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Strict")


@pytest.mark.parametrize(
    "more",
    [{"Origin": "http://evil.test"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
     {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://127.0.0.1:1"}],
)  # fmt: skip
def test_page_of_another_site_signs_nobody_in_or_out(
    browser: Browser, more: dict[str, str]
) -> None:
    browser.sign_in("alice", PASSWORD)
    form = browser.page("/").one("form", class_="sign-out")
    token = form.one("input", name="form_token").attributes["value"]

    page_of(browser.post("/_ui/logout", data={"form_token": token}, headers=more), 403)
    fields = {"form_token": token, "user": "bob", "password": PASSWORD}
    page_of(browser.post(LOGIN, data=fields, headers=more), 403)
    assert who(browser.page("/")) == "alice"


def test_session_does_nothing_unless_the_browser_says_that_our_page_asks(
    browser: Browser,
) -> None:
    browser.sign_in("alice", PASSWORD)

    def ask(**headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return browser.post("/v2/_ext/_gc", json={}, headers=named).status_code

    assert ask() == 401
    assert ask(Origin="http://evil.test") == ask(Sec_Fetch_Site="same-site") == 403
    assert ask(Sec_Fetch_Site="none") == 401
    assert ask(Origin=browser.origin) == 202
    assert ask(Sec_Fetch_Site="same-origin") in (202, 429)  # the first may go on


def test_session_does_not_count_for_what_another_site_has_the_browser_fetch(
    browser: Browser,
) -> None:
    browser.sign_in("alice", PASSWORD)
    other = {"Sec-Fetch-Site": "cross-site"}

    expect_error(browser.get("/v2/_ext/_repositories", headers=other), 401, "UNAUTHORIZED")
    led_here = {**other, "Sec-Fetch-Mode": "navigate"}
    assert browser.get("/", headers=led_here).status_code == 200


def test_feed_takes_a_session_over_a_socket_of_our_own_page_alone(
    served: ServedRegistry, browser: Browser
) -> None:
    browser.sign_in("alice", PASSWORD)
    cookie = ("Cookie", f"angos-session={session_in(browser)}")  # for a host without a port

    with served.wire() as wire:
        frames = Frames(wire, EVENTS, [cookie, ("Origin", "http://localhost")])
        assert frames.json()["type"] == "heartbeat"
    for more, status in (([], 401), ([("Origin", "http://evil.test")], 403)):
        with served.wire() as wire, pytest.raises(Refused) as refused:
            Frames(wire, EVENTS, [cookie, *more])
        assert refused.value.answer.status == status


def test_feed_ends_within_a_minute_of_the_session_that_opened_it(tmp_path: Path) -> None:
    clock = trio.testing.MockClock(rate=20.0)
    with (
        serving(tmp_path, clock=clock, auth={"identity": users("alice")}) as served,
        Browser(served.url) as browser,
    ):
        browser.sign_in("alice", PASSWORD)
        cookie = ("Cookie", f"angos-session={session_in(browser)}")
        with served.wire() as wire:
            frames = Frames(wire, EVENTS, [cookie, ("Origin", "http://localhost")])
            assert frames.json()["type"] == "heartbeat"
            browser.sign_out()
            closed = frames.closed()
            assert (closed.code, closed.reason) == (4401, "unauthorized")


def test_signing_in_again_ends_what_the_browser_was_known_by(
    served: ServedRegistry, browser: Browser
) -> None:
    browser.sign_in("alice", PASSWORD)
    before = session_in(browser)
    browser.sign_in("bob", PASSWORD)

    assert session_in(browser) != before
    assert who(browser.page("/")) == "bob"
    with Browser(served.url) as thief:
        thief.cookies.set(f"angos-session-{browser.base_url.port}", before)
        assert "The session has ended." in problem_of(thief.get("/"))


def test_signing_out_ends_the_session_also_for_who_kept_its_cookie(
    served: ServedRegistry, browser: Browser
) -> None:
    browser.sign_in("alice", PASSWORD)
    secret = session_in(browser)

    answer = browser.sign_out()
    assert (answer.status_code, answer.headers["Location"]) == (303, "/_ui/logout")
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert "cannot" in browser.page("/_ui/logout").text
    assert problem_free(browser.get("/"))
    with Browser(served.url) as thief:
        thief.cookies.set(f"angos-session-{browser.base_url.port}", secret)
        answer = thief.get("/")
        assert "The session has ended." in problem_of(answer)
        cleared = answer.headers.get_list("Set-Cookie")
        assert any("session" in each and "Max-Age=0" in each for each in cleared)


def problem_free(answer: httpx.Response) -> bool:
    return page_of(answer, 401).all("p", role="alert") == []


def test_session_that_has_ended_leads_to_the_forms_and_back(browser: Browser) -> None:
    browser.cookies.set(
        f"angos-session-{browser.base_url.port}", "s" * 43, domain="127.0.0.1", path="/"
    )

    asked = browser.get("/demo/app")
    assert problem_of(asked) == "The session has ended. Sign in again to come back to this page."
    answer = browser.submit(
        form_of(page_of(asked, 401), "by-password"), user="alice", password=PASSWORD
    )
    assert answer.headers["Location"] == "/demo/app"
    assert browser.get("/demo/app").status_code == 200


def test_too_many_wrong_passwords_are_429_as_by_any_other_way(
    tmp_path: Path, log_lines: LogLines
) -> None:
    with (
        serving(tmp_path, auth={"identity": users("alice")}) as served,
        Browser(served.url) as browser,
    ):
        # Attempts come back with time, and a slow machine takes some for each of these.
        answers = [browser.sign_in("alice", "wrong 0")]
        while answers[-1].status_code == 401 and len(answers) < 60:
            answers.append(browser.sign_in("alice", f"wrong {len(answers)}"))
        assert len(answers) > 10
        assert problem_of(answers[-1], 429).startswith("Too many attempts have failed.")
        assert int(answers[-1].headers["Retry-After"]) > 0
        with Browser(served.url) as fresh:
            assert fresh.sign_in("alice", PASSWORD).status_code == 429
    assert len(log_lines.of("authentication.failed")) >= 11


def ends_by(change: Callable[[ServedRegistry], None], root: Path, user: str = "alice") -> str:
    """What a browser is told after a change; the session counts before it."""
    with (
        serving(root, auth={"identity": users("alice", "bob")}) as served,
        Browser(served.url) as browser,
    ):
        assert browser.sign_in(user, PASSWORD).status_code == 303
        assert who(browser.page("/")) == user
        change(served)
        answer = browser.get("/")
        return problem_of(answer) if answer.status_code == 401 else who(page_of(answer))


def test_changed_password_ends_a_session(tmp_path: Path) -> None:
    changed = {"identity": {**users("alice", hashed=OTHER), **users("bob")}}

    def change(served: ServedRegistry) -> None:
        served.reload(auth=changed)

    assert ends_by(change, tmp_path / "a").startswith("The session has ended.")
    assert ends_by(change, tmp_path / "b", "bob") == "bob"


def test_user_who_is_removed_has_no_session(tmp_path: Path) -> None:
    def remove(served: ServedRegistry) -> None:
        served.reload(auth={"identity": users("bob")})

    assert ends_by(remove, tmp_path).startswith("The session has ended.")


def test_session_of_an_api_key_is_narrowed_and_ends_with_it(tmp_path: Path) -> None:
    operator = caller_of("operator")
    with (
        serving(tmp_path, auth={"identity": users("alice")}) as served,
        Browser(served.url) as browser,
    ):
        wanted = WantedKey("reader", "alice", None, ("demo/**",), ("list-tags",))
        call, core = served.server.call, served.core
        key, text = call(create_key, core, operator, wanted, {"alice"})
        assert browser.sign_in("alice", text).status_code == 303
        page = browser.page("/_ui/me")
        assert "The registry knows you by the API key reader." in page.text
        assert "demo/**" in page.text
        page_of(browser.get("/"), 403)
        call(revoke_key, core, operator, key.id)
        assert problem_of(browser.get("/_ui/me")).startswith("The session has ended.")


def test_provider_that_wants_another_audience_ends_its_sessions(
    tmp_path: Path, provider: Issuer
) -> None:
    given = tables(provider)
    with serving(tmp_path, **given) as served, Browser(served.url) as browser:
        assert browser.show_token("ci", token_of(provider)).status_code == 303
        assert browser.get("/").status_code == 200
        given["auth"]["oidc"]["ci"]["required_audience"] = "another"
        served.reload(**given)
        assert problem_of(browser.get("/")).startswith("The session has ended.")


@contextmanager
def certified(root: Path, folder: Path) -> Iterator[tuple[ServedRegistry, Secured]]:
    secured = Secured(folder)
    with serving(root, secured=secured, auth={"identity": users("alice")}) as served:
        yield served, secured


def test_session_over_tls_is_bound_to_the_certificate_that_was_shown(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with certified(tmp_path, tmp_path_factory.mktemp("tls")) as (served, secured):
        shown = secured.clients.client("laptop")
        with Browser(served.url, secured.client(shown)) as browser:
            answer = browser.sign_in("alice", PASSWORD)
            cookie = answer.headers["Set-Cookie"]
            assert cookie.startswith("__Host-angos-session-")
            assert cookie.endswith("; Secure")
            page = browser.page("/_ui/me")
            assert who(page) == "alice"
            section = page.one("section", **{"aria-labelledby": "certificate"})
            assert "CN=laptop" in section.text
            assert " days left" in section.text
            assert f"/etc/docker/certs.d/127.0.0.1:{browser.base_url.port}/ca.crt" in page.text
            name, secret = f"__Host-angos-session-{browser.base_url.port}", session_in(browser)
        for other in (None, secured.clients.client("thief")):
            with Browser(served.url, secured.client(other)) as thief:
                thief.headers["Cookie"] = f"{name}={secret}"
                told = problem_of(thief.get("/"))
                assert told == "The session began with another client certificate."


def test_certificate_alone_is_shown_as_who_somebody_is_and_cannot_be_signed_out(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (
        certified(tmp_path, tmp_path_factory.mktemp("tls")) as (served, secured),
        Browser(served.url, secured.client(secured.clients.client("laptop"))) as browser,
    ):
        page = browser.page("/_ui/me")
        assert who(page) == "CN=laptop"
        assert "The registry knows you by a client certificate." in page.text
        assert "cannot be signed out here" in page.text
        assert page.all("form", class_="sign-out") == []


def test_page_of_nobody_says_so_and_offers_to_sign_in(browser: Browser) -> None:
    page = browser.page("/_ui/me")

    assert "does not know you" in page.text
    assert "/_ui/login?next=/_ui/me" in page.hrefs
    assert "demo" not in page.one("section", **{"aria-labelledby": "rights"}).text


def test_rights_are_those_of_who_looks(browser: Browser) -> None:
    browser.sign_in("alice", PASSWORD)

    rights = browser.page("/_ui/me").one("section", **{"aria-labelledby": "rights"})
    (row,) = rights.one("tbody").all("tr")
    assert row.text == "demo yes yes yes yes"


def test_registry_that_knows_nobody_offers_no_forms(tmp_path: Path) -> None:
    with serving(tmp_path) as served, Browser(served.url) as browser:
        page = browser.page(LOGIN)
        assert page.all("form", class_="login") == []
        assert page_of(browser.get("/")).all("a", class_="sign-in-link") == []


def test_caller_has_so_many_sessions_and_the_oldest_makes_room(tmp_path: Path) -> None:
    with (
        serving(tmp_path, auth={"identity": users("alice")}) as served,
        Browser(served.url) as browser,
    ):
        browser.sign_in("alice", PASSWORD)
        sessions = BrowserSessions(served.core.storage.shared)
        identity, now = caller_of("somebody").identity, epoch_seconds()

        def is_known(begun: Any) -> bool:
            return served.server.call(sessions.find, begun.secret, now) is not None

        begun = [
            served.server.call(sessions.begin, identity, HASHED, now + number)
            for number in range(BROWSER_SESSIONS_OF_OWNER + 1)
        ]
        assert [is_known(each) for each in begun[:3]] == [False, True, True]
        assert is_known(begun[-1])
        assert who(browser.page("/")) == "alice"  # another's are no matter


def test_session_of_one_process_is_known_to_all_and_its_end_too(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    begin_instance(directory, is_alone=False)
    identity, now = Identity("basic", "", "alice", "192.0.2.1"), epoch_seconds()

    async def test() -> None:
        one, other = Shared(directory, "one"), Shared(directory, "other")
        try:
            here, there = BrowserSessions(one), BrowserSessions(other)
            begun = await here.begin(identity, HASHED, now)
            assert begun is not None
            assert await there.find(begun.secret, now) is not None
            assert await there.end(begun.secret)
            assert await here.find(begun.secret, now) is None
            assert one.secret == other.secret
        finally:
            one.close()
            other.close()

    trio.run(test)


def test_nothing_that_is_stored_or_logged_lets_anybody_in(
    tmp_path: Path, log_lines: LogLines
) -> None:
    with (
        serving(tmp_path, auth={"identity": users("alice")}) as served,
        Browser(served.url) as browser,
    ):
        browser.sign_in("alice", PASSWORD)
        secret = session_in(browser)
        stored = served.core.storage.shared.run_blocking(lambda rows: str([*rows.iterdump()]))
        assert "basic::alice" in stored
        assert secret not in stored
        browser.sign_out()
    (begun,) = log_lines.of("browser.signed_in")
    assert begun["identity"] == "basic::alice"
    assert secret not in str(log_lines.all())
    assert PASSWORD not in str(log_lines.all())
