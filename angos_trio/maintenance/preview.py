"""What a collection would give back now, found by the same judgement and without changing a row."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial

from angos_trio.limits.housekeeping import COLLECT_ROWS, PREVIEW_MAX
from angos_trio.maintenance.collect import Collected
from angos_trio.oci.digest import Digest
from angos_trio.policy.reclaim import Hold, Terms, judge
from angos_trio.records import Mutable, field, replace
from angos_trio.storage.metadata import blobs, leases, manifests, namespaces
from angos_trio.storage.metadata.leases import FIRST, Due
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Rows

_Item = tuple[int, Digest]


class Preview(Mutable):
    """What would go. `is_whole`: all was looked at; else it is this much at least."""

    collected: Collected = field(default_factory=Collected)
    is_whole: bool = True


async def preview(storage: Storage, terms: Terms) -> Preview:
    """Look at all that is due, and at what would be due once that is gone."""
    looking = _Looking(storage, terms, await storage.sessions.namespaces())
    untagged_before = terms.now - (terms.untagged_secs or 0)
    await looking.sweep(partial(leases.due_manifests, before=terms.due_before), looking.manifest)
    if terms.untagged_secs is not None:
        due = partial(leases.untagged_manifests, before=untagged_before)
        await looking.sweep(due, looking.manifest)
    while looking.manifests_left:
        await looking.follow(looking.manifests_left, looking.manifest)
    await looking.sweep(partial(leases.due_blobs, before=terms.due_before), looking.blob)
    while looking.blobs_left:
        await looking.follow(looking.blobs_left, looking.blob)
    return await looking.result()


_Look = Callable[[Rows, Due], None]
_Page = Callable[..., list[Due]]


class _Looking(Mutable):
    storage: Storage
    terms: Terms
    uploading: Collection[str]
    gone: set[_Item] = field(default_factory=set)
    orphans: set[_Item] = field(default_factory=set)
    """Parts of what is gone."""
    released: dict[Digest, set[int]] = field(default_factory=dict)
    manifests_left: list[_Item] = field(default_factory=list)
    blobs_left: list[_Item] = field(default_factory=list)
    is_whole: bool = True

    async def sweep(self, page: _Page, look: _Look) -> None:
        """Look at everything that a list has."""
        after = FIRST

        def query(rows: Rows) -> list[Due]:
            found = page(rows, after=after, limit=COLLECT_ROWS)
            for due in found:
                look(rows, due)
            return found

        while self._has_room() and (found := await self.storage.read(query)):
            after = found[-1]

    async def follow(self, left: list[_Item], look: _Look) -> None:
        """Look at some of what has lost a reference."""
        some = [left.pop() for _ in range(min(len(left), COLLECT_ROWS))]

        def query(rows: Rows) -> None:
            for namespace, digest in some:
                look(rows, Due(0, namespace, digest))

        if self._has_room():
            await self.storage.read(query)

    def _has_room(self) -> bool:
        held = (self.gone, self.released, self.orphans, self.manifests_left, self.blobs_left)
        if sum(map(len, held)) >= PREVIEW_MAX:
            self.is_whole = False
        return self.is_whole

    def manifest(self, rows: Rows, due: Due) -> None:
        """Whether a manifest would go, and what may follow it."""
        item = due.namespace, Digest(due.digest)
        if item in self.gone:
            return
        has_upload = self._has_upload(rows, due)
        hold = leases.hold_of_manifest(rows, due, gone=self.gone, has_upload=has_upload)
        if hold is not None and item in self.orphans:
            hold = replace(hold, is_orphan=True)
        if not self._goes(hold):
            return
        self.gone.add(item)
        for digest in manifests.references_of(rows, *item):
            part = due.namespace, digest
            self.orphans.add(part)
            self.manifests_left.append(part)
            self.blobs_left.append(part)
        for digest in manifests.referrers_of(rows, *item):
            self.manifests_left.append((due.namespace, digest))

    def blob(self, rows: Rows, due: Due) -> None:
        """Whether a namespace's hold on a blob would go."""
        has_upload = self._has_upload(rows, due)
        hold = leases.hold_of_blob(rows, due, gone=self.gone, has_upload=has_upload)
        if self._goes(hold):
            self.released.setdefault(Digest(due.digest), set()).add(due.namespace)

    def _goes(self, hold: Hold | None) -> bool:
        return hold is not None and not judge(hold, self.terms).is_kept

    def _has_upload(self, rows: Rows, due: Due) -> bool:
        return bool(self.uploading) and namespaces.name_of(rows, due.namespace) in self.uploading

    async def result(self) -> Preview:
        """What it all comes to."""
        found = Collected(manifests=len(self.gone), holds=sum(map(len, self.released.values())))
        for some in _parts(list(self.released), COLLECT_ROWS):
            sizes = await self.storage.read(partial(self._sizes, digests=some))
            found.blobs += len(sizes)
            found.bytes += sum(sizes)
        return Preview(found, self.is_whole)

    def _sizes(self, rows: Rows, digests: list[Digest]) -> list[int]:
        """Of those that nobody would hold any more."""
        found = []
        for digest in digests:
            size, holders = blobs.size_and_holders(rows, digest)
            if holders == len(self.released[digest]):
                found.append(size)
        return found


def _parts(items: list[Digest], size: int) -> Iterator[list[Digest]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]
