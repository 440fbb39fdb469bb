"""Repository names, tags, session ids and manifest references."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import (
    NAME_CHARS_MAX,
    TAG_CHARS_MAX,
    Reference,
    RepositoryName,
    SessionId,
    Tag,
    parse_reference_to_read,
    parse_reference_to_write,
)
from tests.oci.refusals import refused, value_or_refusal
from tests.oci.strategies import (
    ALPHANUMERIC,
    ENDINGS,
    HEX_DIGITS,
    QUICK,
    SHA256,
    SHA512,
    TAG_FIRST,
    digests,
    names,
    tags,
    texts,
)

SESSION = "123e4567-e89b-12d3-a456-426614174000"


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "0",
        "library/nginx",
        "a/b/c/d/e/f",
        "a.b",
        "a_b",
        "a__b",
        "a-b",
        "a--b",
        "a" + "-" * 20 + "b",
        "a.b_c__d-e---f",
        "1/2/3",
        "blobs/uploads",
        "manifests/tags/list",
        "v2",
        "a" * NAME_CHARS_MAX,
        "/".join(["a"] * 128),
    ],
)
def test_well_formed_text_is_a_repository_name(text: str) -> None:
    assert RepositoryName(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "../a",
        "a/../b",
        "a/..",
        "a/.",
        ".a",
        "a.",
        "_a",
        "a_",
        "-a",
        "a-",
        "a..b",
        "a___b",
        "a._b",
        "a-_b",
        "a.-b",
        "a/-b",
        "a/b-",
        "A",
        "Library/nginx",
        "_catalog",
        "_ext/a",
        "a b",
        "a:b",
        "a@b",
        "a+b",
        "a~b",
        "a\\b",
        "a%2Fb",
        "a%2fb",
        "example.test:5000/a",
        "\u0430",
        "\u00e9",
        "stra\u00dfe",
        "\u0661",
        "a" * (NAME_CHARS_MAX + 1),
        "a/" * 5_000 + "a",
        "a-" * 5_000,
    ],
)
def test_malformed_text_is_no_repository_name(text: str) -> None:
    with refused(Code.NAME_INVALID, 400):
        RepositoryName(text)


@pytest.mark.parametrize(
    "text",
    ["a", "Z", "0", "_", "latest", "1.25.0", "v1-rc.1_b", "__", "a.", "a-", "a..", "A" * 128],
)
def test_well_formed_text_is_a_tag(text: str) -> None:
    assert Tag(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        ".a",
        "-a",
        ".INVALID_MANIFEST_NAME",
        "a b",
        "a/b",
        "a+b",
        "a@b",
        "a:b",
        "a%2Fb",
        "\u00e9",
        "\u0661",
        "a" * (TAG_CHARS_MAX + 1),
        "a" * 10_000,
    ],
)
def test_malformed_text_is_no_tag(text: str) -> None:
    with refused(Code.TAG_INVALID, 400):
        Tag(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        SESSION.upper(),
        "{" + SESSION + "}",
        "urn:uuid:" + SESSION,
        SESSION.replace("-", ""),
        SESSION[:-1],
        SESSION + "0",
        SESSION.replace("1", "g"),
        SESSION.replace("1", "\u0661"),
        SESSION.replace("-", "_"),
        SESSION.replace("-", "\u2010"),
        "../" + SESSION,
        "0" * 10_000,
    ],
)
def test_other_spelling_names_no_session(text: str) -> None:
    with refused(Code.BLOB_UPLOAD_UNKNOWN, 404):
        SessionId(text)


def test_session_id_is_the_canonical_spelling_of_its_uuid() -> None:
    assert SessionId(SESSION) == SESSION
    assert SessionId.from_uuid(uuid.UUID(SESSION.upper())) == SESSION


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("make", "valid"),
    [(RepositoryName, "library/nginx"), (Tag, "latest"), (SessionId, SESSION)],
)
def test_grammar_is_anchored_at_both_ends(
    make: Callable[[str], str], valid: str, ending: str
) -> None:
    assert make(valid) == valid
    for spoiled in (valid + ending, ending + valid, valid[:3] + ending + valid[3:]):
        with pytest.raises(OciError):
            make(spoiled)


@pytest.mark.parametrize(
    "make", [RepositoryName, Tag, SessionId, parse_reference_to_read, parse_reference_to_write]
)
def test_refusal_says_what_was_refused(make: Callable[[str], str]) -> None:
    error = value_or_refusal(lambda: make("?bad?"))

    assert isinstance(error, OciError)
    assert error.detail == "?bad?"


BOTH_WAYS = pytest.mark.parametrize("parse", [parse_reference_to_read, parse_reference_to_write])


@BOTH_WAYS
@pytest.mark.parametrize(
    ("text", "kind"), [("latest", Tag), ("sha256", Tag), (SHA256, Digest), (SHA512, Digest)]
)
def test_reference_is_a_tag_or_a_digest(
    parse: Callable[[str], Reference], text: str, kind: type
) -> None:
    reference = parse(text)

    assert type(reference) is kind
    assert reference == text


@BOTH_WAYS
@pytest.mark.parametrize("text", ["sha256:xyz", "sha256:totallywrong", ":", "a:", SHA256 + "\n"])
def test_reference_with_a_colon_is_never_tried_as_a_tag(
    parse: Callable[[str], Reference], text: str
) -> None:
    with refused(Code.DIGEST_INVALID, 400):
        parse(text)


@BOTH_WAYS
def test_reference_of_another_algorithm_is_unsupported(parse: Callable[[str], Reference]) -> None:
    with refused(Code.UNSUPPORTED, 415):
        parse("md5:" + "a" * 32)


@pytest.mark.parametrize("text", [".INVALID_MANIFEST_NAME", "", "..", "a" * 129, "a\n", "\u00e9"])
def test_malformed_tag_is_unknown_on_reads_and_invalid_on_writes(text: str) -> None:
    with refused(Code.MANIFEST_UNKNOWN, 404):
        parse_reference_to_read(text)
    with refused(Code.TAG_INVALID, 400):
        parse_reference_to_write(text)


def is_name(text: str) -> bool:
    """The grammar again, by runs: letters and digits, with one separator between two of them."""
    return len(text) <= NAME_CHARS_MAX and all(is_component(part) for part in text.split("/"))


def is_component(text: str) -> bool:
    runs = [(ok, "".join(run)) for ok, run in groupby(text, lambda c: c in ALPHANUMERIC)]
    separators = [run for ok, run in runs if not ok]
    return (
        bool(runs)
        and runs[0][0]
        and runs[-1][0]
        and all(run in (".", "_", "__") or set(run) == {"-"} for run in separators)
    )


@QUICK
@given(texts(names().map(str)))
def test_any_text_is_a_repository_name_or_an_oci_error(text: str) -> None:
    found = value_or_refusal(lambda: RepositoryName(text))

    assert isinstance(found, RepositoryName) == is_name(text)


@QUICK
@given(st.text(ALPHANUMERIC[::9] + "._-/", max_size=12))
def test_names_made_of_separators_follow_the_grammar(text: str) -> None:
    found = value_or_refusal(lambda: RepositoryName(text))

    assert isinstance(found, RepositoryName) == is_name(text)


@QUICK
@given(names())
def test_repository_name_never_climbs(name: RepositoryName) -> None:
    assert not {"", ".", ".."} & set(name.split("/"))


@QUICK
@given(texts(tags().map(str)))
def test_any_text_is_a_tag_or_an_oci_error(text: str) -> None:
    is_tag = (
        0 < len(text) <= TAG_CHARS_MAX
        and text[0] in TAG_FIRST
        and set(text) <= set(TAG_FIRST + ".-")
    )
    found = value_or_refusal(lambda: Tag(text))

    assert isinstance(found, Tag) == is_tag


@QUICK
@given(st.uuids())
def test_session_id_of_a_uuid_is_read_back(value: uuid.UUID) -> None:
    session = SessionId.from_uuid(value)

    assert SessionId(str(session)) == session
    assert uuid.UUID(session) == value


@QUICK
@given(texts(st.uuids().map(str)))
def test_any_text_is_a_session_id_or_an_oci_error(text: str) -> None:
    parts = text.split("-")
    is_session = [len(part) for part in parts] == [8, 4, 4, 4, 12] and set("".join(parts)) <= set(
        HEX_DIGITS
    )
    found = value_or_refusal(lambda: SessionId(text))

    assert isinstance(found, SessionId) == is_session


@QUICK
@given(texts(st.one_of(tags().map(str), digests().map(str))))
def test_both_ways_accept_the_same_references(text: str) -> None:
    read = value_or_refusal(lambda: parse_reference_to_read(text))
    written = value_or_refusal(lambda: parse_reference_to_write(text))

    assert type(read) is type(written)
    assert isinstance(read, OciError) or read == written == text
