"""A page of rows in an order that people choose, out of a stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.browse.selection import Selection, Wanted
from angos_trio.oci.codes import OciError
from tests.oci.strategies import QUICK

Row = tuple[str, int]
ORDERS = {"size": lambda row: row[1]}


def select(rows: list[Row], wanted: Wanted) -> tuple[list[Row], str | None, int]:
    selection = Selection[Row](wanted, lambda row: row[0], ORDERS)
    for row in rows:
        selection.offer(row)
    page = selection.page()
    return page.rows, page.next_after, page.matching


def rows() -> st.SearchStrategy[list[Row]]:
    """Names of few letters, each once, with few sizes."""
    names = st.text("ab0/", min_size=1, max_size=4)
    return st.dictionaries(names, st.integers(0, 3), max_size=30).map(lambda d: list(d.items()))


@QUICK
@given(
    rows=rows(),
    size=st.integers(1, 5),
    sort=st.sampled_from(["name", "size"]),
    is_descending=st.booleans(),
    contains=st.sampled_from(["", "a", "A"]),
)
def test_pages_one_after_the_other_are_the_sorted_list(
    rows: list[Row], size: int, sort: str, is_descending: bool, contains: str
) -> None:
    found: list[Row] = []
    after: str | None = ""
    while after is not None:
        wanted = Wanted(size, after, contains, sort, is_descending)
        page, after, matching = select(rows, wanted)
        assert len(page) <= size
        found += page

    matches = [row for row in rows if contains.lower() in row[0]]
    assert matching == len(matches)
    by_name = sorted(matches, key=lambda row: row[0], reverse=is_descending)
    by_size = sorted(matches, key=lambda row: (row[1], row[0]), reverse=is_descending)
    assert found == (by_name if sort == "name" else by_size)


@pytest.mark.parametrize("after", ["a", "x:a", ":a", "-1:a", "1" * 20 + ":a", "²:a"])
def test_cursor_of_another_order_is_refused(after: str) -> None:
    with pytest.raises(OciError):
        select([], Wanted(5, after, sort="size"))
