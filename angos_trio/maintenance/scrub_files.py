"""Scrub, the bytes: every blob that the rows know, and every file that they do not."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import trio

from angos_trio.limits.housekeeping import SCRUB_BLOBS, SCRUB_ROWS, SCRUB_SHELVES, SCRUB_WORKERS
from angos_trio.maintenance.scrub import Run
from angos_trio.oci.digest import Digest
from angos_trio.policy.integrity import BlobBytes, Flaw, judge_blob
from angos_trio.storage.files import Standing
from angos_trio.storage.inspection import Entry, Meaning, shelves
from angos_trio.storage.metadata import integrity, uploads
from angos_trio.storage.reclaiming import reclaim_unheld
from angos_trio.storage.transactions import Rows, Transaction


async def scrub_blobs(run: Run) -> None:
    """Every blob that has a row or a holder; two are read at a time."""
    after = run.wish.after
    while True:
        page = await run.read(partial(integrity.known_blobs, after=after, limit=SCRUB_BLOBS))
        if not page:
            return
        left = iter(page)
        async with trio.open_nursery() as workers:
            for _ in range(SCRUB_WORKERS):
                workers.start_soon(_look_at_blobs, run, left)
        after = page[-1]
        if run.wish.passed is not None:
            await run.wish.passed(after)


async def _look_at_blobs(run: Run, left: Iterator[str]) -> None:
    for digest in left:
        async with run.guarded(digest):
            await _look_at_blob(run, Digest(digest))


async def _look_at_blob(run: Run, digest: Digest) -> None:
    storage = run.registry.storage
    row = await storage.read(partial(integrity.blob_row, digest=digest))
    standing = await trio.to_thread.run_sync(storage.inspector.standing, digest)
    found: BlobBytes | None = None
    if standing is not None and row.is_held:
        is_right = await storage.inspector.is_right(digest, standing, run.pace)
        if is_right is None:
            return  # pushed again meanwhile
        found = BlobBytes(standing.size, is_right)
        run.found.bytes += standing.size
    run.found.blobs += 1
    flaw = judge_blob(row, found)
    if flaw is None:
        return

    def confirm(rows: Rows) -> bool:
        is_same = storage.inspector.standing(digest) == standing
        return is_same and judge_blob(integrity.blob_row(rows, digest), found) is flaw

    def repair(transaction: Transaction) -> bool:
        if not confirm(transaction.rows):
            return False
        if flaw is Flaw.BLOB_UNHELD:
            reclaim_unheld(transaction, digest)
        else:
            _set_right(run, transaction, digest, standing, found)
        return True

    await run.note(flaw, digest, confirm, repair)


def _set_right(
    run: Run,
    transaction: Transaction,
    digest: Digest,
    standing: Standing | None,
    found: BlobBytes | None,
) -> None:
    """Let the row say what is so; bytes that are not the digest's go to the quarantine."""
    rows = transaction.rows
    is_right = found is not None and found.is_right
    size = found.size if found is not None and is_right else None
    known = integrity.blob_row(rows, digest).size
    if size is None:
        size = known if known is not None else 0
    integrity.put_blob(rows, digest, size, is_present=is_right, now=run.registry.now())
    if known is None:
        integrity.weigh_again(rows, digest)
    if standing is not None and not is_right:
        transaction.quarantine(transaction.directory.blob(digest), standing)


async def scrub_files(run: Run) -> None:
    """Every name in our directories; what is in the data directory itself is left alone."""
    every = list(shelves())
    for begin in range(0, len(every), SCRUB_SHELVES):
        some = every[begin : begin + SCRUB_SHELVES]
        listed = await trio.to_thread.run_sync(run.registry.storage.inspector.list_shelves, some)
        entries: list[Entry] = []
        for shelf, found in zip(some, listed, strict=True):
            async with run.guarded("/".join(shelf)):
                entries += await _entries(run, shelf, found)
        await _look_at_entries(run, entries)


