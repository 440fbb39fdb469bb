"""Releases of the program on a host: put there whole, switched to in one step, gone back from.

Everything is made under a name that nobody uses, reaches the disk, and gets its name then. A crash
leaves the release that ran and perhaps a directory `.new-…`, which the next command removes.
"""

from __future__ import annotations

import compileall
import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from angos_trio.appliance.archive import (
    FILE_NAME,
    RECORD,
    About,
    problems_of_file,
    read_about,
    write_record,
)
from angos_trio.appliance.layout import Layout
from angos_trio.errors import OperatorError
from angos_trio.limits.processes import INSTALL_LOCK_SECS_MAX, INSTALL_PROVE_SECS_MAX
from angos_trio.pki.files import locked, sync_directory, words_of

CLEAN_ENVIRONMENT: Final = {
    "PATH": os.defpath,
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
}
"""For another release: nothing of ours is to be in its way."""
_NEW: Final = ".new-"


@contextmanager
def installing(layout: Layout) -> Iterator[None]:
    """One command at a time changes what is installed. Raises OperatorError, also for what the
    system refuses meanwhile."""
    lock = layout.library / ".lock"
    try:
        lock.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with locked(lock, INSTALL_LOCK_SECS_MAX):
            for left in layout.releases.glob(f"{_NEW}*"):
                shutil.rmtree(left)
            yield
    except TimeoutError:
        raise OperatorError(
            f"another command has been installing for {INSTALL_LOCK_SECS_MAX:.0f} seconds ({lock} "
            "is locked): wait for it, or look what it does"
        ) from None
    except OSError as error:
        raise OperatorError(words_of(error)) from error


def place(layout: Layout, file: Path) -> Path:
    """Put a file among the releases, unpacked and proved; nothing runs from it yet.

    It is there already when its record is: nothing changes then. Raises OperatorError.
    """
    about = read_about(file)
    release = layout.releases / about.release
    if (release / RECORD).exists():
        return release
    problems = problems_of_file(file)
    if problems:
        raise OperatorError(f"{problems[0]}: copy the file anew")
    made = layout.releases / f"{_NEW}{about.release}"
    _check_room(layout, file)
    layout.releases.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        made.mkdir(mode=0o755)
        _copy(file, made / FILE_NAME)
        (made / "files").mkdir(mode=0o755)
        _prove(made)
        _compile(made, release)
        write_record(made)
        (made / RECORD).chmod(0o644)
        sync(made)
        if release.exists():  # without its record: left by a crash of something else than us
            shutil.rmtree(release)
        made.rename(release)
        sync_directory(layout.releases)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return release


def _check_room(layout: Layout, file: Path) -> None:
    """Refuse before anything is written: the file, and about six times as much unpacked."""
    needed = file.stat().st_size * 7
    free = shutil.disk_usage(layout.library).free
    if free < needed:
        raise OperatorError(
            f"{layout.library} has {free // 1_000_000} MB free and {needed // 1_000_000} MB are "
            "needed: make room, or remove older releases with `self prune`"
        )


def _copy(file: Path, target: Path) -> None:
    shutil.copyfile(file, target)
    target.chmod(0o755)


def _prove(made: Path) -> None:
    """Let the new file unpack itself where it is, start, and look at itself.

    Raises OperatorError with what it said.
    """
    try:
        ended = subprocess.run(
            [sys.executable, "-I", str(made / FILE_NAME), "self", "verify"],
            env=CLEAN_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_PROVE_SECS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise OperatorError(
            f"the new file did not start within {INSTALL_PROVE_SECS_MAX:.0f} seconds: nothing was "
            "changed"
        ) from None
    if ended.returncode != 0:
        said = (ended.stderr.strip() or ended.stdout.strip() or "no word").splitlines()[-1]
        raise OperatorError(f"the new file does not run here, nothing was changed: {said}")


def _compile(made: Path, release: Path) -> None:
    """Compile for this Python: the service cannot write here, and would do it at each start."""
    compileall.compile_dir(
        str(made / "files"),
        maxlevels=20,
        quiet=2,
        stripdir=str(made),
        prependdir=str(release),
        workers=0,
    )


def switch(layout: Layout, release: Path) -> Path | None:
    """Let everything that starts from now on be this release. The one before, if there was one.

    A process that runs goes on with its own.
    """
    before = release_of(layout.current)
    if before == release:
        _link(layout.command, Path("../lib") / layout.library.name / "current" / FILE_NAME)
        return release_of(layout.previous)
    if before is not None:
        _link(layout.previous, Path("releases") / before.name)
    _link(layout.current, Path("releases") / release.name)
    _link(layout.command, Path("../lib") / layout.library.name / "current" / FILE_NAME)
    return before


def switch_back(layout: Layout, current: Path, previous: Path | None) -> None:
    """Let both links lead to where they led before a switch."""
    _link(layout.current, Path("releases") / current.name)
    if previous is None:
        layout.previous.unlink(missing_ok=True)
        sync_directory(layout.library)
    else:
        _link(layout.previous, Path("releases") / previous.name)


def release_of(link: Path) -> Path | None:
    """Where `current` or `previous` leads; None where it leads to nothing that is whole."""
    try:
        found = link.parent / os.readlink(link)
    except OSError:
        return None
    return found if (found / RECORD).exists() else None


def check_command(layout: Layout) -> None:
    """Refuse to take the place of a command that is not ours. Raises OperatorError."""
    command = layout.command
    if command.is_symlink() and FILE_NAME in os.readlink(command):
        return
    if command.exists() or command.is_symlink():
        raise OperatorError(
            f"{command} is there and was not put there by `self install`: move it away first"
        )


def _link(path: Path, target: Path) -> None:
    """Let a link lead somewhere else, in one step."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    made = path.with_name(f".{path.name}.new")
    made.unlink(missing_ok=True)
    made.symlink_to(target)
    made.replace(path)
    sync_directory(path.parent)


def prune(layout: Layout) -> list[Path]:
    """Remove releases that are neither current nor previous and that no process runs from.

    The ones that went.
    """
    kept = {release_of(layout.current), release_of(layout.previous)}
    if not layout.releases.is_dir():
        return []
    gone = []
    for release in sorted(layout.releases.iterdir()):
        if release in kept or is_running(release):
            continue
        away = layout.releases / f"{_NEW}gone-{release.name}"
        release.rename(away)
        shutil.rmtree(away)
        gone.append(release)
    return gone


def is_running(release: Path) -> bool:
    """Whether a process has a compiled module of a release mapped (proc(5))."""
    wanted = f"{release}/"
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            if wanted in maps.read_text(errors="replace"):
                return True
        except OSError:
            continue  # it ended, or is not ours to look at
    return False


def about_of(release: Path) -> About:
    """What the file of a release says of itself. Raises OperatorError."""
    return read_about(release / FILE_NAME)


def sync(folder: Path) -> None:
    """Return when everything on the file system of a folder has reached the disk (syncfs(2)):
    thousands of files at once, in the place of one after the other."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "cannot be synced", str(folder))
    finally:
        os.close(descriptor)
