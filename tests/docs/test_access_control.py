"""The ten policies of docs/access-control.md mean what the page says that they mean."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from angos_trio.app.access import access_of
from angos_trio.config.parse import parse
from angos_trio.identity import Action, Identity, Target
from tests.docs.pages import REPOSITORY
from tests.factories import make_certificate

PAGE = (REPOSITORY / "docs" / "access-control.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^### (\d+)\. (.+?)$.*?^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
POLICIES: Mapping[int, str] = {int(number): text for number, _, text in SECTION.findall(PAGE)}

HERE, ELSEWHERE = "192.0.2.7", "198.51.100.7"
READS = ("get-blob", "get-manifest", "list-tags", "get-referrers")


def user(name: str, address: str = HERE) -> Identity:
    return Identity("basic", "", name, address, id=name)


def job(repository: str, ref: str = "refs/heads/main", provider: str = "github") -> Identity:
    claims = {"repository": repository, "ref": ref, "repository_owner": "acme"}
    return Identity("oidc", provider, f"repo:{repository}", HERE, claims=claims)


def device(number: int, issuer: str = "CN=Device CA,O=Plant", **fields: object) -> Identity:
    said = {"uris": (f"urn:device:devices/{number}",), "issuer": issuer, **fields}
    certificate = make_certificate(**said)
    return Identity("certificate", issuer, f"CN=d{number}", HERE, certificate=certificate)


NOBODY = Identity("anonymous", "", "", HERE)
ADMIN, ALICE, BOB, CAROL = map(user, ("admin", "alice", "bob", "carol"))
BUILD = device(1, organizations=("Build",))
EDGE = device(2, organizations=("Edge",))
MONITOR = device(3, fingerprint="a3f1c09e5b7d4e2f8a6c1b0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f")

# policy, who, what, to what, whether. What is done to the registry itself has no namespace.
CASES: tuple[tuple[int, Identity, str, str | None, bool], ...] = (
    (1, ADMIN, "delete-manifest", "team/app", True),
    (1, ADMIN, "metrics", None, True),
    (1, ALICE, "get-manifest", "team/app", True),
    (1, ALICE, "get-api-version", None, True),
    (1, ALICE, "put-manifest", "team/app:1", False),
    (1, CAROL, "get-manifest", "team/app", False),
    (1, NOBODY, "get-api-version", None, False),
    (2, NOBODY, "get-manifest", "team/app", True),
    (2, NOBODY, "get-api-version", None, True),
    (2, NOBODY, "start-upload", "team/app", False),
    (2, NOBODY, "list-catalog", None, False),
    (2, CAROL, "put-manifest", "team/app:1", True),
    (3, ALICE, "put-manifest", "alice/app:1", True),
    (3, ALICE, "put-manifest", "alicia/app:1", False),
    (3, ALICE, "get-manifest", "bob/app", False),
    (3, ALICE, "get-manifest", "shared/base", True),
    (3, ALICE, "put-manifest", "shared/base:1", False),
    (3, ALICE, "metrics", None, False),
    (3, NOBODY, "get-api-version", None, True),
    (3, NOBODY, "get-manifest", "alice/app", False),
    (4, BUILD, "put-manifest", "app:1", True),
    (4, EDGE, "get-blob", "app", True),
    (4, EDGE, "put-manifest", "app:1", False),
    (4, NOBODY, "get-blob", "app", False),
    (4, ADMIN, "get-blob", "app", False),
    (5, job("acme/app"), "put-manifest", "acme/app:1", True),
    (5, job("acme/app"), "get-api-version", None, True),
    (5, job("acme/app"), "put-manifest", "acme/other:1", False),
    (5, job("acme/other"), "put-manifest", "acme/app:1", False),
    (5, job("acme/app", "refs/pull/7/merge"), "put-manifest", "acme/app:1", False),
    (5, job("acme/app", provider="other"), "put-manifest", "acme/app:1", False),
    (5, ALICE, "put-manifest", "acme/other:1", True),
    (5, NOBODY, "get-manifest", "acme/app", False),
    (6, ADMIN, "delete-manifest", "app", True),
    (6, ALICE, "delete-manifest", "app", False),
    (6, EDGE, "delete-blob", "app", False),
    (6, ALICE, "put-manifest", "app:1", True),
    (6, EDGE, "get-blob", "app", True),
    (6, NOBODY, "get-blob", "app", False),
    (7, user("release"), "put-manifest", "app:v1.0", True),
    (7, ALICE, "put-manifest", "app:v1.0", False),
    (7, ALICE, "put-manifest", "app:dev", True),
    (7, ALICE, "get-manifest", "app:v1.0", True),
    (7, ALICE, "delete-manifest", "app:v1.0", False),
    (7, user("release"), "delete-manifest", "app:v1.0", True),
    (7, NOBODY, "get-manifest", "app:dev", False),
    (8, ALICE, "get-blob", "app", True),
    (8, user("alice", ELSEWHERE), "get-blob", "app", False),
    (8, user("alice", "2001:db8::7"), "get-blob", "app", True),
    (8, NOBODY, "get-blob", "app", False),
    (9, NOBODY, "get-manifest", "public/app", True),
    (9, NOBODY, "put-manifest", "public/app:1", False),
    (9, user("publisher"), "put-manifest", "public/app:1", True),
    (9, ALICE, "put-manifest", "secret/app:1", True),
    (9, BOB, "get-manifest", "secret/app", False),
    (9, NOBODY, "get-manifest", "secret/app", False),
    (9, ALICE, "get-manifest", "other/app", False),
    (9, ADMIN, "get-manifest", "other/app", True),
    (9, ALICE, "get-api-version", None, True),
    (9, ALICE, "metrics", None, False),
    (9, NOBODY, "readyz", None, False),
    (10, device(7), "get-blob", "devices/7", True),
    (10, device(7), "put-manifest", "devices/7:1", False),
    (10, device(7), "get-blob", "devices/8", False),
    (10, device(7, "CN=Other CA"), "get-blob", "devices/7", False),
    (10, device(7), "get-api-version", None, True),
    (10, device(7), "metrics", None, False),
    (10, MONITOR, "metrics", None, True),
    (10, NOBODY, "get-api-version", None, False),
)  # fmt: skip


def target_of(text: str | None, action: str) -> Target:
    name, _, tag = (text or "").partition(":")
    if action == "put-manifest":
        return Target(name, {"reference": tag, "tags": [tag]})
    return Target(name or None, {"reference": tag} if tag else {})


def test_page_has_ten_policies() -> None:
    assert sorted(POLICIES) == list(range(1, 11))
    assert {case[0] for case in CASES} == set(POLICIES)


@pytest.mark.parametrize(
    ("number", "who", "action", "what", "allowed"),
    CASES,
    ids=[f"{case[0]}-{case[1].subject}-{case[2]}-{case[3]}" for case in CASES],
)
def test_policy_of_the_page(
    number: int, who: Identity, action: str, what: str | None, allowed: bool
) -> None:
    config = parse([("the page", POLICIES[number])]).config
    decision = access_of(config).decide(who, Action(action), target_of(what, action))

    assert decision.allowed == allowed, decision
    assert "fails" not in decision.reason, "no rule of the page may fail"
