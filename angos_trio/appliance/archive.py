"""The one file: what it says of itself, and whether it is still what was built.

`make zipapp` puts `about.json` and `files.sha256` into it. Its launcher unpacks it, and compares
what was unpacked, before anything of it runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from angos_trio.errors import OperatorError
from angos_trio.records import Frozen

FILE_NAME: Final = "angos-trio"
"""What the file is called where it is installed."""
RECORD: Final = "installed.sha256"
"""Sums of all that was there when a release was installed, compiled modules too."""
_READ_BYTES: Final = 1024 * 1024


class About(Frozen):
    """What a file says of itself. `build` is the SHA-256 of its content."""

    version: str
    build: str
    machine: str

    @property
    def release(self) -> str:
        """The name of its directory among the releases."""
        return f"{self.version}-{self.build[:12]}"


def running_file() -> Path:
    """The file that this process runs from. Raises OperatorError where it runs from sources."""
    loader = getattr(sys.modules["__main__"], "__loader__", None)
    archive = getattr(loader, "archive", None)
    if archive is None:
        raise OperatorError(
            "this program runs from its sources: only the one file that `make zipapp` builds can "
            "be installed"
        )
    return Path(archive).resolve()


def read_about(file: Path) -> About:
    """What a file says of itself. Raises OperatorError when it is none of ours."""
    try:
        with zipfile.ZipFile(file) as archive:
            said = json.loads(archive.read("about.json"))
        about = About(str(said["version"]), str(said["build"]), str(said["machine"]))
    except OSError as error:
        raise OperatorError(f"{file}: {error.strerror or error}") from error
    except (KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise OperatorError(
            f"{file} is no file of angos-trio, or it is cut off: copy it anew"
        ) from error
    if about.machine != os.uname().machine:
        raise OperatorError(
            f"{file} is for {about.machine} and this machine is {os.uname().machine}: take the "
            f"file whose name ends in {os.uname().machine}.pyz"
        )
    return about


def problems_of_file(file: Path) -> list[str]:
    """What is wrong with the content of a file, a line each; blocks for a second or two."""
    found = []
    with zipfile.ZipFile(file) as archive:
        for name, digest in _listed(archive).items():
            try:
                body = archive.read(name)
            except (KeyError, EOFError, ValueError, zipfile.BadZipFile) as error:
                found.append(f"{file}: {name} cannot be read: {error}")
                continue
            if hashlib.sha256(body).hexdigest() != digest:
                found.append(f"{file}: {name} is not what was built")
    return found


def problems_of_release(release: Path) -> list[str]:
    """How a release differs from what was installed, a line each."""
    found, wanted = [], read_record(release)
    there = {name for name in _names_below(release) if name != RECORD}
    for name, digest in sorted(wanted.items()):
        if name not in there:
            found.append(f"{release / name} is missing")
        elif digest_of(release / name) != digest:
            found.append(f"{release / name} was changed")
    found += [f"{release / name} does not belong there" for name in sorted(there - set(wanted))]
    return found


def write_record(release: Path) -> None:
    """Write down what is there, to be compared with later."""
    lines = [f"{digest_of(release / name)}  {name}\n" for name in sorted(_names_below(release))]
    (release / RECORD).write_text("".join(lines), encoding="utf-8")


def read_record(release: Path) -> dict[str, str]:
    """What was written down: digests by names. Raises OperatorError when it is not there."""
    try:
        content = (release / RECORD).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise OperatorError(
            f"{release} was not installed to its end ({RECORD} cannot be read): run `self install` "
            "again"
        ) from error
    return sums_of(content)


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, or of where a link leads; empty when it cannot be read."""
    sum_ = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_READ_BYTES):
                sum_.update(chunk)
    except OSError:
        return ""
    return sum_.hexdigest()


def _listed(archive: zipfile.ZipFile) -> dict[str, str]:
    try:
        return sums_of(archive.read("files.sha256").decode())
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise OperatorError(f"{archive.filename} is damaged: copy it anew") from error


def sums_of(content: str) -> dict[str, str]:
    """Digests by names, as sha256sum(1) writes them."""
    parts = (line.partition("  ") for line in content.splitlines())
    return {name: digest for digest, _, name in parts}


def _names_below(folder: Path) -> Iterator[str]:
    """Every file, by its path below the folder."""
    for parent, _, names in os.walk(folder):
        for name in names:
            yield os.path.relpath(os.path.join(parent, name), folder)
