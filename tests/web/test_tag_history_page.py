"""What a tag pointed to, and how it is pointed back."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from angos_trio.auth.passwords import hash_password
from tests.api.client import Client
from tests.api.serving import serving
from tests.factories import Document, make_descriptor, make_image, make_name
from tests.web.content import HOSTILE, Filler
from tests.web.pages import Element, page_of
from tests.web.signing_in import send

pytestmark = pytest.mark.slow

POINT = "/_ui/point"
PASSWORD = "correct horse"


def history(client: Client, name: str, tag: str) -> Element:
    """That part of the tag's page."""
    return page_of(client.get(f"/{name}:{tag}")).one("section", **{"aria-labelledby": "history"})


def form_of(part: Element) -> dict[str, str]:
    """What the only form in it sends."""
    form = part.one("form")
    assert (form.attributes["method"], form.attributes["action"]) == ("post", POINT)
    sent = {each.attributes["name"]: each.attributes["value"] for each in form.all("input")}
    return {name: value for name, value in sent.items() if name != "form_token"}


def digest_of(client: Client, name: str, tag: str) -> str:
    digest: str = client.get(f"/v2/{name}/manifests/{tag}").headers["Docker-Content-Digest"]
    return digest


def moved(client: Client, name: str) -> tuple[Document, Document]:
    """A tag `v1` that was moved: what it pointed to, and what it points to."""
    made = []
    for _ in range(2):
        config = client.push_blob(name)
        made.append(client.stored(name, make_image(make_descriptor(config)), tags=["v1"]))
    return made[0], made[1]


def test_tag_shows_what_it_pointed_to_and_is_pointed_back(filler: Filler) -> None:
    name = make_name()
    before, now = moved(filler, name)

    part = history(filler, name, "v1")
    rows = [row.text for row in part.one("tbody").all("tr")]
    assert [now.digest[7:19] in rows[0], before.digest[7:19] in rows[1]] == [True, True]
    assert "now" in rows[0]
    answer = send(filler, POINT, data=form_of(part))
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/{name}:v1"
    assert digest_of(filler, name, "v1") == before.digest
    assert len(history(filler, name, "v1").one("tbody").all("tr")) == 3


def test_pointing_back_is_told_as_a_push_is(filler: Filler) -> None:
    name = make_name()
    before, now = moved(filler, name)
    send(filler, POINT, data=form_of(history(filler, name, "v1")))

    told = filler.get("/v2/_ext/_activity", params={"namespace": name}).json()["activity"][0]
    assert told["kind"] == "tag.updated"
    assert (told["data"]["digest"], told["data"]["previous"]) == (before.digest, now.digest)


def test_digest_is_the_same_again_whatever_its_algorithm(filler: Filler) -> None:
    name = make_name()
    config = filler.push_blob(name)
    before = make_image(make_descriptor(config)).in_sha512()
    filler.stored(name, before, tags=["v1"])
    moved(filler, name)

    part = history(filler, name, "v1")
    forms = [form for form in part.all("form") if before.digest[7:19] in part.text]
    sent = [
        {each.attributes["name"]: each.attributes["value"] for each in form.all("input")}
        for form in forms
    ]
    (chosen,) = [each for each in sent if each["digest"] == before.digest]
    assert filler.post(POINT, data=chosen).status_code == 303
    assert digest_of(filler, name, "v1") == before.digest


def test_manifest_that_is_gone_is_not_offered_and_refused(filler: Filler) -> None:
    name = make_name()
    before, now = moved(filler, name)
    sent = form_of(history(filler, name, "v1"))
    assert filler.delete(f"/v2/{name}/manifests/{before.digest}").status_code == 202

    part = history(filler, name, "v1")
    assert part.all("form") == []
    assert "not here any more" in part.text
    refused = page_of(send(filler, POINT, data=sent), 404)
    assert "The manifest is not here any more" in refused.text
    assert digest_of(filler, name, "v1") == now.digest


