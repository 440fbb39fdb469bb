"""Recording what manifests are that were pushed before anybody recorded that."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import trio

from angos_trio.limits.housekeeping import DESCRIBE_SECS, DESCRIBED_AT_ONCE
from angos_trio.oci.codes import OciError
from angos_trio.oci.names import RepositoryName
from angos_trio.oci.roles import Carried, Role
from angos_trio.policy.integrity import facts_of
from angos_trio.registry.context import ReadOnlyError, Registry
from angos_trio.registry.platforms import read_platforms
from angos_trio.storage.metadata import manifests, namespaces, summaries
from angos_trio.storage.metadata.summaries import Summary, Undescribed
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Rows, Transaction
from angos_trio.telemetry.log import logger

_log = logger("maintenance.describe")
UNKNOWN = Summary(Role.ARTIFACT, Carried.NOTHING, (), 0)
"""Of what cannot be read."""


async def describe(current: Callable[[], Registry]) -> None:
    """Go through what is not described, some at a time, until cancelled."""
    while True:
        with suppress(ReadOnlyError):
            described = await describe_all(current())
            if described:
                _log.info("manifests.described", count=described)
        await trio.sleep(DESCRIBE_SECS)


async def describe_all(registry: Registry) -> int:
    """Describe all that is not described yet; how many that were. Raises ReadOnlyError."""
    count = 0
    after = (0, "")
    while True:
        look = partial(_look, storage=registry.storage, after=after)
        found = await registry.storage.read(look)
        if not found:
            return count

        def step(
            transaction: Transaction, found: list[tuple[Undescribed, Summary]] = found
        ) -> None:
            for manifest, summary in found:
                summaries.describe(transaction.rows, manifest.namespace, manifest.digest, summary)

        await registry.change(step)
        count += len(found)
        last = found[-1][0]
        after = (last.namespace, last.digest)


def _look(
    rows: Rows, storage: Storage, after: tuple[int, str]
) -> list[tuple[Undescribed, Summary]]:
    """Runs in a reader's thread."""
    found = summaries.undescribed(rows, after, DESCRIBED_AT_ONCE)
    return [(manifest, _summary(rows, storage, manifest)) for manifest in found]


def _summary(rows: Rows, storage: Storage, manifest: Undescribed) -> Summary:
    body = manifests.read_body(rows, manifest.digest)
    name = namespaces.name_of(rows, manifest.namespace)
    if not body or name is None:
        return UNKNOWN
    try:
        facts = facts_of(body, manifest.media_type)
        platforms = facts.platforms or read_platforms(rows, storage, RepositoryName(name), facts)
    except OciError:
        return UNKNOWN
    return Summary(facts.role, facts.carries, platforms, facts.named_bytes)
