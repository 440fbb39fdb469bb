"""401 on a page: where signing in leads to, and what becomes of a session that has ended."""

from __future__ import annotations

import pytest

from angos_trio.http.challenge import LOGIN
from angos_trio.oci.codes import Code, OciError
from angos_trio.web.frame import Site
from angos_trio.web.login import ask_to_sign_in, own_place
from tests.http.test_gate import request_of
from tests.web.pages import Element, parsed

URL = "http://registry.test"
SITE = Site("a", lambda request: URL, form_key=b"k" * 32)


def asked(*headers: tuple[str, str], method: str = "GET", challenge: str = "Basic") -> Element:
    error = OciError(Code.UNAUTHORIZED, headers={"WWW-Authenticate": challenge})
    reply = ask_to_sign_in(SITE, request_of(*headers, method=method), error, "1")
    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"] == LOGIN
    assert isinstance(reply.body, bytes)
    page = parsed(reply.body.decode())
    page.attributes["cookies"] = " / ".join(reply.cookies)
    return page


@pytest.mark.parametrize(
    ("method", "referer", "after"),
    [
        ("GET", f"{URL}/demo?q=a", "/v2/x"),
        ("HEAD", "", "/v2/x"),
        ("POST", f"{URL}/demo?q=a", "/demo?q=a"),
        ("POST", "http://evil.test/demo", "/"),
        ("POST", f"{URL}.evil.test/demo", "/"),
        ("POST", f"{URL}//evil.test", "/"),
        ("POST", f"{URL}/_ui/login", "/"),
        ("POST", "", "/"),
    ],
)
def test_signing_in_leads_to_the_page_or_to_that_from_which_a_form_was_sent(
    method: str, referer: str, after: str
) -> None:
    headers = [("Referer", referer)] if referer else []
    page = asked(*headers, method=method, challenge=LOGIN)

    assert page.one("a", class_="button").attributes["href"] == after


def test_session_that_has_ended_is_taken_out_of_the_browser() -> None:
    cookie = ("Cookie", f"angos-session={'s' * 43}")

    ended, other = asked(cookie, challenge=LOGIN), asked(cookie)
    assert "angos-session=; Max-Age=0" in ended.attributes["cookies"]
    assert "angos-session" not in other.attributes["cookies"]


@pytest.mark.parametrize("path", ["/_ui/login", "/_ui/login?next=/", "/_ui/logout", "//evil.test"])
def test_nobody_is_led_in_a_circle_or_away(path: str) -> None:
    assert own_place(path) == "/"
    assert own_place("/library/nginx?q=a") == "/library/nginx?q=a"
