"""Pages to hostile content, other sites, and callers who may not see everything."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from angos_trio.auth.passwords import hash_password
from angos_trio.http.challenge import LOGIN
from angos_trio.oci.codes import Code, OciError
from angos_trio.web import assets, headers
from angos_trio.web.pages import Pages
from tests.api.client import Client, expect_error
from tests.api.serving import serving
from tests.factories import make_blob, make_descriptor, make_image, make_index
from tests.server.log_lines import LogLines
from tests.style.sources import REPOSITORY
from tests.web.content import HOSTILE, Filler
from tests.web.pages import Element, names_of, page_of

pytestmark = pytest.mark.slow

WEB = REPOSITORY / "angos_trio" / "web"
PASSWORD = "correct horse"
PAGES = (
    *("/", "/library", "/library/nginx", "/library/nginx?view=tree", "/A", "/library/none"),
    *("/_ui/activity", "/_ui/storage", "/_ui/health", "/_ui/find?q=lib", "/_ui/help"),
)


@pytest.mark.parametrize("path", [*PAGES, "/library/", "/_ui/config"])
def test_every_answer_says_what_may_run_in_it(filler: Filler, path: str) -> None:
    answer = filler.get(path)

    for name, value in headers.PAGE.items():
        assert answer.headers[name] == value
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert "Strict-Transport-Security" not in answer.headers
    assert answer.headers["X-Request-Id"]


@pytest.mark.parametrize("path", PAGES)
def test_page_has_nothing_that_its_policy_would_refuse(filler: Filler, path: str) -> None:
    answer = filler.get(path)
    page = page_of(answer, answer.status_code)

    for element in page.walk():
        assert not {key for key in element.attributes if key == "style" or key.startswith("on")}
        assert element.tag != "style"
        assert element.tag != "script" or not element.children
        for key in ("src", "href", "action"):
            assert element.attributes.get(key, "/")[0] in "/#"
            assert not element.attributes.get(key, "/").startswith("//")


def files() -> list[Path]:
    return [path for path in WEB.rglob("*") if path.suffix in (".py", ".html", ".js", ".css")]


def test_nothing_gets_around_the_escaping() -> None:
    for path in files():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe\b|autoescape\s+false|\bMarkup\b|autoescape=False", text)
        if path.suffix == ".js":
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|DOMParser|eval\(", text)


def test_nothing_is_of_another_origin() -> None:
    for path in [*files(), *WEB.rglob("*.svg")]:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        if path.suffix != ".py":
            assert not re.search(r"https?:|[\"'(]//[a-z]", text), path


def test_style_and_scripts_are_small() -> None:
    sizes = [len(gzip.compress(each.content)) for each in assets.assets().by_name.values()]

    assert sum(sizes) < 40_000


def test_asset_is_kept_for_good_under_the_name_of_its_content(filler: Filler) -> None:
    page = page_of(filler.get("/"))
    addresses = [
        *(script.attributes["src"] for script in page.all("script")),
        *(link.attributes["href"] for link in page.all("link")),
    ]

    assert len(addresses) == len(assets.assets().by_name)
    for address in addresses:
        answer = filler.get(address)
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert re.fullmatch(r"/_ui/static/[a-z]+-[0-9a-f]{12}\.(css|js|svg)", address)
    expect_error(filler.get("/_ui/static/app.css"), 404, "NAME_UNKNOWN")
    for path in ("..%2F..%2Fidentity.py", "a/b", ""):
        assert filler.get(f"/_ui/static/{path}").status_code == 404


def test_text_of_others_is_shown_and_does_nothing(filler: Filler) -> None:
    part = filler.stored("hostile", make_image())
    platform = {"os": HOSTILE, "architecture": "amd64"}
    index = make_index([make_descriptor(part, platform=platform)])
    filler.stored("hostile", index, "v1")

    for path in ("/hostile", "/hostile?view=tree", f"/hostile?q={'x' * 200}%3Cscript%3E"):
        answer = filler.get(path)
        assert "<script>alert" not in answer.text
        assert "\u202e" not in answer.text
        page_of(answer)


@pytest.mark.parametrize("name", ["q", "sort", "view", "open", "after", "n"])
def test_query_is_shown_and_does_nothing(filler: Filler, name: str) -> None:
    answer = filler.get("/library/nginx", params={name: f'"><script>{HOSTILE}'})

    page = page_of(answer)
    assert "<script>alert" not in answer.text
    assert "\u202e" not in page.text
    assert len(page.all("script")) == sum(file.suffix == ".js" for file in files())


def test_very_long_filter_is_left_out(filler: Filler) -> None:
    page = page_of(filler.get("/library/nginx", params={"q": "x" * 20_000}))

    assert "more than 255 characters" in page.one("p", class_="notice").text
    assert len(names_of(page)) == 15


@pytest.mark.parametrize("host", ["evil.test/<b>", 'a"b', "a b", ""])
def test_host_that_is_none_is_not_repeated(tmp_path: Path, host: str) -> None:
    policy = {"access_policy": {"default": "allow"}}
    with serving(tmp_path, global_=policy) as served, served.client() as client:
        answer = client.get("/", headers={"Host": host})

        if answer.status_code == 200:  # the server refuses some heads by itself
            assert page_of(answer).all("pre") == []


def test_error_page_has_the_id_and_nothing_else_of_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: Pages, call: object) -> None:
        raise OciError(Code.UNAVAILABLE, status=503, detail="a secret place")

    monkeypatch.setattr(Pages, "home", fail)
    with serving(tmp_path) as served, served.client() as client:
        answer = client.get("/")

    page = page_of(answer, answer.status_code)
    assert answer.status_code == 503
    assert answer.headers["X-Request-Id"] in page.text
    assert "secret" not in answer.text


def test_fault_is_a_page_with_the_id_of_the_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_lines: LogLines
) -> None:
    async def fail(self: Pages, call: object) -> None:
        raise ZeroDivisionError("a secret place")

    monkeypatch.setattr(Pages, "home", fail)
    with serving(tmp_path) as served, served.client() as client:
        answer = client.get("/")

    page = page_of(answer, 500)
    (line,) = log_lines.of("request.crashed")
    log_lines.begin()  # this one was meant
    assert line["request_id"] in page.text
    assert "secret" not in answer.text


def test_browser_is_told_to_stay_with_tls_and_only_with_tls() -> None:
    told = [
        headers.page_headers(url).get("Strict-Transport-Security")
        for url in ("https://registry.test", "http://registry.test", None)
    ]

    assert told == ["max-age=86400", None, None]


@pytest.mark.parametrize("path", PAGES)
def test_head_of_a_page_is_that_of_its_get(filler: Filler, path: str) -> None:
    got, head = filler.get(path), filler.head(path)

    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["Content-Type"] == got.headers["Content-Type"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("dark", "dark"), ("light", "light"), ("system", ""), ('"><b>', ""), ("", "")],
)
def test_theme_is_kept_in_a_cookie_and_rendered_by_the_server(
    filler: Filler, sent: str, kept: str
) -> None:
    answer = filler.post("/_ui/settings", data={"theme": sent, "next": "/library?q=a"})
    with Client(str(filler.base_url)) as browser:
        browser.cookies.update(answer.cookies)
        page = page_of(browser.get("/library"))

    assert answer.status_code == 303
    assert answer.headers["Location"] == "/library?q=a"
    assert page.one("html").attributes.get("data-theme", "") == kept
    pressed = [b for b in page.all("button") if b.attributes.get("aria-pressed") == "true"]
    assert [button.attributes["value"] for button in pressed] == [kept or "system"]


@pytest.mark.parametrize(
    "target",
    [
        *("//evil.test", "https://evil.test/", "/\\evil.test", "\\\\evil.test", "javascript:x"),
        *("evil.test", "", "/a\r\nX: y", " //evil.test", "/\t/evil.test", "/é", "http:/x"),
    ],
)
def test_theme_leads_to_no_other_site(filler: Filler, target: str) -> None:
    answer = filler.post("/_ui/settings", data={"theme": "dark", "next": target})

    assert answer.headers["Location"] == "/"


@pytest.mark.parametrize(
    "more", [{"Origin": "http://evil.test"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_page_of_another_site_cannot_send_a_form(filler: Filler, more: dict[str, str]) -> None:
    answer = filler.post("/_ui/settings", data={"theme": "dark"}, headers=more)

    page = page_of(answer, 403)
    assert "Set-Cookie" not in answer.headers
    assert page.one("h1").text == "You may not see this"


@pytest.mark.parametrize(
    "target",
    ["/%2e%2e/metadata.db", "/../metadata.db", "/" + "a/" * 20_000, "/%00", "/a?%", "/%ff", "//A/"],
)
def test_hostile_path_is_a_small_page(tmp_path: Path, target: str) -> None:
    with serving(tmp_path) as served:
        for method in ("GET", "PUT", "POST", "DELETE", "OPTIONS", "CONNECT"):
            with served.wire() as wire:
                answer = wire.ask(method, target)
            assert answer.status in (400, 404, 405), answer
            assert len(answer.body) < 8_000


@pytest.mark.parametrize("path", ["/", "/library", "/library/nginx", "/A"])
def test_other_methods_are_refused_with_a_page(filler: Filler, path: str) -> None:
    answer = filler.delete(path)

    page_of(answer, 405)
    assert answer.headers["Allow"] == "GET, HEAD"


USERS = {
    name: {"username": name, "password": hash_password(PASSWORD)} for name in ("reader", "nobody")
}
RULES = [
    "identity.username == 'reader' && (!has(request.namespace) "
    "|| request.namespace.startsWith('open'))",
    "identity.username == 'owner'",
]


class Viewers:
    """Speaks to a registry as one of its users."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def get(self, path: str, user: str | None) -> httpx.Response:
        return self.client.get(path, auth=None if user is None else (user, PASSWORD))


