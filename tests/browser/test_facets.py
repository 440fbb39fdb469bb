"""Choosing among tags, and among many namespaces, in a real browser."""

from __future__ import annotations

import pytest

from tests.browser.browsing import LIVE, WIDE, Look
from tests.browser.looks import LOOKS, expect_fit
from tests.factories import make_image, make_name
from tests.web.content import Filler
from tests.web.test_facets import fill

pytestmark = pytest.mark.slow

NAME = "sift/looked-at"
WIDEST = "wide"
PAGES = {
    "tags": f"/{NAME}",
    "chosen": f"/{NAME}?kind=image&platform=linux/arm64&state=signed",
    "none": f"/{NAME}?kind=chart&state=signed",
    "untagged": f"/{NAME}?state=untagged",
    "folders": f"/{WIDEST}",
    "in-folder": f"/{WIDEST}/apps",
    "delete": f"/_ui/delete?ns={NAME}&all=1&kind=image&seen=4",
    "delete-untagged": f"/_ui/delete?ns={NAME}&all=1&state=untagged",
}
COUNT = "document.querySelector('[data-count]').textContent"
NAMES = "[...document.querySelectorAll('.rows.tags tbody th a')].map((a) => a.textContent).join()"
SAID = "document.getElementById('said').textContent"
FOCUS = "document.activeElement.getAttribute('aria-label')"


@pytest.fixture(scope="module", autouse=True)
def _filled(filler: Filler) -> None:
    fill(filler, NAME)
    for number in range(210):
        group = ("apps", "base", "tools/inner")[number % 3]
        filler.stored(f"{WIDEST}/{group}/n{number:03d}", make_image(), "v1")


@pytest.mark.parametrize("kind", LOOKS)
def test_what_can_be_chosen_fits(look: Look, kind: str) -> None:
    with look(**LOOKS[kind]) as seen:
        for name, path in PAGES.items():
            seen.open(path)
            seen.picture(f"facets-{name}-{kind}")
            expect_fit(seen, kind, name)


@pytest.mark.parametrize("width", [700, 900, 1024, 1100])
def test_choices_fit_between_a_phone_and_a_screen(look: Look, width: int) -> None:
    with look(viewport={"width": width, "height": 700}) as seen:
        seen.open(f"/{NAME}")
        seen.picture(f"facets-width-{width}")
        expect_fit(seen, "", "tags")


def test_list_follows_what_is_chosen(look: Look) -> None:
    with look(viewport=WIDE) as seen:
        seen.open(f"/{NAME}?sort=name")
        kinds = seen.page.get_by_label("Kind", exact=True)
        kinds.focus()
        kinds.select_option("image")
        seen.until(f"{COUNT} === '4 of 6 tags'")
        assert seen.page.evaluate(FOCUS) == "Kind"
        assert seen.page.evaluate(NAMES) == "plain,signed-1,signed-2,windows"
        assert seen.page.url.endswith("?kind=image&sort=name")
        # The other choices count what is left.
        platforms = seen.page.get_by_label("Platform", exact=True)
        assert "linux/arm64 (2)" in platforms.inner_text()
        platforms.select_option("linux/arm64")
        seen.until(f"{COUNT} === '2 of 6 tags'")
        seen.page.get_by_label("Filter tags").fill("2")
        seen.until(f"{NAMES} === 'signed-2'")
        seen.page.reload()
        assert seen.page.evaluate(NAMES) == "signed-2"
        assert kinds.input_value() == "image"
        assert seen.page.get_by_label("Filter tags").input_value() == "2"
        seen.page.get_by_label("Filter tags").fill("")
        kinds.select_option("")
        platforms.select_option("")
        seen.until(f"{COUNT} === '6 tags'")
        assert seen.page.url.endswith(f"/{NAME}?sort=name")


def test_untagged_are_chosen_and_copied_by_their_digests(look: Look, filler: Filler) -> None:
    name = make_name()
    filler.image(name, "v1")
    loose = [filler.image(name, kib=number).digest for number in (1, 2)]
    host = filler.base_url.netloc.decode()
    with look(viewport=WIDE) as seen:
        seen.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        seen.open(f"/{name}")
        seen.page.get_by_label("State", exact=True).select_option("untagged")
        seen.until(f"{COUNT} === '2 manifests without a tag'")
        assert seen.page.get_by_label("Filter digests").is_visible()
        seen.page.get_by_role("button", name="Copy the list").click()
        seen.until(f"{SAID} === 'Copied'")
        copied = seen.page.evaluate("navigator.clipboard.readText()").split("\n")
        assert sorted(copied) == sorted(f"{host}/{name}@{digest}" for digest in loose)
        seen.page.get_by_label("Select all on this page").check()
        seen.page.get_by_role("button", name="Delete 2 selected…").click()
        dialog = seen.page.get_by_role("dialog")
        dialog.get_by_role("button", name="Delete 2 manifests").wait_for()
        seen.picture("facets-dialog-light")
        if typed := dialog.get_by_label(f"Type {name} to confirm").all():
            typed[0].fill(name)
        dialog.get_by_role("button", name="Delete 2 manifests").click()
        seen.until(f"{COUNT} === '0 manifests without a tag'")
    assert filler.tags(name) == ["v1"]


