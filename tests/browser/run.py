"""`make browser`: pages in a real browser, with what it needs installed first."""

from __future__ import annotations

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
MINUTES_MAX: Final = 15


def main() -> int:
    """Returns the status of the tests, none of which may be left out."""
    try:
        install_debian(["chromium", "skopeo", *([] if FONTS.exists() else ["fonts-dejavu-core"])])
        install_npm(AXE)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    command = [sys.executable, "-m", "pytest", "-q", "--show-capture=no", *TWO, "tests/browser"]
    environment = {**os.environ, "CI": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, timeout=MINUTES_MAX * 60)
    print(f"pictures are in {PICTURES.relative_to(REPOSITORY)}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
