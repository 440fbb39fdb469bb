"""Pages look as they did when somebody last looked at them.

A kept picture is an eighth as wide and high as what is seen: small enough to be kept, and coarse
enough that another release of the browser, which draws the edges of letters a little differently,
makes the same one. Where a page was meant to change, delete its pictures and run this again: they
are made anew, and fail once, so that somebody looks at them.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.browsing import LAB, PICTURES, Watched, chromium_by, watched
from tests.browser.looks import LOOKS
from tests.web.content import library

pytestmark = pytest.mark.slow
KEPT = Path(__file__).with_name("kept")
SCALE = 8
OTHER_SHARE_MAX = 0.001
NEARLY = 24
"""Of 255: by so much a channel of a pixel may be another."""
PAGES = {
    "repositories": "/",
    "repository": "/library",
    "below": "/library/tools",
    "tags": "/library/nginx?sort=name",
    "tree": "/charts/hello?view=tree",
    "image": "/library/python:3.12",
    "index": "/library/nginx:1.27",
    "layers": "/single:v1?tab=layers",
    "json": "/single:v1?tab=json",
    "chart": "/charts/hello:0.1.0",
    "delete": "/_ui/delete?ns=single&ref=v1&ref=v2",
    "uploads": "/_ui/uploads",
    "find": "/_ui/find?q=nginx:1.26",
    "storage": "/_ui/storage",
    "help": "/_ui/help",
    "login": "/_ui/login",
    "missing": "/library/missing",
}
UNSTEADY = (
    "time, #live, .strip, .tiles, .uploads tbody, .request-id { visibility: hidden !important }"
)
"""What is another each time: times, what is free, identifiers that are drawn."""
SMALLER = """async ([picture, scale]) => {
  const whole = new Image();
  whole.src = picture;
  await whole.decode();
  const canvas = document.createElement("canvas");
  canvas.width = Math.ceil(whole.width / scale);
  canvas.height = Math.ceil(whole.height / scale);
  const drawn = canvas.getContext("2d");
  drawn.imageSmoothingQuality = "high";
  drawn.drawImage(whole, 0, 0, whole.width / scale, whole.height / scale);
  return canvas.toDataURL("image/png");
}"""
OTHER_SHARE = """async ([one, other, nearly]) => {
  const pixelsOf = async (picture) => {
    const whole = new Image();
    whole.src = picture;
    await whole.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [whole.width, whole.height];
    const drawn = canvas.getContext("2d");
    drawn.drawImage(whole, 0, 0);
    return drawn.getImageData(0, 0, whole.width, whole.height);
  };
  const [a, b] = [await pixelsOf(one), await pixelsOf(other)];
  if (a.width !== b.width || a.height !== b.height) return 1;
  let others = 0;
  for (let at = 0; at < a.data.length; at += 4) {
    const isOther = [0, 1, 2].some((c) => Math.abs(a.data[at + c] - b.data[at + c]) > nearly);
    others += isOther ? 1 : 0;
  }
  return others / (a.width * a.height);
}"""


@pytest.fixture(scope="module")
def url(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str]]:
    """A browser that knows the registry by a name without a port, which is another each time."""
    policy = {"access_policy": {"default": "allow"}}
    with library(tmp_path_factory.mktemp("kept"), global_=policy) as (served, _):
        address = "{}:{}".format(*served.address)
        with chromium_by(browser.browser_type, f"MAP {LAB}:80 {address}") as found:
            yield found, f"http://{LAB}"


@pytest.mark.parametrize("kind", ["light", "dark", "phone"])
def test_pages_look_as_they_did(url: tuple[Any, str], kind: str) -> None:
    browser, base = url
    paper = browser.new_page()
    with watched(browser, base, bypass_csp=True, **LOOKS[kind]) as seen:
        seen.expected_status = {404}
        seen.page.context.add_cookies([{"name": "times", "value": "absolute", "url": base}])
        others = [name for name in PAGES if not is_kept(seen, paper, name, kind)]
    assert not others, f"look at {', '.join(others)} in {PICTURES} and {KEPT}"


def is_kept(seen: Watched, paper: Any, name: str, kind: str) -> bool:
    """Whether a page looks as its kept picture; without one it becomes that."""
    seen.open(PAGES[name])
    PICTURES.mkdir(parents=True, exist_ok=True)
    whole = seen.page.screenshot(
        path=PICTURES / f"kept-{name}-{kind}.png", full_page=True, style=UNSTEADY
    )
    found = paper.evaluate(SMALLER, [_url_of(whole), SCALE])
    kept = KEPT / f"{name}-{kind}.png"
    if not kept.exists():
        KEPT.mkdir(exist_ok=True)
        kept.write_bytes(base64.b64decode(found.partition(",")[2]))
        return False
    share = paper.evaluate(OTHER_SHARE, [_url_of(kept.read_bytes()), found, NEARLY])
    return bool(share <= OTHER_SHARE_MAX)


def _url_of(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


def test_page_that_moved_a_little_is_another(url: tuple[Any, str]) -> None:
    browser, base = url
    paper = browser.new_page()
    with watched(browser, base, bypass_csp=True, **LOOKS["light"]) as seen:
        pictures = []
        for more in ("", "main { padding-top: 4px }", "a { color: #1f5f5f }"):
            seen.open(PAGES["tags"])
            whole = seen.page.screenshot(full_page=True, style=UNSTEADY + more)
            pictures.append(paper.evaluate(SMALLER, [_url_of(whole), SCALE]))
        same, *others = [
            paper.evaluate(OTHER_SHARE, [pictures[0], picture, NEARLY]) for picture in pictures
        ]
    assert same == 0
    assert min(others) > OTHER_SHARE_MAX, others
