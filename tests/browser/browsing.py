"""A real browser: what it complains about, and what it asks of others, fails the test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.skips import leave_out

PICTURES = Path(__file__).resolve().parents[2] / ".cache" / "browser"
LAB = "registry.lab"
"""A name of this host that a browser does not trust as it trusts a loopback address."""
WIDE = {"width": 1280, "height": 800}
LIVE = "document.getElementById('live').dataset.state === 'live'"
"""The page has its socket."""
WAIT_MS = 10_000
POLL_MS = 10
_ARGUMENTS = (
    "--no-sandbox",  # a browser refuses its sandbox to root
    "--disable-dev-shm-usage",
)
_EXPECTED = ("Cross-Origin-Opener-Policy header has been ignored",)
"""Said on plain HTTP away from this host, where there is nothing to protect."""


@dataclass
class Watched:
    """A page with all that was wrong on it."""

    page: Any
    url: str
    wrong: list[str] = field(default_factory=list)
    expected_status: set[int] = field(default_factory=set)
    expected_texts: set[str] = field(default_factory=set)

    def open(self, path: str) -> Any:
        """Go to a path; returns the answer."""
        return self.page.goto(f"{self.url}{path}")

    def until(self, script: str) -> None:
        """Wait until an expression is true; the page's own policy refuses to poll for it there."""
        for _ in range(WAIT_MS // POLL_MS):
            if self.page.evaluate(script):
                return
            self.page.wait_for_timeout(POLL_MS)
        raise AssertionError(f"never true: {script}")

    def open_until(self, path: str, selector: str, text: str) -> str:
        """Open a page again and again until a part of it has a text; returns all that it says."""
        for _ in range(WAIT_MS // POLL_MS):
            said = str(self.page.locator(selector).inner_text())
            if text in said:
                return said
            self.page.wait_for_timeout(POLL_MS)
            self.open(path)
        raise AssertionError(f"{selector} never said {text!r}: {said}")

    def picture(self, name: str) -> None:
        """Keep what is seen."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.wait_for_load_state()
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)

    def hear(self, message: Any) -> None:
        """A line of the console."""
        is_expected = any(text in message.text for text in _EXPECTED)
        failed = [f"status of {status}" for status in self.expected_status]
        failed += self.expected_texts
        is_expected = is_expected or any(text in message.text for text in failed)
        if message.type in ("error", "warning") and not is_expected:
            self.wrong.append(f"console: {message.text}")


Look = Callable[..., AbstractContextManager[Watched]]


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window; the test is left out where there is none."""
    if shutil.which("chromium") is None or find_spec("playwright") is None:
        leave_out("no chromium or no playwright: make browser installs both")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, chromium_by(playwright.chromium) as browser:
        yield browser


@contextmanager
def chromium_by(
    kind: Any,
    names: str = "MAP *.lab 127.0.0.1",
    *,
    program: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Any]:
    """A browser of its own that finds names by these rules; `program` runs it, if it is not to be
    run as it is."""
    browser = kind.launch(
        executable_path=program or shutil.which("chromium"),
        args=[*_ARGUMENTS, f"--host-resolver-rules={names}"],
        env={**os.environ, **(environment or {})},
    )
    try:
        yield browser
    finally:
        browser.close()


@contextmanager
def watched(browser: Any, url: str, **options: Any) -> Iterator[Watched]:
    """A page of its own; at the end nothing may have been wrong."""
    context = browser.new_context(**options)
    page = context.new_page()
    seen = Watched(page, url)
    host = urlsplit(url).hostname

    def guard(route: Any) -> None:
        if urlsplit(route.request.url).hostname == host:
            route.continue_()
        else:
            seen.wrong.append(f"asks another origin: {route.request.url}")
            route.abort()

    context.route("**/*", guard)
    page.on("console", seen.hear)
    page.on("pageerror", lambda error: seen.wrong.append(f"script: {error}"))
    try:
        yield seen
        assert not seen.wrong, "\n".join(seen.wrong)
    finally:
        # What is still being asked for when the page is closed is nobody's business.
        context.unroute_all(behavior="ignoreErrors")
        context.close()
