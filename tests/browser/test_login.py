"""Signing in with a real browser: no box of its own, and back to the page that was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from angos_trio.auth.browser_sessions import BrowserSessions
from angos_trio.auth.passwords import hash_password
from tests.api.client import Client
from tests.api.serving import ServedRegistry, serving
from tests.browser.browsing import LAB, LIVE, Look, Watched, watched
from tests.browser.looks import LOOKS, expect_fit
from tests.factories import make_image
from tests.server.secured import Secured

pytestmark = pytest.mark.slow
PASSWORD = "correct horse"
POLICY = {"access_policy": {"default": "deny", "rules": ["identity.username == 'alice'"]}}
PLACE = "/demo/app?sort=name&q=v"
FORM = "form.login[aria-labelledby=by-password]"


@pytest.fixture(scope="module")
def served(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    users = {"alice": {"username": "alice", "password": hash_password(PASSWORD)}}
    oidc = {"ci": {"issuer": "https://issuer.test"}}
    auth = {"identity": users, "oidc": oidc}
    root = tmp_path_factory.mktemp("login")
    with serving(root, auth=auth, global_=POLICY) as served:
        with Client(served.url) as filler:
            filler.auth = httpx.BasicAuth("alice", PASSWORD)
            filler.stored("demo/app", make_image(), "v1")
        yield served


@pytest.fixture
def look(browser: Any, served: ServedRegistry) -> Look:
    """Opens a page, by the registry's own address unless another is given."""

    def opened(url: str | None = None, **options: Any) -> Any:
        return watched(browser, url or served.url, **options)

    return opened


def sign_in(seen: Watched, password: str = PASSWORD) -> None:
    """Type into the form of the page that is shown."""
    seen.page.fill("#user", "alice")
    seen.page.fill("#password", password)
    seen.page.click(f"{FORM} button")


def session_of(seen: Watched) -> dict[str, Any]:
    """The cookie that the browser keeps."""
    cookies: list[dict[str, Any]] = seen.page.context.cookies()
    (found,) = [each for each in cookies if "session" in each["name"]]
    return found


def end(served: ServedRegistry, seen: Watched) -> None:
    """The session ends while its page is open."""
    sessions = BrowserSessions(served.core.storage.shared)
    assert served.server.call(sessions.end, session_of(seen)["value"])


@pytest.mark.parametrize("scripted", [True, False], ids=["scripted", "plain"])
@pytest.mark.parametrize("host", ["127.0.0.1", LAB])
def test_signing_in_leads_back_to_the_page_that_was_asked_for(
    look: Look, served: ServedRegistry, host: str, scripted: bool
) -> None:
    url = served.url.replace("127.0.0.1", host)
    with look(url, java_script_enabled=scripted) as seen:
        seen.expected_status = {401}
        assert seen.open(PLACE).status == 401
        assert seen.page.locator("h1").inner_text() == "Sign in"
        sign_in(seen, "wrong")
        assert seen.page.locator("[role=alert]").inner_text().startswith("The user or the password")
        assert seen.page.input_value("#user") == "alice"
        sign_in(seen)
        assert seen.page.url == f"{url}{PLACE}"
        assert seen.page.locator("tbody th").inner_text() == "v1"
        assert seen.page.locator(".who").inner_text() == "alice"
        if scripted:
            seen.until(LIVE)  # a socket that is refused because the session ends would be heard
        cookie = session_of(seen)
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/")

        end(served, seen)
        assert seen.page.reload().status == 401
        assert "The session has ended" in seen.page.locator("[role=alert]").inner_text()
        sign_in(seen)
        assert seen.page.url == f"{url}{PLACE}"
        assert seen.page.locator("tbody th").inner_text() == "v1"
        if scripted:
            seen.until(LIVE)

        seen.page.locator("form.sign-out button").click()
        assert seen.page.locator("h1").inner_text() == "You are signed out"
        assert seen.open(PLACE).status == 401


def test_filter_after_the_end_of_a_session_leads_to_the_forms_and_back(
    look: Look, served: ServedRegistry
) -> None:
    with look() as seen:
        seen.expected_status = {401}
        seen.open("/demo/app")
        sign_in(seen)
        seen.until(LIVE)
        end(served, seen)
        seen.page.fill("[data-filter]", "v1")
        seen.page.wait_for_selector(FORM)
        sign_in(seen)
        assert seen.page.url == f"{served.url}/demo/app?q=v1"


def test_page_listens_by_its_session(look: Look, served: ServedRegistry) -> None:
    with look() as seen:
        seen.expected_status = {401}
        seen.open("/")
        sign_in(seen)
        opened = """() => new Promise((resolve) => {
          const socket = new WebSocket(`ws://${location.host}/v2/_ext/_events`);
          socket.addEventListener("message", (event) => resolve(JSON.parse(event.data).type));
          socket.addEventListener("close", (event) => resolve(event.code));
        })"""
        assert seen.page.evaluate(opened) == "heartbeat"


def test_form_of_another_site_signs_nobody_out(look: Look, served: ServedRegistry) -> None:
    with look() as seen:
        seen.expected_status = {401, 403}
        seen.open("/")
        sign_in(seen)
        assert seen.page.locator(".who").inner_text() == "alice"
        seen.page.goto("about:blank")
        seen.page.set_content(
            f'<form method="post" action="{served.url}/_ui/logout"><button>Go</button></form>'
        )
        with seen.page.expect_navigation() as led:
            seen.page.click("button")
        assert led.value.status == 403
        seen.open("/")
        assert seen.page.locator(".who").inner_text() == "alice"


def test_certificate_that_the_browser_shows_is_who_somebody_is(
    browser: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secured = Secured(tmp_path_factory.mktemp("tls"))
    certificate, key = secured.clients.client("laptop").write(secured.folder, "laptop")
    users = {"alice": {"username": "alice", "password": hash_password(PASSWORD)}}
    with serving(tmp_path, secured=secured, auth={"identity": users}) as served:
        shown = {"origin": served.url, "certPath": str(certificate), "keyPath": str(key)}
        with watched(
            browser, served.url, client_certificates=[shown], ignore_https_errors=True
        ) as seen:
            seen.open("/_ui/me")
            assert seen.page.locator(".who").inner_text() == "CN=laptop"
            assert "cannot be signed out here" in seen.page.locator("main").inner_text()
            seen.picture("me-certificate")
            seen.open("/_ui/login")
            sign_in(seen)
            assert seen.page.locator(".who").inner_text() == "alice"
            cookie = session_of(seen)
            assert cookie["name"].startswith("__Host-")
            assert cookie["secure"]


@pytest.mark.parametrize("kind", LOOKS)
def test_pages_of_signing_in_fit_and_can_be_read(look: Look, kind: str) -> None:
    with look(**LOOKS[kind]) as seen:
        seen.expected_status = {401}
        check = partial(_check, seen, kind)
        seen.open("/demo/app")
        check("login")
        sign_in(seen, "wrong")
        check("login-wrong")
        sign_in(seen)
        seen.open("/_ui/me")
        check("me")
        seen.page.locator("main form button").click()
        check("logout")
        seen.open("/_ui/me")
        check("me-nobody")


def _check(seen: Watched, kind: str, name: str) -> None:
    seen.picture(f"{name}-{kind}")
    expect_fit(seen, kind, name)
