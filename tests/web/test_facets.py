"""What tags are chosen by on their page: what is shown is what was counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from angos_trio.auth.passwords import hash_password
from tests.api.client import Client
from tests.api.serving import serving
from tests.factories import Document, make_name
from tests.web.content import HOSTILE, SBOM, SIGNATURE, Filler, library
from tests.web.pages import Element, names_of, page_of, rows_of
from tests.web.test_delete import confirm, fields, look

pytestmark = pytest.mark.slow

NAME = "sift/all"


def fill(filler: Filler, name: str = NAME) -> dict[str, Document]:
    """Something of each kind; by names."""
    index = filler.many_platforms(name, "index")
    signed = filler.image(name, "signed-1", "signed-2", platform="linux/arm64")
    filler.attach(name, signed, SIGNATURE)
    filler.attach(name, index, SBOM)
    filler.image(name, "plain", platform="linux/amd64")
    filler.image(name, "windows", platform="windows/amd64")
    filler.chart(name, "chart")
    after = signed.digest.replace(":", "-")
    filler.image(name, f"{after}.sig", platform="linux/amd64", kib=2)
    loose = filler.image(name, platform="linux/s390x", kib=3)
    return {"index": index, "signed": signed, "loose": loose}


@pytest.fixture(scope="module")
def pushed(filler: Filler) -> dict[str, Document]:
    return fill(filler)


def choices(page: Element) -> dict[str, dict[str, str]]:
    """The fields that choose, with what they offer and what is said of it."""
    return {
        field.attributes["name"]: {
            option.attributes["value"]: option.text for option in field.all("option")
        }
        for field in page.one("form", class_="sifting").all("select")
    }


def chosen(page: Element) -> dict[str, str]:
    return {
        field.attributes["name"]: option.attributes["value"]
        for field in page.all("select")
        for option in field.all("option")
        if "selected" in option.attributes
    }


def count_of(page: Element) -> str:
    return page.one("p", class_="count").text


def shown(filler: Client, query: str, name: str = NAME) -> list[str]:
    return sorted(names_of(page_of(filler.get(f"/{name}?{query}"))))


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("kind=image", ["plain", "signed-1", "signed-2", "windows"]),
        ("kind=index", ["index"]),
        ("kind=chart", ["chart"]),
        ("kind=sbom", []),
        ("platform=linux/amd64", ["index", "plain"]),
        ("platform=linux/arm64", ["index", "signed-1", "signed-2"]),
        ("platform=linux/arm64&kind=image", ["signed-1", "signed-2"]),
        ("platform=linux/arm", []),
        ("state=signed", ["signed-1", "signed-2"]),
        ("state=unsigned", ["chart", "index", "plain", "windows"]),
        ("state=tagged&kind=chart", ["chart"]),
        ("state=signed&kind=index", []),
        ("state=signed&q=2", ["signed-2"]),
        ("kind=image&show=all&q=sha256", None),
    ],
)
def test_tags_are_those_that_are_chosen(
    filler: Filler, pushed: dict[str, Document], query: str, names: list[str] | None
) -> None:
    page = page_of(filler.get(f"/{NAME}?{query}"))
    if names is None:
        names = [f"{pushed['signed'].digest.replace(':', '-')}.sig"]
    if names:
        assert sorted(names_of(page)) == names
    else:
        assert page.all("tbody") == []
        assert page.one("p", class_="empty").text == "No tag is what was chosen. Show all 6"
    total = 7 if "show" in query else 6
    assert count_of(page) == f"{len(names)} of {total} tags"
    wanted = {key: values[0] for key, values in parse_qs(query).items()}
    assert chosen(page) == {
        key: "" if wanted.get(key) == "tagged" else wanted.get(key, "") for key in choices(page)
    }


def test_every_choice_leads_to_as_many_rows_as_it_says(
    filler: Filler, pushed: dict[str, Document]
) -> None:
    tried = 0
    for query in (
        "",
        "kind=image",
        "platform=linux/amd64",
        "state=signed",
        "state=untagged",
        "q=i",
    ):
        page = page_of(filler.get(f"/{NAME}?{query}"))
        for name, options in choices(page).items():
            for value, text in options.items():
                if not text.endswith(")"):
                    continue
                others = [f"{key}={each}" for key, each in chosen(page).items() if key != name]
                q = [query] if query.startswith("q=") else []
                address = f"/{NAME}?{'&'.join([*others, *q, f'{name}={value}'])}"
                there = page_of(filler.get(address))
                rows = rows_of(there) if there.all("tbody") else []
                assert text.endswith(f" ({len(rows)})"), (address, text)
                tried += 1
    assert tried > 30


def test_choices_are_counted_and_what_has_none_is_not_offered(
    filler: Filler, pushed: dict[str, Document]
) -> None:
    page = page_of(filler.get(f"/{NAME}"))

    assert choices(page)["kind"] == {
        "": "Any kind",
        "image": "image (4)",
        "index": "index (1)",
        "chart": "chart (1)",
    }
    assert list(choices(page)["platform"])[:3] == ["", "linux/arm64", "linux/amd64"]
    assert choices(page)["state"] == {
        "": "Tagged (6)",
        "signed": "Signed (2)",
        "unsigned": "Unsigned (4)",
        "untagged": "Untagged (1)",
    }
    alone = make_name()
    filler.image(alone, "v1", "v2")
    assert choices(page_of(filler.get(f"/{alone}"))) == {}
    same = page_of(filler.get(f"/{alone}?platform=linux/riscv64"))
    assert choices(same)["platform"]["linux/riscv64"] == "linux/riscv64 (0)"


def test_untagged_manifests_are_a_list_of_their_own(
    filler: Filler, pushed: dict[str, Document]
) -> None:
    page = page_of(filler.get(f"/{NAME}?state=untagged"))

    assert names_of(page) == [pushed["loose"].digest[7:19]]
    assert rows_of(page)[0][1] == "image s390x"
    assert count_of(page) == "1 manifest without a tag"
    assert list(choices(page)["kind"]) == ["", "image"] if "kind" in choices(page) else True
    assert (
        page_of(filler.get(f"/{NAME}?state=untagged&kind=chart"))
        .one("p", class_="empty")
        .text.startswith("No manifest without a tag is what was chosen")
    )
    part = pushed["loose"].digest[7:15].upper()
    assert names_of(page_of(filler.get(f"/{NAME}?state=untagged&q={part}")))
    none = page_of(filler.get("/single?state=untagged"))
    assert none.one("p", class_="empty").text.startswith("Every manifest has a tag")
    assert names_of(page_of(filler.get(none.one("p", class_="empty").hrefs[0])))


def test_pages_of_untagged_manifests_follow_each_other(filler: Filler) -> None:
    name = make_name()
    filler.image(name, "v1")
    pushed = [filler.image(name, kib=number).digest for number in range(1, 31)]
    found: list[str] = []
    following = [f"/{name}?state=untagged&n=25"]
    while following:
        page = page_of(filler.get(following[0]))
        found += names_of(page)
        following = [link.attributes["href"] for link in page.all("a", rel="next")]
    assert sorted(found) == sorted(digest[7:19] for digest in pushed)
    bad = page_of(filler.get(f"/{name}?state=untagged&after=nonsense"))
    assert "is not there" in bad.one("p", class_="notice").text


def test_every_address_of_a_list_keeps_what_was_chosen(filler: Filler) -> None:
    name = make_name()
    filler.tag_often(name, 40)
    filler.chart(name, "chart")
    wanted = {"kind": ["image"], "platform": ["linux/amd64"], "state": ["unsigned"], "q": ["v"]}
    query = "kind=image&platform=linux/amd64&state=unsigned&q=v&n=25"
    page = page_of(filler.get(f"/{name}?{query}"))

    heads = page.one("table").one("thead").hrefs
    pager = page.one("nav", class_="pager").hrefs
    assert (len(heads), len(pager)) == (3, 1)
    for href in [*heads, *pager]:
        assert wanted.items() <= parse_qs(urlsplit(href).query).items()
    second = page_of(filler.get(pager[0]))
    assert len(names_of(second)) == 15
    assert (
        wanted.items()
        <= parse_qs(urlsplit(second.one("a", rel="first").attributes["href"]).query).items()
    )
    form = second.one("form", class_="sifting")
    hidden = {each.attributes["name"] for each in form.all("input", type="hidden")}
    assert hidden == {"n"}
    chosen_form = page.one("form", class_="chosen")
    sent = {
        e.attributes["name"]: e.attributes["value"] for e in chosen_form.all("input", type="hidden")
    }
    assert sent == {
        "ns": name,
        "seen": "40",
        "q": "v",
        "kind": "image",
        "platform": "linux/amd64",
        "state": "unsigned",
    }
    bad = page_of(filler.get(f"/{name}?{query}&sort=size&after=nonsense"))
    assert "is not there" in bad.one("p", class_="notice").text
    assert len(names_of(bad)) == 25
    assert count_of(bad) == "40 of 41 tags"


def test_what_a_form_sends_without_a_choice_is_none(
    filler: Filler, pushed: dict[str, Document]
) -> None:
    page = page_of(filler.get(f"/{NAME}?q=&kind=&platform=&state="))

    assert page.all("p", class_="notice") == []
    assert count_of(page) == "6 tags"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("kind=helm", "kind=helm is left out: one of image, index, chart"),
        ("state=stale", "state=stale is left out: one of tagged, signed"),
        ("platform=linux", "platform=linux is left out: it is no platform."),
        ("platform=a%20b/c", "platform=a b/c is left out"),
        ("platform=/x", "platform=/x is left out"),
        (f"platform={'x' * 200}/y", "platform=xxx"),
        ("platform=%E2%80%AE/x", "platform=\\u202e/x is left out"),
        ("kind=%3Cscript%3E", "kind=<script> is left out"),
    ],
)
def test_choice_that_cannot_be_is_left_out_and_said(
    filler: Filler, pushed: dict[str, Document], query: str, said: str
) -> None:
    page = page_of(filler.get(f"/{NAME}?{query}"))

    assert page.one("p", class_="notice").text.startswith(said)
    assert count_of(page) == "6 tags"
    for href in page.one("table").one("thead").hrefs:
        assert query.partition("=")[0] not in parse_qs(urlsplit(href).query)


def test_hostile_platform_is_text_and_can_be_chosen(filler: Filler) -> None:
    name = make_name()
    hostile = f"linux/{HOSTILE.replace('/', '').replace(' ', '').replace(chr(0x202E), '')}"
    filler.image(name, "bad", platform=hostile)
    filler.image(name, "good")

    answer = filler.get(f"/{name}")
    page = page_of(answer)
    assert "<script>alert" not in answer.text
    assert hostile in choices(page)["platform"]
    there = page_of(filler.get(f"/{name}", params={"platform": hostile}))
    assert names_of(there) == ["bad"]


def test_tree_has_no_choices_and_says_nothing_of_them(
    filler: Filler, pushed: dict[str, Document]
) -> None:
    page = page_of(filler.get(f"/{NAME}?view=tree&kind=chart"))

    assert page.all("select") == []
    assert len(rows_of(page)) > 3


def test_head_tells_what_a_namespace_takes(filler: Filler) -> None:
    name, other = make_name(), make_name()
    filler.image(name, "v1", "v2", kib=100)
    image = filler.image(other, "v1", kib=50)
    facts = figures(filler, name)
    # Logical is with the manifest.
    assert facts["Logical"] == "103 kB"
    assert facts["On disk"] == facts["Exclusive"] == "102 kB"
    said = page_of(filler.get(f"/{name}")).one("p", class_="said").text
    assert said == "It holds 2 tags and 1 manifest."

    before = figures(filler, other)
    for digest in [
        layer["digest"] for layer in filler.get(f"/v2/{other}/manifests/v1").json()["layers"]
    ]:
        mounted = filler.post(f"/v2/{name}/blobs/uploads/?mount={digest}&from={other}")
        assert mounted.status_code == 201, mounted.text
    after = figures(filler, other)
    assert (before["On disk"], before["Logical"]) == (after["On disk"], after["Logical"])
    assert before["Exclusive"].startswith("51.2 kB")
    assert after["Exclusive"] != before["Exclusive"]
    assert image.digest


def figures(filler: Client, name: str) -> dict[str, str]:
    """The facts in the head of a page."""
    listed = page_of(filler.get(f"/{name}")).one("dl", class_="facts")
    return {
        row.one("dt").text: row.one("dd").text
        for row in listed.children
        if isinstance(row, Element)
    }


def test_all_that_match_are_those_that_were_chosen(filler: Filler) -> None:
    name = make_name()
    fill(filler, name)
    page = page_of(filler.get(f"/{name}?kind=image&state=unsigned&platform=linux/amd64&show=all"))
    form = page.one("form", class_="chosen")
    sent = [(e.attributes["name"], e.attributes["value"]) for e in form.all("input", type="hidden")]
    before = filler.tags(name)

    asked = page_of(filler.get("/_ui/delete", params=[*sent, ("all", "1")]))
    assert asked.one("h1").text == "Delete 2 tags?"
    assert asked.all("p", class_="danger") == []
    assert {("kind", "image"), ("platform", "linux/amd64"), ("state", "unsigned")} <= set(
        fields(asked)
    )
    (back,) = [h for h in asked.hrefs if h.startswith(f"/{name}?")]
    assert sorted(names_of(page_of(filler.get(back)))) == sorted(names_of(page))
    outcome = page_of(confirm(filler, asked))
    assert outcome.one("h1").text == "2 tags deleted"
    assert sorted(set(before) - set(filler.tags(name))) == sorted(names_of(page))


def test_what_was_chosen_and_changed_since_deletes_nothing(filler: Filler) -> None:
    name = make_name()
    image = filler.image(name, "v1", "v2", "v3")
    filler.chart(name, "chart")
    page = look(filler, name, all="1", state="unsigned", kind="image", seen="3")
    assert page.one("h1").text == "Delete 3 tags?"
    filler.attach(name, image, SIGNATURE)

    page_of(confirm(filler, page), 409)
    assert len(filler.tags(name)) == 4
    again = look(filler, name, all="1", state="unsigned", kind="image", seen="3")
    assert again.one("p", class_="danger").text == (
        "3 tags matched when you chose them, now it is 0."
    )
    assert "No tag matches any more" in again.text


def test_all_manifests_without_a_tag_can_be_deleted(filler: Filler) -> None:
    name = make_name()
    pushed = fill(filler, name)
    more = filler.image(name, kib=7)
    page = page_of(filler.get(f"/{name}?state=untagged"))
    boxes = page.all("input", type="checkbox")
    assert {b.attributes["value"] for b in boxes} == {pushed["loose"].digest, more.digest}
    tags = filler.tags(name)

    asked = look(filler, name, all="1", state="untagged", seen="2")
    assert asked.one("h1").text == "Delete 2 manifests?"
    outcome = page_of(confirm(filler, asked))
    assert outcome.one("h1").text == "2 manifests deleted"
    assert filler.tags(name) == tags
    assert filler.get(f"/v2/{name}/manifests/{more.digest}").status_code == 404
    gone = look(filler, name, all="1", state="untagged", seen="2")
    assert gone.one("p", class_="danger").text == (
        "2 manifests without a tag matched when you chose them, now it is 0."
    )


@pytest.mark.parametrize("query", ["kind=helm", "state=stale", "platform=x", f"platform={HOSTILE}"])
def test_delete_that_is_chosen_by_what_cannot_be_is_refused(filler: Filler, query: str) -> None:
    """What a page leaves out, a delete may not: more would go than was looked at."""
    name, _, value = query.partition("=")
    answer = filler.get("/_ui/delete", params={"ns": "single", "all": "1", name: value})

    page_of(answer, 400)
    assert "<script>alert" not in answer.text
    assert filler.tags("single") == ["v1", "v2"]


def test_who_may_not_list_manifests_learns_of_none(tmp_path: Path) -> None:
    names = ("owner", "reader")
    users = {each: {"username": each, "password": hash_password("secret")} for each in names}
    rules = [
        "identity.username == 'owner'",
        "identity.username == 'reader' && request.action in ['list-tags', 'list-repositories']",
    ]
    policy: dict[str, Any] = {"access_policy": {"default": "deny", "rules": rules}}
    auth = {"identity": users}
    with serving(tmp_path, global_=policy, auth=auth) as served, Filler(served.url) as filler:
        filler.auth = httpx.BasicAuth("owner", "secret")
        fill(filler, "a/b")
        assert "untagged" in choices(page_of(filler.get("/a/b")))["state"]
        assert "Exclusive" in figures(filler, "a/b")
        filler.auth = httpx.BasicAuth("reader", "secret")
        page = page_of(filler.get("/a/b"))
        assert list(choices(page)["state"]) == ["", "signed", "unsigned"]
        assert "Exclusive" not in figures(filler, "a/b")
        assert filler.get("/a/b?state=untagged").status_code == 403
        assert filler.get("/v2/_ext/a/b/_revisions?state=untagged").status_code == 403
        query = {"ns": "a/b", "all": "1", "state": "untagged"}
        assert filler.get("/_ui/delete", params=query).status_code == 403


@pytest.fixture(scope="module")
def filler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filler]:
    """Speaks to a registry of these tests alone: rows are counted."""
    with library(tmp_path_factory.mktemp("sifted")) as (_, filler):
        yield filler
