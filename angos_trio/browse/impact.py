"""What a delete would take with it, before anybody deletes.

A tag goes alone: its manifest stays, untagged, as long as policy keeps it. A manifest goes with its
tags at once; what it alone kept is collected once the lease that it then gets is over.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence

from angos_trio.limits.lists import IMPACT_MANIFESTS_MAX
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import Reference, RepositoryName, Tag
from angos_trio.policy.immutability import TagRule
from angos_trio.records import Frozen, Mutable, field
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata import impact, listings, manifests, namespaces, tags
from angos_trio.storage.transactions import Rows


class Impact(Frozen):
    """What goes and what stays. `unknown` are references that name nothing, `blocked` tags that may
    not go, `tags` those that go, `manifests` what is deleted by its digest; `untagged` are left
    without a tag and stay, `parts` and `referrers` are collected later, `needed_by` are indexes
    that stay and list something that goes; `pointed` is what each of `tags` points to.

    `freed_bytes` are those of blobs and manifests that nothing else keeps, anywhere. `is_whole` is
    False where there is more than was looked at: then it is a lower bound.
    """

    tags: tuple[str, ...] = ()
    manifests: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    untagged: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    referrers: tuple[str, ...] = ()
    needed_by: tuple[str, ...] = ()
    freed_bytes: int = 0
    is_whole: bool = True
    pointed: tuple[str, ...] = ()

    @property
    def token(self) -> str:
        """Text that is the same as long as the same would go."""
        parts = (self.tags, self.manifests, self.untagged, self.parts, self.referrers)
        more = (self.blocked, self.needed_by, self.pointed)
        text = "\n".join(" ".join(part) for part in (*parts, *more))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


async def impact_of(
    registry: Registry, name: RepositoryName, references: Sequence[Reference]
) -> Impact:
    """What deleting these from a namespace would do. Raises NAME_UNKNOWN (404)."""
    rule = registry.tag_rules.rule_for(name)

    def query(rows: Rows) -> Impact | None:
        namespace = namespaces.find(rows, name)
        if namespace is None:
            return None
        return _Look(rows, namespace, rule).all_of(references)

    found = await registry.storage.read(query)
    if found is None:
        raise OciError(Code.NAME_UNKNOWN, detail=name)
    return found


class _Look(Mutable):
    """One look at the rows of a namespace."""

    rows: Rows
    namespace: int
    rule: TagRule
    tags: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    gone: dict[str, str] = field(default_factory=dict)
    """Manifests that go, and as what: deleted, a part, or a referrer."""
    is_whole: bool = True

    def all_of(self, references: Sequence[Reference]) -> Impact:
        losing = []
        for reference in dict.fromkeys(references):
            if isinstance(reference, Tag):
                losing += self._tag(reference)
            else:
                self._digest(reference)
        self._follow()
        untagged = [digest for digest in dict.fromkeys(losing) if self._is_left_untagged(digest)]
        needed = {
            parent
            for digest in self.gone
            for parent in self._parents(digest)
            if parent not in self.gone
        }
        going = tuple(dict.fromkeys(self.tags))
        return Impact(
            tags=going,
            manifests=self._gone_as("deleted"),
            unknown=tuple(self.unknown),
            blocked=tuple(dict.fromkeys(self.blocked)),
            untagged=tuple(untagged),
            parts=self._gone_as("part"),
            referrers=self._gone_as("referrer"),
            needed_by=tuple(sorted(needed)),
            freed_bytes=impact.freed_bytes(self.rows, self.namespace, list(self.gone)),
            is_whole=self.is_whole,
            pointed=tuple(tags.find(self.rows, self.namespace, Tag(tag)) or "" for tag in going),
        )

    def _gone_as(self, what: str) -> tuple[str, ...]:
        return tuple(digest for digest, kind in self.gone.items() if kind == what)

    def _tag(self, tag: Tag) -> list[str]:
        digest = tags.find(self.rows, self.namespace, tag)
        if digest is None:
            self.unknown.append(tag)
        elif not self.rule.may_delete(tag):
            self.blocked.append(tag)
        else:
            self.tags.append(tag)
            return [digest]
        return []

    def _digest(self, digest: str) -> None:
        if not manifests.is_held(self.rows, self.namespace, Digest(digest)):
            self.unknown.append(digest)
            return
        names = self._tags_of(digest)
        blocked = [name for name in names if not self.rule.may_delete(Tag(name))]
        if blocked:
            self.blocked += blocked
            return
        self.tags += names
        self.gone[digest] = "deleted"

    def _follow(self) -> None:
        """What is kept by nothing but what goes, again and again."""
        waiting = deque(self.gone)
        while waiting:
            digest = waiting.popleft()
            key = (self.rows, self.namespace, digest, IMPACT_MANIFESTS_MAX + 1)
            near = [
                *((part.digest, "part") for part in listings.parts_of(*key)),
                *((referrer, "referrer") for referrer in listings.referrers_of(*key)),
            ]
            for found, what in near:
                if found in self.gone or self._is_kept(found, what):
                    continue
                if len(self.gone) >= IMPACT_MANIFESTS_MAX:
                    self.is_whole = False
                    return
                self.gone[found] = what
                waiting.append(found)

    def _is_kept(self, digest: str, what: str) -> bool:
        """Whether a manifest stays that loses something which kept it."""
        keeping = impact.keeping(self.rows, self.namespace, digest)
        has_tag = any(tag not in self.tags for tag in self._tags_of(digest))
        has_parent = any(parent not in self.gone for parent in self._parents(digest))
        has_subject = keeping.subject is not None and keeping.subject not in self.gone
        stands_alone = what == "part" and keeping.stands_alone
        return has_tag or has_parent or (what == "part" and has_subject) or stands_alone

    def _is_left_untagged(self, digest: str) -> bool:
        names = self._tags_of(digest)
        return digest not in self.gone and all(name in self.tags for name in names)

    def _tags_of(self, digest: str) -> list[str]:
        return listings.tags_of(self.rows, self.namespace, digest, IMPACT_MANIFESTS_MAX)

    def _parents(self, digest: str) -> list[str]:
        return listings.indexes_above(self.rows, self.namespace, digest, IMPACT_MANIFESTS_MAX)
