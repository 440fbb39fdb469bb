"""Quotas: which one a namespace counts against, and what still fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.oci.codes import Code
from angos_trio.oci.names import RepositoryName, longest_prefix
from angos_trio.policy.quota import Quota, quotas_of
from tests.oci.refusals import refused

SIZES = {"a": 10, "a/b": None, "a/b/c": 5, "a/d/e": 7, "ab": 1}


@pytest.mark.parametrize(
    ("namespace", "repository", "inner"),
    [
        ("a", "a", ("a/b", "a/d/e")),
        ("a/x", "a", ("a/b", "a/d/e")),
        ("a/d", "a", ("a/b", "a/d/e")),
        ("a/b", None, ()),
        ("a/b/x", None, ()),
        ("a/b/c/x", "a/b/c", ()),
        ("ab/x", "ab", ()),
        ("abc", None, ()),
        ("other", None, ()),
    ],
)
def test_namespace_counts_against_the_longest_name_that_fits(
    namespace: str, repository: str | None, inner: tuple[str, ...]
) -> None:
    quota = quotas_of(SIZES).quota_for(RepositoryName(namespace))

    if repository is None:
        assert quota is None
    else:
        assert quota == Quota(repository, SIZES[repository] or 0, inner)


SEGMENTS = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)


@given(repositories=st.sets(SEGMENTS, min_size=1), namespaces=st.sets(SEGMENTS, min_size=1))
def test_inner_repositories_are_all_that_does_not_count(
    repositories: set[str], namespaces: set[str]
) -> None:
    """What is below a repository and below none of its inner ones, each once, is what belongs."""
    quotas = quotas_of(dict.fromkeys(repositories, 1))
    for name, quota in quotas.by_repository.items():
        assert quota is not None
        below = [each for each in namespaces if f"{each}/".startswith(f"{name}/")]
        inner = [one for one in below for each in quota.inner if f"{one}/".startswith(f"{each}/")]
        assert len(inner) == len(set(inner))
        own = {each for each in namespaces if longest_prefix(each, quotas.by_repository) == name}
        assert set(below) - set(inner) == own


def test_quota_refuses_what_does_not_fit_with_the_figures() -> None:
    quota = Quota("team", 10)
    quota.require(9, 1)
    quota.require(50, 0)
    with refused(Code.DENIED, 413) as caught:
        quota.require(9, 2)
    assert caught.value.detail == {"quota": 10, "used": 9, "size": 2}
