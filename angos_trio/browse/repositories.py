"""Repositories and their namespaces, as far as the caller sees them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Self

import trio

from angos_trio.identity import Caller
from angos_trio.limits.callers import WEBHOOK_QUESTIONS_SECS_MAX
from angos_trio.limits.requests import CATALOG_ROWS_AT_ONCE, NAMESPACES_AT_ONCE
from angos_trio.oci.names import longest_prefix
from angos_trio.policy.immutability import TagRule
from angos_trio.records import Frozen, replace
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import below, listings
from angos_trio.storage.metadata.below import FolderSums, Sums
from angos_trio.storage.metadata.listings import NamespaceRow


class Namespace(Frozen):
    """A namespace that holds a manifest or takes an upload."""

    row: NamespaceRow
    uploads: int = 0


class Summed(Frozen, kw_only=True):
    """Sums over some namespaces. Sizes in bytes, times in epoch seconds."""

    namespaces: int = 0
    manifests: int = 0
    tags: int = 0
    uploads: int = 0
    held_bytes: int = 0
    last_pushed_at: int | None = None

    def plus(self, namespaces: Sequence[Namespace]) -> Self:
        """With some namespaces more."""
        if not namespaces:
            return self
        rows = [namespace.row for namespace in namespaces]
        return replace(
            self,
            namespaces=self.namespaces + len(rows),
            manifests=self.manifests + sum(row.manifest_count for row in rows),
            tags=self.tags + sum(row.tag_count for row in rows),
            uploads=self.uploads + sum(namespace.uploads for namespace in namespaces),
            held_bytes=self.held_bytes + sum(row.held_bytes for row in rows),
            last_pushed_at=_latest([self.last_pushed_at, *(row.last_pushed_at for row in rows)]),
        )

    def summed(self, sums: Sums | FolderSums) -> Self:
        """With the sums over namespaces that hold something."""
        return replace(
            self,
            namespaces=sums.namespaces,
            manifests=sums.manifests,
            tags=sums.tags,
            held_bytes=sums.held_bytes,
            last_pushed_at=sums.last_pushed_at,
        )

    def uploading(self, count: int, *, is_new: bool) -> Self:
        """With uploads more; `is_new`: to a namespace that holds nothing yet."""
        return replace(self, namespaces=self.namespaces + is_new, uploads=self.uploads + count)


class Repository(Summed):
    """A configured repository, or the first segment of names that are in none, with sums over what
    the caller sees of it."""

    name: str
    is_configured: bool
    rule: TagRule


def _latest(times: Iterable[int | None]) -> int | None:
    return max((time for time in times if time is not None), default=None)


def owner_of(registry: Registry, namespace: str) -> str:
    """The repository of a namespace: the longest configured one, or its first segment."""
    found = longest_prefix(namespace, registry.tag_rules.by_repository)
    return found or namespace.partition("/")[0]


class Batch(Frozen):
    """Some namespaces in byte order; `next_after` is where the next batch begins."""

    namespaces: list[Namespace]
    next_after: str | None


async def list_repositories(registry: Registry, caller: Caller) -> list[Repository]:
    """Those that are configured, and one for each first segment of other names, in byte order.

    One is there for who sees something in it; a configured one too for whom its own name is to see.
    """
    found = {name: empty_repository(registry, name) for name in registry.tag_rules.by_repository}
    counts = await registry.storage.sessions.counts()
    left = await _add_whole(registry, caller, found, counts)
    after: str | None = "" if left else None
    while after is not None:
        batch = await _visible(registry, caller, _Reading(counts, after=after, owners=left))
        by_owner: dict[str, list[Namespace]] = {}
        for namespace in batch.namespaces:
            by_owner.setdefault(owner_of(registry, namespace.row.name), []).append(namespace)
        for name, namespaces in by_owner.items():
            found[name] = found.get(name, empty_repository(registry, name)).plus(namespaces)
        after = batch.next_after
    await caller.learn(list(found), trio.current_time() + WEBHOOK_QUESTIONS_SECS_MAX)
    return [
        repository
        for name, repository in sorted(found.items())
        if repository.namespaces or caller.sees(name)
    ]


async def _add_whole(
    registry: Registry, caller: Caller, found: dict[str, Repository], counts: Mapping[str, int]
) -> frozenset[str]:
    """Add the repositories of which the caller sees everything, by sums that the database makes;
    those in which each namespace has to be looked at."""
    deep = deep_names(registry)
    sums = await registry.storage.read(partial(below.sums_by_repository, deep=deep))
    holding = await registry.storage.read(partial(below.with_content, names=list(counts)))
    owners = {each.repository for each in sums}
    owners.update(owner_of(registry, name) for name in counts)
    left = set()
    for number, owner in enumerate(sorted(owners)):
        if number % CATALOG_ROWS_AT_ONCE == 0:
            await trio.lowlevel.checkpoint()
        if not caller.sees_all(owner):
            left.add(owner)
    for each in sums:
        if each.repository not in left:
            repository = found.get(each.repository, empty_repository(registry, each.repository))
            found[each.repository] = repository.summed(each)
    for name, count in counts.items():
        owner = owner_of(registry, name)
        if owner not in left:
            repository = found.get(owner, empty_repository(registry, owner))
            found[owner] = repository.uploading(count, is_new=name not in holding)
    return frozenset(left)


def deep_names(registry: Registry) -> list[str]:
    """Configured repositories whose names have more than one segment."""
    return [name for name in registry.tag_rules.by_repository if "/" in name]


def empty_repository(registry: Registry, name: str) -> Repository:
    """A repository of which nothing is counted yet."""
    rules = registry.tag_rules
    rule = rules.by_repository.get(name, rules.default)
    return Repository(name, name in rules.by_repository, rule)


async def list_namespaces(
    registry: Registry, caller: Caller, repository: str, after: str = ""
) -> Batch:
    """Some namespaces of a repository in byte order, strictly after a full name."""
    counts = await registry.storage.sessions.counts()
    batch = await _visible(registry, caller, _Reading(counts, repository, after))
    mine = [each for each in batch.namespaces if owner_of(registry, each.row.name) == repository]
    return Batch(mine, batch.next_after)


async def list_below(
    registry: Registry, caller: Caller, name: str, after: str, counts: Mapping[str, int]
) -> Batch:
    """Some namespaces of this name and below it, whatever repository they belong to; `counts` are
    the uploads of namespaces."""
    return await _visible(registry, caller, _Reading(counts, name, after))


async def first_below(registry: Registry, caller: Caller, name: str, limit: int) -> Batch:
    """The first namespaces of this name and below it: one look at so many, of which the caller may
    not see all."""
    counts = await registry.storage.sessions.counts()
    return await _visible(registry, caller, _Reading(counts, name, limit=limit))


class _Reading(Frozen):
    """Which namespaces: of a name and below it or all, behind a name, of some repositories alone;
    so many at once. `counts` are the uploads of namespaces."""

    counts: Mapping[str, int]
    below: str | None = None
    after: str = ""
    owners: frozenset[str] | None = None
    limit: int = NAMESPACES_AT_ONCE


async def _visible(registry: Registry, caller: Caller, reading: _Reading) -> Batch:
    """What the caller sees of so many namespaces."""
    limit, prefix, after = reading.limit, reading.below, reading.after
    page = await registry.storage.read(
        partial(listings.namespaces_after, after=after, limit=limit)
        if prefix is None
        else partial(listings.namespaces_below, prefix=prefix, after=after, limit=limit)
    )
    end = None if len(page) < limit else page[-1].name
    owners, counts = reading.owners, reading.counts
    rows = [
        row
        for row in _merged(page, counts, after, end)
        if (prefix is None or is_below(row.name, prefix))
        and (owners is None or owner_of(registry, row.name) in owners)
    ]
    seen: list[Namespace] = []
    for first in range(0, len(rows), CATALOG_ROWS_AT_ONCE):
        some = rows[first : first + CATALOG_ROWS_AT_ONCE]
        deadline = trio.current_time() + WEBHOOK_QUESTIONS_SECS_MAX
        await caller.learn([row.name for row in some], deadline)
        await trio.lowlevel.checkpoint()
        seen += [Namespace(row, counts.get(row.name, 0)) for row in some if caller.sees(row.name)]
    return Batch(seen, end)


def is_below(name: str, repository: str) -> bool:
    """Whether a name is this one or below it."""
    return name == repository or name.startswith(f"{repository}/")


def _merged(
    page: list[NamespaceRow], counts: Mapping[str, int], after: str, end: str | None
) -> list[NamespaceRow]:
    """A page of namespaces with content, and those that only take uploads, in byte order."""
    known = {row.name for row in page}
    others = [
        NamespaceRow(0, name)
        for name in counts
        if name > after and (end is None or name <= end) and name not in known
    ]
    return sorted([*page, *others], key=lambda row: row.name)


def relative_name(namespace: str, repository: str) -> str:
    """A namespace's name within its repository; empty for the repository itself."""
    return namespace.removeprefix(repository).removeprefix("/")
