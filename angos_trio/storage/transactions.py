"""What a write step is given: the rows, and the file steps that belong to the same commit."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from typing import TypeVar

from angos_trio.oci.digest import Digest
from angos_trio.records import Mutable, field
from angos_trio.storage.directory import DataDirectory
from angos_trio.storage.files import Files, Standing

Outcome = TypeVar("Outcome")
Mark = tuple[int, int, int]
Rows = sqlite3.Connection
"""Where the verbs of `storage.metadata` read; opaque to the floors above."""


class StagedBlob(Mutable):
    """Verified and synced bytes that wait for their final name.

    `path` is theirs until `is_published`; `leftovers` are removed once the rows are committed.
    """

    digest: Digest
    size: int
    path: str
    leftovers: tuple[str, ...] = ()
    is_published: bool = False


class Transaction(Mutable):
    """One step's view of the open transaction. Steps run in the writer thread, under the lock."""

    rows: Rows
    directory: DataDirectory
    files: Files
    unsynced: set[str] = field(default_factory=set)
    leftovers: list[str] = field(default_factory=list)
    doomed: list[Digest] = field(default_factory=list)
    """Blobs whose files go to the trash once the rows are committed."""
    set_aside: dict[str, Standing] = field(default_factory=dict)
    """What goes to the quarantine then, if nothing else stands there by that time."""

    def publish(self, staged: StagedBlob) -> None:
        """Move a staged blob to its final name, over whatever stands there: a push always heals.

        The directory is synced before the commit. A step that runs again finds it done; what is
        not there then was collected meanwhile (FileNotFoundError).
        """
        path = self.directory.blob(staged.digest)
        if not staged.is_published:
            self.files.reached("publish.before")
            self.files.publish(staged.path, path)
            staged.is_published = True
            self.files.reached("publish.after")
        elif self.files.regular_size(path) is None:
            raise FileNotFoundError(path)
        if staged.digest in self.doomed:
            self.doomed.remove(staged.digest)
        self.set_aside.pop(path, None)
        self.unsynced.add(self.directory.blob_directory(staged.digest))
        self.leftovers.extend(staged.leftovers)

    def is_on_disk(self, digest: Digest) -> bool:
        """Whether a file stands under the blob's name."""
        return self.files.regular_size(self.directory.blob(digest)) is not None

    def doom(self, digest: Digest) -> None:
        """Move the blob's file to the trash once the commit is done and before the lock is free.

        The rows must be gone, and say in `reclaims` that the file is to go: what is killed in
        between is done later.
        """
        if digest not in self.doomed:
            self.doomed.append(digest)

    def quarantine(self, path: str, standing: Standing) -> None:
        """Move what stands there to the quarantine once the commit is done, under the lock still.

        What a kill or the disk prevents is found again by the next scrub.
        """
        self.set_aside.setdefault(path, standing)

    def keep_copy(self, name: str, content: bytes) -> None:
        """Put bytes into the quarantine, synced, that the commit will make unreachable."""
        self.files.make_directory(self.directory.quarantine)
        path = self.directory.quarantined(name)
        self.files.write_new(path, content)
        descriptor = self.files.open_to_read(path)
        try:
            self.files.sync(descriptor)
        finally:
            os.close(descriptor)
        self.unsynced.add(str(self.directory.quarantine))

    def mark(self) -> Mark:
        """How far the step has come."""
        return len(self.leftovers), len(self.doomed), len(self.set_aside)

    def cut_back(self, mark: Mark) -> None:
        """Forget the file steps after the mark: their rows were undone."""
        leftovers, doomed, set_aside = mark
        del self.leftovers[leftovers:]
        del self.doomed[doomed:]
        for path in list(self.set_aside)[set_aside:]:
            del self.set_aside[path]

    def sync_directories(self) -> None:
        """Make the names of what was published survive, before the rows say that it is there."""
        for path in self.unsynced:
            self.files.sync_directory(path)
        self.unsynced.clear()


Step = Callable[[Transaction], Outcome]
Query = Callable[[Rows], Outcome]
