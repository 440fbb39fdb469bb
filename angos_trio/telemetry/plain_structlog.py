"""structlog without `rich`, which it imports where it is installed, for coloured lines that nobody
writes here: a tenth of a start."""

from __future__ import annotations

import sys

_before = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment]
try:
    import structlog
finally:
    del sys.modules["rich"]
    if _before is not None:
        sys.modules["rich"] = _before

__all__ = ["structlog"]
