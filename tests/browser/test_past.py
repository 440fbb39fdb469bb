"""Pages of a registry that has been there for months, and in which runs have ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.browsing import WIDE, watched
from tests.browser.looks import LOOKS, PHONE, expect_fit, overflow
from tests.web.content import library
from tests.web.past import aged, grown, pulled, sampled
from tests.web.test_origins import run_ended

pytestmark = pytest.mark.slow

PAGES = {"storage-over-time": "/_ui/storage", "activity-origins": "/_ui/activity"}


@pytest.fixture(scope="module")
def url(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a registry with samples of 90 days but three, whose images nobody pulled for long."""
    policy = {"access_policy": {"default": "allow"}}
    with library(tmp_path_factory.mktemp("past"), global_=policy) as (served, filler):
        sampled(served, grown(90, without=frozenset({30, 31, 60})))
        aged(served, 120)
        pulled(served, 100)
        run_ended(served)
        yield str(filler.base_url).rstrip("/")


@pytest.mark.parametrize("kind", LOOKS)
def test_pages_of_an_old_registry_fit(browser: Any, url: str, kind: str) -> None:
    with watched(browser, url, **LOOKS[kind]) as seen:
        for name, path in PAGES.items():
            seen.open(path)
            seen.picture(f"{name}-{kind}")
            expect_fit(seen, kind, name)


@pytest.mark.parametrize("viewport", [WIDE, PHONE])
def test_table_of_days_opens_without_scripts(
    browser: Any, url: str, viewport: dict[str, int]
) -> None:
    with watched(browser, url, viewport=viewport, java_script_enabled=False) as seen:
        seen.open("/_ui/storage")
        rows = seen.page.locator("table.days tbody tr")
        assert not rows.first.is_visible()
        seen.page.get_by_text("The same as a table").click()
        rows.first.wait_for()
        assert rows.count() == 87
        seen.picture(f"storage-days-{viewport['width']}")
        assert overflow(seen) <= 0
