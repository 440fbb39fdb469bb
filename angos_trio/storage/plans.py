"""Plans of retention: lists of any length, a line of JSON for each entry, in a file of the data
directory. Each begins with a line that names it, so that nobody reads on in another."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from typing import Final

import trio

from angos_trio.limits.housekeeping import PLAN_PAGE_BYTES, PLAN_PAGE_LINES_MAX
from angos_trio.records import Frozen, field
from angos_trio.storage.connections import unavailable
from angos_trio.storage.directory import PLAN_KINDS, DataDirectory
from angos_trio.storage.files import Files

_NAME_BYTES: Final = 33
"""Of the first line."""


class Page(Frozen):
    """Lines of a plan; `next` is where the following ones begin, None at its end."""

    lines: tuple[bytes, ...]
    next: int | None


class Plan(Frozen):
    """A plan that is being written: one of a kind, whose earlier one is gone."""

    directory: DataDirectory
    files: Files
    kind: str
    name: str = field(default_factory=lambda: uuid.uuid4().hex)

    async def begin(self) -> None:
        """Make it, without an entry. Raises UNAVAILABLE (503, 507), as `append`."""
        await self._run(self._begin, ())

    async def append(self, lines: Sequence[bytes]) -> None:
        """Add entries, each on a line of its own."""
        if lines:
            await self._run(self._append, lines)

    async def _run(self, work: object, lines: Sequence[bytes]) -> None:
        try:
            await trio.to_thread.run_sync(work, lines)  # type: ignore[arg-type]
        except OSError as error:
            raise unavailable(error) from error

    def _begin(self, lines: Sequence[bytes]) -> None:
        path = self.directory.plan(self.kind)
        self.files.remove(path)
        self.files.write_new(path, f"{self.name}\n".encode())

    def _append(self, lines: Sequence[bytes]) -> None:
        self.files.append(self.directory.plan(self.kind), b"\n".join((*lines, b"")))


class Plans(Frozen):
    """The plans of an instance."""

    directory: DataDirectory
    files: Files

    def new(self, kind: str) -> Plan:
        """One of this kind, which takes the place of the last."""
        return Plan(self.directory, self.files, kind)

    async def page(self, name: str, offset: int = 0) -> Page | None:
        """Entries of a plan from an offset that an earlier page gave, or from its beginning; None
        when it is there no more. Raises UNAVAILABLE (503)."""
        try:
            return await trio.to_thread.run_sync(self._page, name, max(offset, _NAME_BYTES))
        except OSError as error:
            raise unavailable(error) from error

    def _page(self, name: str, offset: int) -> Page | None:
        for kind in PLAN_KINDS:
            try:
                descriptor = self.files.open_to_read(self.directory.plan(kind))
            except FileNotFoundError:
                continue
            try:
                if os.pread(descriptor, _NAME_BYTES, 0) == f"{name}\n".encode():
                    return _page_at(descriptor, offset)
            finally:
                os.close(descriptor)
        return None


def _page_at(descriptor: int, offset: int) -> Page:
    content = os.pread(descriptor, PLAN_PAGE_BYTES, offset)
    lines = content.split(b"\n")[:-1][:PLAN_PAGE_LINES_MAX]
    end = offset + sum(len(line) + 1 for line in lines)
    is_end = not lines or end >= os.fstat(descriptor).st_size
    return Page(tuple(lines), None if is_end else end)
