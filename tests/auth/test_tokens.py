"""Registry tokens: they say who their bearer is, and nobody else can write one."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.auth.jose import TokenRefusedError, encode
from angos_trio.auth.tokens import (
    AUDIENCE,
    ISSUER,
    TYPE,
    Bearer,
    TokenService,
    is_registry_token,
    thumbprint,
)
from angos_trio.identity import Grant, Identity, anonymous
from angos_trio.limits.callers import TOKEN_SKEW_SECS
from angos_trio.records import replace
from tests.factories import make_certificate
from tests.oci.strategies import QUICK

NOW = 1_700_000_000
TTL_SECS = 3600
SECRET = b"s" * 32
PHC = "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$abc"
ADDRESS = "192.0.2.1"
ALICE = Identity("basic", "", "alice", ADDRESS, id="team-alice")
CLAIMS = {"sub": "repo:org/app", "aud": ["a", "b"], "nested": {"deep": [1, None, "é😀"]}}
JOB = Identity("oidc", "ci", "repo:org/app", ADDRESS, claims=CLAIMS)
SHOWN = make_certificate(fingerprint="0123456789abcdef" * 4)
OTHER = make_certificate(fingerprint="f" * 64)

SERVICE = TokenService(SECRET, TTL_SECS)


def issued(identity: Identity = ALICE, **more: Any) -> str:
    return SERVICE.issue(identity, NOW, **more)[0]


def refusal(token: str, now: int = NOW, certificate: Any = None) -> str:
    with pytest.raises(TokenRefusedError) as raised:
        SERVICE.read(token, now, certificate)
    return raised.value.reason


@pytest.mark.parametrize(
    ("identity", "phc", "bearer"),
    [
        (anonymous(ADDRESS), None, Bearer("anonymous")),
        (ALICE, PHC, Bearer("basic", "", "alice", password=SERVICE.mark(PHC))),
        (
            replace(ALICE, grant=Grant("k1", "deploy", ("team/*",))),
            PHC,
            Bearer("basic", "", "alice", password=SERVICE.mark(PHC), key="k1"),
        ),
        (JOB, None, Bearer("oidc", "ci", "repo:org/app", CLAIMS)),
        (
            Identity("certificate", "CN=ca", "CN=client", ADDRESS),
            None,
            Bearer("certificate", "CN=ca", "CN=client"),
        ),
    ],
)
def test_token_says_who_its_bearer_is(identity: Identity, phc: str | None, bearer: Bearer) -> None:
    token, secs = SERVICE.issue(identity, NOW, phc)

    assert secs == TTL_SECS
    assert SERVICE.read(token, NOW, None) == bearer
    assert is_registry_token(token)


def test_token_has_no_password_hash_address_or_right_in_it() -> None:
    grant = Grant("k1", "deploy", ("team/*",), ("get-blob",))
    token = issued(replace(ALICE, grant=grant, certificate=SHOWN), phc=PHC)
    said = jwt.decode(token, options={"verify_signature": False})

    assert set(said) == {
        "iss", "aud", "iat", "nbf", "exp", "jti", "method", "sub", "pwd", "key", "cnf",
    }  # fmt: skip
    assert not [word for word in (PHC, ADDRESS, "team/*", "get-blob") if word in json.dumps(said)]


def test_two_tokens_differ() -> None:
    assert issued() != issued()


def test_token_ends_with_its_time() -> None:
    assert SERVICE.read(issued(), NOW + TTL_SECS - 1, None).subject == "alice"
    assert refusal(issued(), NOW + TTL_SECS) == "has expired"


def test_token_of_a_clock_that_runs_ahead_counts_within_a_minute() -> None:
    assert SERVICE.read(issued(), NOW - TOKEN_SKEW_SECS, None).subject == "alice"
    assert refusal(issued(), NOW - TOKEN_SKEW_SECS - 1) == "is not valid yet"


def test_token_lives_no_longer_than_what_it_was_given_for() -> None:
    assert SERVICE.issue(JOB, NOW, None, NOW + 60)[1] == 60
    assert SERVICE.issue(JOB, NOW, None, NOW + 999_999)[1] == TTL_SECS
    short = replace(ALICE, certificate=replace(SHOWN, not_after=NOW + 30))
    token, secs = SERVICE.issue(short, NOW, PHC, NOW + 60)
    assert secs == 30
    assert refusal(token, NOW + 30, SHOWN) == "has expired"
    with pytest.raises(TokenRefusedError, match="expired"):
        SERVICE.issue(JOB, NOW, None, NOW)


def test_token_that_was_given_over_a_certificate_counts_beside_it_only() -> None:
    token = issued(replace(ALICE, certificate=SHOWN))

    assert SERVICE.read(token, NOW, SHOWN).subject == "alice"
    for certificate in (None, OTHER):
        assert refusal(token, NOW, certificate) == "was given over another client certificate"
    assert SERVICE.read(issued(), NOW, OTHER).subject == "alice"


def test_thumbprint_is_that_of_rfc_8705() -> None:
    digest = hashlib.sha256(b"a certificate in DER").digest()
    certificate = make_certificate(fingerprint=digest.hex())

    assert thumbprint(certificate) == encode(digest)
    assert len(thumbprint(certificate)) == 43


def test_mark_changes_with_the_password_and_with_the_secret() -> None:
    assert SERVICE.mark(PHC) == TokenService(SECRET, 60).mark(PHC)
    assert SERVICE.mark(PHC) != SERVICE.mark(PHC + "x")
    assert SERVICE.mark(PHC) != TokenService(b"t" * 32, 60).mark(PHC)
    assert len(SERVICE.mark(PHC)) == 16


def test_operator_gets_no_token() -> None:
    with pytest.raises(TokenRefusedError):
        issued(Identity("operator", "", "operator", "local"))


def test_claims_that_do_not_fit_are_not_cut() -> None:
    with pytest.raises(TokenRefusedError, match="too long"):
        issued(replace(JOB, claims={"groups": ["x" * 100] * 200}))


def test_secret_has_256_bits() -> None:
    TokenService(b"s" * 32, 60)
    with pytest.raises(ValueError, match="fewer than 32 bytes"):
        TokenService(b"s" * 31, 60)


def said(**more: object) -> dict[str, object]:
    document = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 60,
        "method": "basic",
        "sub": "alice",
        **more,
    }
    return {name: value for name, value in document.items() if value is not ...}


def forged(document: object, header: object = None, key: bytes | None = None) -> str:
    """A token that our own key signed, whatever it says; or another key."""
    parts = [header or {"alg": "HS256", "typ": TYPE}, document]
    signing_input = ".".join(encode(json.dumps(part).encode()) for part in parts)
    signature = hmac.digest(key or SERVICE._signing_key, signing_input.encode(), hashlib.sha256)
    return f"{signing_input}.{encode(signature)}"


def test_what_the_attacks_below_change_is_what_is_refused_in_them() -> None:
    assert SERVICE.read(forged(said()), NOW, None) == Bearer("basic", "", "alice")


WRONG_WAY, WRONG_KEY = "is signed in a way that is not taken", "has a wrong signature"
ELSEWHERE, STRANGE = "is of another issuer or for another audience", "is not of this version"

ATTACKS: dict[str, tuple[Callable[[], str], str]] = {
    "none": (lambda: jwt.encode(said(), "", "none", headers={"typ": TYPE}), WRONG_WAY),
    "none without a signature": (
        lambda: forged(said(), {"alg": "none", "typ": TYPE}).rpartition(".")[0] + ".",
        WRONG_WAY,
    ),
    "another algorithm": (lambda: forged(said(), {"alg": "HS512", "typ": TYPE}), WRONG_WAY),
    "another type": (lambda: forged(said(), {"alg": "HS256", "typ": "JWT"}), WRONG_WAY),
    "no type": (lambda: forged(said(), {"alg": "HS256"}), WRONG_WAY),
    "critical headers": (
        lambda: forged(said(), {"alg": "HS256", "typ": TYPE, "crit": ["exp"]}),
        "has critical headers",
    ),
    "a key in the header": (
        lambda: forged(said(), {"alg": "HS256", "typ": TYPE, "jwk": {"kty": "oct", "k": "eA"}}),
        WRONG_WAY,
    ),
    "an address of keys": (
        lambda: forged(said(), {"alg": "HS256", "typ": TYPE, "jku": "https://evil.example.test"}),
        WRONG_WAY,
    ),
    "another key": (lambda: forged(said(), key=b"x" * 32), WRONG_KEY),
    "the secret itself as the key": (lambda: forged(said(), key=SECRET), WRONG_KEY),
    "an empty key": (lambda: forged(said(), key=b"\x00"), WRONG_KEY),
    "no signature": (lambda: issued().rpartition(".")[0] + ".", WRONG_KEY),
    "a changed payload": (
        lambda: ".".join(
            (issued().split(".")[0], forged(said()).split(".")[1], issued().split(".")[2])
        ),
        WRONG_KEY,
    ),
    "another issuer": (lambda: forged(said(iss="https://issuer.example.test")), ELSEWHERE),
    "another audience": (lambda: forged(said(aud="another")), ELSEWHERE),
    "a list of audiences": (lambda: forged(said(aud=[AUDIENCE])), ELSEWHERE),
    "no end": (lambda: forged(said(exp=...)), STRANGE),
    "no begin": (lambda: forged(said(nbf=...)), STRANGE),
    "an end that is no time": (lambda: forged(said(exp="never")), "has times that are no times"),
    "not valid yet": (lambda: forged(said(nbf=NOW + 999)), "is not valid yet"),
    "no method": (lambda: forged(said(method=...)), STRANGE),
    "the operator": (lambda: forged(said(method="operator")), STRANGE),
    "a method of another kind": (lambda: forged(said(method=["basic"])), STRANGE),
    "a subject of another kind": (lambda: forged(said(sub={"a": 1})), STRANGE),
    "claims of another kind": (lambda: forged(said(claims="all")), STRANGE),
    "no certificate in its binding": (
        lambda: forged(said(cnf={})),
        "was given over another client certificate",
    ),
    "a binding of another kind": (
        lambda: forged(said(cnf=None)),
        "was given over another client certificate",
    ),
    "a megabyte": (lambda: forged(said(sub="x" * 1_000_000)), "is too long"),
    "a list": (lambda: forged([]), "is malformed"),
    "nothing": (lambda: "", "is malformed"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_token_is_refused(attack: str) -> None:
    token, reason = ATTACKS[attack]
    for certificate in (None, SHOWN):
        assert refusal(token(), NOW, certificate) == reason


@QUICK
@given(st.data())
def test_token_in_which_anything_is_changed_is_refused(data: st.DataObject) -> None:
    token = issued()
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("AZaz09-_.=").filter(lambda one: one != token[place]))

    refusal(token[:place] + other + token[place + 1 :])


@pytest.mark.parametrize(
    ("token", "is_ours"),
    [
        (forged(said(), key=b"x" * 32), True),
        (forged({}, {"typ": TYPE, "alg": "none"}), True),
        (jwt.encode({}, b"k" * 32, "HS256"), False),
        ("", False),
        ("a.b.c", False),
        (f"{encode(b'[]')}.e30.", False),
        ("x" * 1_000_000, False),
        ("x" * 1_000_000 + ".e30.", False),
        (f"{encode(b'[' * 2000)}.e30.", False),
    ],
)
def test_whether_a_token_says_that_it_is_ours_is_seen_without_reading_it(
    token: str, is_ours: bool
) -> None:
    assert is_registry_token(token) == is_ours
