"""The tab that tells who pulled a manifest, as it looks and without scripts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from angos_trio.clock import DAY_SECS
from angos_trio.storage.metadata import pull_history, pulls
from angos_trio.storage.metadata.pull_history import Line
from angos_trio.storage.metadata.pulls import Pulls
from angos_trio.storage.transactions import Rows
from tests.api.serving import ServedRegistry, serving
from tests.browser.browsing import WIDE, Look, watched
from tests.browser.looks import LOOKS, expect_fit
from tests.web.content import HOSTILE, Filler

pytestmark = pytest.mark.slow

NAME = "team/app"
DOCKER = (
    "docker/24.0.7 go/go1.20.10 git-commit/311b9ff kernel/5.15.0-94-generic os/linux "
    "arch/amd64 UpstreamClient(Docker-Client/24.0.7 \\(linux\\))"
)
PEOPLE = ("basic::alice", "basic::build-robot", "oidc:gitlab:project_path:team/app:ref:main")
PROGRAMS = (DOCKER, "containerd/v1.7.13", "skopeo/1.9.3", "", f"{HOSTILE}{'x' * 150}")
ADDRESSES = ("192.0.2.17", "198.51.100.201", "2001:db8:85a3:8d3:1319:8a2e:370:7348")


def pulled(rows: Rows, tag: str, digest: str, now: int, days: list[int]) -> None:
    """So many pulls on each of the last days, and who the last ones were by."""
    drawn = random.Random(5)
    pulls.begin(rows, now - 20 * DAY_SECS, anew=True)
    for ago, count in enumerate(days):
        found = Pulls(count, now - ago * DAY_SECS)
        counted = {(NAME, digest): found, (NAME, tag): found} if count else {}
        pulls.add(rows, counted)
        pull_history.record(rows, counted, [], now)
    lines = [
        Line(
            NAME, digest, drawn.choice([tag, "a" * 60, None]), now - ago * 3000,
            drawn.choice(PEOPLE), drawn.choice(PROGRAMS), drawn.choice(ADDRESSES),
        )
        for ago in range(min(100, sum(days)), 0, -1)
    ]  # fmt: skip
    pull_history.record(rows, {}, lines, now)


@pytest.fixture(scope="module")
def served(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    """A registry with what is pulled often, once, and never; `browser` is there, or this is not."""
    with serving(tmp_path_factory.mktemp("pulled")) as served, Filler(served.url) as filler:
        often, once = filler.image(NAME, "often"), filler.image(NAME, "once", kib=2)
        filler.image(NAME, "never", kib=3)
        drawn = random.Random(3)
        for tag, digest, days in (
            ("often", often.digest, [drawn.randrange(10_000) * (ago % 7 > 1) for ago in range(30)]),
            ("once", once.digest, [0] * 12 + [1]),
        ):
            step = partial(pulled, tag=tag, digest=digest, now=served.core.now(), days=days)
            served.server.call(served.core.storage.stats.run, step)
        yield served


@pytest.fixture
def look(browser: Any, served: ServedRegistry) -> Look:
    """Opens a page there."""
    return partial(watched, browser, served.url)


@pytest.mark.parametrize("kind", LOOKS)
@pytest.mark.parametrize("tag", ["often", "once", "never"])
def test_pulls_fit(look: Look, tag: str, kind: str) -> None:
    with look(**LOOKS[kind]) as seen:
        seen.open(f"/{NAME}:{tag}?tab=pulls")
        seen.picture(f"pulls-{tag}-{kind}")
        expect_fit(seen, kind, tag)
        if tag == "never":
            return
        seen.page.get_by_text("The same as a table").click()
        assert seen.page.locator(".by-day tbody tr").count() == 30
        seen.picture(f"pulls-{tag}-{kind}-table")
        expect_fit(seen, kind, f"{tag} with the table")


def test_pulls_are_there_without_scripts(look: Look) -> None:
    with look(viewport=WIDE, java_script_enabled=False) as seen:
        seen.open(f"/{NAME}:often")
        seen.page.get_by_role("link", name="Pulls").click()
        assert seen.page.locator(".pulls tbody tr").count() == 100
        seen.page.get_by_text("The same as a table").click()
        assert seen.page.get_by_role("region", name="Table of days").is_visible()


def test_bars_are_as_high_as_they_say(look: Look) -> None:
    with look(viewport=WIDE) as seen:
        seen.open(f"/{NAME}:often?tab=pulls")
        heights = seen.page.evaluate(
            "[...document.querySelectorAll('.pull-days .own')]"
            ".map((r) => r.getBoundingClientRect()).map((r) => [r.height, r.width])"
        )
        assert len(heights) == 30
        highest = max(height for height, _ in heights)
        assert 60 < highest <= 72
        assert all(width > 10 for _, width in heights)
        assert sum(height == 0 for height, _ in heights) >= 8, "days without a pull have no bar"
