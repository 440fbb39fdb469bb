"""`angos-trio check`"""

from __future__ import annotations

from collections.abc import Sequence

from angos_trio.app.plan import make_plan
from angos_trio.config.overrides import load_with_overrides


def check(files: Sequence[str], listen: str | None, data_dir: str | None) -> int:
    """Validate the configuration and print what serving it would mean; changes nothing."""
    parsed = load_with_overrides(files, listen, data_dir)
    plan = make_plan(parsed.config, is_configured=bool(files))
    for line in plan.describe():
        print(line)
    for remark in parsed.remarks:
        print(f"note: {remark}")
    return 0
