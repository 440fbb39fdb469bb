"""One guest for all tests of a run: the one file is copied in, and installed when it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guest.another import another_release
from tests.guest.guest import HOSTNAME, Guest, booted_or_left_out
from tests.zipapp.built import one_file

NEXT_VERSION = "0.9.1"
BROKEN_VERSION = "0.9.2"
BROKEN = b'def serve(*a: object) -> int:\n    raise SystemExit("this release is broken")\n'


@pytest.fixture(scope="session")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A booted guest with three files in `/root`: this release, a later one, and a broken one."""
    folder = tmp_path_factory.mktemp("files")
    file = one_file()
    later = another_release(file, folder / "later.pyz", NEXT_VERSION, {})
    broken = another_release(
        file, folder / "broken.pyz", BROKEN_VERSION, {"angos_trio/cli/serve.py": BROKEN}
    )
    files = [
        (file, "/root/angos-trio.pyz"),
        (later, "/root/later.pyz"),
        (broken, "/root/broken.pyz"),
        (Path(__file__).with_name("load.py"), "/root/load.py"),
        (Path(__file__).with_name("kept.py"), "/root/kept.py"),
        (Path(__file__).with_name("due.py"), "/root/due.py"),
    ]
    with booted_or_left_out(files) as running:
        yield running


@pytest.fixture(scope="session")
def appliance(guest: Guest) -> Guest:
    """The same, with the service installed; its output is kept for a test."""
    output = guest.run(
        "python3", "angos-trio.pyz", "self", "install", "--systemd", "--hostname", HOSTNAME
    )
    guest.write("/root/install.log", output)
    return guest
