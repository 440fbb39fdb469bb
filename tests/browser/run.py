"""`make browser`: pages in a real browser, with what it needs installed first."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.browser.axe import AXE
from tests.browser.browsing import PICTURES
from tests.e2e.machine import REPOSITORY, Failure
from tests.e2e.tools import install_debian, install_npm

FONTS: Final = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
"""Without any font a browser shows boxes."""
TWO: Final = ("-n", "2", "--dist", "loadfile", "--max-worker-restart=0")
"""Browsers at once; when the tests of one crash, the run is over, and does not wait for them."""
MINUTES_MAX: Final = 20
QUICK: Final = ("-k", "not narrow and not forced and not dark")
"""Without the narrowest screen, since a phone is narrow too; without forced colours, and the dark
theme."""


def main() -> int:
    """Returns the status of the tests, none of which may be left out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="in fewer looks")
    options = parser.parse_args()
    try:
        programs = ["chromium", "skopeo", "certutil", "pk12util"]
        install_debian([*programs, *([] if FONTS.exists() else ["fonts-dejavu-core"])])
        install_npm(AXE)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    chosen = QUICK if options.quick else ()
    if options.quick:
        print("left out by --quick: pages at 320 px, in forced colours and in the dark", flush=True)
    tests = ["-m", "pytest", "-q", "--show-capture=no", *TWO, *chosen, "tests/browser"]
    command = [sys.executable, *tests]
    environment = {**os.environ, "CI": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, timeout=MINUTES_MAX * 60)
    print(f"pictures are in {PICTURES.relative_to(REPOSITORY)}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
