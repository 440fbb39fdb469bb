"""Uploads on pages: where they are seen, and how they are cancelled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from angos_trio.auth.passwords import hash_password
from angos_trio.limits.housekeeping import UPLOAD_ACTIVE_SECS
from angos_trio.limits.lists import UPLOADS_CANCELLED_MAX
from tests.api.client import Client, expect_error
from tests.api.serving import ServedRegistry, serving
from tests.factories import make_name
from tests.server.log_lines import LogLines
from tests.web.content import HOSTILE, Filler
from tests.web.pages import Element, page_of, rows_of
from tests.web.signing_in import send

pytestmark = pytest.mark.slow

UPLOADS = "/_ui/uploads"
PASSWORD = "correct horse"


def begin(client: Client, name: str, size: int = 0) -> str:
    """An upload that has so many bytes; returns its location."""
    location = client.open_upload(name)
    if size:
        answer = client.patch(location, content=b"x" * size)
        assert answer.status_code == 202, answer.text
    return location


def value_of(location: str) -> str:
    """What the form calls an upload."""
    name, _, session = location.removeprefix("/v2/").partition("/blobs/uploads/")
    return f"{name}/{session}"


def shown(page: Element) -> list[str]:
    """The uploads on a page that can be chosen."""
    return [box.attributes["value"] for box in page.all("input", type="checkbox")]


def test_uploads_of_all_namespaces_are_one_list(filler: Filler) -> None:
    first, second = make_name(), make_name("other/app")
    begun = [begin(filler, first, 2048), begin(filler, second)]

    page = page_of(filler.get(UPLOADS))
    assert set(shown(page)) >= {value_of(each) for each in begun}
    row = next(cells for cells in rows_of(page) if cells[1] == first)
    assert row[2:4] == ["2.05 kB", "just now"]
    assert "stale" not in page.text


def test_chosen_uploads_are_cancelled_and_their_clients_find_nothing(
    filler: Filler, log_lines: LogLines
) -> None:
    name = make_name()
    going, other, staying = begin(filler, name, 10), begin(filler, name), begin(filler, name)

    data = {"upload": [value_of(going), value_of(other)], "next": f"/{name}"}
    page = page_of(send(filler, UPLOADS, data=data))
    assert page.one("h1").text == "2 uploads cancelled"
    assert f"/{name}" in page.hrefs
    for location in (going, other):
        expect_error(filler.patch(location, content=b"more"), 404, "BLOB_UPLOAD_UNKNOWN")
    assert filler.patch(staying, content=b"more").status_code == 202
    (line,) = log_lines.wait_for("uploads.cancelled")
    assert sorted(line["cancelled"]) == sorted(each.rpartition("/")[2] for each in (going, other))


def test_card_of_a_namespace_cancels_one(filler: Filler) -> None:
    name = make_name()
    filler.image(name, "v1")
    location = begin(filler, name)

    card = page_of(filler.get(f"/{name}")).one("section", class_="uploads")
    form = card.one("form")
    sent = {each.attributes["name"]: each.attributes["value"] for each in form.all("input")}
    sent.pop("form_token")
    assert sent == {"upload": value_of(location), "next": f"/{name}"}
    page_of(send(filler, form.attributes["action"], data=sent))
    expect_error(filler.get(location), 404, "BLOB_UPLOAD_UNKNOWN")
    assert page_of(filler.get(f"/{name}")).all("section", class_="uploads") == []


def test_one_that_is_gone_is_told_and_the_others_are_cancelled(filler: Filler) -> None:
    name = make_name()
    location = begin(filler, name)
    gone = f"{name}/01234567-89ab-4cde-8f01-23456789abcd"

    page = page_of(send(filler, UPLOADS, data={"upload": [gone, value_of(location)]}))
    assert page.one("h1").text == "1 upload cancelled"
    assert "blob upload unknown" in page.one("section", **{"aria-labelledby": "failed"}).text
    again = page_of(send(filler, UPLOADS, data={"upload": [value_of(location)]}), 409)
    assert again.one("h1").text == "Nothing was cancelled"


@pytest.mark.parametrize(
    ("upload", "status"),
    [
        ([], 400),
        (["nothing"], 400),
        (["single/no-uuid"], 404),
        ([HOSTILE], 400),
        ([f"single/{number}" for number in range(UPLOADS_CANCELLED_MAX + 1)], 400),
    ],
)
def test_what_names_no_upload_is_refused(filler: Filler, upload: list[str], status: int) -> None:
    answer = send(filler, UPLOADS, data={"upload": upload, "next": "//evil.test"})

    page_of(answer, status)
    assert "evil.test" not in answer.text
    assert "<script>alert" not in answer.text


def test_way_back_leads_to_no_other_site(filler: Filler) -> None:
    location = begin(filler, make_name())

    answer = send(filler, UPLOADS, data={"upload": value_of(location), "next": "//evil.test"})
    assert "evil.test" not in answer.text


def test_list_goes_on_where_a_page_ends(filler: Filler) -> None:
    name = make_name()
    begun = {value_of(begin(filler, name)) for _ in range(30)}

    found: list[str] = []
    href = f"{UPLOADS}?n=25"
    for _ in range(10):
        page = page_of(filler.get(href))
        found += shown(page)
        following = page.all("a", rel="next")
        if not following:
            break
        href = following[0].attributes["href"]
    assert len(found) == len(set(found))
    assert begun <= set(found)
    noticed = page_of(filler.get(f"{UPLOADS}?after=nonsense"))
    assert "this is the first" in noticed.one("p", class_="notice").text


def test_oldest_is_first_and_stale_once_nothing_came_for_an_hour(tmp_path: Path) -> None:
    with serving(tmp_path) as served, Filler(served.url) as filler:
        begun = [begin(filler, f"team/app-{number}", 5) for number in range(5)]
        session = begun[3].rpartition("/")[2]
        secs = UPLOAD_ACTIVE_SECS + 60
        served.core.storage.shared.run_blocking(
            lambda rows: rows.execute(
                "UPDATE uploads SET active_at = active_at - ?, started_at = started_at - ? "
                "WHERE id = ?",
                (secs, secs, session),
            )
        )

        page = page_of(filler.get(UPLOADS))
        assert shown(page)[0] == value_of(begun[3])
        assert page.one("span", class_="warn").text == "stale"
        assert "nothing came to 1 of them" in page.text


def test_nothing_is_said_where_nothing_goes_on(tmp_path: Path) -> None:
    with serving(tmp_path) as served, Filler(served.url) as filler:
        page = page_of(filler.get(UPLOADS))

    assert "Nothing is being uploaded" in page.text
    assert page.all("table") == []


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[ServedRegistry]:
    """One may do everything; one look at the uploads of `open/`, and cancel those of `open/mine`;
    one nothing."""
    password = hash_password(PASSWORD)
    users = {each: {"username": each, "password": password} for each in ("owner", "some", "no")}
    rules = [
        "identity.username == 'owner'",
        "identity.username == 'some' && request.action == 'list-uploads' && "
        "(!has(request.namespace) || request.namespace.startsWith('open/'))",
        "identity.username == 'some' && request.action == 'list-tags' && "
        "has(request.namespace) && request.namespace.startsWith('open/')",
        "identity.username == 'some' && request.action == 'cancel-upload' && "
        "has(request.namespace) && request.namespace == 'open/mine'",
    ]
    policy = {"access_policy": {"default": "deny", "rules": rules}}
    with serving(tmp_path, global_=policy, auth={"identity": users}) as served:
        yield served


def test_page_shows_what_the_caller_may_see_and_offers_what_they_may_cancel(
    guarded: ServedRegistry,
) -> None:
    with guarded.client() as client:
        owner, some = httpx.BasicAuth("owner", PASSWORD), httpx.BasicAuth("some", PASSWORD)
        client.auth = owner
        begun = {name: begin(client, name) for name in ("open/mine", "open/other", "shut/app")}

        client.auth = some
        page = page_of(client.get(UPLOADS))
        assert page.one("p", class_="said").text == "2 uploads."
        assert "shut/app" not in page.text
        boxes = page.all("input", type="checkbox")
        offered = [b.attributes["value"] for b in boxes if "disabled" not in b.attributes]
        assert offered == [value_of(begun["open/mine"])]
        for name in ("open/other", "shut/app"):
            forced = send(client, UPLOADS, data={"upload": value_of(begun[name])})
            page_of(forced, 403)
        forged = send(
            client, UPLOADS, data={"upload": "shut/app/" + "0" * 8 + "-0000" * 3 + "-" + "0" * 12}
        )
        page_of(forged, 403)
        page_of(send(client, UPLOADS, data={"upload": value_of(begun["open/mine"])}))
        client.auth = owner
        assert client.get(begun["open/other"]).status_code == 204
        client.auth = httpx.BasicAuth("no", PASSWORD)
        page_of(client.get(UPLOADS), 403)
        client.auth = httpx.Auth()
        page_of(client.get(UPLOADS), 401)
        page_of(send(client, UPLOADS, data={"upload": value_of(begun["open/other"])}), 401)
