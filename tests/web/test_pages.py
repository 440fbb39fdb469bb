"""Pages of repositories, namespaces, tags and manifests, as their HTML says them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.api.serving import serving
from tests.web.content import Filler
from tests.web.pages import Element, names_of, page_of, rows_of

EVERY_PAGE = (
    "/",
    "/?q=lib",
    "/?q=nothing-at-all",
    "/library",
    "/empty",
    "/library/nginx",
    "/library/nginx?view=tree",
    "/library/nginx:1.27",
    "/library/tools",
    "/library/tools?view=below",
    "/single",
    "/team",
    "/charts/hello",
    "/_ui/browse/health",
    "/_ui/activity?kind=tag&namespace=library/python",
    "/_ui/storage",
    "/_ui/health?kept=all",
    "/_ui/find?q=nginx:1.27",
    "/_ui/help",
)
MISSING = ("/library/missing", "/nothing", "/A", "/a%2Fb", "/library/nginx:9.9")


@pytest.mark.parametrize("path", [*EVERY_PAGE, *MISSING])
def test_page_has_one_title_one_head_and_its_landmarks(filler: Filler, path: str) -> None:
    page = page_of(filler.get(path), 404 if path in MISSING else 200)

    assert page.one("html").attributes["lang"] == "en"
    assert page.one("head").one("title").text.endswith("angos-trio")
    assert page.one("h1").text
    page.one("main")
    page.one("footer")
    assert [header.attributes["class"] for header in page.all("header")] == ["top"]
    assert all(nav.attributes["aria-label"] for nav in page.all("nav"))
    assert page.all("a")[0].attributes == {"class": "skip", "href": "#main"}


@pytest.mark.parametrize("path", [*EVERY_PAGE, *MISSING])
def test_every_id_is_there_once_and_every_label_leads_to_one(filler: Filler, path: str) -> None:
    page = page_of(filler.get(path), 404 if path in MISSING else 200)
    ids = [e.attributes["id"] for e in page.walk() if "id" in e.attributes]

    assert len(ids) == len(set(ids))
    for element in page.walk():
        assert element.attributes.get("aria-labelledby", ids[0]) in ids


@pytest.mark.parametrize("path", EVERY_PAGE)
def test_every_control_has_a_name(filler: Filler, path: str) -> None:
    page = page_of(filler.get(path))

    for button in page.all("button"):
        assert button.attributes.get("aria-label") or button.text
    for field in page.all("input"):
        assert field.attributes.get("aria-label") or field.attributes["type"] == "hidden"
    for link in page.all("a"):
        assert link.attributes.get("aria-label") or link.text
    for head in page.all("th"):
        assert head.attributes["scope"] in ("row", "col")


@pytest.mark.parametrize("path", EVERY_PAGE)
def test_every_link_of_a_page_leads_somewhere(filler: Filler, path: str) -> None:
    page = page_of(filler.get(path))

    for href in {href for href in page.hrefs if not href.startswith("#")}:
        assert filler.get(href).status_code == 200, href


def test_front_page_lists_repositories_with_their_sums(filler: Filler) -> None:
    page = page_of(filler.get("/"))

    assert names_of(page) == [
        *("charts", "empty", "health", "library immutable tags", "single", "team", "team/apps"),
    ]
    row = dict(zip(_heads(page), rows_of(page)[3], strict=True))
    assert row["Namespaces"] == "4"
    assert row["Tags"] == "19"
    assert row["Uploads"] == "1"
    assert page.one("p", class_="said").text.startswith("7 repositories hold 24 tags in ")
    assert "/_ui/browse/health" in page.hrefs
    assert page.all("section", class_="teach") == []


def _heads(page: Element) -> list[str]:
    return [head.text for head in page.all("table")[0].one("thead").all("th")]


def test_repository_lists_its_namespaces_by_their_relative_names(filler: Filler) -> None:
    page = page_of(filler.get("/library"))

    assert names_of(page) == ["nginx", "python", "tools", "tools/git/all-of-it"]
    assert "/library/tools/git/all-of-it" in page.hrefs
    facts = {each.one("dt").text: each.one("dd").text for each in page.one("dl").all("div")}
    assert facts["Tags"] == "immutable except latest"
    assert [li.text for li in page.one("nav", class_="crumbs").all("li")] == [
        "Repositories",
        "library",
    ]


def test_repository_that_holds_only_itself_shows_its_tags(filler: Filler) -> None:
    page = page_of(filler.get("/single"))

    assert sorted(names_of(page)) == ["v1", "v2"]
    assert names_of(page_of(filler.get("/single?view=below"))) == ["single"]


def test_name_above_configured_repositories_names_them(filler: Filler) -> None:
    page = page_of(filler.get("/team"))

    assert "/team/apps" in page.one("section", class_="below").hrefs


def test_name_that_holds_nothing_itself_shows_what_is_below_it(filler: Filler) -> None:
    page = page_of(filler.get("/library/tools/git"))

    assert names_of(page) == ["all-of-it"]
    assert page.one("h1").text == "library/tools/git"


def test_namespace_with_others_below_it_names_them_before_its_tags(filler: Filler) -> None:
    page = page_of(filler.get("/library/tools"))

    assert page.one("section", class_="below").hrefs == ["/library/tools/git/all-of-it"]
    assert names_of(page) == ["1"]


def test_tags_show_what_they_are_and_which_are_the_same(filler: Filler) -> None:
    page = page_of(filler.get("/library/nginx?sort=name"))
    rows = {row[0]: dict(zip(_heads(page), row, strict=True)) for row in rows_of(page)}

    assert list(rows)[:3] == ["1.26.1", "1.26.2", "1.26.3"]
    assert list(rows)[-3:] == ["1.27", "1.27.3", "latest"]
    latest = rows["latest"]
    assert re.fullmatch(r"[0-9a-f]{12} = 1\.27 \+1", latest["Manifest"])
    assert latest["Manifest"][:12] == rows["1.27"]["Manifest"][:12]
    # The order of platforms is that of the index; `linux/` is left out where all are of Linux.
    assert latest["What it is"] == "amd64 arm64 arm/v7 +2 signature sbom"
    assert rows["1.26.11-windows"]["What it is"] == "windows/amd64"
    assert latest["Size"].endswith(" kB")


@pytest.mark.parametrize("sort", ["name", "pushed", "size"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_tags_are_sorted_by_the_links_of_their_heads(filler: Filler, sort: str, order: str) -> None:
    page = page_of(filler.get(f"/library/nginx?sort={sort}&order={order}"))
    answer = filler.get(f"/v2/_ext/library/nginx/_tags?sort={sort}&order={order}").json()

    assert names_of(page) == [tag["name"] for tag in answer["tags"]]
    (head,) = [th for th in page.all("th") if "aria-sort" in th.attributes]
    assert head.attributes["aria-sort"] == {"asc": "ascending", "desc": "descending"}[order]
    assert f"c-{sort}" in head.attributes["class"]
    turned = page_of(filler.get(head.hrefs[0]))
    assert names_of(turned) == names_of(page)[::-1]


def test_filter_is_in_the_page_and_says_how_many(filler: Filler) -> None:
    page = page_of(filler.get("/library/nginx?q=1.26.1&sort=name&order=asc"))

    assert names_of(page) == ["1.26.1", "1.26.10", "1.26.11", "1.26.11-windows"]
    assert page.one("p", class_="count").text == "4 of 15 tags"
    form = page.one("form", class_="filter")
    assert form.one("input", name="q").attributes["value"] == "1.26.1"
    assert form.one("input", name="sort").attributes["value"] == "name"
    heads = page.all("table")[0].one("thead").hrefs
    assert heads
    assert all("q=1.26.1" in href for href in heads)


def test_filter_that_finds_nothing_says_so_and_leads_back(filler: Filler) -> None:
    page = page_of(filler.get("/library/nginx?q=<b>&n=25"))

    assert page.one("p", class_="empty").text == "No tag has <b> in its name. Show all 15"
    assert page.one("p", class_="empty").hrefs == ["/library/nginx?n=25"]


def test_tags_that_are_named_after_a_digest_are_left_out_until_they_are_asked_for(
    filler: Filler,
) -> None:
    image = filler.image("signed", "v1")
    name = image.digest.replace(":", "-")
    filler.image("signed", f"{name}.sig", f"{name}.att", name, "sha256-short")

    page = page_of(filler.get("/signed"))
    assert sorted(names_of(page)) == ["sha256-short", "v1"]
    assert page.one("p", class_="count").text == "2 tags"
    note = page.one("p", class_="note")
    assert note.text.startswith("3 tags named after a digest are left out")
    assert page_of(filler.get("/signed?q=sha")).one("p", class_="count").text == "1 of 2 tags"

    shown = page_of(filler.get(note.hrefs[0]))
    assert len(names_of(shown)) == 5
    assert shown.one("p", class_="count").text == "5 tags"
    again = page_of(filler.get(shown.one("p", class_="note").hrefs[0]))
    assert names_of(again) == names_of(page)


def test_pages_follow_each_other_without_a_gap(filler: Filler) -> None:
    for path in ("/library/many?n=25", "/library/many?n=25&sort=size&order=desc&q=v1"):
        if "sort" not in path:
            filler.tag_often("library/many", 60)
        found: list[str] = []
        following: list[str] = [path]
        while following:
            page = page_of(filler.get(following[0]))
            found += names_of(page)
            following = [a.attributes["href"] for a in page.all("a", rel="next")]
        assert len(found) == len(set(found)) == 60


def test_tree_shows_what_stands_alone_and_opens_by_its_address(filler: Filler) -> None:
    shut = page_of(filler.get("/library/nginx?view=tree"))
    (twig,) = shut.all("a", class_="twig")
    opened = page_of(filler.get(twig.attributes["href"]))

    assert twig.attributes["aria-expanded"] == "false"
    assert len(rows_of(opened)) == len(rows_of(shut)) + 7
    kinds = [row[1].split()[0] for row in rows_of(opened)]
    assert (kinds.count("index"), kinds.count("sbom"), kinds.count("signature")) == (1, 1, 1)
    assert [row[2] for row in rows_of(shut)].count("untagged") == 1
    (again,) = opened.all("a", class_="twig")
    assert names_of(page_of(filler.get(again.attributes["href"]))) == names_of(shut)


def test_uploads_in_progress_are_shown(filler: Filler) -> None:
    page = page_of(filler.get("/library/nginx"))

    row = page.one("section", class_="uploads").one("tbody").one("tr")
    assert re.fullmatch(r"[0-9a-f-]{36} 70\.0 kB .* anonymous .*", row.text)


def test_value_that_cannot_be_is_left_out_and_said(filler: Filler) -> None:
    page = page_of(filler.get("/library/nginx?sort=colour&order=up&n=7&open=x&view=cube"))

    assert len(rows_of(page)) == 15
    said = [notice.text for notice in page.all("p", class_="notice")]
    assert [text.partition("=")[0] for text in said] == ["sort", "order", "n", "open", "view"]
    assert page_of(filler.get("/?sort=size&after=zzz")).one("p", class_="notice").text


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/library/", "/library"),
        ("/library//nginx?q=a%20b", "/library/nginx?q=a%20b"),
        ("//evil.test//x", "/evil.test/x"),
    ],
)
def test_address_with_an_empty_segment_is_put_right(
    filler: Filler, path: str, location: str
) -> None:
    answer = filler.get(str(filler.base_url).rstrip("/") + path)

    assert answer.status_code == 308
    assert answer.headers["Location"] == location


def test_missing_namespace_teaches_the_push_that_makes_it(filler: Filler) -> None:
    page = page_of(filler.get("/library/missing"), 404)
    host = filler.base_url.netloc.decode()

    commands = {
        each.one("summary").text: each.one("pre").text for each in page.one("main").all("details")
    }
    assert list(commands) == ["docker", "podman", "skopeo", "containerd", "oras", "helm"]
    assert f"docker push {host}/library/missing:3.20" in commands["docker"]
    assert "--tls-verify=false" in commands["podman"]


def test_empty_registry_teaches(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.client() as client:
        page = page_of(client.get("/"))
        host = client.base_url.netloc.decode()

    assert page.one("h2").text == "This registry is empty"
    assert f"docker push {host}/demo/alpine:3.20" in page.all("pre")[0].text
    assert '[repository."demo"]' in page.all("pre")[-1].text
    assert page.all("table") == []


def test_names_are_those_of_the_configuration(tmp_path: Path) -> None:
    with serving(tmp_path, ui={"name": "Lab <1>"}) as served, served.client() as client:
        page = page_of(client.get("/"))
        config = client.get("/_ui/config")

    assert page.one("title").text == "Lab <1>"
    assert page.one("a", class_="brand").text == "Lab <1>"
    assert config.json() == {"name": "Lab <1>"}
