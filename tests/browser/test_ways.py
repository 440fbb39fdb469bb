"""Ways through the pages: down and back, page by page, and what an address leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.browser.browsing import WIDE, Look, Watched
from tests.web.content import Filler

pytestmark = pytest.mark.slow
NAME = "ways/deep/app"


def test_every_step_down_has_an_address_that_shows_the_same_again(
    look: Look, filler: Filler
) -> None:
    filler.many_platforms(NAME, "v1")
    with look(viewport=WIDE) as seen:
        steps: list[Callable[[], object]] = [
            lambda: seen.open("/"),
            lambda: seen.page.get_by_role("link", name="ways", exact=True).click(),
            lambda: seen.page.get_by_role("link", name="deep/app").click(),
            lambda: seen.page.get_by_role("link", name="v1", exact=True).first.click(),
            lambda: seen.page.locator("tbody th a").first.click(),
        ]
        shown = []
        for step in steps:
            step()
            seen.page.wait_for_load_state()
            shown.append(state(seen))
            seen.page.reload()
            assert state(seen) == shown[-1]
        assert len({url for url, _, _ in shown}) == len(steps)
        for expected in reversed(shown[:-1]):
            seen.page.go_back()
            assert state(seen) == expected
        for expected in shown[1:]:
            seen.page.go_forward()
            assert state(seen) == expected


def state(seen: Watched) -> tuple[str, str, int]:
    """Address, heading, and how many rows there are."""
    rows = seen.page.locator("tbody tr").count()
    return seen.page.url, seen.page.locator("h1").inner_text(), rows


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_skip_and_repeat_nothing_while_something_is_pushed(
    look: Look, filler: Filler, order: str
) -> None:
    name = f"ways/paged-{order}"
    tags = filler.tag_often(name, 400)
    with look(viewport=WIDE) as seen:
        seen.open(f"/{name}?sort=name&order={order}")
        met = []
        for number, names in enumerate(pages(seen)):
            met += names
            filler.image(name, f"v0.{number}", f"v9.{number}", f"v1.1.{number}-b")
        met = [tag for tag in met if tag in set(tags)]
        assert met == sorted(tags, key=natural, reverse=order == "desc")


def pages(seen: Watched) -> Iterator[list[str]]:
    """The names on this page and on those that follow."""
    while True:
        yield seen.page.locator("tbody th a").all_inner_texts()
        following = seen.page.get_by_role("link", name="Next")
        if following.count() == 0:
            return
        following.click()
        seen.page.wait_for_load_state()


def natural(tag: str) -> list[int]:
    return [int(part) for part in tag.removeprefix("v").split(".")]


@pytest.mark.parametrize(
    ("path", "status", "heading"),
    [
        ("/library/nginx/", 200, "library/nginx"),
        ("//library//nginx", 200, "library/nginx"),
        ("/_ui/browse/health", 200, "health"),
        ("/single:v1", 200, "single:v1"),
        ("/library%2fnginx", 404, ""),
        ("/library/NGINX", 404, ""),
        ("/library/nginx:none", 404, ""),
    ],
)
def test_address_as_people_type_it(look: Look, path: str, status: int, heading: str) -> None:
    with look(viewport=WIDE) as seen:
        seen.expected_status = {404}
        answer = seen.page.goto(f"{seen.url}{path}")
        assert answer.status == status
        assert heading in seen.page.locator("h1").inner_text()
