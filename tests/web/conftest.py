"""Registries whose pages are looked at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.log_lines import LogLines
from tests.web.content import Filler, library


@pytest.fixture(autouse=True)
def _nothing_crashes(log_lines: LogLines) -> None:
    """No request of these tests, however hostile, may end in a traceback."""


@pytest.fixture(scope="module")
def filler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filler]:
    """Speaks to a registry with something of everything, shared by the tests of a module."""
    with library(tmp_path_factory.mktemp("library")) as (_, filler):
        yield filler
