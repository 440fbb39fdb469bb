"""Pull times of what is gone: removed now and then, a few at a time."""

from __future__ import annotations

from functools import partial

import trio

from angos_trio.limits import COLLECT_ROWS
from angos_trio.storage.metadata import pulls, retention
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Rows


async def forget_gone(storage: Storage) -> int:
    """Go through all rows once; how many were of tags and manifests that are not there."""
    after, forgotten = ("", ""), 0
    while page := await storage.stats.run(partial(pulls.page, after=after, limit=COLLECT_ROWS)):

        def query(
            rows: Rows, page: list[tuple[str, str, int]] = page
        ) -> list[tuple[str, str, int]]:
            return [row for row in page if not retention.exists(rows, row[0], row[1])]

        gone = await storage.read(query)
        if gone:
            await storage.stats.run(partial(pulls.forget, gone=gone))
        forgotten += len(gone)
        after = page[-1][0], page[-1][1]
        await trio.lowlevel.checkpoint()
    return forgotten
