"""What of a page people cannot use, as axe-core finds it: WCAG 2.2, levels A and AA."""

from __future__ import annotations

from typing import Any, Final

from tests.browser.browsing import Watched
from tests.e2e.tools import npm_package

AXE: Final = "axe-core"
LEVELS: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
RULES_MIN: Final = 10
"""A page on which fewer rules held was not looked at."""
_RUN = """async (levels) => {
  const found = await axe.run(document, {runOnly: levels, resultTypes: ["violations"]});
  return {
    held: found.passes.length,
    violations: found.violations.map((each) =>
      `${each.id} (${each.impact}): ${each.nodes.map((node) => node.target.join(" ")).join("; ")}`),
  };
}"""


def violations(seen: Watched) -> list[str]:
    """What is wrong on the page, a line for each rule; the page is left as it is."""
    source = (npm_package(AXE) / "axe.min.js").read_text(encoding="utf-8")
    seen.page.evaluate(source)
    found: dict[str, Any] = seen.page.evaluate(_RUN, list(LEVELS))
    assert found["held"] >= RULES_MIN, "axe has looked at next to nothing"
    return list(found["violations"])
