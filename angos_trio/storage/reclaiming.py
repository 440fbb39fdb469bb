"""Space that comes back: rows first, then the file under the same lock, then its blocks.

A crash leaves a file without a row, never a row without a file: `reclaims` says which are to go,
and `settle` looks at these again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from angos_trio.oci.digest import Digest
from angos_trio.storage.directory import DataDirectory, is_trashed
from angos_trio.storage.files import Files
from angos_trio.storage.metadata import reclaims
from angos_trio.storage.transactions import Transaction


def reclaim_unheld(transaction: Transaction, digest: Digest) -> int | None:
    """Give back a blob that no namespace holds any more; its size in bytes, None when one does."""
    size = reclaims.forget_unheld(transaction.rows, digest)
    if size is not None:
        transaction.doom(digest)
    return size


def settle(transaction: Transaction, digests: Iterable[Digest]) -> int:
    """See to blobs whose files were to go; how many of these are gone, or wanted again."""
    settled = 0
    for digest in digests:
        if reclaims.is_wanted(transaction.rows, digest) or not transaction.is_on_disk(digest):
            reclaims.settle(transaction.rows, digest)
            settled += 1
        else:
            transaction.doom(digest)
    return settled


def empty_trash(directory: DataDirectory, files: Files) -> int:
    """Unlink what we put into the trash; how many files there were. Blocks.

    Raises the first OSError once all were tried.
    """
    names = [name for name in os.listdir(directory.trash) if is_trashed(name)]
    refused: OSError | None = None
    for name in names:
        try:
            files.remove(directory.trash / name)
        except OSError as error:
            refused = refused or error
    if refused is not None:
        raise refused
    return len(names)
