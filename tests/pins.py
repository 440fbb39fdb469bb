"""The pins of outside suites, clients and peers. Only the standard library is used."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_suffix(".toml")


def pins(name: str) -> dict[str, Any]:
    """One table of tests/pins.toml."""
    table: dict[str, Any] = tomllib.loads(FILE.read_text(encoding="utf-8"))[name]
    return table