def guarded(root: Path, **more: Any) -> Any:
    policy: Mapping[str, object] = {"access_policy": {"default": "deny", "rules": RULES}}
    users = {**USERS, "owner": {"username": "owner", "password": USERS["reader"]["password"]}}
    return serving(root, global_=policy, auth={"identity": users}, **more)


def push_as_owner(url: str, names: Sequence[str]) -> None:
    with Client(url) as client:
        client.auth = httpx.BasicAuth("owner", PASSWORD)
        for name in names:
            config = client.push_blob(name, make_blob())
            client.stored(name, make_image(make_descriptor(config)), "v1")


@pytest.mark.slow
def test_pages_show_what_the_caller_may_see_and_count_nothing_else(tmp_path: Path) -> None:
    with guarded(tmp_path) as served, served.client() as client:
        push_as_owner(served.url, ("open/a", "open/b", "closed/c", "open-closed/d"))
        as_user = Viewers(client)

        page = page_of(as_user.get("/", "reader"))
        assert names_of(page) == ["open", "open-closed"]
        assert page.one("p", class_="count").text == "2 repositories"
        assert "closed/c" not in page.text
        assert page.one("span", class_="who").text == "reader"

        refused = page_of(as_user.get("/closed/c", "reader"), 403)
        absent = page_of(as_user.get("/closed/none", "reader"), 403)
        assert _without_ids(refused) == _without_ids(absent)
        assert "list-tags" in refused.text
        page_of(as_user.get("/closed", "reader"), 403)

        asked = as_user.get("/open/a", None)
        page_of(asked, 401)
        assert asked.headers["WWW-Authenticate"] == LOGIN
        wrong = client.get("/", auth=("reader", "wrong"))
        page_of(wrong, 401)
        page_of(as_user.get("/", "nobody"), 403)


