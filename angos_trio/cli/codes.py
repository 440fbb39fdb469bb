"""Exit codes that several commands have; docs/operating.md tells them all."""

from __future__ import annotations

from typing import Final

FOUND: Final = 3
"""It was looked at, and something is wrong; or not everything could be looked at."""
INTERRUPTED: Final = 130
NOBODY_READS: Final = 141
"""Whoever read what is printed has left. As a shell tells of SIGPIPE."""
