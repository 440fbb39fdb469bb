"""`angos-trio self upgrade`, `self rollback` and `self prune`"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from angos_trio.appliance import host
from angos_trio.appliance.archive import FILE_NAME
from angos_trio.appliance.layout import Layout
from angos_trio.appliance.releases import (
    CLEAN_ENVIRONMENT,
    about_of,
    check_command,
    installing,
    place,
    release_of,
    switch,
    switch_back,
)
from angos_trio.appliance.releases import prune as prune_releases
from angos_trio.appliance.sums import check_sums
from angos_trio.cli.self_install import is_live, layout_of
from angos_trio.errors import OperatorError
from angos_trio.limits.processes import INSTALL_PROVE_SECS_MAX


def upgrade(parsed: argparse.Namespace) -> int:
    """Install a file and switch to it; when the service does not start with it, switch back."""
    layout, file = layout_of(parsed.root), Path(parsed.file)
    key = None if parsed.public_key is None else Path(parsed.public_key)
    print(f"{file}: {check_sums(file, key)}")
    with installing(layout):
        check_command(layout)
        before = release_of(layout.current)
        release = place(layout, file)
        if release == before:
            print(f"{about_of(release).version} is installed already ({release})")
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
    earlier = release_of(layout.previous)
    switch(layout, release)
    if not (is_live(layout) and host.are_units_installed(layout)):
        return
    try:
        _write_units(layout)
        if host.is_active():
            host.restart_service()
    except OperatorError as error:
        if before is None:
            raise
        switch_back(layout, before, earlier)
        _write_units(layout)
        host.restart_service()
        raise OperatorError(
            f"{error}: the release before ({about_of(before).version}) serves again"
        ) from error


def _write_units(layout: Layout) -> None:
    """Let the release that is current now write its own units."""
    command = [sys.executable, "-I", str(layout.current / FILE_NAME), "self", "units"]
    ended = subprocess.run(
        command,
        env=CLEAN_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=INSTALL_PROVE_SECS_MAX,
        check=False,
    )
    if ended.returncode != 0:
        said = ended.stderr.strip() or f"code {ended.returncode}"
        raise OperatorError(f"the units were not written: {said}")
