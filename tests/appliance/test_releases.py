"""Links between releases, whatever happens between two steps; real directories, no real program."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from angos_trio.appliance import releases as of_releases
from angos_trio.appliance.archive import FILE_NAME, RECORD
from angos_trio.appliance.layout import Layout
from angos_trio.appliance.releases import (
    check_command,
    check_mount,
    installing,
    links_of,
    prune,
    put_back,
    release_of,
    run_release,
    switch,
)
from angos_trio.cli.main import main
from angos_trio.errors import OperatorError
from tests.zipapp.starting import mounted


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Three releases that are whole."""
    made = Layout(tmp_path)
    for name in ("1", "2", "3"):
        (made.releases / name).mkdir(parents=True)
        (made.releases / name / RECORD).touch()
    return made


def leads(layout: Layout) -> tuple[str | None, str | None]:
    """The names of the current release and of the one before."""
    current, previous = release_of(layout.current), release_of(layout.previous)
    return (
        None if current is None else current.name,
        None if previous is None else previous.name,
    )


def test_going_back_twice_is_going_nowhere(layout: Layout) -> None:
    switch(layout, layout.releases / "1")
    switch(layout, layout.releases / "2")
    assert leads(layout) == ("2", "1")
    switch(layout, layout.releases / "1")
    assert leads(layout) == ("1", "2")
    switch(layout, layout.releases / "2")
    assert leads(layout) == ("2", "1")


def test_what_was_switched_can_be_put_back_whole(layout: Layout) -> None:
    nothing = links_of(layout)
    switch(layout, layout.releases / "1")
    one = links_of(layout)
    switch(layout, layout.releases / "2")
    two = links_of(layout)
    switch(layout, layout.releases / "3")
    for links, wanted in ((two, ("2", "1")), (one, ("1", None)), (nothing, (None, None))):
        put_back(layout, links)
        assert leads(layout) == wanted


def test_a_damaged_release_is_not_pruned_while_something_leads_there(layout: Layout) -> None:
    switch(layout, layout.releases / "1")
    switch(layout, layout.releases / "2")
    for name in ("1", "2"):
        (layout.releases / name / RECORD).unlink()
    (layout.releases / "notes").write_text("mine")
    assert [each.name for each in prune(layout)] == ["3"]
    assert sorted(each.name for each in layout.releases.iterdir()) == ["1", "2", "notes"]


@pytest.mark.parametrize("target", ["/opt/angos-trio/bin/angos-trio", "angos-trio-mine"])
def test_a_link_that_leads_elsewhere_is_not_ours(layout: Layout, target: str) -> None:
    layout.command.parent.mkdir(parents=True)
    layout.command.symlink_to(target)
    with pytest.raises(OperatorError, match="was not put there by `self install`"):
        check_command(layout)
    layout.command.unlink()
    switch(layout, layout.releases / "1")
    check_command(layout)


def test_what_is_installed_has_no_umask_of_the_administrator(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with installing(Layout(tmp_path)):
            (tmp_path / "made").mkdir()
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o755
    assert Layout(tmp_path).library.stat().st_mode & 0o777 == 0o755


def test_command_that_another_keeps_from_installing_says_so_and_changes_nothing(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    switch(layout, layout.releases / "1")
    switch(layout, layout.releases / "2")
    monkeypatch.setattr(of_releases, "INSTALL_LOCK_SECS_MAX", 0.1)
    with installing(layout):
        before = sorted(layout.root.rglob("*"))
        code = main(["self", "rollback", "--root", str(layout.root)])
        assert sorted(layout.root.rglob("*")) == before
    assert (code, leads(layout)) == (1, ("2", "1"))
    assert capsys.readouterr() == (
        "",
        f"angos-trio: another command has been installing for 0 seconds ({layout.library}/.lock is "
        "locked): wait for it, or look what it does\n",
    )


def test_file_system_that_runs_nothing_is_refused_with_a_cure_that_helps(tmp_path: Path) -> None:
    with mounted(tmp_path / "tree", "size=1m", "noexec") as folder:
        layout = Layout(folder)
        layout.library.mkdir(parents=True)
        with pytest.raises(OperatorError, match=r"noexec, so .* directory be on another one"):
            check_mount(layout)


def test_release_that_runs_a_command_is_left_as_it_is(tmp_path: Path) -> None:
    """Compiled modules are made once, with sums, at the end of an installation."""
    (tmp_path / "beside.py").touch()
    asked = "import sys; sys.path.insert(0, sys.argv[1]); import beside; sys.exit('asked')"
    (tmp_path / FILE_NAME).write_text(asked)
    with pytest.raises(OperatorError, match=r"^asked$"):
        run_release(tmp_path, str(tmp_path))

    assert sorted(each.name for each in tmp_path.iterdir()) == [FILE_NAME, "beside.py"]