def test_tag_that_was_moved_meanwhile_stays(filler: Filler) -> None:
    name = make_name()
    _, _ = moved(filler, name)
    sent = form_of(history(filler, name, "v1"))
    _, latest = moved(filler, name)

    refused = page_of(send(filler, POINT, data=sent), 409)
    assert "It was moved since you looked" in refused.text
    assert digest_of(filler, name, "v1") == latest.digest


def test_immutable_tag_is_not_offered_and_refused(filler: Filler) -> None:
    name = f"library/{make_name().replace('/', '-')}"
    fixed = filler.image(name, "v1")
    other = filler.image(name, "v2")

    part = history(filler, name, "v1")
    assert part.all("form") == []
    assert "This tag is immutable" in part.text
    sent = {"ns": name, "tag": "v1", "digest": other.digest, "current": fixed.digest}
    assert "The tag is immutable" in page_of(send(filler, POINT, data=sent), 409).text
    assert digest_of(filler, name, "v1") == fixed.digest


def test_manifest_of_another_namespace_is_none_of_this_one(filler: Filler) -> None:
    name, other = make_name(), make_name()
    moved(filler, name)
    elsewhere, _ = moved(filler, other)

    sent = form_of(history(filler, name, "v1")) | {"digest": elsewhere.digest}
    page_of(send(filler, POINT, data=sent), 409)


@pytest.mark.parametrize(
    "changed", [{"ns": "A"}, {"tag": HOSTILE}, {"digest": HOSTILE}, {"digest": ""}, {"ns": ""}]
)
def test_what_names_nothing_is_refused(filler: Filler, changed: dict[str, str]) -> None:
    sent = {"ns": "single", "tag": "v1", "digest": "sha256:" + "0" * 64, **changed}
    answer = send(filler, POINT, data=sent)

    page_of(answer, 400)
    assert "<script>alert" not in answer.text


def test_page_of_a_digest_has_no_history(filler: Filler) -> None:
    name = make_name()
    _, now = moved(filler, name)

    page = page_of(filler.get(f"/{name}@{now.digest}"))
    assert page.all("section", **{"aria-labelledby": "history"}) == []


def test_history_and_the_way_back_are_for_who_may(tmp_path: Path) -> None:
    password = hash_password(PASSWORD)
    users = {each: {"username": each, "password": password} for each in ("owner", "sees", "pulls")}
    rules = [
        "identity.username == 'owner'",
        "identity.username in ['sees', 'pulls'] && request.action == 'get-manifest'",
        "identity.username == 'sees' && request.action == 'get-tag-history'",
    ]
    policy = {"access_policy": {"default": "deny", "rules": rules}}
    with (
        serving(tmp_path, global_=policy, auth={"identity": users}) as served,
        served.client() as client,
    ):
        client.auth = httpx.BasicAuth("owner", PASSWORD)
        before, now = moved(client, "team/app")
        sent = form_of(history(client, "team/app", "v1"))

        client.auth = httpx.BasicAuth("sees", PASSWORD)
        part = history(client, "team/app", "v1")
        assert before.digest[7:19] in part.text
        assert part.all("form") == []
        page_of(send(client, POINT, data=sent), 403)
        client.auth = httpx.BasicAuth("pulls", PASSWORD)
        page = page_of(client.get("/team/app:v1"))
        assert page.all("section", **{"aria-labelledby": "history"}) == []
        client.auth = httpx.Auth()
        page_of(send(client, POINT, data=sent), 401)
        client.auth = httpx.BasicAuth("owner", PASSWORD)
        assert digest_of(client, "team/app", "v1") == now.digest


def test_tag_is_pointed_to_nothing_that_it_never_was(filler: Filler) -> None:
    name = make_name()
    now, other = filler.image(name, "v1"), filler.image(name, "other", kib=2)
    sent = {"ns": name, "tag": "v1", "digest": other.digest, "current": now.digest}

    refused = page_of(send(filler, POINT, data=sent), 409)
    assert "The tag never pointed there" in refused.text
    assert digest_of(filler, name, "v1") == now.digest
