"""Retention rules: what they see, what each function says, and that doubt keeps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.limits.housekeeping import RETENTION_TOP_MAX
from angos_trio.policy.retention import (
    FIELDS,
    Ground,
    Image,
    Judge,
    KeepRule,
    Ranks,
    RetentionPolicy,
    RetentionRules,
    Verdict,
    compile_keep_rules,
    last_pulled_at,
)
from angos_trio.policy.rules import RuleError
from angos_trio.records import replace
from tests.oci.strategies import QUICK

NOW = 10_000_000
DIGEST = "sha256:" + "0" * 64
IMAGE = Image(
    tag="v1",
    digest=DIGEST,
    pushed_at=NOW - 100,
    media_type="application/vnd.oci.image.manifest.v1+json",
    artifact_type="application/vnd.oci.image.config.v1+json",
    annotations={"keep": "yes"},
    last_pulled_at=NOW - 50,
    pull_count=3,
    size=2048,
    platform="linux/amd64,linux/arm64",
)
UNKNOWN = Image("v1", DIGEST, None, "m/m")
"""Nothing is known of it but its name."""
NEVER_PULLED = replace(IMAGE, last_pulled_at=0, pull_count=0)
UNTAGGED = replace(IMAGE, tag=None)
RANKS = Ranks({1: NOW - 90, 2: NOW - 100, 9: 0}, {1: NOW - 40, 2: NOW - 50, 9: 0})
KEPT, FAILED, GONE = Ground.RULE, Ground.FAILURE, Ground.NOTHING


def decided(*texts: str, image: Image = IMAGE) -> Verdict:
    policy = RetentionPolicy(compile_keep_rules(texts, "x"))
    return Judge(policy, NOW, RANKS).decide(image)


# A rule, an image, and what becomes of it.
TABLE: tuple[tuple[str, Image, Ground], ...] = (
    ("image.tag == 'v1'", IMAGE, KEPT),
    ("image.tag == null", IMAGE, GONE),
    ("image.tag == null", UNTAGGED, KEPT),
    ("image.tag == 'v1'", UNTAGGED, GONE),
    ("image.tag.startsWith('v')", UNTAGGED, FAILED),
    ("image.tag != null && image.tag.startsWith('v')", UNTAGGED, GONE),
    ("image.digest.startsWith('sha256:0')", IMAGE, KEPT),
    ("image.pushed_at == now() - 100", IMAGE, KEPT),
    ("image.pushed_at > now() - minutes(1)", IMAGE, GONE),
    ("image.pushed_at > now() - minutes(2)", IMAGE, KEPT),
    ("image.pushed_at > now() - hours(1)", IMAGE, KEPT),
    ("image.pushed_at > now() - days(1)", IMAGE, KEPT),
    ("image.pushed_at > now() - days(0)", IMAGE, GONE),
    ("image.pushed_at < now() + days(-200)", IMAGE, GONE),
    ("image.pushed_at > 0", UNKNOWN, FAILED),
    ("!(image.pushed_at > 0)", UNKNOWN, FAILED),
    ("image.last_pulled_at > now() - minutes(1)", IMAGE, KEPT),
    ("image.last_pulled_at > now() - minutes(1)", NEVER_PULLED, GONE),
    ("image.last_pulled_at == 0", NEVER_PULLED, KEPT),
    ("image.last_pulled_at == 0", UNKNOWN, FAILED),
    ("image.pull_count >= 3", IMAGE, KEPT),
    ("image.pull_count >= 4", IMAGE, GONE),
    ("image.pull_count >= 3", NEVER_PULLED, GONE),
    ("image.pull_count >= 3", UNKNOWN, FAILED),
    ("image.size < 2049", IMAGE, KEPT),
    ("image.size < 2048", IMAGE, GONE),
    ("image.size < 2048", UNKNOWN, FAILED),
    ("image.platform.contains('linux/arm64')", IMAGE, KEPT),
    ("image.platform == ''", replace(IMAGE, platform=""), KEPT),
    ("image.platform == ''", UNKNOWN, FAILED),
    ("image.annotations['keep'] == 'yes'", IMAGE, KEPT),
    ("image.annotations['other'] == 'yes'", IMAGE, FAILED),
    ("'other' in image.annotations", IMAGE, GONE),
    ("'keep' in image.annotations", UNKNOWN, FAILED),
    ("image.media_type.endsWith('manifest.v1+json')", IMAGE, KEPT),
    ("image.artifact_type == ''", UNKNOWN, KEPT),
    ("top_pushed(1)", IMAGE, GONE),
    ("top_pushed(2)", IMAGE, KEPT),
    ("top_pushed(9)", IMAGE, KEPT),
    ("top_pushed(9)", UNKNOWN, FAILED),
    ("top_pushed(9)", UNTAGGED, GONE),
    ("top_pulled(1)", IMAGE, GONE),
    ("top_pulled(2)", IMAGE, KEPT),
    ("top_pulled(9)", NEVER_PULLED, GONE),
    ("top_pulled(9)", UNKNOWN, FAILED),
    ("top_pulled(9)", UNTAGGED, GONE),
    ("top_pulled(8)", IMAGE, FAILED),
    ("now() > days('1')", IMAGE, FAILED),
    ("now() > days(1.5)", IMAGE, FAILED),
    ("now() > days(true)", IMAGE, FAILED),
    ("now() > days()", IMAGE, FAILED),
    ("now() > days(1, 2)", IMAGE, FAILED),
    ("now() > days(9223372036854775807)", IMAGE, FAILED),
    ("now() > hours(-9223372036854775808)", IMAGE, FAILED),
    ("1 / 0 == 1", IMAGE, FAILED),
    ("'yes'", IMAGE, FAILED),
    ("1", IMAGE, FAILED),
    ("null", IMAGE, FAILED),
    ("image.annotations", IMAGE, FAILED),
    ("true", UNKNOWN, KEPT),
    ("false", UNKNOWN, GONE),
)


@pytest.mark.parametrize(("text", "image", "ground"), TABLE)
def test_truth_table(
    text: str, image: Image, ground: Ground, capfd: pytest.CaptureFixture[str]
) -> None:
    verdict = decided(text, image=image)

    assert verdict.ground is ground
    assert verdict.is_kept == (ground is not GONE)
    assert verdict.rule == (None if ground is GONE else "x[0]")
    assert bool(verdict.reason) == (ground is FAILED)
    assert capfd.readouterr() == ("", ""), "the library says nothing of its own"


def test_every_variable_is_in_the_table() -> None:
    assert all(any(f"image.{name}" in text for text, _, _ in TABLE) for name in FIELDS)


def test_without_rules_everything_stays() -> None:
    assert decided() == Verdict(Ground.NO_RULES)
    assert Verdict(Ground.NO_RULES).is_kept


def test_first_true_rule_keeps_whatever_failed_before() -> None:
    assert decided("false", "1 / 0 == 1", "true", "true") == Verdict(KEPT, "x[2]")
    assert decided("false", "1", "1 / 0 == 1").rule == "x[1]"
    assert decided("false", "false") == Verdict(GONE)


def test_rules_for_all_and_those_of_the_repository_keep_together() -> None:
    common = compile_keep_rules(["image.tag == 'a'"], "all")
    own = compile_keep_rules(["image.tag == 'b'"], "own")
    rules = RetentionRules(common, {"team": own, "team/deep": ()})

    def paths(namespace: str) -> list[str]:
        return [rule.path for rule in rules.policy_for(namespace).rules]

    assert paths("team") == paths("team/app") == ["all[0]", "own[0]"]
    assert paths("team/deep/er") == paths("teams") == paths("other") == ["all[0]"]
    assert rules.is_any
    assert RetentionRules((), {"team": own}).is_any
    assert not RetentionRules((), {"team": ()}).is_any
    assert RetentionRules((), {"team": own}).policy_for("other") == RetentionPolicy()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "rule 0: is empty"),
        ("image.tag ==", "rule 0: is no CEL expression"),
        ("tag == 'v1'", "rule 0: names tag; known are image"),
        ("image.name == 'v1'", "rule 0: names image.name; known are tag, digest,"),
        ("image['tag'] == 'v1'", "rule 0: names image alone; known are tag,"),
        ("[image].all(i, i.tag == 'v1')", "rule 0: names image alone"),
        ("identity.username == 'a'", "rule 0: names identity; known are image"),
        ("weeks(1) > 0", "rule 0: calls weeks; known are now, minutes, hours, days,"),
        ("has_repository_policy()", "rule 0: calls has_repository_policy"),
        ("top_pushed(image.pull_count)", "top_pushed takes a number from 1 to 10000, written out"),
        ("top_pulled(2 + 3)", "top_pulled takes a number"),
        ("top_pulled()", "top_pulled takes a number"),
        ("top_pushed(0)", "top_pushed takes a number"),
        (f"top_pushed({RETENTION_TOP_MAX + 1})", "top_pushed takes a number"),
        ("top_pushed(-1)", "top_pushed takes a number"),
        ("top_pushed('1')", "top_pushed takes a number"),
    ],
)
def test_rule_that_cannot_be_meant_is_refused(text: str, problem: str) -> None:
    with pytest.raises(RuleError) as refused:
        compile_keep_rules([text], "x")

    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("text", "fields", "tops"),
    [
        ("image.tag == 'image.size' && \"image.platform\" != ''", {"tag"}, set()),
        ("image . size > 1 // image.platform", {"size"}, set()),
        ("image.annotations.image == 'x'", {"annotations"}, set()),
        ("image.pushed_at > 0 || top_pushed( 7 )", {"pushed_at"}, {("top_pushed", 7)}),
        ("'it\\'s image.size' == image.tag", {"tag"}, set()),
        ("top_pulled(1) || top_pulled(2)", set(), {("top_pulled", 1), ("top_pulled", 2)}),
    ],
)
def test_what_a_rule_names_is_known_before(
    text: str, fields: set[str], tops: set[tuple[str, int]]
) -> None:
    (rule,) = compile_keep_rules([text], "x")

    assert (set(rule.fields), set(rule.tops)) == (fields, tops)


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("image.last_pulled_at > 1", True),
        ("image.pull_count > 1", True),
        ("top_pulled(1)", True),
        ("top_pushed(1) || image.tag == 'image.pull_count'", False),
    ],
)
def test_rules_about_pulls_are_known(text: str, needs: bool) -> None:
    assert RetentionPolicy(compile_keep_rules([text], "x")).needs_pulls == needs


@pytest.mark.parametrize(
    ("noted_at", "pushed_at", "began_at", "expected"),
    [
        (0, 500, 100, 0),
        (600, 500, 100, 600),
        (0, 100, 100, 0),
        (0, 99, 100, 100),
        (50, 40, 100, 100),
        (150, 40, 100, 150),
        (0, 500, None, None),
        (600, 500, None, None),
    ],
)
def test_what_was_there_before_pulls_were_noted_may_have_been_pulled(
    noted_at: int, pushed_at: int, began_at: int | None, expected: int | None
) -> None:
    assert last_pulled_at(noted_at, pushed_at, began_at) == expected


@QUICK
@given(st.lists(st.integers(0, 20), max_size=30), st.integers(1, 12))
def test_rank_counts_the_tags_that_are_newer(times: list[int], n: int) -> None:
    carried = sorted((at for at in times if at), reverse=True)
    ranks = Ranks({n: carried[n - 1] if n <= len(carried) else 0})
    judge = Judge(RetentionPolicy(compile_keep_rules([f"top_pushed({n})"], "x")), NOW, ranks)

    for at in times:
        kept = judge.decide(replace(IMAGE, pushed_at=at)).is_kept
        assert kept == (at > 0 and sum(other > at for other in carried) < n)


def compiled_or_refused(text: str) -> tuple[KeepRule, ...]:
    try:
        return compile_keep_rules([text], "x")
    except RuleError:
        return ()


@QUICK
@given(st.text())
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    for rule in compiled_or_refused(text):
        Judge(RetentionPolicy((rule,)), NOW, RANKS).decide(IMAGE)
