"""A registry that looks as if it had been there for months: samples, ages, pulls."""

from __future__ import annotations

from angos_trio.clock import DAY_SECS
from angos_trio.records import replace
from angos_trio.storage.metadata import pulls, samples
from angos_trio.storage.metadata.pulls import Pulls
from angos_trio.storage.metadata.samples import Sample
from angos_trio.storage.transactions import Rows, Transaction
from tests.api.serving import ServedRegistry


def today_of(served: ServedRegistry) -> int:
    """Counted in days from 1970."""
    return served.core.now() // DAY_SECS


def sampled(served: ServedRegistry, taken: dict[int, Sample]) -> None:
    """Samples by how many days ago they were taken; their days and times are those."""
    today = today_of(served)

    def step(transaction: Transaction) -> None:
        for ago, sample in taken.items():
            day = today - ago
            samples.put(transaction.rows, replace(sample, day=day, at=day * DAY_SECS))

    async def write() -> None:
        await served.core.storage.write(step)

    served.server.call(write)


def grown(days: int = 90, *, without: frozenset[int] = frozenset()) -> dict[int, Sample]:
    """A disk of a terabyte that filled, faster and faster, until now."""
    return {
        ago: Sample(
            0,
            0,
            blob_bytes=(held := 300_000_000_000 + (days - ago) ** 2 * 40_000_000),
            named_bytes=3 * held,
            free_bytes=1_000_000_000_000 - held,
            tags=1000 + 7 * (days - ago),
            manifests=2000 + 9 * (days - ago),
        )
        for ago in range(days)
        if ago not in without
    }


def aged(served: ServedRegistry, days: int) -> None:
    """Everything that is stored now was pushed so many days ago."""

    def step(transaction: Transaction) -> None:
        transaction.rows.execute(
            "UPDATE manifests SET pushed_at = pushed_at - ?", (days * DAY_SECS,)
        )

    async def write() -> None:
        await served.core.storage.write(step)

    served.server.call(write)


def pulled(
    served: ServedRegistry, noted_days: int | None, ago: dict[tuple[str, str], int] | None = None
) -> None:
    """Pulls are noted for so many days; what was pulled last so many days ago, by namespace and
    digest. Without days they are not noted."""
    now = served.core.now()

    def work(rows: Rows) -> None:
        pulls.end(rows)
        if noted_days is not None:
            pulls.begin(rows, now - noted_days * DAY_SECS, anew=True)
        pulls.add(rows, {key: Pulls(1, now - days * DAY_SECS) for key, days in (ago or {}).items()})

    async def write() -> None:
        await served.core.storage.stats.run(work)

    served.server.call(write)
