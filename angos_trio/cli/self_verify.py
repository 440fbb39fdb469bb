"""`angos-trio self verify`"""

from __future__ import annotations

from angos_trio.appliance.archive import (
    RECORD,
    problems_of_file,
    problems_of_release,
    read_about,
    running_file,
)
from angos_trio.cli.codes import FOUND

_SHOWN_MAX = 20


def verify() -> int:
    """Compare the file, and what was installed of it, with what was recorded: 0 when all is as it
    was, else 3. The launcher has looked at the unpacked files before."""
    file = running_file()
    about = read_about(file)
    found = problems_of_file(file)
    if (file.parent / RECORD).exists():
        found += problems_of_release(file.parent)
    for line in found[:_SHOWN_MAX]:
        print(line)
    if len(found) > _SHOWN_MAX:
        print(f"and {len(found) - _SHOWN_MAX} more")
    if found:
        print("copy the file anew, and let root run `self install` of it")
        return FOUND
    print(f"{file}: {about.version}, build {about.build[:12]}: every file is as it was built")
    return 0
