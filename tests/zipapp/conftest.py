"""The one file, a later one, and a tree with the first installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.another import another_release
from tests.zipapp.built import one_file
from tests.zipapp.installing import LATER, done, run


@pytest.fixture(scope="session")
def file() -> Path:
    """The file for this machine."""
    return one_file()


@pytest.fixture(scope="session")
def later(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of a later version."""
    return another_release(file, tmp_path_factory.mktemp("later") / "later.pyz", LATER, {})


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where files that are not installed are unpacked."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def whole(file: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with the file installed, to be copied."""
    root = tmp_path_factory.mktemp("whole")
    done(run(cache, file, "install", "--root", root))
    return root
