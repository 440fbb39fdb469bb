"""Digests."""

from __future__ import annotations

import copy
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import (
    ALGORITHMS,
    HEX_LENGTH,
    Digest,
    digest_of,
    new_hash,
    parse_algorithm,
)
from tests.oci.refusals import refused, value_or_refusal
from tests.oci.strategies import ENDINGS, QUICK, SHA256, SHA512, digests, texts


def test_both_registered_algorithms_are_supported() -> None:
    assert ALGORITHMS == ("sha256", "sha512")


@pytest.mark.parametrize(
    ("text", "algorithm", "encoded"),
    [
        (SHA256, "sha256", "0123456789abcdef" * 4),
        (SHA512, "sha512", "0123456789abcdef" * 8),
        ("sha256:" + "0" * 64, "sha256", "0" * 64),
        ("sha512:" + "f" * 128, "sha512", "f" * 128),
    ],
)
def test_well_formed_text_is_a_digest(text: str, algorithm: str, encoded: str) -> None:
    digest = Digest(text)

    assert digest == text
    assert (digest.algorithm, digest.hex) == (algorithm, encoded)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "sha256",
        "sha256:",
        ":" + "a" * 64,
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:" + "a" * 128,
        "sha512:" + "a" * 64,
        "sha512:" + "a" * 127,
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63 + "G",
        "sha256:" + "a" * 63 + "=",
        "SHA256:" + "a" * 64,
        "Sha256:" + "a" * 64,
        "sha256 :" + "a" * 64,
        "sha256: " + "a" * 63,
        "sha256:sha256:" + "a" * 64,
        "sha256:" + "\u0660" * 64,
        "sha256:" + "\uff41" * 64,
        "sh\u0430256:" + "a" * 64,  # a Cyrillic letter
        "sha256/" + "a" * 64,
        "sha256%3A" + "a" * 64,
        "../" + SHA256,
        "sha256:../../../../etc/passwd",
        "sha256:totallywrong",
        "sha256:baddigeststring",
        "a" * 10_000,
        "sha256:" + "a" * 10_000,
        "+:a",
        "a++b:c",
        "md5:",
        "md5:a b",
        "x" * 300 + ":a",
        "md5:" + "a" * 10_000,
    ],
)
def test_malformed_text_is_refused_as_a_digest(text: str) -> None:
    with refused(Code.DIGEST_INVALID, 400):
        Digest(text)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("text", [SHA256, SHA512])
def test_digest_is_anchored_at_both_ends(text: str, ending: str) -> None:
    for spoiled in (text + ending, ending + text, text[:-1] + ending, text.replace(":", ending)):
        with refused(Code.DIGEST_INVALID, 400):
            Digest(spoiled)


@pytest.mark.parametrize(
    "text",
    [
        "md5:" + "a" * 32,
        "sha1:" + "a" * 40,
        "sha384:" + "a" * 96,
        "sha257:" + "a" * 64,
        "sha2560:" + "a" * 64,
        "sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564",
        "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
        "a.b_c-d+e:A=",
    ],
)
def test_other_algorithm_is_unsupported_and_not_malformed(text: str) -> None:
    with refused(Code.UNSUPPORTED, 415):
        Digest(text)


@pytest.mark.parametrize("text", ["sha256:x", "md5:abc"])
def test_refusal_says_what_was_refused(text: str) -> None:
    error = value_or_refusal(lambda: Digest(text))

    assert isinstance(error, OciError)
    assert error.detail == text


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_supported_algorithm_is_parsed(algorithm: str) -> None:
    assert parse_algorithm(algorithm) == algorithm


@pytest.mark.parametrize(
    "text",
    ["", "md5", "sha384", "SHA256", " sha256", "sha256\n", "sha256:", "sha-256", "a" * 10_000],
)
def test_other_algorithm_name_is_unsupported(text: str) -> None:
    with refused(Code.UNSUPPORTED, 415):
        parse_algorithm(text)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_new_hash_is_that_of_the_algorithm(algorithm: str) -> None:
    hasher = new_hash(algorithm)
    hasher.update(b"ab")
    hasher.update(b"c")

    assert hasher.hexdigest() == hashlib.new(algorithm, b"abc").hexdigest()
    assert len(hasher.hexdigest()) == HEX_LENGTH[algorithm]


def test_digest_of_nothing_is_the_well_known_one() -> None:
    assert digest_of(b"") == (
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


def test_digest_survives_being_copied() -> None:
    digest = Digest(SHA512)

    assert type(copy.deepcopy(digest)) is Digest
    assert copy.deepcopy(digest) == digest


@QUICK
@given(st.binary(), st.sampled_from(ALGORITHMS))
def test_digest_of_content_is_a_digest_of_the_algorithm(content: bytes, algorithm: str) -> None:
    digest = digest_of(content, algorithm)

    assert Digest(str(digest)) == digest
    assert digest == f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


@QUICK
@given(digests())
def test_digest_is_its_algorithm_and_its_hex(digest: Digest) -> None:
    assert f"{digest.algorithm}:{digest.hex}" == digest


@QUICK
@given(texts(digests().map(str)))
def test_any_text_is_a_digest_or_an_oci_error(text: str) -> None:
    algorithm, colon, encoded = text.partition(":")
    is_digest = (
        colon == ":"
        and len(encoded) == HEX_LENGTH.get(algorithm, -1)
        and set(encoded) <= set("0123456789abcdef")
    )
    found = value_or_refusal(lambda: Digest(text))

    assert isinstance(found, Digest) == is_digest


@QUICK
@given(texts(st.sampled_from(ALGORITHMS)))
def test_any_text_is_an_algorithm_or_an_oci_error(text: str) -> None:
    found = value_or_refusal(lambda: parse_algorithm(text))

    assert (found == text) == (text in HEX_LENGTH)
