"""Many namespaces are folded by the first segment of their names, and a sentence says what holds
there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from angos_trio.auth.passwords import hash_password
from angos_trio.web.below import kept_in_words, rights_in_words
from tests.api.client import Client
from tests.api.serving import serving
from tests.factories import make_image
from tests.web.pages import Element, names_of, page_of, rows_of

pytestmark = pytest.mark.slow

GROUPS = ("apps", "base", "tools")
DAY = 86_400


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Speaks to a registry with 211 namespaces in three groups, and 205 side by side."""
    with serving(tmp_path_factory.mktemp("folded")) as served, Client(served.url) as found:
        for number in range(210):
            name = f"wide/{GROUPS[number % 3]}/n{number:03d}"
            found.stored(name, make_image(annotations={"n": name}), "v1")
        found.stored(
            "wide/alone",
            make_image(),
            "v1",
        )
        for number in range(205):
            found.stored(f"flat/n{number:03d}", make_image(), "v1")
        yield found


def views(page: Element) -> dict[str, bool]:
    """The ways to look, and which is taken."""
    return {
        link.text: "aria-current" in link.attributes
        for nav in page.all("nav", class_="segments")
        for link in nav.all("a")
    }


def test_many_namespaces_are_folders_with_counts(client: Client) -> None:
    page = page_of(client.get("/wide"))

    assert [row[:4] for row in rows_of(page)] == [
        ["alone", "1", "1", "1"],
        ["apps/", "70", "70", "70"],
        ["base/", "70", "70", "70"],
        ["tools/", "70", "70", "70"],
    ]
    assert page.one("p", class_="count").text == "4 folders"
    assert views(page) == {"Folders": True, "Namespaces": False}
    assert page.one("p", class_="said").text.startswith("211 namespaces hold 211 tags")
    hrefs = page.one("tbody").hrefs
    assert hrefs == ["/wide/alone", "/wide/apps", "/wide/base", "/wide/tools"]
    assert names_of(page_of(client.get("/wide/alone"))) == ["v1"]
    inner = page_of(client.get("/wide/apps"))
    assert len(rows_of(inner)) == 70
    assert views(inner) == {}


def test_namespaces_can_be_seen_one_by_one(client: Client) -> None:
    page = page_of(client.get("/wide"))
    (href,) = [h for h in page.one("nav", class_="segments").hrefs if "below" in h]
    flat = page_of(client.get(href))

    assert len(rows_of(flat)) == 100
    assert flat.one("p", class_="count").text == "211 namespaces"
    assert views(flat) == {"Folders": False, "Namespaces": True}
    back = page_of(client.get(flat.one("nav", class_="segments").hrefs[0]))
    assert names_of(back) == names_of(page)


@pytest.mark.parametrize("view", ["", "view=folders&"])
def test_filter_looks_through_all_namespaces(client: Client, view: str) -> None:
    page = page_of(client.get(f"/wide?{view}q=n10"))

    assert names_of(page) == [
        f"{GROUPS[n % 3]}/n{n}" for n in sorted(range(100, 110), key=lambda n: n % 3)
    ]
    assert page.one("p", class_="count").text == "10 of 211 namespaces"
    assert views(page)["Namespaces"]


def test_folders_are_sorted_and_paged(client: Client) -> None:
    page = page_of(client.get("/wide?sort=tags&order=desc"))

    assert names_of(page)[-1] == "alone"
    sorts = page.one("thead").hrefs
    assert [href.partition("sort=")[2].partition("&")[0] for href in sorts] == [
        *("name", "tags", "manifests", "size", "pushed"),
    ]
    bad = page_of(client.get("/wide?sort=tags&after=nonsense"))
    assert bad.one("p", class_="notice").text.startswith("The page that was asked for")


