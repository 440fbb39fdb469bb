"""Pulls of what is gone, and those that are old: removed now and then, a few at a time."""

from __future__ import annotations

from functools import partial

import trio

from angos_trio.limits.housekeeping import COLLECT_ROWS
from angos_trio.limits.storage import PULL_LINES_AT_ONCE, PULL_LINES_MAX
from angos_trio.storage.metadata import pull_history, pulls, retention
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
            await storage.stats.run(partial(_forget, gone=gone))
        forgotten += len(gone)
        after = page[-1][0], page[-1][1]
        await trio.lowlevel.checkpoint()
    return forgotten


def _forget(rows: Rows, gone: list[tuple[str, str, int]]) -> None:
    for namespace, reference in pulls.forget(rows, gone):
        pull_history.forget(rows, namespace, reference)  # there is nothing of a tag


async def expire_pulls(storage: Storage, now: int) -> None:
    """Remove what is told of pulls one by one and by day, where it is too old or too much: also
    where nothing is pulled any more, and so nothing written."""
    await storage.stats.run(partial(pull_history.expire, now=now))
    drop = partial(pull_history.drop_oldest, most=PULL_LINES_MAX, limit=PULL_LINES_AT_ONCE)
    while await storage.stats.run(drop):
        await trio.lowlevel.checkpoint()
