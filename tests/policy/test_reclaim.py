"""What keeps something: the order of keepers, and when time lets it go."""

from __future__ import annotations

import pytest

from angos_trio.oci.digest import digest_of
from angos_trio.oci.names import Tag
from angos_trio.policy.reclaim import Hold, Keeper, Terms, Verdict, judge

NOW = 1000
A, B = digest_of(b"a"), digest_of(b"b")
TAG = Tag("v1")
NOBODY = Verdict(Keeper.NOBODY)


def blob(**facts: object) -> Hold:
    return Hold(is_manifest=False, lease_until=0, **facts)  # type: ignore[arg-type]


def manifest(**facts: object) -> Hold:
    return Hold(is_manifest=True, lease_until=0, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hold", "verdict"),
    [
        (blob(), NOBODY),
        (blob(parent=A), Verdict(Keeper.MANIFEST, A)),
        (blob(has_upload=True), Verdict(Keeper.UPLOAD)),
        (blob(parent=A, has_upload=True), Verdict(Keeper.MANIFEST, A)),
        (manifest(tag=TAG, parent=A, subject=B, is_subject_held=True), Verdict(Keeper.TAG, TAG)),
        (manifest(parent=A, subject=B, is_subject_held=True), Verdict(Keeper.MANIFEST, A)),
        (manifest(subject=B, is_subject_held=True), Verdict(Keeper.SUBJECT, B)),
        (manifest(subject=B), NOBODY),
        (manifest(subject=B, has_upload=True), Verdict(Keeper.UPLOAD)),
        (manifest(), Verdict(Keeper.POLICY)),
        (manifest(is_orphan=True), NOBODY),
        (manifest(is_orphan=True, tag=TAG), Verdict(Keeper.TAG, TAG)),
    ],
)
def test_first_keeper_that_applies_is_told(hold: Hold, verdict: Verdict) -> None:
    assert judge(hold, Terms(NOW)) == verdict


@pytest.mark.parametrize(
    ("lease_until", "early_secs", "is_kept"),
    [(999, 0, False), (1000, 0, False), (1001, 0, True), (1060, 60, False), (1061, 60, True)],
)
def test_lease_ends_when_it_says_or_so_much_earlier(
    lease_until: int, early_secs: int, is_kept: bool
) -> None:
    verdict = judge(Hold(is_manifest=False, lease_until=lease_until), Terms(NOW, early_secs))

    assert verdict.is_kept == is_kept
    assert verdict == (Verdict(Keeper.LEASE, until=lease_until) if is_kept else NOBODY)


@pytest.mark.parametrize(
    ("untagged_at", "untagged_secs", "verdict"),
    [
        (0, None, Verdict(Keeper.POLICY)),
        (901, 100, Verdict(Keeper.POLICY, until=1001)),
        (900, 100, NOBODY),
    ],
)
def test_untagged_manifest_is_kept_as_long_as_policy_says(
    untagged_at: int, untagged_secs: int | None, verdict: Verdict
) -> None:
    assert judge(manifest(untagged_at=untagged_at), Terms(NOW, 0, untagged_secs)) == verdict


def test_untagged_manifest_has_its_lease_however_short_the_policy() -> None:
    hold = Hold(is_manifest=True, lease_until=NOW + 5)

    assert judge(hold, Terms(NOW, 0, 1)) == Verdict(Keeper.LEASE, until=NOW + 5)


def test_references_last_and_the_rest_is_looked_at_again() -> None:
    lasting = {keeper for keeper in Keeper if Verdict(keeper).is_referred_to}

    assert lasting == {Keeper.TAG, Keeper.MANIFEST, Keeper.SUBJECT}
