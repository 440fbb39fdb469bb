"""Immutable tags."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.policy.immutability import TagRule, TagRules
from tests.oci.strategies import QUICK, SHA256, SHA512, digests, names, tags

CURRENT, OTHER = Digest(SHA256), Digest(SHA512)
OPEN, CLOSED = TagRule(), TagRule(is_immutable=True)


def rule_but(*patterns: str, is_deletable: bool = False) -> TagRule:
    """Immutable tags but for those that match."""
    exclusions = tuple(re.compile(pattern) for pattern in patterns)
    return TagRule(is_immutable=True, exclusions=exclusions, is_deletable=is_deletable)


def rules_of(**by_repository: TagRule) -> TagRules:
    return TagRules(OPEN, by_repository)


@pytest.mark.parametrize(
    ("is_immutable", "current", "wanted", "may"),
    [
        (False, None, CURRENT, True),
        (False, CURRENT, CURRENT, True),
        (False, CURRENT, OTHER, True),
        (True, None, CURRENT, True),
        (True, CURRENT, CURRENT, True),
        (True, CURRENT, OTHER, False),
    ],
)
def test_only_another_digest_is_refused_to_an_immutable_tag(
    is_immutable: bool, current: Digest | None, wanted: Digest, may: bool
) -> None:
    rule = TagRule(is_immutable=is_immutable)

    assert rule.may_point(Tag("latest"), current, wanted) == may


@pytest.mark.parametrize(
    ("is_immutable", "is_deletable", "may"),
    [(False, False, True), (False, True, True), (True, False, False), (True, True, True)],
)
def test_immutable_tag_may_be_deleted_only_where_that_is_said(
    is_immutable: bool, is_deletable: bool, may: bool
) -> None:
    rule = TagRule(is_immutable=is_immutable, is_deletable=is_deletable)

    assert rule.may_delete(Tag("latest")) == may


def test_deletable_tag_still_cannot_be_overwritten() -> None:
    assert not rule_but(is_deletable=True).may_point(Tag("latest"), CURRENT, OTHER)


@pytest.mark.parametrize(
    ("pattern", "tag", "is_protected"),
    [
        ("latest", "latest", False),
        ("latest", "latest-1", True),
        ("latest", "the-latest", True),
        ("latest|dev", "dev", False),
        ("latest|dev", "dev2", True),
        ("^latest$", "latest", False),
        ("dev-.*", "dev-1", False),
        ("dev-.*", "a-dev-1", True),
        ("dev.", "dev", True),
        ("", "latest", True),
        (".*", "anything", False),
        ("LATEST", "latest", True),
        ("(?i)LATEST", "latest", False),
    ],
)
def test_exclusion_matches_the_whole_tag(pattern: str, tag: str, is_protected: bool) -> None:
    rule = rule_but(pattern)

    assert rule.protects(Tag(tag)) == is_protected
    assert rule.may_point(Tag(tag), CURRENT, OTHER) != is_protected
    assert rule.may_delete(Tag(tag)) != is_protected


def test_one_of_several_exclusions_is_enough() -> None:
    rule = rule_but("dev", "latest")

    assert not rule.protects(Tag("latest"))
    assert rule.protects(Tag("v1"))


def test_exclusions_do_not_matter_where_tags_are_mutable() -> None:
    rule = TagRule(is_immutable=False, exclusions=(re.compile("latest"),))

    assert not rule.protects(Tag("v1"))


@pytest.mark.parametrize(
    ("namespace", "is_immutable"),
    [
        ("library", True),
        ("library/nginx", True),
        ("library/nginx/debug", True),
        ("library-2", False),
        ("library2/nginx", False),
        ("other", False),
        ("other/library", False),
        ("lib", False),
    ],
)
def test_rule_holds_for_the_repository_and_what_is_below(
    namespace: str, is_immutable: bool
) -> None:
    rules = rules_of(library=CLOSED)

    assert rules.rule_for(RepositoryName(namespace)).is_immutable == is_immutable


@pytest.mark.parametrize(
    ("namespace", "is_immutable"),
    [("a", True), ("a/x", True), ("a/b", False), ("a/b/x", False), ("a/b/c", True), ("a/bc", True)],
)
def test_longest_repository_decides(namespace: str, is_immutable: bool) -> None:
    rules = TagRules(CLOSED, {"a": CLOSED, "a/b": OPEN, "a/b/c": CLOSED})

    assert rules.rule_for(RepositoryName(namespace)).is_immutable == is_immutable


def test_default_binds_namespaces_that_no_repository_declares() -> None:
    assert TagRules(CLOSED, {"a": OPEN}).rule_for(RepositoryName("b/c")) is CLOSED


@QUICK
@given(tags(), st.none() | digests(), digests(), st.booleans(), st.booleans())
def test_first_push_and_the_same_push_again_always_pass(
    tag: Tag, current: Digest | None, wanted: Digest, is_immutable: bool, is_deletable: bool
) -> None:
    rule = TagRule(is_immutable=is_immutable, is_deletable=is_deletable)

    assert rule.may_point(tag, None, wanted)
    assert rule.may_point(tag, wanted, wanted)
    assert rule.may_point(tag, current, wanted) or is_immutable


@QUICK
@given(names(), st.dictionaries(names().map(str), st.sampled_from([OPEN, CLOSED]), max_size=4))
def test_rule_is_that_of_the_longest_prefix_of_whole_segments(
    namespace: RepositoryName, by_repository: Mapping[str, TagRule]
) -> None:
    segments = namespace.split("/")
    prefixes = ["/".join(segments[:count]) for count in range(len(segments), 0, -1)]
    rules = {**by_repository, prefixes[len(prefixes) // 2]: rule_but("x")}
    wanted = next(rules[prefix] for prefix in prefixes if prefix in rules)

    assert TagRules(OPEN, rules).rule_for(namespace) is wanted
