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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from angos_trio.appliance.archive import (
    FILE_NAME,
    RECORD,
    About,
    problems_of_file,
    problems_of_release,
    read_about,
    write_record,
)
from angos_trio.appliance.layout import Layout
from angos_trio.errors import OperatorError
from angos_trio.limits.processes import INSTALL_LOCK_SECS_MAX, INSTALL_PROVE_SECS_MAX
from angos_trio.pki.files import locked, sync_directory, words_of

_CLEAN_ENVIRONMENT: Final = {
    "PATH": os.defpath,
    "LANG": "C.UTF-8",
}
_NEW: Final = ".new-"
_HERE: Final = -100
"""`AT_FDCWD`"""
_RENAME_EXCHANGE: Final = 2


@contextmanager
def installing(layout: Layout) -> Iterator[None]:
    """One command at a time changes what is installed. Raises OperatorError, also for what the
    system refuses meanwhile."""
    lock = layout.library / ".lock"
    try:
        with readable():
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


@contextmanager
def readable() -> Iterator[None]:
    """What root installs is for the service's user to read, whatever root's umask."""
    umask = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(umask)


def place(layout: Layout, file: Path, tell: Callable[[str], None]) -> Path:
    """Put a file among the releases, unpacked and proved; nothing runs from it yet.

    It is there already when it is as its record says: nothing changes then. `tell` is told of each
    step, in words. Blocks for some seconds. Raises OperatorError.
    """
    tell("looking at the file")
    about = read_about(file)
    release = layout.releases / about.release
    if (release / RECORD).exists() and not problems_of_release(release):
        return release
    problems = problems_of_file(file)
    if problems:
        raise OperatorError(f"{problems[0]}: copy the file anew")
    made = layout.releases / f"{_NEW}{about.release}"
    check_mount(layout)
    _check_room(layout, file)
    layout.releases.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        tell("copying the file")
        made.mkdir(mode=0o755)
        _copy(file, made / FILE_NAME)
        tell("letting it unpack itself and start")
        (made / "files").mkdir(mode=0o755)
        _prove(made)
        tell("compiling it for this Python")
        _compile(made, release)
        tell("waiting for the disk")
        write_record(made)
        (made / RECORD).chmod(0o644)
        sync(made)
        _take_place(made, release)
        sync_directory(layout.releases)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return release


def _take_place(made: Path, release: Path) -> None:
    if release.exists():  # damaged; it may be the one that runs
        if _exchange(made, release):
            return
        release.rename(release.with_name(f"{_NEW}gone-{release.name}"))
    made.rename(release)


def check_mount(layout: Layout) -> None:
    """Refuse a file system whose libraries may not be loaded. Raises OperatorError."""
    if os.statvfs(layout.library).f_flag & os.ST_NOEXEC:
        raise OperatorError(
            f"{layout.library} is on a file system that is mounted noexec, so nothing can run from "
            "there: mount it without, or let this directory be on another one"
        )


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


def run_release(release: Path, *words: str) -> None:
    """Let a release carry out a command of its own, with nothing of ours in its way.

    Raises OperatorError with the last that it said.
    """
    command = [sys.executable, "-I", "-B", str(release / FILE_NAME), *words]
    try:
        ended = subprocess.run(
            command,
            env=_CLEAN_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_PROVE_SECS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise OperatorError(f"no end within {INSTALL_PROVE_SECS_MAX:.0f} seconds") from None
    if ended.returncode != 0:
        said = (ended.stderr.strip() or ended.stdout.strip() or "no word").splitlines()[-1]
        raise OperatorError(said.removeprefix(f"{FILE_NAME}: "))


def _prove(made: Path) -> None:
    """Let the new file unpack itself where it is, start, and look at itself. Raises OperatorError
    when it does not."""
    try:
        run_release(made, "self", "verify")
    except OperatorError as error:
        raise OperatorError(
            f"the new file does not run here, nothing was changed: {error}"
        ) from error


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


def switch(layout: Layout, release: Path) -> None:
    """Let everything that starts from now on be this release, and the one before be `previous`.

    A process that runs goes on with its own.
    """
    before = release_of(layout.current)
    if before != release:
        is_back = before is not None and release_of(layout.previous) == release
        if is_back and _exchange(layout.current, layout.previous):
            sync_directory(layout.library)
        else:
            if before is not None:
                _link(layout.previous, Path("releases") / before.name)
            _link(layout.current, Path("releases") / release.name)
    _link(layout.command, _command_target(layout))


def links_of(layout: Layout) -> tuple[str | None, str | None]:
    """Where `current` and `previous` lead, to be put back with `put_back`."""
    return _target_of(layout.current), _target_of(layout.previous)


def put_back(layout: Layout, links: tuple[str | None, str | None]) -> None:
    """Let `current` and `previous` be what they were. Raises OSError."""
    for path, target in zip((layout.current, layout.previous), links, strict=True):
        if target is not None:
            _link(path, Path(target))
        else:
            path.unlink(missing_ok=True)


def _target_of(link: Path) -> str | None:
    try:
        return os.readlink(link)
    except OSError:
        return None


def _command_target(layout: Layout) -> Path:
    return Path("../lib") / layout.library.name / "current" / FILE_NAME


def release_of(link: Path) -> Path | None:
    """Where `current` or `previous` leads; None where it leads to nothing that is whole."""
    target = _target_of(link)
    found = None if target is None else link.parent / target
    return found if found is not None and (found / RECORD).exists() else None


def check_command(layout: Layout) -> None:
    """Refuse to take the place of a command that is not ours. Raises OperatorError."""
    command = layout.command
    if _target_of(command) == str(_command_target(layout)):
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


def _exchange(one: Path, other: Path) -> bool:
    """Let two names change places in one step (renameat2(2)); False where that cannot be."""
    paths = os.fsencode(one), os.fsencode(other)
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    done: int = renameat2(_HERE, paths[0], _HERE, paths[1], _RENAME_EXCHANGE)
    return done == 0


def prune(layout: Layout) -> list[Path]:
    """Remove releases that are neither current nor previous and that no process runs from.

    The ones that went.
    """
    # By their names: what is damaged there is to be mended, and not to be gone.
    kept = {Path(target).name for target in links_of(layout) if target is not None}
    if not layout.releases.is_dir():
        return []
    gone = []
    for release in sorted(layout.releases.iterdir()):
        if release.name in kept or not release.is_dir() or is_running(release):
            continue
        away = layout.releases / f"{_NEW}gone-{release.name}"
        release.rename(away)
        shutil.rmtree(away)
        gone.append(release)
    return gone


def is_running(release: Path, pid: str = "[0-9]*") -> bool:
    """Whether a process, or the one of a number, has a compiled module of a release mapped
    (proc(5))."""
    wanted = f"{release}/"
    for maps in Path("/proc").glob(f"{pid}/maps"):
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