def test_names_side_by_side_are_not_folded_until_it_is_asked_for(client: Client) -> None:
    page = page_of(client.get("/flat"))
    assert len(rows_of(page)) == 100
    assert views(page) == {"Folders": False, "Namespaces": True}
    asked = page_of(client.get("/flat?view=folders&n=25"))
    assert names_of(asked)[:2] == ["n000", "n001"]
    assert asked.one("p", class_="count").text == "205 folders"
    following = page_of(client.get(asked.one("a", rel="next").attributes["href"]))
    assert names_of(following)[0] == "n025"


def test_who_sees_a_part_sees_folders_of_it(tmp_path: Path) -> None:
    users = {
        each: {"username": each, "password": hash_password("secret")} for each in ("owner", "some")
    }
    rules = [
        "identity.username == 'owner'",
        "request.action == 'list-namespaces'",
        "has(request.namespace) && request.namespace.startsWith('wide/apps/')",
    ]
    policy: dict[str, Any] = {"access_policy": {"default": "deny", "rules": rules}}
    auth = {"identity": users}
    with serving(tmp_path, global_=policy, auth=auth) as served, Client(served.url) as found:
        found.auth = httpx.BasicAuth("owner", "secret")
        for name in ("wide/apps/a", "wide/apps/b", "wide/base/c", "wide/own"):
            found.stored(name, make_image(), "v1")
        found.auth = httpx.BasicAuth("some", "secret")
        page = page_of(found.get("/wide?view=folders"))
        assert [row[:2] for row in rows_of(page)] == [["apps/", "2"]]
        assert page.one("p", class_="count").text == "1 folder"
        assert "base" not in page.text


@pytest.mark.parametrize(
    ("rules", "untagged_secs", "text"),
    [
        (0, None, "Nothing goes by itself."),
        (1, None, "Tags are kept by 1 rule."),
        (2, 7 * DAY, "Tags are kept by 2 rules, manifests without one for 7 days."),
        (0, DAY, "Tags are kept, manifests without one for 1 day."),
    ],
)
def test_what_is_kept_is_said(rules: int, untagged_secs: int | None, text: str) -> None:
    assert kept_in_words(rules, untagged_secs) == text


@pytest.mark.parametrize(
    ("allowed", "text"),
    [
        ("list pull push delete", "You may pull, push and delete here."),
        ("list pull push", "You may pull and push here."),
        ("pull", "You may pull here."),
        ("list", "You may look here, and neither pull nor push."),
    ],
)
def test_what_the_caller_may_is_said(allowed: str, text: str) -> None:
    rights = {word: word in allowed.split() for word in ("list", "pull", "push", "delete")}
    assert rights_in_words(rights) == text


def test_page_of_a_repository_says_what_holds_there(tmp_path: Path) -> None:
    users = {
        each: {"username": each, "password": hash_password("secret")} for each in ("owner", "some")
    }
    rules = [
        "identity.username == 'owner'",
        "request.action in ['list-namespaces', 'list-tags', 'get-manifest', 'get-blob']",
    ]
    policy = {
        "access_policy": {"default": "deny", "rules": rules},
        "retention_policy": {"rules": ["image.tag == 'latest'"]},
        "untagged_grace": 3 * DAY,
    }
    own = {"team": {"retention_policy": {"rules": ["image.pushed_at > now() - days(30)"]}}}
    auth = {"identity": users}
    with (
        serving(tmp_path, global_=policy, auth=auth, repository=own) as served,
        Client(served.url) as found,
    ):
        found.auth = httpx.BasicAuth("owner", "secret")
        for name in ("team/one", "team/two", "else/x", "else/y"):
            found.stored(name, make_image(), "v1")
        said = page_of(found.get("/team")).one("p", class_="policy").text
        assert said == (
            "Tags are kept by 2 rules, manifests without one for 3 days. "
            "You may pull, push and delete here."
        )
        said = page_of(found.get("/else")).one("p", class_="policy").text
        assert said.startswith("Tags are kept by 1 rule, ")
        found.auth = httpx.BasicAuth("some", "secret")
        said = page_of(found.get("/team")).one("p", class_="policy").text
        assert said.endswith(" for 3 days. You may pull here.")
