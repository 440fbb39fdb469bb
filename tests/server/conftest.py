"""Fixtures of the tests of sockets."""

from __future__ import annotations

import pytest

from tests.server.secured import Secured


@pytest.fixture(scope="module")
def secured(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Secured | None:
    """TLS for the server of a test that is marked with `both`, else none."""
    if not getattr(request, "param", False):
        return None
    return Secured(tmp_path_factory.mktemp("tls"))
