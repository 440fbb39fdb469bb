"""What people do on pages: delete, choose several, cancel uploads, point a tag back."""

from __future__ import annotations

import pytest

from tests.api.client import expect_error
from tests.browser.browsing import LIVE, WIDE, Look, Watched
from tests.browser.looks import LOOKS, expect_fit, heights
from tests.factories import make_name
from tests.web.content import SIGNATURE, Filler

pytestmark = pytest.mark.slow

ROWS = "document.querySelectorAll('tbody tr').length"
SAID = "document.getElementById('said').textContent"
FOCUS = "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"


@pytest.mark.parametrize("kind", LOOKS)
def test_pages_fit_and_are_told_apart(look: Look, filler: Filler, kind: str) -> None:
    name = make_name()
    index = filler.many_platforms(name, "v1", "v2")
    filler.attach(name, index, SIGNATURE)
    filler.image(name, "old")
    filler.image(name, "old", kib=9)
    filler.open_upload(name)
    filler.tag_often("big/many", 120)
    pages = {
        "delete-tag": f"/_ui/delete?ns={name}&ref=old",
        "delete-manifest": f"/_ui/delete?ns={name}&ref={index.digest}",
        "delete-many": "/_ui/delete?ns=big/many&all=1&q=v1.0&seen=12",
        "delete-none": "/_ui/delete?ns=library/nginx&ref=1.27&ref=gone",
        "uploads": "/_ui/uploads",
        "history": f"/{name}:old",
        "tags-choosing": f"/{name}",
        "tree-deleting": f"/{name}?view=tree",
    }
    with look(**LOOKS[kind]) as seen:
        for page, path in pages.items():
            seen.open(path)
            seen.picture(f"{page}-{kind}")
            expect_fit(seen, kind, page)


def trash(seen: Watched, what: str) -> None:
    """Press the button of a row."""
    seen.page.get_by_role("link", name=f"Delete {what}", exact=True).click()


def test_push_leaves_what_somebody_is_about_to_delete(look: Look, filler: Filler) -> None:
    name = make_name()
    image = filler.image(name, "v1", "v2")
    with look(viewport=WIDE) as seen:
        seen.open(f"/{name}")
        seen.until(LIVE)
        trash(seen, "v1")
        seen.until("document.querySelectorAll('.arms').length === 1")
        filler.named(name, image, ["v3"])
        seen.until("document.getElementById('news').textContent.startsWith('1 new push')")
        assert seen.page.locator(".arms button").count() == 2
        assert seen.page.evaluate(FOCUS) == "Cancel"
        seen.page.locator("h1").click()
        assert seen.page.locator("tbody .trash").count() >= 2


def test_tag_is_armed_and_disarmed_in_its_row_and_goes_when_confirmed(
    look: Look, filler: Filler
) -> None:
    name = make_name()
    filler.image(name, "v1", "v2", "v3")
    arms = "document.querySelectorAll('.arms').length"
    with look(viewport=WIDE) as seen:
        seen.open(f"/{name}")
        trash(seen, "v1")
        seen.until(f"{arms} === 1")
        assert seen.page.evaluate(FOCUS) == "Cancel"
        assert heights(seen) == {40}
        seen.picture("armed-light")
        seen.page.keyboard.press("Escape")
        assert seen.page.evaluate(arms) == 0
        assert seen.page.evaluate(FOCUS) == "Delete v1"
        trash(seen, "v1")
        seen.until(f"{arms} === 1")
        seen.page.locator("h1").click()
        assert seen.page.evaluate(arms) == 0
        trash(seen, "v1")
        seen.until(f"{arms} === 1")
        seen.page.keyboard.press("Tab")
        seen.until(f"{arms} === 0")
        assert sorted(filler.tags(name)) == ["v1", "v2", "v3"]
        trash(seen, "v1")
        seen.page.get_by_role("button", name="Confirm: Delete v1").click()
        seen.until(f"{ROWS} === 2")
        seen.until(f"/^v1 (was )?deleted/.test({SAID})")  # the feed tells it as well
        assert seen.page.locator("[data-count]").inner_text() == "2 tags"
        assert seen.page.url.endswith(f"/{name}")
    assert filler.tags(name) == ["v2", "v3"]


def test_manifest_is_deleted_in_a_dialog_that_names_its_tags(look: Look, filler: Filler) -> None:
    name = make_name()
    image = filler.image(name, "v1", "v2")
    filler.image(name, "other")
    what = f"manifest {image.digest[7:19]}"
    with look(viewport=WIDE) as seen:
        seen.open(f"/{name}?view=tree")
        trash(seen, what)
        dialog = seen.page.get_by_role("dialog")
        dialog.wait_for()
        seen.picture("dialog-light")
        assert dialog.locator(".tag").all_inner_texts() == ["v1", "v2"]
        assert seen.page.evaluate(FOCUS) == "Cancel"
        seen.page.keyboard.press("Escape")
        seen.until("document.querySelectorAll('dialog').length === 0")
        assert seen.page.evaluate(FOCUS) == f"Delete {what}"
        trash(seen, what)
        dialog.get_by_role("button", name="Delete 2 tags and 1 manifest").click()
        seen.until(f"{ROWS} === 1")
        seen.until("document.querySelectorAll('dialog').length === 0")
    assert filler.tags(name) == ["other"]