def test_all_that_were_chosen_are_deleted_and_nothing_else(look: Look, filler: Filler) -> None:
    name = make_name()
    filler.tag_often(name, 130)
    filler.chart(name, "v1.0.chart", "keep")
    with look(viewport=WIDE) as seen:
        seen.open(f"/{name}?q=v1.")
        seen.page.get_by_label("Kind", exact=True).select_option("image")
        seen.until(f"{COUNT} === '130 of 132 tags'")
        seen.page.get_by_label("Select all on this page").check()
        seen.page.get_by_role("button", name="Select all 130 that match").click()
        seen.page.get_by_role("button", name="Delete 130 selected…").click()
        dialog = seen.page.get_by_role("dialog")
        dialog.get_by_label(f"Type {name} to confirm").fill(name)
        dialog.get_by_role("button", name="Delete 130 tags").click()
        seen.until(f"{COUNT} === '0 of 2 tags'")
    assert sorted(filler.tags(name)) == ["keep", "v1.0.chart"]


def test_row_that_was_not_chosen_does_not_appear(look: Look, filler: Filler) -> None:
    name = make_name()
    filler.chart(name, "first")
    filler.image(name, "other")
    with look(viewport=WIDE) as seen:
        seen.open(f"/{name}?kind=chart")
        seen.until(LIVE)
        filler.image(name, "not-chosen")
        seen.until(f"{COUNT} === '1 of 3 tags'")
        assert seen.page.evaluate(NAMES) == "first"
        assert seen.page.locator("#news").inner_text() == ""
        filler.stored(name, filler.chart(f"{name}/from"), "second")
        seen.until(f"{NAMES} === 'second,first'")
        assert "chart (2)" in seen.page.get_by_label("Kind", exact=True).inner_text()


def test_list_that_is_worked_in_says_that_it_has_changed(look: Look, filler: Filler) -> None:
    name = make_name()
    filler.chart(name, "first")
    filler.image(name, "other")
    with look(viewport=WIDE) as seen:
        seen.open(f"/{name}?kind=chart")
        seen.until(LIVE)
        seen.page.get_by_label("Select first").check()
        filler.image(name, "not-chosen")
        seen.until(f"{COUNT} === '1 of 3 tags'")
        assert seen.page.locator("#news").inner_text() == ""
        filler.stored(name, filler.chart(f"{name}/from"), "second")
        seen.page.get_by_text("This list has changed").wait_for()
        assert seen.page.evaluate(NAMES) == "first"
        seen.page.locator("#news a").click()
        seen.until(f"{NAMES} === 'second,first'")


def test_without_scripts_tags_are_chosen_by_the_form(look: Look) -> None:
    with look(viewport=WIDE, java_script_enabled=False) as seen:
        seen.open(f"/{NAME}")
        seen.page.get_by_label("Kind", exact=True).select_option("image")
        seen.page.get_by_label("State", exact=True).select_option("signed")
        seen.page.get_by_role("button", name="Filter").click()
        assert seen.page.locator("[data-count]").inner_text() == "2 of 6 tags"
        seen.page.get_by_role("link", name="Size").click()
        assert seen.page.locator("[data-count]").inner_text() == "2 of 6 tags"
        seen.page.get_by_role("button", name="Delete all 2 that match…").click()
        assert seen.page.locator("h1").inner_text() == "Delete 2 tags?"
        seen.page.get_by_role("link", name="Cancel").click()
        assert seen.page.locator("[data-count]").inner_text() == "2 of 6 tags"


def test_folder_is_opened_and_its_namespaces_found(look: Look) -> None:
    with look(viewport=WIDE) as seen:
        seen.open(f"/{WIDEST}")
        assert seen.page.locator("[data-count]").inner_text() == "3 folders"
        seen.page.get_by_label("Filter namespaces").fill("n20")
        seen.until(f"{COUNT} === '10 of 210 namespaces'")
        seen.page.get_by_label("Filter namespaces").fill("")
        seen.until(f"{COUNT} === '3 folders'")
        seen.page.get_by_role("link", name="tools/").click()
        assert seen.page.locator("h1").inner_text() == f"{WIDEST}/tools"
        assert seen.page.locator("[data-count]").inner_text() == "70 namespaces"
