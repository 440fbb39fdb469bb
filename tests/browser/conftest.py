"""One browser and one registry for all tests here."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.browser.browsing import Look, chromium, watched
from tests.web.content import Filler, library


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A real one."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def filler(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filler]:
    """Speaks to a registry with something of everything, open to all names of this host."""
    policy = {"access_policy": {"default": "allow"}}
    with library(tmp_path_factory.mktemp("library"), global_=policy) as (_, filler):
        yield filler


@pytest.fixture
def look(browser: Any, filler: Filler) -> Look:
    """Opens a page on the registry, by its own address unless another is given."""
    return partial(watched, browser, str(filler.base_url).rstrip("/"))
