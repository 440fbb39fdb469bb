"""What somebody chooses about pages, and the page that says how."""

from __future__ import annotations

import pytest

from tests.api.client import Client
from tests.web.content import Filler
from tests.web.pages import Element, page_of

FORM = "application/x-www-form-urlencoded"


def chosen(filler: Filler, **form: str) -> Element:
    """The page of a repository for a browser that sent this form."""
    answer = filler.post("/_ui/settings", data={"next": "/library?q=a", **form})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/library?q=a")
    with Client(str(filler.base_url)) as browser:
        browser.cookies.update(answer.cookies)
        return page_of(browser.get("/library"))


@pytest.mark.parametrize(
    ("sent", "is_kept"), [("absolute", True), ("relative", False), ("x", False)]
)
def test_times_are_exact_in_a_browser_that_chose_so(
    filler: Filler, sent: str, is_kept: bool
) -> None:
    times = chosen(filler, times=sent).one("tbody").all("time")

    assert {each.text.endswith(" UTC") for each in times} == {is_kept}
    assert {each.attributes["title"].endswith(" UTC") for each in times} == {not is_kept}


@pytest.mark.parametrize(("sent", "kept"), [("off", "off"), ("on", ""), ("<b>", "")])
def test_keys_are_off_in_a_browser_that_chose_so(filler: Filler, sent: str, kept: str) -> None:
    assert chosen(filler, keys=sent).one("html").attributes.get("data-keys", "") == kept


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        (FORM, b"theme=dark&next=\xff", 400),
        (FORM, b"theme=dark&next=%ff", 400),
        (FORM, b"theme=dark&next=" + b"a" * 300_000, 413),
        (FORM, b"theme=dark&" + b"&".join([b"a=b"] * 2_000), 400),
        ("application/json", b'{"theme": "dark"}', 415),
    ],
)
def test_form_that_cannot_be_read_changes_nothing(
    filler: Filler, kind: str, body: bytes, status: int
) -> None:
    answer = filler.post("/_ui/settings", content=body, headers={"Content-Type": kind})

    assert page_of(answer, status).one("h1").text
    assert "Set-Cookie" not in answer.headers


def test_form_that_chooses_nothing_changes_nothing(filler: Filler) -> None:
    answer = filler.post("/_ui/settings", data={"other": "1", "theme": ""})

    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert "Set-Cookie" not in answer.headers


def test_settings_lead_to_no_other_site(filler: Filler) -> None:
    answer = filler.post("/_ui/settings", data={"times": "absolute", "next": "//evil.test"})

    assert answer.headers["Location"] == "/"


def test_help_has_commands_for_this_host(filler: Filler) -> None:
    page = page_of(filler.get("/_ui/help"))
    host = filler.base_url.netloc.decode()
    commands = [pre.text for pre in page.all("pre")]

    assert any(f"docker push {host}/demo/alpine:3.20" in each for each in commands)
    assert f"docker pull {host}/demo/alpine:3.20" in commands
    assert any("insecure-registries" in each and host in each for each in commands)
    assert any(f'server = "http://{host}"' in each for each in commands)
    assert page.one("section", **{"aria-labelledby": "keys"}).all("kbd")


def test_header_marks_where_the_page_is(filler: Filler) -> None:
    page = page_of(filler.get("/_ui/storage"))

    for nav in (page.one("nav", class_="places"), page.one("details", class_="menu")):
        (here,) = nav.all("a", **{"aria-current": "page"})
        assert here.text == "Storage"
