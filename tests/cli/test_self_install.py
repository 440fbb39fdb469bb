"""`self install --systemd` in a tree that is no running system: what it makes, and how."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import argon2
import pytest

from angos_trio.appliance.archive import RECORD
from angos_trio.appliance.layout import Layout
from angos_trio.appliance.releases import installing
from angos_trio.cli.main import main
from angos_trio.cli.self_install import set_up
from angos_trio.errors import OperatorError
from tests.skips import leave_out

pytestmark = pytest.mark.slow


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A tree with nothing in it."""
    if os.geteuid() != 0:
        leave_out("only root sets a service up")
    return Layout(tmp_path)


@contextmanager
def umask(bits: int) -> Iterator[None]:
    """Of an administrator who is careful."""
    before = os.umask(bits)
    try:
        yield
    finally:
        os.umask(before)


def set_it_up(layout: Layout) -> None:
    with installing(layout):
        set_up(layout, "registry.lab", 8443)


def test_password_that_is_printed_is_that_of_the_configuration(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    set_it_up(layout)

    password = re.search(r"user admin has the password (\S+)", capsys.readouterr().out)
    assert password is not None
    config = tomllib.loads(layout.configuration.read_text())
    shown = config["auth"]["identity"]["admin"]["password"]
    assert argon2.PasswordHasher().verify(shown, password[1])


def test_password_that_cannot_be_shown_leaves_no_configuration(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(OperatorError, match="no configuration was written; type the command"):
            set_it_up(layout)
        monkeypatch.undo()

    assert not list(layout.settings.glob("config*"))
    set_it_up(layout)
    assert layout.configuration.exists()


def test_system_can_read_what_was_made_whatever_the_umask(layout: Layout) -> None:
    with umask(0o077):
        set_it_up(layout)

    folders = [layout.units, *layout.units.glob("*.d"), *layout.units.parents]
    made = [each for each in folders if each.is_relative_to(layout.root / "etc")]
    assert len(made) == 4
    assert {each.stat().st_mode & 0o777 for each in made} == {0o755}


def test_units_of_what_is_not_installed_are_not_written(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("self", "units", "--root", str(layout.root), "--outbound")
    assert main(words) == 1
    assert f"nothing is installed in {layout.root}: run `self install`" in capsys.readouterr().err
    assert list(layout.root.iterdir()) == []

    release = layout.releases / "1"
    release.mkdir(parents=True)
    (release / RECORD).touch()
    layout.current.symlink_to("releases/1")
    with umask(0o077):
        assert main(words) == 0
    etc = layout.root / "etc"
    made = [etc, *(each for each in etc.rglob("*") if each.is_dir())]
    assert (layout.units / "angos-trio.service.d" / "outbound.conf").exists()
    assert {each.stat().st_mode & 0o777 for each in made} == {0o755}
