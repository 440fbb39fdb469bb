"""A registry in the test's own process: real storage, the real application, a real socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.client import Client
from tests.api.serving import ServedRegistry, serving
from tests.factories import make_name
from tests.server.log_lines import LogLines


@pytest.fixture(autouse=True)
def _nothing_crashes(log_lines: LogLines) -> None:
    """No request of these tests, however hostile, may end in a traceback."""


@pytest.fixture
def name() -> str:
    """A repository that no other test uses, so that tests can share a server."""
    return make_name()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    """A registry in its default configuration, shared by the tests of a module."""
    with serving(tmp_path_factory.mktemp("registry")) as served:
        yield served


@pytest.fixture(scope="module")
def client(registry: ServedRegistry) -> Iterator[Client]:
    """Speaks to `registry`."""
    with Client(registry.url) as speaking:
        yield speaking
