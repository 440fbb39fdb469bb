"""Pages when something is wrong: each says what, and nothing that nobody needs to know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from angos_trio.registry.read_only import begin_read_only
from angos_trio.web.pages import Pages
from tests.api.serving import ServedRegistry, serving
from tests.browser.browsing import WIDE, Watched, watched
from tests.browser.looks import LOOKS, expect_fit
from tests.registry.support import ANYBODY
from tests.server.log_lines import LogLines
from tests.web.content import Filler

pytestmark = pytest.mark.slow


@contextmanager
def looked_at(
    browser: Any, root: Path, **options: Any
) -> Iterator[tuple[ServedRegistry, Filler, Watched]]:
    """A registry with an image, who filled it, and a page."""
    with serving(root) as served, Filler(served.url) as filler:
        filler.image("demo/app", "v1", kib=40)
        filler.image("demo/app", "v2", kib=40)
        with watched(browser, served.url, **(options or {"viewport": WIDE})) as seen:
            yield served, filler, seen


@pytest.mark.parametrize("kind", LOOKS)
def test_registry_that_is_read_only_says_so(browser: Any, tmp_path: Path, kind: str) -> None:
    with looked_at(browser, tmp_path, **LOOKS[kind]) as (served, filler, seen):
        seen.expected_status = {405}
        seen.open("/_ui/delete?ns=demo/app&ref=v1")
        served.server.call(begin_read_only, served.core, ANYBODY)
        seen.page.get_by_role("button", name="Delete").last.click()
        seen.page.wait_for_load_state()
        assert "read-only" in seen.page.locator("main").inner_text()
        seen.picture(f"read-only-{kind}")
        expect_fit(seen, kind, "read-only")
        seen.open("/_ui/health")
        assert "are refused" in seen.page.locator("main").inner_text()
        assert filler.tags("demo/app") == ["v1", "v2"]


@pytest.mark.parametrize("kind", LOOKS)
def test_fault_is_a_page_with_its_id(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_lines: LogLines, kind: str
) -> None:
    async def fail(self: Pages, call: object) -> None:
        raise ZeroDivisionError("a secret place")

    monkeypatch.setattr(Pages, "home", fail)
    with looked_at(browser, tmp_path, **LOOKS[kind]) as (_, _, seen):
        seen.expected_status = {500}
        seen.open("/")
        text = seen.page.locator("body").inner_text()
        assert "secret" not in text
        assert "ZeroDivisionError" not in text
        (line,) = log_lines.of("request.crashed")
        assert line["request_id"] in text
        seen.picture(f"fault-{kind}")
        expect_fit(seen, kind, "fault")
    log_lines.begin()  # this one was meant


def test_scrub_that_finds_a_spoilt_blob_says_so(browser: Any, tmp_path: Path) -> None:
    with looked_at(browser, tmp_path) as (served, _, seen):
        blob = max(served.files("blobs"), key=lambda path: path.stat().st_size)
        blob.chmod(0o600)
        blob.write_bytes(bytes(blob.stat().st_size))
        seen.open("/_ui/health")
        seen.page.get_by_role("button", name="Run now: scrub").click()
        outcome = seen.open_until("/_ui/health", "[data-run=scrub]", "ended")
        assert "1 blob corrupt" in outcome
        seen.picture("scrub-found-light")
        expect_fit(seen, "light", "scrub-found")
