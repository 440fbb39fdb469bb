"""`angos-trio self upgrade`, `self rollback` and `self prune`"""

from __future__ import annotations

import argparse
from pathlib import Path

from angos_trio.appliance import host
from angos_trio.appliance.layout import Layout
from angos_trio.appliance.releases import (
    about_of,
    check_command,
    installing,
    is_running,
    links_of,
    put_back,
    release_of,
    run_release,
    switch,
)
from angos_trio.appliance.releases import prune as prune_releases
from angos_trio.appliance.sums import check_sums
from angos_trio.cli.self_install import is_live, layout_of, put
from angos_trio.errors import OperatorError
from angos_trio.pki.files import words_of


def upgrade(parsed: argparse.Namespace) -> int:
    """Install a file and switch to it; when the service does not start with it, switch back."""
    layout, file = layout_of(parsed.root), Path(parsed.file)
    key = None if parsed.public_key is None else Path(parsed.public_key)
    print(f"{file}: {check_sums(file, key)}")
    with installing(layout):
        check_command(layout)
        before = release_of(layout.current)
        release = put(layout, file)
        if release == before:
            print(f"{about_of(release).version} is installed already ({release})")
            _finish(layout, release)
            return 0
        _switch(layout, release, before)
    print(f"upgraded to {about_of(release).version} ({release})")
    if before is not None:
        print(f"`angos-trio self rollback` goes back to {about_of(before).version}")
    return 0


def rollback(parsed: argparse.Namespace) -> int:
    """Switch back to the release before."""
    layout = layout_of(parsed.root)
    with installing(layout):
        before, release = release_of(layout.current), release_of(layout.previous)
        if release is None or release == before:
            raise OperatorError(
                f"there is no release before this one in {layout.releases}: install one with "
                "`self upgrade FILE`"
            )
        _switch(layout, release, before)
    print(f"back at {about_of(release).version} ({release})")
    return 0


def prune(parsed: argparse.Namespace) -> int:
    """Remove releases that nothing goes back to."""
    layout = layout_of(parsed.root)
    with installing(layout):
        gone = prune_releases(layout)
    for each in gone:
        print(f"removed {each}")
    if not gone:
        print("nothing to remove: the current release and the one before stay")
    return 0


def _switch(layout: Layout, release: Path, before: Path | None) -> None:
    """Switch, with the units of that release, and start the service anew if it runs."""
    were, is_service = links_of(layout), is_live(layout) and host.are_units_installed(layout)
    is_active = is_service and host.is_active()
    try:
        switch(layout, release)
        if is_service:
            _serve(layout, is_active=is_active)
    except (OperatorError, OSError) as error:
        if before is None:
            raise
        said = words_of(error) if isinstance(error, OSError) else str(error)
        version = about_of(before).version
        put_back(layout, were)
        if is_service:
            _serve_again(layout, said, is_active=is_active)
        raise OperatorError(
            f"{said}: the release before ({version}) "
            + ("serves again" if is_active else "is the current one again")
        ) from error


def _serve(layout: Layout, *, is_active: bool) -> None:
    """Units and service as the current release has them. Raises OperatorError."""
    _write_units(layout)
    if is_active:
        host.restart_service()


def _serve_again(layout: Layout, said: str, *, is_active: bool) -> None:
    try:
        _serve(layout, is_active=is_active)
    except OperatorError as error:
        raise OperatorError(
            f"{said}; and the release before, which is the current one again: {error}"
        ) from error


def _finish(layout: Layout, release: Path) -> None:
    """What an upgrade did not come to that was cut off: the service still runs from another."""
    if not (is_live(layout) and host.are_units_installed(layout) and host.is_active()):
        return
    if not is_running(release, host.main_pid()):
        _serve(layout, is_active=True)
        print(f"{host.SERVICE} ran from another release, and runs from this one now")


def _write_units(layout: Layout) -> None:
    """Let the release that is current now write its own units. Raises OperatorError."""
    try:
        run_release(layout.current, "self", "units")
    except OperatorError as error:
        raise OperatorError(f"the units were not written: {error}") from error
