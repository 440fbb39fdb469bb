"""Fixtures that more than one directory of tests uses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.log_lines import LogLines


@pytest.fixture
def log_lines() -> Iterator[LogLines]:
    """What the registry logs during a test. A test that asks for it fails when code crashed."""
    lines = LogLines()
    lines.begin()
    yield lines
    assert lines.crashes() == []
