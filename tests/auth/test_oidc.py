"""Tokens of OpenID Connect providers: what counts, and every way in which one does not."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.auth.jose import TokenRefusedError, encode
from angos_trio.auth.key_sets import KeySets, KeysUnavailableError
from angos_trio.auth.oidc import (
    GITHUB_ISSUER,
    OidcProvider,
    OidcSettings,
    check_claims,
    check_settings,
    discovered,
    origin,
)
from angos_trio.net.client import HttpClient
from tests.auth.issuer import (
    AUDIENCE,
    NOW,
    PLAIN,
    Issuer,
    PrivateKey,
    as_json,
    claims_of,
    ec_key,
    ed_key,
    issuer,
    jwk_of,
    rsa_key,
)
from tests.oci.strategies import QUICK

SKEW_SECS = 60


@pytest.fixture(scope="module")
def issuing() -> Iterator[Issuer]:
    with issuer() as serving:
        yield serving


@pytest.fixture(scope="module")
def provider(issuing: Issuer) -> OidcProvider:
    """One for all that need nothing of their own; it keeps its keys from test to test."""
    return issuing.provider()


def verified(provider: OidcProvider, token: str, now: int = NOW) -> Any:
    async def verify() -> Any:
        with trio.fail_after(5):
            return await provider.verify(token, now)

    return trio.run(verify)


def refusal(provider: OidcProvider, token: str, now: int = NOW) -> str:
    with pytest.raises(TokenRefusedError) as raised:
        verified(provider, token, now)
    return raised.value.reason


def test_claims_are_those_of_the_token(issuing: Issuer, provider: OidcProvider) -> None:
    token = issuing.token(groups=["a", "b"])

    assert verified(provider, token) == claims_of(issuing.url, groups=["a", "b"])
    assert (provider.name, provider.issuer) == ("ci", issuing.url)


FAMILIES: list[tuple[str, Callable[[], PrivateKey]]] = [
    *((f"{family}{size}", rsa_key) for family in ("RS", "PS") for size in (256, 384, 512)),
    ("ES256", ec_key),
    ("ES384", lambda: ec_key(ec.SECP384R1)),
    ("ES512", lambda: ec_key(ec.SECP521R1)),
    ("EdDSA", ed_key),
]


@pytest.mark.parametrize(("algorithm", "make"), FAMILIES)
def test_every_asymmetric_family_is_taken(algorithm: str, make: Callable[[], PrivateKey]) -> None:
    with issuer() as issuing:
        issuing.keys = [jwk_of(key(), name) for name, key in FAMILIES[4:]]
        for number, jwk in enumerate(issuing.keys):
            jwk["kid"] = FAMILIES[4:][number][0]
        issuing.keys.append(jwk_of(make(), "wanted"))
        provider = issuing.provider(allowed_algorithms=tuple(name for name, _ in FAMILIES))
        token = issuing.token(make(), algorithm, {"kid": "wanted"})

        assert verified(provider, token)["sub"] == "job-1"
        damaged = token[:-8] + ("A" * 8 if token[-8:] != "A" * 8 else "B" * 8)
        assert refusal(provider, damaged) in ("has a wrong signature", "is malformed")


def signed_by_hand(header: dict[str, object], claims: dict[str, Any], secret: bytes) -> str:
    signing_input = ".".join(encode(json.dumps(part).encode()) for part in (header, claims))
    signature = hmac.digest(secret, signing_input.encode(), hashlib.sha256)
    return f"{signing_input}.{encode(signature)}"


def with_public_key_as_secret(issuing: Issuer) -> str:
    """The classic: HS256 with the public key, which everybody knows, as the secret."""
    pem = rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return signed_by_hand({"alg": "HS256", "kid": "one"}, claims_of(issuing.url), pem)


def with_own_key(issuing: Issuer) -> str:
    """Brings the key along that it is signed with."""
    thief = rsa_key(1)
    headers = {"jwk": jwk_of(thief, "one"), "kid": "one"}
    return issuing.token(thief, headers=headers)


def with_own_address(issuing: Issuer) -> str:
    headers = {"jku": "https://evil.example.test/keys", "x5u": "https://evil.example.test/cert"}
    return issuing.token(rsa_key(1), headers={"kid": "one", **headers})


WRONG_WAY, WRONG_KEY = "is signed in a way that is not taken", "has a wrong signature"
Attack = Callable[[Issuer], str]
ATTACKS: dict[str, tuple[Attack, str]] = {
    "expired": (lambda i: i.token(exp=NOW - SKEW_SECS), "has expired"),
    "not valid yet": (lambda i: i.token(nbf=NOW + SKEW_SECS + 1), "is not valid yet"),
    "issued in the future": (lambda i: i.token(iat=NOW + SKEW_SECS + 1), "is not valid yet"),
    "no end": (lambda i: i.token(exp=...), "never expires"),
    "an end that is text": (
        lambda i: signed_claims(i, exp=str(NOW + 60)),
        "has times that are no times",
    ),
    "another issuer": (lambda i: i.token(iss="https://evil.example.test"), "is of another issuer"),
    "the issuer with a slash": (lambda i: i.token(iss=i.url + "/"), "is of another issuer"),
    "no issuer": (lambda i: i.token(iss=...), "is of another issuer"),
    "a list of issuers": (lambda i: signed_claims(i, iss=[i.url]), "is of another issuer"),
    "another audience": (lambda i: i.token(aud="other.example.test"), "is for another audience"),
    "no audience": (lambda i: i.token(aud=...), "is for another audience"),
    "other audiences": (lambda i: i.token(aud=["a", "b"]), "is for another audience"),
    "an audience of another kind": (
        lambda i: signed_claims(i, aud={AUDIENCE: 1}),
        "is for another audience",
    ),
    "no subject": (lambda i: i.token(sub=...), "has no subject"),
    "an empty subject": (lambda i: i.token(sub=""), "has no subject"),
    "a subject that is a number": (lambda i: signed_claims(i, sub=7), "has no subject"),
    "a long subject": (lambda i: i.token(sub="x" * 2000), "has no subject"),
    "none": (lambda i: jwt.encode(claims_of(i.url), "", "none", {"kid": "one"}), WRONG_WAY),
    "None": (
        lambda i: signed_by_hand({"alg": "None", "kid": "one"}, claims_of(i.url), b""),
        WRONG_WAY,
    ),
    "HS256 with the public key": (with_public_key_as_secret, WRONG_WAY),
    "an algorithm that is not allowed": (lambda i: i.token(algorithm="RS512"), WRONG_WAY),
    "another key of the same name": (lambda i: i.token(rsa_key(1)), WRONG_KEY),
    "an embedded jwk": (with_own_key, WRONG_KEY),
    "jku and x5u": (with_own_address, WRONG_KEY),
    "critical headers": (
        lambda i: i.token(headers={"kid": "one", "crit": ["exp"]}),
        "has critical headers",
    ),
    "a payload of another token": (
        lambda i: ".".join((i.token().rsplit(".", 1)[0], i.token(sub="x").rsplit(".", 1)[1])),
        WRONG_KEY,
    ),
    "a megabyte": (lambda i: i.token(more="x" * 1_000_000), "is too long"),
    "no token": (lambda i: "password", "is malformed"),
    "an empty token": (lambda i: "", "is malformed"),
}


def signed_claims(issuing: Issuer, **claims: object) -> str:
    """With claims of types that PyJWT refuses to write."""
    document = json.dumps(claims_of(issuing.url, **claims)).encode()
    return jwt.PyJWS().encode(document, rsa_key(), "RS256", {"kid": "one"})


@pytest.mark.parametrize("attack", ATTACKS)
def test_token_is_refused(attack: str, issuing: Issuer, provider: OidcProvider) -> None:
    make, reason = ATTACKS[attack]
    token = make(issuing)

    assert refusal(provider, token) == reason
    assert refusal(provider, token) == reason  # a refusal is remembered by nobody


def test_attacks_make_us_ask_nobody(issuing: Issuer) -> None:
    with issuer() as fresh:
        provider = fresh.provider()
        for make, reason in ATTACKS.values():
            if reason != WRONG_KEY:
                refusal(provider, make(fresh))
        assert fresh.served.asked == []


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW - SKEW_SECS + 1},
        {"nbf": NOW + SKEW_SECS},
        {"iat": NOW + SKEW_SECS},
        {"nbf": ..., "iat": ...},
        {"aud": ["other.example.test", AUDIENCE]},
        {"exp": NOW + 60.5},
        {"sub": "é😀"},
    ],
)
def test_token_within_the_tolerances_counts(
    claims: dict[str, Any], issuing: Issuer, provider: OidcProvider
) -> None:
    assert verified(provider, issuing.token(**claims))["iss"] == issuing.url


def test_required_claims_are_there_and_not_null(issuing: Issuer) -> None:
    provider = issuing.provider(required_claims=("repository", "ref"))

    for claims in ({}, {"repository": "a"}, {"repository": "a", "ref": None}):
        assert refusal(provider, issuing.token(**claims)) == "lacks a claim that is required"
    assert verified(provider, issuing.token(repository="", ref=False))["ref"] is False


def test_without_a_required_audience_any_is_taken(issuing: Issuer) -> None:
    provider = issuing.provider(required_audience=None)

    assert verified(provider, issuing.token(aud="anybody"))["aud"] == "anybody"
    assert verified(provider, issuing.token(aud=...))["sub"] == "job-1"


def test_token_that_was_verified_is_looked_at_again_each_time(
    issuing: Issuer, provider: OidcProvider
) -> None:
    token = issuing.token(exp=NOW + 30)
    for now in (NOW, NOW + 1, NOW + 30 + SKEW_SECS - 1):
        assert verified(provider, token, now)["sub"] == "job-1"

    assert refusal(provider, token, NOW + 30 + SKEW_SECS) == "has expired"
    assert refusal(provider, token, NOW - SKEW_SECS - 6) == "is not valid yet"


@pytest.mark.parametrize("kid", ["two", "", 1, ["one"], {"kid": "one"}, "../one", "one\x00"])
def test_name_of_a_key_only_selects_among_the_issuers_keys(kid: object, issuing: Issuer) -> None:
    token = jwt.PyJWS().encode(json.dumps(claims_of(issuing.url)).encode(), rsa_key(), "RS256", {})
    head, payload, _ = token.split(".")
    head = encode(json.dumps({"alg": "RS256", "kid": kid}).encode())
    signing_input = f"{head}.{payload}"
    signature = jwt.get_algorithm_by_name("RS256").sign(signing_input.encode(), rsa_key())

    reason = refusal(issuing.provider(), f"{signing_input}.{encode(signature)}")
    assert reason == "is signed by a key that its issuer does not have"


def test_token_without_a_key_name_counts_where_only_one_key_fits(issuing: Issuer) -> None:
    with issuer() as several:
        several.keys.append(jwk_of(ec_key(), "two"))
        token = several.token(headers={})
        assert verified(several.provider(), token)["sub"] == "job-1"

        several.keys.append(jwk_of(rsa_key(1), "three"))
        reason = refusal(several.provider(), token)
        assert reason == "names no key, and its issuer has several"


def test_two_keys_of_one_name_are_both_tried() -> None:
    with issuer() as several:
        several.keys.append(jwk_of(rsa_key(1), "one"))
        provider = several.provider()

        assert verified(provider, several.token())
        assert verified(provider, several.token(rsa_key(1)))
        assert refusal(provider, several.token(rsa_key(2))) == WRONG_KEY


@pytest.mark.parametrize(
    "algorithms",
    [(), ("none",), ("HS256",), ("RS256", "HS512"), ("RS256", "ES256K"), ("rs256",), ("",)],
)
def test_provider_that_would_take_what_anybody_can_sign_is_refused(
    algorithms: tuple[str, ...],
) -> None:
    settings = OidcSettings("ci", "https://i.example.test", allowed_algorithms=algorithms)
    with pytest.raises(ValueError, match="allowed_algorithms"):
        OidcProvider(settings, HttpClient(PLAIN, timeout_secs=1), KeySets())


@pytest.mark.parametrize(
    ("issuer_url", "jwks_uri", "key"),
    [
        ("http://issuer.example.test", None, "issuer"),
        ("ftp://issuer.example.test", None, "issuer"),
        ("https://", None, "issuer"),
        ("issuer", None, "issuer"),
        ("https://user@issuer.example.test", None, "issuer"),
        ("https://[::1", None, "issuer"),
        ("https://issuer.example.test:99999", None, "issuer"),
        ("http://127.0.0.1.example.test", None, "issuer"),
        ("https://issuer.example.test", "http://issuer.example.test/keys", "jwks_uri"),
        ("https://issuer.example.test", "file:///etc/passwd", "jwks_uri"),
    ],
)
def test_keys_are_asked_for_in_safety_only(issuer_url: str, jwks_uri: str | None, key: str) -> None:
    with pytest.raises(ValueError, match=rf"^{key}: "):
        check_settings(OidcSettings("ci", issuer_url, jwks_uri))


@pytest.mark.parametrize(
    ("issuer_url", "jwks_uri"),
    [
        (GITHUB_ISSUER, None),
        ("http://localhost:8080", None),
        ("http://127.0.0.1:8080/realms/a", None),
        ("http://[::1]", None),
        ("kubernetes", "https://issuer.example.test/keys"),
        ("https://issuer.example.test", "https://keys.example.test/keys"),
    ],
)
def test_settings_that_are_safe_are_taken(issuer_url: str, jwks_uri: str | None) -> None:
    check_settings(OidcSettings("ci", issuer_url, jwks_uri))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://Issuer.Example.test/a", ("https", "issuer.example.test", 443)),
        ("https://issuer.example.test:443", ("https", "issuer.example.test", 443)),
        ("https://issuer.example.test:8443", ("https", "issuer.example.test", 8443)),
        ("http://issuer.example.test", ("http", "issuer.example.test", 80)),
        ("issuer", None),
        ("https://[::1", None),
    ],
)
def test_origin_is_scheme_host_and_port(url: str, expected: object) -> None:
    assert origin(url) == expected


@QUICK
@given(st.text() | st.from_regex(r"https?://[^/]{0,12}(:\d{0,6})?(/.*)?"))
def test_discovery_leads_to_a_safe_address_or_nowhere(address: str) -> None:
    issuer_url = "https://issuer.example.test"
    try:
        found = discovered(as_json({"issuer": issuer_url, "jwks_uri": address}), issuer_url)
    except KeysUnavailableError:
        return
    assert found == address
    assert (origin(found) or ("",))[0] == "https"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
SETTINGS = OidcSettings("ci", "https://i.example.test", None, AUDIENCE, ("a",))


@QUICK
@given(st.dictionaries(st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "a"]), JSON))
def test_claims_of_any_kind_are_right_or_refused(claims: dict[str, Any]) -> None:
    changed = {**claims_of(SETTINGS.issuer, a=1), **claims}
    try:
        check_claims(changed, SETTINGS, NOW)
    except TokenRefusedError:
        return
    assert changed["iss"] == SETTINGS.issuer
    assert isinstance(changed["sub"], str)
    assert changed["exp"] > NOW - SKEW_SECS
