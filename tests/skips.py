"""Leaving a test out. In CI nothing is left out: there a reason to skip is a failure."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def leave_out(reason: str) -> NoReturn:
    """Skip the test with the reason; where `CI` is set, fail with it."""
    if os.environ.get("CI"):
        pytest.fail(f"may not be left out in CI: {reason}", pytrace=False)
    pytest.skip(reason)
