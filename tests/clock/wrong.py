"""A process whose clock is wrong: Python's `time.time` says another time than the host's.

The file names how many seconds are added, and may be written anew while the process runs.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

CODE = """
import os, time
_real = time.time
def _wrong():
    with open(os.environ["CLOCK_SHIFT_FILE"]) as file:
        return _real() + float(file.read())
time.time = _wrong
"""


class WrongClock:
    """For processes that are started with `environment`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(CODE, encoding="utf-8")
        self._file = folder / "shift"
        self.environment = {
            "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
            "CLOCK_SHIFT_FILE": str(self._file),
        }
        self.shift(0)

    def shift(self, secs: float) -> None:
        """So many seconds ahead, or behind."""
        temporary = self._file.with_suffix(".tmp")
        temporary.write_text(str(secs), encoding="ascii")
        temporary.rename(self._file)

    def set(self, at: int) -> None:
        """To this time, in epoch seconds."""
        self.shift(at - time.time())