def _without_ids(page: Element) -> str:
    text = page.one("main").text
    return re.sub(r"[0-9a-f]{16}", "ID", text)


@pytest.mark.slow
def test_who_may_list_tags_alone_sees_these_and_nothing_else(tmp_path: Path) -> None:
    rule = "identity.username == 'nobody' && request.action == 'list-tags'"
    policy = {"access_policy": {"default": "deny", "rules": [*RULES, rule]}}
    users = {**USERS, "owner": {"username": "owner", "password": USERS["reader"]["password"]}}
    with (
        serving(tmp_path, global_=policy, auth={"identity": users}) as served,
        served.client() as client,
    ):
        push_as_owner(served.url, ("open/a",))
        as_user = Viewers(client)

        assert names_of(page_of(as_user.get("/open/a", "nobody"))) == ["v1"]
        page_of(as_user.get("/open/none", "nobody"), 404)
        page_of(as_user.get("/open/a?view=tree", "nobody"), 403)
        page_of(as_user.get("/open", "nobody"), 403)
        page_of(as_user.get("/", "nobody"), 403)


@pytest.mark.slow
def test_page_never_makes_a_browser_show_its_own_box(tmp_path: Path) -> None:
    service = {"secret_key": "cULDuNvIlwTS7PVVkZL1HtmGVscYF6FqEcgQsmc8Njk="}
    users = {"identity": USERS, "token_service": service}
    with serving(tmp_path, auth=users) as served, served.client() as client:
        assert client.get("/v2/").headers["WWW-Authenticate"].startswith("Bearer ")
        assert client.get("/").headers["WWW-Authenticate"] == LOGIN


def test_interface_that_is_off_is_nowhere(tmp_path: Path) -> None:
    with serving(tmp_path, ui={"enabled": False}) as served, served.client() as client:
        for path in ("/", "/library", "/_ui/config", "/_ui/static/app.css", "/_ui/browse/a"):
            expect_error(client.get(path), 404, "NAME_UNKNOWN")
        expect_error(client.post("/_ui/settings"), 404, "NAME_UNKNOWN")


@pytest.mark.slow
def test_ten_thousand_tags_are_a_page_of_a_hundred(filler: Filler) -> None:
    tags = filler.tag_often("big/ten-thousand", 10_000)

    for query in ("", "?sort=name", "?q=v1.9", "?sort=size&order=asc", "?view=tree"):
        answer = filler.get(f"/big/ten-thousand{query}")
        page = page_of(answer)
        assert len(answer.content) < 80_000
        assert sum(1 for _ in page.walk()) < 2_400  # and a button in each row, by a script
    page = page_of(filler.get("/big/ten-thousand?q=v1.9&sort=name"))
    matching = [tag for tag in tags if "v1.9" in tag]
    assert page.one("p", class_="count").text == f"{len(matching):,} of 10,000 tags"
