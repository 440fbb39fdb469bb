"""Resident memory of another process and its children, as the kernel counts it."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

from tests.processes import family

MIB = 1024 * 1024
SAMPLE_SECS = 0.1
_FORGET_PEAK = "5"
"""What proc(5) wants in `clear_refs` for a new `VmHWM`."""


def resident_bytes(pid: int, field: str = "VmRSS") -> int:
    """What is resident now, or with `VmHWM` the most that ever was.

    Of several processes the shares are added (PSS), so that what they have in common counts once;
    the kernel keeps no peak of that.
    """
    members = family(pid)
    if len(members) > 1:
        return sum(_share_bytes(member) for member in members)
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {pid} has no {field}: it has ended")


def _share_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {pid} has ended")


class Sampler:
    """The most that a process held during a `with` block.

    `sampled_bytes` is the largest of the samples. `peak_bytes` misses nothing in between: the
    kernel keeps it, and is told to begin anew at the start of the block where it allows that.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self.sampled_bytes = 0
        self.peak_bytes = 0

    def __enter__(self) -> Sampler:
        Path(f"/proc/{self._pid}/clear_refs").write_text(_FORGET_PEAK, encoding="ascii")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()
        if error is None:
            self._sample()
            is_alone = len(family(self._pid)) == 1
            peak = resident_bytes(self._pid, "VmHWM") if is_alone else self.sampled_bytes
            self.peak_bytes = peak

    def _run(self) -> None:
        try:
            while not self._is_over.wait(SAMPLE_SECS):
                self._sample()
        except (OSError, ProcessLookupError):
            return  # it has ended, which its clients tell better

    def _sample(self) -> None:
        self.sampled_bytes = max(self.sampled_bytes, resident_bytes(self._pid))
