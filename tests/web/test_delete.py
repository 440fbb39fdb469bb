"""Deleting on pages: what would go is said first, and only that goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from angos_trio.auth.passwords import hash_password
from angos_trio.limits.lists import DELETE_REFERENCES_MAX, FORM_BYTES_MAX
from angos_trio.registry.read_only import begin_read_only
from tests.api.client import Client
from tests.api.serving import ServedRegistry, serving
from tests.factories import Document, make_descriptor, make_image, make_name
from tests.registry.support import ANYBODY
from tests.server.log_lines import LogLines
from tests.web.content import HOSTILE, SIGNATURE, Filler
from tests.web.pages import Element, page_of
from tests.web.signing_in import send

pytestmark = pytest.mark.slow

DELETE = "/_ui/delete"
PASSWORD = "correct horse"


def look(filler: Client, name: str, *references: str, status: int = 200, **more: str) -> Element:
    """The page about a delete."""
    pairs = [("ns", name), *(("ref", each) for each in references), *more.items()]
    return page_of(filler.get(f"{DELETE}?{urlencode(pairs)}"), status)


def fields(page: Element) -> list[tuple[str, str]]:
    """What the form on it sends."""
    form = page.one("form", class_="act")
    assert (form.attributes["method"], form.attributes["action"]) == ("post", DELETE)
    hidden = form.all("input", type="hidden")
    return [(each.attributes["name"], each.attributes["value"]) for each in hidden]


def confirm(filler: Client, page: Element, **typed: str) -> httpx.Response:
    """Send the form on a page."""
    data: dict[str, list[str]] = {}
    for key, value in [*fields(page), *typed.items()]:
        data.setdefault(key, []).append(value)
    return send(filler, DELETE, data=data)


def told(page: Element) -> dict[str, str]:
    """What the page says of each kind of thing."""
    listed = page.one("dl", class_="pairs")
    return {
        row.one("dt").text: row.one("dd").text
        for row in listed.children
        if isinstance(row, Element)
    }


def is_there(filler: Client, name: str, reference: str) -> bool:
    return filler.get(f"/v2/{name}/manifests/{reference}").status_code == 200


def test_tag_goes_alone_and_its_manifest_stays(filler: Filler) -> None:
    name = make_name()
    image = filler.image(name, "v1", "v2")

    page = look(filler, name, "v1")
    assert page.one("h1").text == "Delete the tag v1?"
    assert list(told(page)) == ["1 tag that goes", "Space"]
    assert "data-simple" in page.one("div", class_="confirm").attributes
    outcome = page_of(confirm(filler, page))
    assert outcome.one("h1").text == "v1 deleted"
    assert filler.tags(name) == ["v2"]
    assert is_there(filler, name, image.digest)


def test_last_tag_of_a_manifest_is_said_with_what_it_keeps(filler: Filler) -> None:
    name = make_name()
    index = filler.many_platforms(name, "only")

    page = look(filler, name, "only")
    said = told(page)
    assert index.digest[7:19] in said["Loses its last tag"]
    assert "until somebody deletes it" in said["Loses its last tag"]
    assert said["Platforms reached by digest only"].split() == [
        *("amd64", "arm64", "arm/v7", "s390x", "ppc64le")
    ]
    assert "data-simple" not in page.one("div", class_="confirm").attributes
    deeper = next(href for href in page.hrefs if href.startswith(f"{DELETE}?"))
    assert page_of(filler.get(deeper)).one("h1").text == (
        f"Delete the manifest {index.digest[7:19]} with the tag only?"
    )


def test_digest_names_its_tags_its_parts_and_its_referrers(filler: Filler) -> None:
    name = make_name()
    index = filler.many_platforms(name, "v1", "v2")
    signature = filler.attach(name, index, SIGNATURE)

    page = look(filler, name, index.digest)
    said = told(page)
    assert said["2 tags that go"] == "v1 v2"
    assert said["Goes with it"].count("image") == 5
    assert signature.digest[7:19] in said["Has no subject left"]
    assert "once it is collected, after 1 day" in said["Space"]
    outcome = page_of(confirm(filler, page))
    assert outcome.one("h1").text == f"{index.digest[7:19]} deleted"
    assert not is_there(filler, name, index.digest)
    assert filler.tags(name) == []


def test_index_that_needs_what_goes_is_named(filler: Filler) -> None:
    name = make_name()
    index = filler.many_platforms(name, "v1")
    part = page_of(filler.get(f"/{name}:v1")).all("tbody")[0].hrefs[0].partition("@")[2]

    said = told(look(filler, name, part))
    assert index.digest[7:19] in said["Still needed by"]


def test_what_changed_since_the_look_is_refused_and_shown_anew(filler: Filler) -> None:
    name = make_name()
    image = filler.image(name, "v1")
    page = look(filler, name, image.digest)
    filler.stored(name, image, "v2")

    again = page_of(confirm(filler, page), 409)
    assert "has changed since you looked" in again.one("p", class_="danger").text
    assert told(again)["2 tags that go"] == "v1 v2"
    assert filler.tags(name) == ["v1", "v2"]
    page_of(confirm(filler, again))
    assert filler.tags(name) == []


def test_tag_that_was_moved_since_the_look_stays(filler: Filler) -> None:
    name = make_name()
    filler.image(name, "v1", "same")
    other = filler.image(name, "other")
    page = look(filler, name, "v1")
    filler.stored(name, other, "v1")

    page_of(confirm(filler, page), 409)
    assert is_there(filler, name, "v1")


def test_immutable_tag_is_refused_in_place(filler: Filler) -> None:
    page = look(filler, "library/nginx", "1.27")
    assert page.one("h1").text == "Nothing here can be deleted"
    assert told(page) == {"Immutable, stays": "1.27"}
    assert page.all("form", class_="act") == []

    forced = send(filler, DELETE, data={"ns": "library/nginx", "ref": "1.27"})
    assert "immutable" in page_of(forced, 409).one("p", class_="danger").text
    assert is_there(filler, "library/nginx", "1.27")


def test_some_go_and_others_stay_and_each_is_told(filler: Filler) -> None:
    name = f"library/{make_name().replace('/', '-')}"
    filler.image(name, "fixed", "latest")

    page = look(filler, name, "fixed", "latest", "gone")
    said = told(page)
    assert (said["Immutable, stays"], said["Not here"]) == ("fixed", "gone")
    outcome = page_of(confirm(filler, page))
    assert outcome.one("h1").text == "latest deleted"
    failed = outcome.one("section", **{"aria-labelledby": "failed"})
    assert "fixed tag is immutable" in failed.text
    assert "gone manifest unknown" in failed.text
    assert filler.tags(name) == ["fixed"]


def test_all_that_match_are_found_again_by_the_server(filler: Filler) -> None:
    name = make_name()
    filler.tag_often(name, 250)

    page = look(filler, name, all="1", q="v1.1", seen="100")
    assert page.one("h1").text == "Delete 100 tags?"
    assert ("q", "v1.1") in fields(page)
    assert [key for key, _ in fields(page)].count("ref") == 0
    refused = page_of(confirm(filler, page), 400)
    assert f"type {name} to confirm" in refused.one("p", class_="danger").text
    outcome = page_of(confirm(filler, refused, typed=name))
    assert outcome.one("h1").text == "100 tags deleted"
    assert len(filler.tags(name)) == 150


def test_filter_that_matches_something_else_by_now_deletes_nothing(filler: Filler) -> None:
    name = make_name()
    filler.tag_often(name, 120)
    page = look(filler, name, all="1", q="v1.1", seen="20")
    filler.image(name, "v1.1.99")

    again = page_of(confirm(filler, page, typed=name), 409)
    assert again.one("h1").text == "Delete 21 tags?"
    assert len(filler.tags(name)) == 121
    noticed = look(filler, name, all="1", q="v1.1", seen="20").one("p", class_="danger").text
    assert noticed == "20 tags matched when you chose them, now it is 21."


def test_filter_that_matches_nothing_says_so(filler: Filler) -> None:
    page = look(filler, "single", all="1", q="nothing")

    assert page.one("h1").text == "Nothing here can be deleted"
    assert "No tag matches any more" in page.text
    page_of(send(filler, DELETE, data={"ns": "single", "all": "1", "q": "nothing"}), 409)


def test_more_than_can_go_at_once_goes_step_by_step(filler: Filler) -> None:
    name = make_name()
    filler.tag_often(name, DELETE_REFERENCES_MAX + 30)

    page = look(filler, name, all="1")
    assert "30 more tags that match" in told(page)["Not now"]
    outcome = page_of(confirm(filler, page, typed=name))
    assert outcome.one("h1").text == "1,000 tags deleted"
    rest = page_of(filler.get(next(href for href in outcome.hrefs if href.startswith(DELETE))))
    assert rest.one("h1").text == "Delete 30 tags?"
    page_of(confirm(filler, rest, typed=name))
    assert filler.tags(name) == []


def test_everything_of_a_namespace_needs_its_name(filler: Filler) -> None:
    name = make_name()
    filler.image(name, "v1", "v2")

    page = look(filler, name, "v1", "v2")
    assert page.one("input", id="typed").attributes["name"] == "typed"
    page_of(confirm(filler, page, typed="another"), 400)
    assert filler.tags(name) == ["v1", "v2"]
    page_of(confirm(filler, page, typed=name))


def test_tag_deleted_on_its_own_page_lands_on_the_page_of_the_digest(filler: Filler) -> None:
    name = make_name()
    image = filler.image(name, "v1", "v2")
    own = page_of(filler.get(f"/{name}:v1"))
    (link,) = [href for href in own.hrefs if href.endswith("&from=page")]

    page = page_of(filler.get(link))
    assert page.one("a", class_="button").attributes["href"] == f"/{name}:v1"
    answer = confirm(filler, page)
    assert answer.status_code == 303
    landed = page_of(filler.get(answer.headers["Location"]))
    assert landed.one("h1").text == f"{name}@{image.digest[7:19]}"
    assert "The tag v1 is deleted" in landed.one("p", class_="notice").text
    still = page_of(filler.get(f"/{name}@{image.digest}?deleted=v2"))
    assert still.all("p", class_="notice") == []


def test_deleted_tag_can_be_made_again(filler: Filler) -> None:
    name = make_name()
    image = filler.image(name, "v1", "v2")
    outcome = page_of(confirm(filler, look(filler, name, "v1")))

    undo = outcome.one("section", **{"aria-labelledby": "restore"}).one("form")
    sent = {each.attributes["name"]: each.attributes["value"] for each in undo.all("input")}
    answer = send(filler, undo.attributes["action"], data=sent)
    assert answer.headers["Location"] == f"/{name}:v1"
    assert filler.get(f"/v2/{name}/manifests/v1").headers["Docker-Content-Digest"] == image.digest


def test_rows_offer_what_can_go_and_nothing_else(filler: Filler) -> None:
    page = page_of(filler.get("/library/nginx"))

    boxes = page.all("input", type="checkbox")
    assert len(boxes) == 15
    assert [b.attributes["value"] for b in boxes if "disabled" not in b.attributes] == ["latest"]
    form = page.one("form", class_="chosen")
    assert (form.attributes["method"], form.attributes["action"]) == ("get", DELETE)
    tree = page_of(filler.get("/single?view=tree"))
    cells = [cell for cell in tree.all("td", class_="c-do") if "data-trash" in cell.attributes]
    assert len(cells) == len(tree.one("tbody").all("tr"))


@pytest.mark.parametrize(
    ("pairs", "status"),
    [
        ([], 400),
        ([("ns", "single")], 400),
        ([("ns", "A"), ("ref", "v1")], 400),
        ([("ns", "single"), ("ref", HOSTILE)], 400),
        ([("ns", "single"), ("ref", "sha256:0")], 400),
        ([("ns", HOSTILE), ("all", "1")], 400),
        ([("ns", "single"), ("all", "1"), ("q", "x" * 300)], 400),
        ([("ns", "no/such"), ("ref", "v1")], 404),
        ([("ns", "single"), ("all", "1"), ("q", HOSTILE)], 200),
        ([("ns", "single"), ("ref", "nothing")], 200),
        ([("ns", "single"), ("all", "1"), ("seen", "²")], 200),
        ([("ns", "single"), ("all", "1"), ("seen", "9" * 5000)], 200),
    ],
)
def test_what_cannot_be_read_is_a_page(
    filler: Filler, pairs: list[tuple[str, str]], status: int
) -> None:
    answer = filler.get(f"{DELETE}?{urlencode(pairs)}")

    page_of(answer, status)
    assert "<script>alert" not in answer.text
    assert "\u202e" not in answer.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        *((b"\xff", 400), (b"ns=%ff&ref=a", 400), (b"&".join([b"ref=a"] * 2000), 400)),
        *((b"a" * (FORM_BYTES_MAX + 1), 413), (b"", 403)),
    ],
)
def test_form_that_cannot_be_read_deletes_nothing(filler: Filler, body: bytes, status: int) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    page_of(filler.post(DELETE, content=body, headers=kind), status)


def test_hostile_platform_on_the_page_is_text(filler: Filler) -> None:
    name = make_name()
    image = filler.image(name, "v1", platform=f"linux/{HOSTILE.replace('/', '')}")

    answer = filler.get(DELETE, params={"ns": name, "ref": image.digest})
    page_of(answer)
    assert "<script>alert" not in answer.text
    assert "\u202e" not in answer.text


def test_page_of_another_site_deletes_nothing(filler: Filler) -> None:
    name = make_name()
    filler.image(name, "v1", "v2")
    data = dict(fields(look(filler, name, "v1")))

    page_of(filler.post(DELETE, data=data, headers={"Origin": "http://evil.test"}), 403)
    assert filler.tags(name) == ["v1", "v2"]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    """A registry where one may do everything, one everything but delete other tags than `mine-…`,
    and one only look."""
    password = hash_password(PASSWORD)
    names = ("owner", "half", "reader")
    users = {each: {"username": each, "password": password} for each in names}
    rules = [
        "identity.username == 'owner'",
        "identity.username in ['half', 'reader'] && has(request.namespace) && "
        "request.namespace.startsWith('open/') && request.action in "
        "['list-tags', 'get-manifest', 'get-tag-history', 'list-revisions']",
        "identity.username == 'half' && request.action == 'delete-manifest' && "
        "has(request.reference) && request.reference.startsWith('mine-')",
    ]
    policy: Mapping[str, Any] = {"access_policy": {"default": "deny", "rules": rules}}
    root = tmp_path_factory.mktemp("guarded")
    with serving(root, global_=policy, auth={"identity": users}) as served:
        yield served


@pytest.fixture
def as_user(guarded: ServedRegistry) -> Iterator[dict[str, Client]]:
    clients = {name: Client(guarded.url) for name in ("owner", "half", "reader", "")}
    for name, client in clients.items():
        if name:
            client.auth = httpx.BasicAuth(name, PASSWORD)
    yield clients
    for client in clients.values():
        client.close()


def push(client: Client, name: str, *tags: str) -> Document:
    config = client.push_blob(name)
    return client.stored(name, make_image(make_descriptor(config)), tags=tags)


def test_who_may_not_delete_is_offered_nothing_and_refused_when_they_try(
    as_user: dict[str, Client],
) -> None:
    image = push(as_user["owner"], "open/app", "v1", "mine-1")

    for path in ("/open/app", "/open/app?view=tree", "/open/app:v1"):
        page = page_of(as_user["reader"].get(path))
        assert [href for href in page.hrefs if href.startswith(DELETE)] == []
        assert page.all("input", type="checkbox") == []
        assert "data-trash" not in str([cell.attributes for cell in page.all("td")])
    for reference in ("v1", image.digest, "nothing-such"):
        data = {"ns": "open/app", "ref": reference}
        page_of(as_user["reader"].get(DELETE, params=data), 403)
        page_of(send(as_user["reader"], DELETE, data=data), 403)
        page_of(send(as_user[""], DELETE, data=data), 401)
    refused = as_user["reader"].get(DELETE, params={"ns": "no/such", "ref": "v1"})
    assert "no/such" not in page_of(refused, 403).one("main").text
    page_of(as_user["half"].get(DELETE, params={"ns": "shut/app", "all": "1"}), 403)
    assert is_there(as_user["owner"], "open/app", "v1")


def test_who_may_delete_some_is_offered_these(
    as_user: dict[str, Client], log_lines: LogLines
) -> None:
    push(as_user["owner"], "open/some", "v1", "mine-1", "mine-2")
    client = as_user["half"]

    page = page_of(client.get("/open/some"))
    boxes = page.all("input", type="checkbox")
    offered = [b.attributes["value"] for b in boxes if "disabled" not in b.attributes]
    assert sorted(offered) == ["mine-1", "mine-2"]
    asked = look(client, "open/some", "v1", "mine-1")
    assert told(asked)["You may not delete"] == "v1"
    outcome = page_of(confirm(client, asked))
    assert outcome.one("h1").text == "mine-1 deleted"
    assert "v1 denied" in outcome.one("section", **{"aria-labelledby": "failed"}).text
    (line,) = log_lines.wait_for("manifests.deleted")
    assert (line["identity"], line["namespace"]) == ("basic::half", "open/some")
    assert (line["deleted"], line["failed_count"]) == (["mine-1"], 1)
    assert line["address"] == "127.0.0.1"


def test_registry_that_is_read_only_deletes_nothing(tmp_path: Path) -> None:
    with serving(tmp_path) as served, Filler(served.url) as filler:
        filler.image("single", "v1", "v2")
        data = dict(fields(look(filler, "single", "v1")))
        served.server.call(_switch_on, served)

        refused = page_of(send(filler, DELETE, data=data), 405)
        assert "read-only" in refused.text


async def _switch_on(served: ServedRegistry) -> None:
    await begin_read_only(served.core, ANYBODY)
