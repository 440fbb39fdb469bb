"""Fixtures that more than one directory of tests uses."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator

import pytest
import structlog

from tests.crash.disks import NoMount, unshare_mounts
from tests.server.log_lines import LogLines
from tests.skips import leave_out

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has started this in the background, and every program that a test starts would be deaf
    # to Ctrl+C as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _nobody_logs_where_another_test_did() -> Iterator[None]:
    """A test may set logging up, onto a stream that is closed with it: the next, of whichever file
    comes after it in this process, begins without."""
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = []


@pytest.fixture
def log_lines() -> Iterator[LogLines]:
    """What the registry logs during a test. A test that asks for it fails when code crashed."""
    lines = LogLines()
    lines.begin()
    yield lines
    assert lines.crashes() == []


@pytest.fixture(scope="session")
def own_mounts() -> None:
    """What is mounted here is seen by this process and its children only."""
    try:
        unshare_mounts()
    except NoMount as error:
        leave_out(f"no file system can be mounted here: {error}")