def test_what_changed_after_it_was_armed_is_shown_and_stays(look: Look, filler: Filler) -> None:
    name = make_name()
    filler.image(name, "v1", "v2")
    filler.image(name, "other")
    with look(viewport=WIDE) as seen:
        seen.expected_status = {409}
        seen.open(f"/{name}")
        trash(seen, "v1")
        seen.page.get_by_role("button", name="Confirm: Delete v1").wait_for()
        filler.delete(f"/v2/{name}/manifests/v2")
        seen.page.get_by_role("button", name="Confirm: Delete v1").click()
        dialog = seen.page.get_by_role("dialog")
        dialog.get_by_text("has changed since you looked").wait_for()
        assert "v1" in filler.tags(name)
        dialog.get_by_role("button", name="Delete 1 tag").click()
        seen.until(f"{ROWS} === 1")
    assert filler.tags(name) == ["other"]


def test_three_hundred_that_match_are_deleted_at_once(look: Look, filler: Filler) -> None:
    name = make_name()
    filler.tag_often(name, 300)
    filler.image(name, "keep")
    with look(viewport=WIDE) as seen:
        seen.open(f"/{name}?q=v1.")
        seen.page.get_by_label("Select all on this page").check()
        assert seen.page.get_by_role("button", name="Delete 100 selected…").is_visible()
        seen.page.get_by_role("button", name="Select all 300 that match").click()
        seen.page.get_by_role("button", name="Delete 300 selected…").click()
        dialog = seen.page.get_by_role("dialog")
        dialog.get_by_label(f"Type {name} to confirm").fill(name)
        dialog.get_by_role("button", name="Delete 300 tags").click()
        seen.until("document.querySelector('[data-count]').textContent === '0 of 1 tag'")
        seen.until("document.querySelectorAll('dialog').length === 0")
    assert filler.tags(name) == ["keep"]


def test_range_is_chosen_with_shift_and_copied_as_a_list(look: Look, filler: Filler) -> None:
    name = make_name()
    filler.tag_often(name, 9)
    host = filler.base_url.netloc.decode()
    with look(viewport=WIDE) as seen:
        seen.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        seen.open(f"/{name}?sort=name")
        boxes = seen.page.locator("tbody input[type=checkbox]")
        boxes.nth(1).click()
        boxes.nth(4).click(modifiers=["Shift"])
        assert seen.page.get_by_role("button", name="Delete 4 selected…").is_enabled()
        seen.picture("selected-light")
        seen.page.get_by_role("button", name="Copy the list").click()
        seen.until(f"{SAID} === 'Copied'")
        copied = seen.page.evaluate("navigator.clipboard.readText()")
        assert copied.split("\n") == [f"{host}/{name}:v1.0.{number}" for number in range(1, 5)]


def test_tag_deleted_on_its_own_page_lands_on_that_of_its_digest(
    look: Look, filler: Filler
) -> None:
    name = make_name()
    image = filler.image(name, "v1")
    with look(viewport=WIDE) as seen:
        seen.open(f"/{name}:v1")
        seen.page.get_by_role("link", name="Delete tag v1").click()
        seen.page.get_by_role("dialog").get_by_role("button", name="Delete 1 tag").click()
        seen.page.get_by_text("The tag v1 is deleted").wait_for()
        assert f"/{name}@{image.digest}" in seen.page.url


def test_upload_is_cancelled_and_its_client_finds_nothing(look: Look, filler: Filler) -> None:
    name = make_name()
    location = filler.open_upload(name)
    assert filler.patch(location, content=b"x" * 3000).status_code == 202
    session = location.rpartition("/")[2]
    with look(viewport=WIDE) as seen:
        seen.open("/_ui/uploads")
        row = seen.page.locator("tr", has_text=name)
        assert "3.00 kB" in row.inner_text()
        seen.page.get_by_label(f"Select {session}").check()
        seen.page.get_by_role("button", name="Cancel 1 selected").click()
        row.wait_for(state="detached")
        seen.until(f"{SAID} === '1 upload cancelled'")
    expect_error(filler.patch(location, content=b"x"), 404, "BLOB_UPLOAD_UNKNOWN")


def test_tag_is_pointed_back(look: Look, filler: Filler) -> None:
    name = make_name()
    before = filler.image(name, "v1")
    filler.image(name, "v1", kib=3)
    with look(viewport=WIDE) as seen:
        seen.open(f"/{name}:v1")
        seen.page.get_by_role(
            "button", name=f"Point back here: v1 to {before.digest[7:19]}"
        ).click()
        seen.until(f"{ROWS.replace('tbody', '.history tbody')} === 3")
    found = filler.get(f"/v2/{name}/manifests/v1").headers["Docker-Content-Digest"]
    assert found == before.digest


def test_without_scripts_tags_are_deleted_and_uploads_cancelled(look: Look, filler: Filler) -> None:
    name = make_name()
    filler.image(name, "v1", "v2", "v3")
    location = filler.open_upload(name)
    with look(viewport=WIDE, java_script_enabled=False) as seen:
        seen.open(f"/{name}")
        seen.page.get_by_label("Select v1").check()
        seen.page.get_by_label("Select v2").check()
        seen.page.get_by_role("button", name="Delete selected…").click()
        seen.page.get_by_role("button", name="Delete 2 tags").click()
        assert seen.page.locator("h1").inner_text() == "2 tags deleted"
        seen.picture("deleted-without-scripts")
        seen.page.get_by_role("link", name=f"Back to {name}").click()
        seen.page.get_by_role("button", name="Cancel").click()
        assert seen.page.locator("h1").inner_text() == "1 upload cancelled"
    assert filler.tags(name) == ["v3"]
    expect_error(filler.get(location), 404, "BLOB_UPLOAD_UNKNOWN")
