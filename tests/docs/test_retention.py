"""The policies of docs/retention.md keep what the page says that they keep."""

from __future__ import annotations

import re

import pytest

from angos_trio.app.retention import retention_of
from angos_trio.config.parse import parse
from angos_trio.policy.retention import FIELDS, WORDS, Image, Judge, Ranks
from angos_trio.records import replace
from tests.docs.pages import REPOSITORY, codes, rows

PAGE = (REPOSITORY / "docs" / "retention.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^### (\d+)\. (.+?)$.*?^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
POLICIES = {int(number): text for number, _, text in SECTION.findall(PAGE)}

NOW = 100_000_000
DAY = 86_400
RANKS = Ranks({10: NOW - 10 * DAY}, {20: NOW - 10 * DAY})
NEW = Image(
    tag="dev",
    digest="sha256:" + "0" * 64,
    pushed_at=NOW - 60,
    media_type="application/vnd.oci.image.manifest.v1+json",
    artifact_type="application/vnd.oci.image.config.v1+json",
    annotations={},
    last_pulled_at=0,
    pull_count=0,
    size=1000,
    platform="linux/amd64",
)
OLD = replace(NEW, pushed_at=NOW - 400 * DAY)
MIDDLE = replace(NEW, pushed_at=NOW - 50 * DAY)
HUGE = 3 * 1024**3
CHART = "application/vnd.cncf.helm.config.v1+json"

# policy, namespace, image, whether it stays.
CASES: tuple[tuple[int, str, Image, bool], ...] = (
    (1, "app", NEW, True),
    (1, "app", OLD, False),
    (1, "app", replace(OLD, tag="v1.20.3"), True),
    (1, "app", replace(OLD, tag="v1-rc"), False),
    (1, "app", replace(NEW, tag=None), False),
    (2, "app", NEW, True),
    (2, "app", OLD, False),
    (2, "app", replace(OLD, last_pulled_at=NOW - 29 * DAY), True),
    (2, "app", replace(OLD, last_pulled_at=NOW - 31 * DAY), False),
    (3, "nightly/app", replace(OLD, tag="nightly-7"), False),
    (3, "nightly/app", replace(NEW, tag="nightly-8"), True),
    (3, "nightly/app", OLD, True),
    (3, "nightly/app", replace(OLD, tag=None), True),
    (3, "other", replace(OLD, tag="nightly-7"), True),
    (4, "app", OLD, True),
    (4, "app", replace(NEW, tag=None), True),
    (4, "app", replace(OLD, tag=None), False),
    (5, "cache", NEW, True),
    (5, "cache", OLD, False),
    (5, "cache", replace(OLD, pull_count=3), True),
    (5, "cache", replace(OLD, pull_count=3, size=HUGE), False),
    (5, "cache", replace(OLD, last_pulled_at=NOW - 9 * DAY), True),
    (5, "cache", replace(OLD, last_pulled_at=NOW - 11 * DAY), False),
    (5, "cached", OLD, True),
    (6, "app", replace(OLD, annotations={"org.example.keep": "true"}), True),
    (6, "app", replace(OLD, annotations={"org.example.keep": "false"}), False),
    (6, "app", MIDDLE, False),
    (6, "app", replace(MIDDLE, platform="linux/amd64,linux/arm64"), True),
    (6, "app", replace(OLD, platform="linux/arm64"), False),
    (6, "app", NEW, True),
    (7, "scratch/a", OLD, False),
    (7, "scratch/a", NEW, True),
    (7, "scratch/a", replace(OLD, artifact_type=CHART), True),
    (7, "scratch/a", replace(OLD, artifact_type=""), True),
    (7, "other", OLD, True),
)


def test_every_policy_of_the_page_has_cases() -> None:
    assert sorted(POLICIES) == list(range(1, 8))
    assert {case[0] for case in CASES} == set(POLICIES)


@pytest.mark.parametrize(("number", "namespace", "image", "is_kept"), CASES)
def test_policy_of_the_page(number: int, namespace: str, image: Image, is_kept: bool) -> None:
    rules = retention_of(parse([("the page", POLICIES[number])]).config)
    verdict = Judge(rules.policy_for(namespace), NOW, RANKS).decide(image)

    assert verdict.is_kept == is_kept, verdict
    assert not verdict.reason, "no rule of the page may fail"


def test_page_has_every_variable_and_function() -> None:
    variables = [name for cell, _ in rows(PAGE, "Variable", "What it is") for name in codes(cell)]
    functions = [name for cell, _ in rows(PAGE, "Function", "What it says") for name in codes(cell)]

    assert variables == [f"image.{name}" for name in FIELDS]
    assert [name.partition("(")[0] for name in functions] == list(WORDS.functions)
