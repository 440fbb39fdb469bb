"""What a write step is given: the rows, and the file steps that belong to the same commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from angos_trio.oci.digest import Digest
from angos_trio.storage.directory import DataDirectory
from angos_trio.storage.files import Files

Outcome = TypeVar("Outcome")
Rows = sqlite3.Connection
"""Where the verbs of `storage.metadata` read; opaque to the floors above."""


@dataclass(slots=True)
class StagedBlob:
    """Verified and synced bytes that wait for their final name.

    `path` is theirs until `is_published`; `leftovers` are removed once the rows are committed.
    """

    digest: Digest
    size: int
    path: str
    leftovers: tuple[str, ...] = ()
    is_published: bool = False


@dataclass(slots=True)
class Transaction:
    """One step's view of the open transaction. Steps run in the writer thread, under the lock."""

    rows: Rows
    directory: DataDirectory
    files: Files
    unsynced: set[str] = field(default_factory=set)
    leftovers: list[str] = field(default_factory=list)

    def publish(self, staged: StagedBlob) -> None:
        """Move a staged blob to its final name, over whatever stands there: a push always heals.

        The directory is synced before the commit. A step that runs again finds it done.
        """
        if not staged.is_published:
            self.files.reached("publish.before")
            self.files.publish(staged.path, self.directory.blob(staged.digest))
            staged.is_published = True
            self.files.reached("publish.after")
        self.unsynced.add(self.directory.blob_directory(staged.digest))
        self.leftovers.extend(staged.leftovers)

    def sync_directories(self) -> None:
        """Make the names of what was published survive, before the rows say that it is there."""
        for path in self.unsynced:
            self.files.sync_directory(path)
        self.unsynced.clear()


Step = Callable[[Transaction], Outcome]
Query = Callable[[Rows], Outcome]
