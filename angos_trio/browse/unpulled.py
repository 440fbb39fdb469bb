"""What nobody pulled for long: the largest manifests first.

Nothing is said that is not known: until pulls have been noted for as long as that, without a gap,
everything may have been pulled.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import trio

from angos_trio.identity import Caller
from angos_trio.limits.callers import WEBHOOK_QUESTIONS_SECS_MAX
from angos_trio.limits.lists import (
    LARGEST_EXAMINED_MAX,
    LARGEST_MAX,
    UNPULLED_EXAMINED_MAX,
    UNPULLED_SECS,
)
from angos_trio.oci.codes import OciError
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.registry.rested import Rested
from angos_trio.storage.metadata import pulls, unpulled
from angos_trio.storage.metadata.unpulled import Root
from angos_trio.storage.transactions import Rows


class Unpulled(Frozen):
    """A manifest that nobody pulled for long; `last_at` is when somebody did before, in epoch
    seconds, None where nobody noted one; `tag` is its first."""

    root: Root
    last_at: int | None
    tag: str | None = None


class UnpulledLook(Frozen):
    """A look at them, the largest first. `noted_since`: since when no pull was missed, in epoch
    seconds; None while pulls are not noted. `is_whole`: no smaller ones were left out."""

    noted_since: int | None
    is_known: bool
    found: Sequence[Unpulled] = ()
    is_whole: bool = True


async def look_for_unpulled(
    registry: Registry, caller: Caller, looks: Rested[UnpulledLook]
) -> UnpulledLook:
    """The last look, or a new one; of the manifests those in namespaces that the caller sees."""
    last = await looks.look(partial(_take, registry))
    names = sorted({each.root.namespace for each in last.found})
    await caller.learn(names, trio.current_time() + WEBHOOK_QUESTIONS_SECS_MAX)
    seen = [each for each in last.found if caller.sees(each.root.namespace)][:LARGEST_MAX]
    find = partial(unpulled.first_tags, roots=[each.root for each in seen])
    tags = await registry.storage.read(find) if seen else {}
    found = [
        Unpulled(each.root, each.last_at, tags[each.root]) for each in seen if each.root in tags
    ]
    return UnpulledLook(last.noted_since, last.is_known, found, last.is_whole)


async def _take(registry: Registry) -> UnpulledLook:
    """The file of pulls can be lost: while it cannot be read nothing is known."""
    before = registry.now() - UNPULLED_SECS
    stats = registry.storage.stats
    try:
        since = await stats.run(pulls.began_at)
        if since is None or since > before:
            return UnpulledLook(since, is_known=False)
        look = partial(_largest, before=before)
        roots, has_more = await registry.storage.read(look)
        found = await stats.run(partial(_idle, roots=roots, before=before))
    except OciError:
        return UnpulledLook(None, is_known=False)
    kept = found[:LARGEST_EXAMINED_MAX]
    return UnpulledLook(since, True, kept, not has_more and len(kept) == len(found))


def _largest(rows: Rows, before: int) -> tuple[list[Root], bool]:
    """Runs in a reader's thread."""
    roots = unpulled.largest_roots(rows, before, UNPULLED_EXAMINED_MAX)
    return roots, unpulled.has_more(rows, UNPULLED_EXAMINED_MAX)


def _idle(rows: Rows, roots: Sequence[Root], before: int) -> list[Unpulled]:
    """Those of which no pull was noted since then."""
    found = []
    for root in roots:
        noted = pulls.of(rows, root.namespace, [root.digest]).get(root.digest)
        if noted is None or noted.last_at < before:
            found.append(Unpulled(root, None if noted is None else noted.last_at))
    return found