async def _entries(run: Run, shelf: tuple[str, ...], found: list[Entry] | OSError) -> list[Entry]:
    """What is in a directory, which is made if it is not there. Raises OSError."""
    if isinstance(found, FileNotFoundError | NotADirectoryError):
        run.tell(Flaw.DIRECTORY_MISSING, "/".join(shelf))
        if not run.wish.is_dry:
            await run.registry.require_changeable()
            await trio.to_thread.run_sync(run.registry.storage.inspector.make_shelf, shelf)
        return []
    if isinstance(found, OSError):
        raise found
    run.found.files += len(found)
    return found


async def _look_at_entries(run: Run, entries: list[Entry]) -> None:
    for begin in range(0, len(entries), SCRUB_ROWS):
        some = entries[begin : begin + SCRUB_ROWS]
        unknown = await _unknown_blobs(run, some)
        for entry in some:
            async with run.guarded(entry.path):
                await _look_at_entry(run, entry, unknown)


async def _unknown_blobs(run: Run, entries: list[Entry]) -> set[Digest]:
    digests = [entry.digest for entry in entries if entry.digest is not None]
    if not digests:
        return set()
    return await run.read(
        lambda rows: {digest for digest in digests if not integrity.is_known(rows, digest)}
    )


async def _look_at_entry(run: Run, entry: Entry, unknown: set[Digest]) -> None:
    match entry.meaning:
        case Meaning.FOREIGN:
            await _set_aside(run, entry)
        case Meaning.LEFT_OVER:
            await _look_at_left_over(run, entry)
        case Meaning.BLOB if entry.digest in unknown and entry.digest is not None:
            if entry.standing.is_file:
                await _look_at_unknown(run, entry, entry.digest)
            else:
                await _set_aside(run, entry)


def _is_old(run: Run, standing: Standing) -> bool:
    return run.registry.now() - standing.modified_at > run.registry.limits.lease_secs


async def _set_aside(run: Run, entry: Entry) -> None:
    look = run.registry.storage.inspector.files.look

    def confirm(rows: Rows) -> bool:
        return look(entry.path) == entry.standing

    def repair(transaction: Transaction) -> bool:
        if not confirm(transaction.rows):
            return False
        transaction.quarantine(entry.path, entry.standing)
        return True

    await run.note(Flaw.FILE_FOREIGN, entry.path, confirm, repair)


async def _look_at_unknown(run: Run, entry: Entry, digest: Digest) -> None:
    """A file that a crash left between its name and its rows, or that a disk refused to move."""
    inspector = run.registry.storage.inspector
    if not _is_old(run, entry.standing):
        return
    if await trio.to_thread.run_sync(inspector.is_finishing, digest):
        return

    def confirm(rows: Rows) -> bool:
        is_same = inspector.files.look(entry.path) == entry.standing
        return is_same and not integrity.is_known(rows, digest)

    def repair(transaction: Transaction) -> bool:
        if not confirm(transaction.rows):
            return False
        integrity.to_reclaim(transaction.rows, digest)
        transaction.doom(digest)
        return True

    await run.note(Flaw.FILE_UNKNOWN, digest, confirm, repair)


async def _look_at_left_over(run: Run, entry: Entry) -> None:
    """Of an upload: it is live while the shared rows know it, and resumable with its record."""
    storage, session = run.registry.storage, entry.session
    if session is None or not _is_old(run, entry.standing):
        return
    is_temporary = entry.path.endswith(".tmp")
    if await storage.shared.run(partial(uploads.find, session=session)) is not None:
        return
    if not is_temporary and await trio.to_thread.run_sync(storage.inspector.has_record, session):
        return
    run.tell(Flaw.UPLOAD_LEFT_OVER, entry.path)
    if not run.wish.is_dry:
        await run.registry.require_changeable()
        await trio.to_thread.run_sync(storage.inspector.drop_left_over, entry)
