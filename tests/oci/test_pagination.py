"""Pages of a list and their links."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.names import RepositoryName
from angos_trio.oci.pagination import Page, cut, next_link, parse_page
from tests.oci.refusals import refused, value_or_refusal
from tests.oci.strategies import ENDINGS, QUICK, names, texts

DEFAULT, CEILING = 1000, 10_000
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def page_of(number: str | None, last: str | None = None) -> Page:
    return parse_page(number, last, DEFAULT, CEILING)


@pytest.mark.parametrize(
    ("number", "size"),
    [
        (None, DEFAULT),
        ("", DEFAULT),
        ("0", 0),
        ("1", 1),
        ("007", 7),
        ("1000", 1000),
        ("10000", CEILING),
        ("10001", CEILING),
        ("999999999", CEILING),
        ("2147483647", CEILING),
        ("9223372036854775807", CEILING),
        ("18446744073709551615", CEILING),
    ],
)
def test_size_is_the_number_clamped_or_the_default(number: str | None, size: int) -> None:
    assert page_of(number) == Page(size, "")


@pytest.mark.parametrize(
    "number",
    [
        "abc",
        "-1",
        "+1",
        "1.0",
        "1e3",
        "0x10",
        "1_0",
        "1,0",
        "\u0661",
        "\u00b2",
        "\uff11",
        "9" * 21,
        "9" * 10_000,
    ],
)
def test_malformed_number_is_refused(number: str) -> None:
    with refused(Code.PAGINATION_NUMBER_INVALID, 400):
        page_of(number)


@pytest.mark.parametrize("ending", ENDINGS)
def test_number_is_anchored_at_both_ends(ending: str) -> None:
    for spoiled in (f"5{ending}", f"{ending}5", f"5{ending}5"):
        with refused(Code.PAGINATION_NUMBER_INVALID, 400):
            page_of(spoiled)


@pytest.mark.parametrize("number", ["-1", "x" * 10_000])
def test_refusal_says_the_number(number: str) -> None:
    error = value_or_refusal(lambda: page_of(number))

    assert isinstance(error, OciError)
    assert error.detail == number[:256]


@pytest.mark.parametrize(
    "last", ["a", "Z", "..", "\x00", "\n", "no such tag", "\u00e9", "a" * 10_000]
)
def test_last_is_any_text(last: str) -> None:
    assert page_of("5", last) == Page(5, last)


@pytest.mark.parametrize("last", [None, ""])
def test_list_begins_at_its_beginning_without_last(last: str | None) -> None:
    assert page_of("5", last).last == ""


@pytest.mark.parametrize(
    ("entries", "size", "page", "has_more"),
    [
        ([], 2, [], False),
        (["a"], 2, ["a"], False),
        (["a", "b"], 2, ["a", "b"], False),
        (["a", "b", "c"], 2, ["a", "b"], True),
        (["a"], 0, [], False),
        ([], 0, [], False),
    ],
)
def test_page_is_cut_and_knows_whether_another_follows(
    entries: list[str], size: int, page: list[str], has_more: bool
) -> None:
    assert cut(entries, Page(size, "")) == (page, has_more)


@pytest.mark.parametrize(
    ("parameters", "link"),
    [
        ({"n": "5", "last": "a"}, '</v2/a/tags/list?n=5&last=a>; rel="next"'),
        ({"last": "a b&c=d"}, '</v2/a/tags/list?last=a%20b%26c%3Dd>; rel="next"'),
        ({"last": '>; rel="x"'}, '</v2/a/tags/list?last=%3E%3B%20rel%3D%22x%22>; rel="next"'),
        ({"last": "\r\nX: y"}, '</v2/a/tags/list?last=%0D%0AX%3A%20y>; rel="next"'),
        ({"last": "\u00e9/"}, '</v2/a/tags/list?last=%C3%A9%2F>; rel="next"'),
        ({"last": "%2F+"}, '</v2/a/tags/list?last=%252F%2B>; rel="next"'),
    ],
)
def test_link_is_relative_and_encoded(parameters: dict[str, str], link: str) -> None:
    assert next_link("/v2/a/tags/list", parameters) == link


@QUICK
@given(names(), st.dictionaries(st.sampled_from(["n", "last", "artifactType"]), ANY_TEXT))
def test_link_is_read_back(name: RepositoryName, parameters: dict[str, str]) -> None:
    path = f"/v2/{name}/tags/list"
    link = next_link(path, parameters)
    target, _, relation = link.partition(">; ")

    assert relation == 'rel="next"'
    assert link.isascii()
    assert link.isprintable()
    found_path, _, query = target.removeprefix("<").partition("?")
    assert unquote(found_path) == path
    assert dict(parse_qsl(query, keep_blank_values=True, errors="strict")) == parameters


@QUICK
@given(st.sets(st.text(max_size=3), max_size=30), st.integers(1, 8))
def test_pages_together_are_the_list(entries: set[str], size: int) -> None:
    ordered = sorted(entries - {""})
    seen: list[str] = []
    page, has_more = Page(size, ""), True
    while has_more:
        following = [entry for entry in ordered if entry > page.last][: page.size + 1]
        found, has_more = cut(following, page)
        assert len(found) == size or not has_more
        seen += found
        page = Page(size, seen[-1] if seen else "")

    assert seen == ordered


@QUICK
@given(st.none() | texts(st.integers(0, 10**12).map(str)), st.none() | ANY_TEXT)
def test_any_query_is_a_page_or_an_oci_error(number: str | None, last: str | None) -> None:
    found = value_or_refusal(lambda: page_of(number, last))

    if isinstance(found, Page):
        assert 0 <= found.size <= CEILING
        assert found.last == (last or "")
    else:
        assert found.code is Code.PAGINATION_NUMBER_INVALID
        assert number is not None
        assert re.fullmatch("[0-9]{1,20}", number) is None
