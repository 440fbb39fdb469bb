"""How a page is looked at: on which screen, in which colours, and what holds for each of them."""

from __future__ import annotations

from typing import Any

from tests.browser.axe import violations
from tests.browser.browsing import WIDE, Watched

PHONE = {"width": 375, "height": 740}
NARROWEST = {"width": 320, "height": 640}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": WIDE, "color_scheme": "light"},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light"},
    "narrow": {"viewport": NARROWEST, "color_scheme": "dark"},
    "forced": {"viewport": WIDE, "forced_colors": "active"},
}
CONTRAST = """() => {
  // Of every text against what is painted behind it (WCAG 2.2, 1.4.3): those below 4.5 to 1.
  const parse = (text) => {
    const found = text.match(/[0-9.]+/g).map(Number);
    return text.startsWith("color(srgb") ? [...found.slice(0, 3).map((v) => v * 255), found[3] ?? 1]
      : [found[0], found[1], found[2], found[3] ?? 1];
  };
  const light = ([r, g, b]) => [r, g, b]
    .map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour[3] > 0) return colour;
    }
    return [255, 255, 255, 1];
  };
  const low = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    const [one, other] = [parse(getComputedStyle(element).color), behind(element)].map(light);
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) low.push(`${element.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return low;
}"""


def expect_fit(seen: Watched, kind: str, name: str) -> None:
    """Nothing is wider than the page; rows are one row high, and nobody is shut out."""
    assert overflow(seen) <= 0, name
    if kind in ("light", "dark"):
        assert heights(seen) <= {40, 40.5, 41}, name
        assert seen.page.evaluate(CONTRAST) == [], name
        found = violations(seen)
        assert found == [], f"{name}: {found}"


def overflow(seen: Watched) -> int:
    """Pixels that the page is wider than what is seen of it."""
    return int(seen.page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def heights(seen: Watched) -> set[float]:
    """Of the rows that are seen."""
    script = (
        "[...document.querySelectorAll('tbody tr')].filter((r) => r.checkVisibility())"
        ".map((r) => r.getBoundingClientRect().height)"
    )
    return set(seen.page.evaluate(script))
