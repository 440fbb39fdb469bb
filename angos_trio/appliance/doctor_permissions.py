"""Whose the files are, and who may do what with them."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from angos_trio.appliance.doctor import Finding, bad, note, ok, warn
from angos_trio.records import Frozen
from angos_trio.storage.directory import DataDirectory

_OTHERS = 0o007


class Owner(Frozen):
    """A user, with all groups."""

    name: str
    uid: int
    gids: frozenset[int]

    def may(self, found: os.stat_result, wanted: int) -> bool:
        """Whether the mode lets the user read (4), write (2), enter (1). Access lists are not
        looked at."""
        if self.uid == 0:
            return True
        of_group = 3 if found.st_gid in self.gids else 0
        shift = 6 if found.st_uid == self.uid else of_group
        return (found.st_mode >> shift) & wanted == wanted


def user_named(name: str) -> Owner | None:
    """A user of this host; None where there is none."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    groups = {group.gr_gid for group in grp.getgrall() if name in group.gr_mem}
    return Owner(name, found.pw_uid, frozenset({found.pw_gid, *groups}))


def user_numbered(uid: int) -> Owner:
    """The same by number, with a name or without."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return Owner(str(uid), uid, frozenset())
    return user_named(name) or Owner(name, uid, frozenset())


def judge_data(path: Path, found: os.stat_result, user: Owner) -> Iterator[Finding]:
    """The data directory."""
    mode = stat.S_IMODE(found.st_mode)
    whose = user_numbered(found.st_uid).name
    if not user.may(found, 0o7):
        yield bad(
            f"{path} belongs to {whose} with mode {mode:04o}: {user.name} cannot write there",
            f"chown -R {user.name}: {path} && chmod 750 {path}",
        )
    elif mode & _OTHERS:
        yield warn(
            f"{path} has mode {mode:04o}: everybody on this host gets in",
            f"chmod 750 {path}",
        )
    else:
        yield ok(f"{path} belongs to {whose}, mode {mode:04o}")


def way_to(path: Path, user: Owner) -> Path | None:
    """The first directory above a path that the user cannot enter; None where there is none."""
    for above in reversed(path.parents):
        try:
            if not user.may(above.stat(), 0o1):
                return above
        except OSError:
            return None
    return None


def judge_readable(path: Path, user: Owner) -> Iterator[Finding]:
    """Whether the user can read a file that the configuration names, or is it."""
    if (closed := way_to(path, user) or way_to(path.resolve(), user)) is not None:
        yield bad(
            f"{user.name} cannot enter {closed}, so not read {path}",
            f"chgrp {user.name} {closed} && chmod g+x {closed}",
        )
        return
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    if user.may(found, 0o4):
        yield ok(f"{path} can be read by {user.name}")
    elif _has_access_list(path):
        yield note(f"whether {path} can be read by {user.name}, its access list says: getfacl")
    else:
        yield bad(
            f"{path} cannot be read by {user.name}",
            f"chgrp {user.name} {path} && chmod 640 {path}",
        )


def _has_access_list(path: Path) -> bool:
    try:
        return bool(os.getxattr(path, "system.posix_acl_access"))
    except OSError:
        return False


def judge_made(path: Path, made: os.stat_result, user: Owner) -> Iterator[Finding]:
    """Who made what is in the data directory: whoever served first."""
    if made.st_uid != user.uid:
        whose = user_numbered(made.st_uid).name
        yield warn(
            f"what is in {path} was made by {whose}, and {user.name} serves: neither may be "
            "able to use what the other writes",
            f"stop the registry, then chown -R {user.name}: {path}",
        )


def judge_program(path: Path, found: os.stat_result, user: Owner) -> Iterator[Finding]:
    """The service must not be able to change what it runs."""
    if user.uid != 0 and user.may(found, 0o2):
        yield warn(
            f"{path} can be written by {user.name}: who breaks into the service can change "
            "the program",
            f"chown -R root: {path} && chmod -R go-w {path}",
        )
    else:
        yield ok(f"{path} cannot be changed by {user.name}")


def look_at_permissions(
    data: Path, program: Path, files: Sequence[str], user: Owner | None
) -> Iterator[Finding]:
    """All of them, for the user that serves; None: there is none yet."""
    if user is None:
        yield note(
            "there is no user angos-trio yet, by whom the service is to run",
            "angos-trio self install --systemd makes it",
        )
        return
    if user.uid == 0:
        yield note(
            "root is taken for the user that serves: nothing is kept from it",
            "let the service run as a user of its own, angos-trio",
        )
    if not os.path.exists(data):
        yield note(f"{data} is not there yet; it is made at the first start")
    else:
        yield from judge_data(data, data.stat(), user)
    for name in files:
        yield from judge_readable(Path(os.path.abspath(name)), user)
    yield from judge_program(program, program.stat(), user)
    with contextlib.suppress(FileNotFoundError):
        yield from judge_made(data, DataDirectory(data).format_file.stat(), user)
