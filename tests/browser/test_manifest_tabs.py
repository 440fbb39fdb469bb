"""The tabs of a manifest's page as they look, and what a browser does with its bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.api.serving import serving
from tests.browser.browsing import Watched, watched
from tests.factories import Document
from tests.web.content import SBOM, SIGNATURE, Filler

pytestmark = pytest.mark.slow
Look = Callable[..., AbstractContextManager[Watched]]

NAME = "team/app"
WIDE = {"width": 1280, "height": 800}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": WIDE, "color_scheme": "light"},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 375, "height": 740}, "color_scheme": "light"},
}
PLACES = {
    "index": ("many", ("layers", "config", "attached", "json")),
    "image": ("one", ("layers", "config", "attached", "json")),
}


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Document]]:
    """Where a registry is, and an image with much attached in it."""
    with serving(tmp_path_factory.mktemp("tabs")) as served, Filler(served.url) as filler:
        index = filler.many_platforms(NAME, "many")
        image = filler.image(NAME, "one", kib=20)
        for artifact_type in (SIGNATURE, SIGNATURE, SBOM, "application/vnd.example.notes+json"):
            filler.attach(NAME, index, artifact_type)
        yield served.url, image


@pytest.fixture
def look(browser: Any, pushed: tuple[str, Document]) -> Look:
    """Opens a page there."""
    return partial(watched, browser, pushed[0])


@pytest.mark.parametrize("kind", LOOKS)
@pytest.mark.parametrize("what", PLACES)
def test_tabs_fit(look: Look, what: str, kind: str) -> None:
    tag, tabs = PLACES[what]
    with look(**LOOKS[kind]) as seen:
        for tab in tabs:
            seen.open(f"/{NAME}:{tag}?tab={tab}")
            seen.picture(f"{what}-{tab}-{kind}")
            overflow = "document.documentElement.scrollWidth - innerWidth"
            assert seen.page.evaluate(overflow) <= 0, tab


def test_tabs_work_without_scripts(look: Look) -> None:
    with look(viewport=WIDE, java_script_enabled=False) as seen:
        seen.open(f"/{NAME}:many")
        seen.page.get_by_role("link", name="Attached 4").click()
        headings = seen.page.locator("main section h2").all_inner_texts()
        assert headings == ["Pull", "Signatures", "Bills of materials", "Other"]
        seen.page.get_by_role("link", name="JSON").click()
        assert json.loads(seen.page.locator(".json code").inner_text())["schemaVersion"] == 2


def test_bytes_are_kept_as_a_file(look: Look, pushed: tuple[str, Document], tmp_path: Path) -> None:
    _, image = pushed
    with look(viewport=WIDE) as seen:
        seen.open(f"/{NAME}:one?tab=json")
        with seen.page.expect_download() as kept:
            seen.page.get_by_role("link", name="Download").click()
        assert kept.value.suggested_filename == f"team-app-{image.digest[7:19]}.json"
        kept.value.save_as(tmp_path / "kept")
        assert (tmp_path / "kept").read_bytes() == image.body
