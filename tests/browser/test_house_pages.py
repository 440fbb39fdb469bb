"""Pages about the whole registry in a real browser: how they look, what keys and boxes do."""

from __future__ import annotations

import pytest

from tests.browser.browsing import WIDE, Look, Watched
from tests.browser.looks import LOOKS, PHONE, expect_fit, overflow
from tests.web.content import Filler

pytestmark = pytest.mark.slow

PAGES = {
    "front": "/",
    "activity": "/_ui/activity",
    "activity-none": "/_ui/activity?namespace=nothing/here",
    "storage": "/_ui/storage",
    "health": "/_ui/health?kept=all",
    "find": "/_ui/find",
    "find-names": "/_ui/find?q=li",
    "find-tags": "/_ui/find?q=nginx:1.26",
    "find-none": "/_ui/find?q=nothing-at-all",
    "help": "/_ui/help",
}


@pytest.mark.parametrize("kind", LOOKS)
def test_pages_of_the_registry_fit_and_are_told_apart(look: Look, kind: str) -> None:
    with look(**LOOKS[kind]) as seen:
        for name, path in PAGES.items():
            seen.open(path)
            seen.picture(f"house-{name}-{kind}")
            expect_fit(seen, kind, name)


@pytest.mark.parametrize("width", [700, 860, 961, 1024])
def test_header_fits_between_a_phone_and_a_screen(look: Look, width: int) -> None:
    with look(viewport={"width": width, "height": 700}) as seen:
        seen.open("/library")
        seen.picture(f"house-header-{width}")
        assert overflow(seen) <= 0
        header = seen.page.locator("header.top").bounding_box()
        assert header["height"] < 70


def test_menu_of_a_phone_leads_to_every_place(look: Look) -> None:
    with look(viewport=PHONE, java_script_enabled=False) as seen:
        seen.open("/")
        menu = seen.page.get_by_role("navigation", name="Menu")
        assert not menu.is_visible()
        seen.page.locator("summary", has=seen.page.locator("svg")).first.click()
        seen.picture("house-menu-phone")
        assert menu.get_by_role("link").all_inner_texts() == [
            *("Repositories", "Activity", "Storage", "Health", "Find", "Help"),
        ]
        menu.get_by_role("link", name="Storage").click()
        assert seen.page.url.endswith("/_ui/storage")


@pytest.mark.parametrize(
    ("letter", "path"),
    [("a", "/_ui/activity"), ("s", "/_ui/storage"), ("h", "/_ui/health"), ("r", "/")],
)
def test_two_keys_go_to_a_place(look: Look, letter: str, path: str) -> None:
    with look(viewport=WIDE) as seen:
        seen.open("/library")
        seen.page.keyboard.press("g")
        seen.page.keyboard.press(letter)
        seen.page.wait_for_url(f"{seen.url}{path}")


def test_keys_do_nothing_where_they_are_off(look: Look) -> None:
    with look(viewport=WIDE) as seen:
        seen.open("/library")
        seen.page.keyboard.press("?")
        seen.page.wait_for_url("**/_ui/help#keys")
        seen.page.get_by_role("button", name="Switch keys off").click()
        seen.page.get_by_text("Keys are off").wait_for()
        seen.open("/library")
        for key in ("g", "s", "/", "?"):
            seen.page.keyboard.press(key)
        assert seen.page.evaluate("document.activeElement === document.body")
        assert seen.page.url.endswith("/library")
        assert not seen.page.locator(".keys").count()


def test_box_offers_what_there_is_and_goes_there(look: Look) -> None:
    with look(viewport=WIDE) as seen:
        seen.open("/")
        seen.page.get_by_label("Find", exact=True).click()
        seen.page.keyboard.type("pyth")
        seen.until("document.querySelectorAll('#suggested option').length === 1")
        # Chromium's own list cannot be seen by the driver: a choice is an event without a type.
        seen.page.get_by_label("Find", exact=True).fill("library/python")
        seen.page.evaluate(
            "document.querySelector('[data-find]').dispatchEvent(new Event('input'))"
        )
        seen.page.wait_for_url("**/library/python")


@pytest.mark.parametrize("has_scripts", [True, False])
def test_what_is_pasted_from_a_terminal_is_gone_to(
    look: Look, filler: Filler, has_scripts: bool
) -> None:
    host = f"{filler.base_url.host}:{filler.base_url.port}"
    with look(viewport=WIDE, java_script_enabled=has_scripts) as seen:
        seen.open("/")
        seen.page.get_by_label("Find", exact=True).fill(f"{host}/library/python:3.12")
        seen.page.keyboard.press("Enter")
        seen.page.wait_for_url("**/library/python:3.12")


@pytest.mark.parametrize("has_scripts", [True, False])
def test_times_are_exact_where_that_is_chosen(look: Look, has_scripts: bool) -> None:
    with look(viewport=WIDE, java_script_enabled=has_scripts) as seen:
        seen.open("/library?sort=size")
        assert "ago" in _first_time(seen) or "just now" in _first_time(seen)
        seen.page.get_by_role("button", name="Absolute times").click()
        seen.page.wait_for_load_state()
        assert seen.page.url.endswith("/library?sort=size")
        assert _first_time(seen).endswith("UTC")
        seen.picture("house-absolute")
        assert overflow(seen) <= 0
        seen.page.get_by_role("button", name="Absolute times").click()
        seen.page.wait_for_load_state()
        assert not _first_time(seen).endswith("UTC")


def _first_time(seen: Watched) -> str:
    return str(seen.page.locator("tbody time").first.inner_text())


@pytest.mark.parametrize("has_scripts", [True, False])
def test_dry_run_is_asked_for_and_told(look: Look, has_scripts: bool) -> None:
    with look(viewport=WIDE, java_script_enabled=has_scripts) as seen:
        seen.open("/_ui/health")
        seen.page.get_by_role("button", name="Dry run of collection").click()
        outcome = seen.open_until("/_ui/health", "[data-run=gc]", "would give back")
        assert "A dry run" in outcome
        seen.picture("house-health-after")
