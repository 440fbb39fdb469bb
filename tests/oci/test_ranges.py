"""Byte ranges of reads and of uploads, and announced lengths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.ranges import (
    ByteRange,
    parse_content_length,
    parse_content_range,
    resolve_range,
    upload_range,
)
from tests.oci.refusals import refused, value_or_refusal
from tests.oci.strategies import ENDINGS, QUICK, texts

NUMBERS = st.integers(min_value=0, max_value=10**19 - 1)


@pytest.mark.parametrize(
    ("header", "offset", "length"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, 1000),
        ("bytes=0-999", 0, 1000),
        ("bytes=0-1000", 0, 1000),
        ("bytes=500-749", 500, 250),
        ("bytes=500-", 500, 500),
        ("bytes=999-", 999, 1),
        ("bytes=999-999", 999, 1),
        ("bytes=200-5000", 200, 800),
        ("bytes=-1", 999, 1),
        ("bytes=-500", 500, 500),
        ("bytes=-1000", 0, 1000),
        ("bytes=-1001", 0, 1000),
        ("bytes=-9999999999999999999", 0, 1000),
        ("bytes=1-9999999999999999999", 1, 999),
        ("bytes=0-18446744073709551615", 0, 1000),
        ("bytes=007-0009", 7, 3),
        ("BYTES=0-1", 0, 2),
        ("Bytes=-1", 999, 1),
        ("bytes= \t1-2 \t", 1, 2),
    ],
)
def test_range_is_resolved_and_clamped(header: str, offset: int, length: int) -> None:
    assert resolve_range(header, 1000) == ByteRange(offset, length)


@pytest.mark.parametrize(
    "header",
    [
        "bytes=1000-",
        "bytes=1000-1000",
        "bytes=5000-10000",
        "bytes=500-0",
        "bytes=1-0",
        "bytes=-0",
        "bytes=9999999999999999999-",
        "bytes=18446744073709551615-",
    ],
)
def test_range_that_cannot_be_satisfied_is_416_and_tells_the_size(header: str) -> None:
    error = value_or_refusal(lambda: resolve_range(header, 1000))

    assert isinstance(error, OciError)
    assert (error.code, error.status) == (Code.SIZE_INVALID, 416)
    assert error.headers == {"Content-Range": "bytes */1000"}
    assert error.detail == header


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=--1",
        "bytes=a-b",
        "bytes=1",
        "bytes=1--2",
        "bytes=+1-2",
        "bytes=1-2-3",
        "bytes=0x1-2",
        "bytes=1.0-2",
        "bytes=1_0-20",
        "bytes 0-1",
        "bytes:0-1",
        "bytes = 0-1",
        "bytes=0 - 1",
        "bytes=0-1,3-4",
        "bytes=0-1,",
        "bytes=,0-1",
        "items=0-1",
        "byte\u017f=0-1",  # LATIN SMALL LETTER LONG S: s, when case is ignored beyond ASCII
        "0-1",
        "bytes=\u0661-\u0662",
        "bytes=\uff11-",
        "bytes=0-\u00b2",
        "bytes=0-1;x",
        "bytes=" + " " * 10_000 + "x",
        "bytes=" + "1" * 10_000,
    ],
)
def test_range_of_other_syntax_is_ignored(header: str | None) -> None:
    assert resolve_range(header, 1000) is None


@pytest.mark.parametrize("ending", [ending for ending in ENDINGS if ending not in ("\t", " ")])
def test_range_is_anchored_at_both_ends(ending: str) -> None:
    assert resolve_range(f"bytes=0-1{ending}", 1000) is None
    assert resolve_range(f"{ending}bytes=0-1", 1000) is None
    assert resolve_range(f"bytes=0{ending}-1", 1000) is None


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0", "bytes=5-1"])
def test_empty_content_is_sent_whole(header: str) -> None:
    assert resolve_range(header, 0) is None


@pytest.mark.parametrize(
    ("part", "size", "header"),
    [
        (ByteRange(0, 1), 1, "bytes 0-0/1"),
        (ByteRange(500, 1000), 2000, "bytes 500-1499/2000"),
        (ByteRange(2**62, 2), 2**62 + 2, f"bytes {2**62}-{2**62 + 1}/{2**62 + 2}"),
    ],
)
def test_content_range_of_an_answer_has_both_ends_and_the_size(
    part: ByteRange, size: int, header: str
) -> None:
    assert part.content_range(size) == header


@pytest.mark.parametrize(
    ("header", "offset", "length"),
    [
        ("0-0", 0, 1),
        ("0-999", 0, 1000),
        ("5-5", 5, 1),
        ("1000-1999", 1000, 1000),
        ("bytes 0-9", 0, 10),
        ("bytes=0-9", 0, 10),
        ("bytes 0-9/*", 0, 10),
        ("bytes 0-9/10", 0, 10),
        ("0-9/10", 0, 10),
        (" 0-9 ", 0, 10),
        ("00-09", 0, 10),
        ("0-9999999999999999999", 0, 10**19),
    ],
)
def test_upload_window_is_parsed(header: str, offset: int, length: int) -> None:
    assert parse_content_range(header) == ByteRange(offset, length)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "-",
        "0",
        "0-",
        "-1",
        "1-0",
        "10-9",
        "a-b",
        "0-9-10",
        "+0-9",
        "-0-9",
        "0--9",
        "0 - 9",
        "0x0-9",
        "0.0-9",
        "1_0-20",
        "0-9,10-19",
        "bytes  0-9",
        "bytes:0-9",
        "Bytes 0-9",
        "items 0-9",
        "bytes */10",
        "0-9/",
        "0-9/**",
        "0-9/a",
        "\u0660-\u0669",
        "0-\uff19",
        "0-9\n0",
        "0-99999999999999999999",
        "1" * 10_000 + "-" + "2" * 10_000,
    ],
)
def test_malformed_upload_window_is_416(header: str) -> None:
    with refused(Code.BLOB_UPLOAD_INVALID, 416):
        parse_content_range(header)


@pytest.mark.parametrize("ending", [ending for ending in ENDINGS if not ending.isspace()])
def test_upload_window_is_anchored_at_both_ends(ending: str) -> None:
    for spoiled in (f"0-9{ending}", f"{ending}0-9", f"0{ending}-9"):
        with refused(Code.BLOB_UPLOAD_INVALID, 416):
            parse_content_range(spoiled)


@pytest.mark.parametrize(
    ("header", "length"),
    [(None, None), ("0", 0), ("5", 5), ("0005", 5), ("9" * 19, 10**19 - 1)],
)
def test_content_length_is_a_number_or_absent(header: str | None, length: int | None) -> None:
    assert parse_content_length(header) == length


@pytest.mark.parametrize(
    "header",
    [
        "",
        "-1",
        "+1",
        "1.0",
        "1e3",
        "0x10",
        "1_000",
        "1,000",
        "5, 5",
        "5,6",
        " 5",
        "five",
        "\u0665",
        "\u00b2",
        "\uff15",
        "9" * 20,
        "9" * 10_000,
    ],
)
def test_malformed_content_length_is_refused(header: str) -> None:
    with refused(Code.SIZE_INVALID, 400):
        parse_content_length(header)


@pytest.mark.parametrize("ending", ENDINGS)
def test_content_length_is_anchored_at_both_ends(ending: str) -> None:
    for spoiled in (f"5{ending}", f"{ending}5", f"5{ending}5"):
        with refused(Code.SIZE_INVALID, 400):
            parse_content_length(spoiled)


@pytest.mark.parametrize(
    ("offset", "header"), [(0, "0-0"), (1, "0-0"), (2, "0-1"), (1000, "0-999")]
)
def test_range_of_a_session_ends_at_its_last_byte(offset: int, header: str) -> None:
    assert upload_range(offset) == header


@QUICK
@given(st.binary(min_size=1, max_size=30), st.integers(0, 40), st.none() | st.integers(0, 40))
def test_range_is_the_slice_of_the_content(content: bytes, first: int, last: int | None) -> None:
    header = f"bytes={first}-{'' if last is None else last}"
    wanted = content[first:] if last is None else content[first : last + 1]
    found = value_or_refusal(lambda: resolve_range(header, len(content)))

    if not wanted:
        assert isinstance(found, OciError)
    else:
        assert isinstance(found, ByteRange)
        assert content[found.offset : found.offset + found.length] == wanted
        assert found.length == len(wanted)


@QUICK
@given(st.binary(min_size=1, max_size=30), st.integers(1, 40))
def test_suffix_range_is_the_end_of_the_content(content: bytes, suffix: int) -> None:
    found = resolve_range(f"bytes=-{suffix}", len(content))

    assert found is not None
    assert content[found.offset : found.offset + found.length] == content[-suffix:]


@QUICK
@given(texts(st.builds("bytes={}-{}".format, NUMBERS, NUMBERS | st.just(""))), NUMBERS)
def test_any_range_is_within_the_content_or_ignored_or_an_oci_error(header: str, size: int) -> None:
    found = value_or_refusal(lambda: resolve_range(header, size))

    if isinstance(found, ByteRange):
        assert 0 <= found.offset < size
        assert 1 <= found.length <= size - found.offset
    else:
        assert found is None or found.status == 416


@QUICK
@given(NUMBERS, NUMBERS)
def test_upload_window_is_read_back(first: int, last: int) -> None:
    found = value_or_refusal(lambda: parse_content_range(f"{first}-{last}"))

    if last < first:
        assert isinstance(found, OciError)
    else:
        assert found == ByteRange(first, last - first + 1)


@QUICK
@given(texts(st.builds("{}-{}".format, NUMBERS, NUMBERS)))
def test_any_text_is_an_upload_window_or_an_oci_error(text: str) -> None:
    found = value_or_refusal(lambda: parse_content_range(text))

    if isinstance(found, ByteRange):
        assert found.offset >= 0
        assert found.length >= 1
    else:
        assert found.status == 416


@QUICK
@given(st.integers(1, 2**62))
def test_range_of_a_session_reads_as_all_of_its_bytes(offset: int) -> None:
    assert parse_content_range(upload_range(offset)) == ByteRange(0, offset)


@QUICK
@given(texts(NUMBERS.map(str)))
def test_any_text_is_a_content_length_or_an_oci_error(text: str) -> None:
    found = value_or_refusal(lambda: parse_content_length(text))
    is_number = text.isascii() and text.isdigit() and len(text) <= 19

    assert (found == int(text)) if is_number else isinstance(found, OciError)
