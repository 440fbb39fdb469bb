"""Immutable tags: the first push and the same push again pass, another digest does not."""

from __future__ import annotations

import re

from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName, Tag, longest_prefix
from angos_trio.records import Frozen


class TagRule(Frozen):
    """Whether tags are immutable, which are exempt, and whether they may be deleted all the same.

    An exclusion is a regular expression that matches the whole tag.
    """

    is_immutable: bool = False
    exclusions: tuple[re.Pattern[str], ...] = ()
    is_deletable: bool = False

    def protects(self, tag: Tag) -> bool:
        """Whether the tag must stay what it is."""
        return self.is_immutable and not any(item.fullmatch(tag) for item in self.exclusions)

    def may_point(self, tag: Tag, current: Digest | None, wanted: Digest) -> bool:
        """Whether a push may make the tag point to `wanted`."""
        return current is None or current == wanted or not self.protects(tag)

    def may_delete(self, tag: Tag) -> bool:
        """Whether the tag may be removed."""
        return self.is_deletable or not self.protects(tag)


class TagRules(Frozen):
    """The rule of each configured repository, and the one for all others."""

    default: TagRule
    by_repository: dict[str, TagRule]

    def rule_for(self, namespace: RepositoryName) -> TagRule:
        """The rule of the repository that the namespace belongs to: the longest that fits."""
        name = longest_prefix(namespace, self.by_repository)
        return self.default if name is None else self.by_repository[name]
