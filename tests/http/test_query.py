"""Query strings."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.http.call import Query
from angos_trio.limits.requests import QUERY_FIELDS_MAX
from angos_trio.oci.codes import TABLE, Code
from tests.oci.refusals import refused, value_or_refusal
from tests.oci.strategies import QUICK, SHA256

NUMBER = Code.PAGINATION_NUMBER_INVALID
CAN_BE_400 = [code for code, row in TABLE.items() if 400 in row.statuses]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"n=5", "5"),
        (b"x=1&n=5&y=2", "5"),
        (b"n=5&n=", "5"),
        (b"n=&n=5", "5"),
        (b"%6E=5", "5"),
        (b"n=%35", "5"),
        (b"n=a=b", "a=b"),
        (b"n=a%3Db%26c", "a=b&c"),
        (b"n=sha256%3A" + SHA256[7:].encode(), SHA256),
        (b"n=" + SHA256.encode(), SHA256),
        (b"n=a+b", "a b"),
        (b"n=a%2Bb", "a+b"),
        (b"n=a%20b", "a b"),
        (b"n=caf%C3%A9", "caf\u00e9"),
        (b"n=%00", "\x00"),
        (b"n=%zz", "%zz"),
        (b"n=%", "%"),
        (b"n=a;m=b", "a;m=b"),
        (b"n=a?b", "a?b"),
        (b"n=" + b"a" * 10_000, "a" * 10_000),
    ],
    ids=lambda item: repr(item)[:30],
)
def test_value_is_decoded(raw: bytes, value: str) -> None:
    assert Query(raw).one("n", NUMBER) == value


@pytest.mark.parametrize(
    "raw", [b"", b"&", b"n", b"n=", b"n=&n=", b"&&n=&&", b"N=5", b"m=n", b"=5"]
)
def test_missing_or_empty_value_counts_as_absent(raw: bytes) -> None:
    assert Query(raw).one("n", NUMBER) is None
    assert Query(raw).all("n") == []


@pytest.mark.parametrize("raw", [b"n=1&n=2", b"n=1&n=1", b"n=1&%6E=2", b"n=&n=1&n=&n=2"])
@pytest.mark.parametrize("code", CAN_BE_400)
def test_value_given_twice_is_refused_with_the_code_of_its_key(raw: bytes, code: Code) -> None:
    with refused(code, 400):
        Query(raw).one("n", code)


def test_every_value_of_a_repeated_key_is_kept_in_its_order() -> None:
    query = Query(b"tag=b&tag=a&x=1&tag=&tag=b")

    assert query.all("tag") == ["b", "a", "b"]
    assert query.one("x", NUMBER) == "1"


@pytest.mark.parametrize(
    "raw",
    [
        b"n=\xff",
        b"n=caf\xc3\xa9",
        b"n=%FF",
        b"n=%C3",
        b"n=%C0%AF",
        b"n=%ED%A0%80",
        b"%FF=5",
        b"x=%FF&n=5",
    ],
)
def test_query_that_is_not_utf_8_is_refused_whole(raw: bytes) -> None:
    with refused(Code.NAME_INVALID, 400):
        Query(raw)


def test_query_has_a_bounded_number_of_fields() -> None:
    most = b"&".join([b"tag=a"] * QUERY_FIELDS_MAX)

    assert len(Query(most).all("tag")) == QUERY_FIELDS_MAX
    with refused(Code.NAME_INVALID, 400):
        Query(most + b"&tag=a")
    with refused(Code.NAME_INVALID, 400):
        Query(b"&" * 1_000_000)


@QUICK
@given(st.lists(st.tuples(st.sampled_from(["n", "last", "tag"]), TEXTS), max_size=6))
def test_query_is_read_back(pairs: list[tuple[str, str]]) -> None:
    query = Query(urlencode(pairs).encode())

    for key in ("n", "last", "tag"):
        values = [value for name, value in pairs if name == key and value]
        assert query.all(key) == values
        if len(values) > 1:
            with refused(NUMBER, 400):
                query.one(key, NUMBER)
        else:
            assert query.one(key, NUMBER) == (values[0] if values else None)


@QUICK
@given(st.binary() | st.text("n=&%+;5aCcFf\u00e9").map(str.encode))
def test_any_query_is_values_or_an_oci_error(raw: bytes) -> None:
    query = value_or_refusal(lambda: Query(raw))

    if isinstance(query, Query):
        assert all(isinstance(value, str) and value for value in query.all("n"))
    else:
        assert (query.code, query.status) == (Code.NAME_INVALID, 400)
