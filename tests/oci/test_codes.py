"""The table of error codes, and the exception."""

from __future__ import annotations

import pytest

from angos_trio.oci.codes import DETAIL_CHARS_MAX, TABLE, Code, OciError

# Distribution specification 1.1, section "Error Codes".
OF_THE_SPECIFICATION = (
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
)

# The contract, and what was decided where it is silent.
DECIDED = (
    (Code.BLOB_UNKNOWN, 404),
    (Code.BLOB_UPLOAD_INVALID, 400),
    (Code.BLOB_UPLOAD_INVALID, 413),
    (Code.BLOB_UPLOAD_INVALID, 416),
    (Code.BLOB_UPLOAD_UNKNOWN, 404),
    (Code.DENIED, 403),
    (Code.DENIED, 405),
    (Code.DENIED, 413),
    (Code.DIGEST_INVALID, 400),
    (Code.MANIFEST_BLOB_UNKNOWN, 404),
    (Code.MANIFEST_INVALID, 400),
    (Code.MANIFEST_INVALID, 413),
    (Code.MANIFEST_UNKNOWN, 404),
    (Code.NAME_INVALID, 400),
    (Code.NAME_UNKNOWN, 404),
    (Code.SIZE_INVALID, 400),
    (Code.SIZE_INVALID, 416),
    (Code.TAG_IMMUTABLE, 409),
    (Code.TAG_INVALID, 400),
    (Code.TOOMANYREQUESTS, 429),
    (Code.UNAUTHORIZED, 401),
    (Code.UNAVAILABLE, 502),
    (Code.UNAVAILABLE, 503),
    (Code.UNAVAILABLE, 507),
    (Code.UNKNOWN, 500),
    (Code.UNSUPPORTED, 405),
    (Code.UNSUPPORTED, 415),
)


@pytest.mark.parametrize("name", OF_THE_SPECIFICATION)
def test_code_of_the_specification_exists_under_its_name(name: str) -> None:
    assert Code(name) == name


@pytest.mark.parametrize("code", Code)
def test_every_code_has_a_row_with_a_message_and_statuses(code: Code) -> None:
    row = TABLE[code]

    assert row.message
    assert row.statuses
    assert all(400 <= status <= 599 for status in row.statuses)


@pytest.mark.parametrize("code", Code)
def test_code_is_spelled_as_it_is_named(code: Code) -> None:
    assert code.value == code.name


def test_table_has_no_row_beside_the_codes() -> None:
    assert set(TABLE) == set(Code)


def test_only_unavailable_and_unknown_are_server_errors() -> None:
    server_errors = {code for code, row in TABLE.items() if max(row.statuses) >= 500}

    assert server_errors == {Code.UNAVAILABLE, Code.UNKNOWN}


@pytest.mark.parametrize(("code", "status"), DECIDED)
def test_decided_pair_can_be_sent(code: Code, status: int) -> None:
    assert OciError(code, status=status).status == status


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.BLOB_UNKNOWN, 500),
        (Code.DENIED, 401),
        (Code.MANIFEST_UNKNOWN, 400),
        (Code.TAG_INVALID, 404),
        (Code.UNAUTHORIZED, 403),
        (Code.UNAVAILABLE, 404),
        (Code.UNKNOWN, 200),
    ],
)
def test_other_pair_cannot_be_made(code: Code, status: int) -> None:
    with pytest.raises(ValueError, match="never sent"):
        OciError(code, status=status)


@pytest.mark.parametrize("code", Code)
def test_status_and_message_default_to_those_of_the_row(code: Code) -> None:
    error = OciError(code)

    assert (error.status, error.message) == (TABLE[code].statuses[0], TABLE[code].message)
    assert error.detail is None
    assert error.headers == {}


def test_given_message_status_and_headers_win() -> None:
    headers = {"Content-Range": "bytes */5"}
    error = OciError(Code.SIZE_INVALID, status=416, message="not there", headers=headers)
    headers.clear()

    assert (error.status, error.message) == (416, "not there")
    assert error.headers == {"Content-Range": "bytes */5"}


def test_long_text_of_a_detail_is_cut() -> None:
    assert OciError(Code.NAME_INVALID, detail="x" * 10_000).detail == "x" * DETAIL_CHARS_MAX


@pytest.mark.parametrize("detail", [0, {"offset": 7}, ["a"], "short"])
def test_other_detail_is_kept(detail: object) -> None:
    assert OciError(Code.SIZE_INVALID, detail=detail).detail == detail


def test_error_names_code_status_and_detail_when_printed() -> None:
    printed = str(OciError(Code.TAG_INVALID, detail="a\nb"))

    assert printed == "TAG_INVALID 400: tag invalid ('a\\nb')"
