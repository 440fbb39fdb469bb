"""`tags/list` and `_catalog`: order, pages and links."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.client import Client, expect_error, next_page
from tests.api.serving import ServedRegistry, serving
from tests.factories import make_image, make_name

TAGS = sorted(
    ["1.0", "10", "2", "A", "B-1", "_x", "a", "a.b", "a_b", "ab", "b", "latest", "z" * 128]
)
NAMES = sorted(["a", "a/b", "a/b/c", "a-b", "a.b", "a_b", "a0", "ab", "b", "b/a", "z/tags/list"])
MANY = 1005


@pytest.fixture(scope="module")
def tagged(client: Client) -> str:
    """A repository with the tags of TAGS, pushed in another order."""
    name = make_name()
    client.stored(name, make_image(), tags=TAGS[::2])
    client.stored(name, make_image(), tags=TAGS[1::2])
    return name


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Speaks to a registry that holds the repositories of NAMES and no others."""
    with serving(tmp_path_factory.mktemp("library")) as served, Client(served.url) as speaking:
        for name in reversed(NAMES):
            speaking.stored(name, make_image(), "v1")
        speaking.push_blob("only/a/blob")
        speaking.open_upload("only/an/upload")
        yield speaking


def follow(client: Client, path: str, key: str) -> list[list[str]]:
    """Every page from a path on, by its links."""
    pages: list[list[str]] = []
    following: str | None = path
    while following is not None:
        answer = client.get(following)
        assert answer.status_code == 200, answer.text
        pages.append(answer.json()[key])
        following = next_page(answer)
    return pages


def test_tags_come_in_byte_order(client: Client, tagged: str) -> None:
    answer = client.get(f"/v2/{tagged}/tags/list")

    assert answer.json() == {"name": tagged, "tags": TAGS}
    assert answer.headers["Content-Type"] == "application/json"
    assert "Link" not in answer.headers


@pytest.mark.parametrize("size", [1, 2, 5, 12, 13, 14])
def test_pages_of_tags_follow_each_other(client: Client, tagged: str, size: int) -> None:
    pages = follow(client, f"/v2/{tagged}/tags/list?n={size}", "tags")

    assert pages == [TAGS[start : start + size] for start in range(0, len(TAGS), size)]


@pytest.mark.parametrize("size", [1, 3, 10, 11, 12])
def test_pages_of_the_catalog_follow_each_other(library: Client, size: int) -> None:
    pages = follow(library, f"/v2/_catalog?n={size}", "repositories")

    assert pages == [NAMES[start : start + size] for start in range(0, len(NAMES), size)]


def test_catalog_has_what_holds_a_manifest(library: Client) -> None:
    answer = library.get("/v2/_catalog")

    assert answer.json() == {"repositories": NAMES}
    assert "Link" not in answer.headers


def test_link_repeats_n_and_names_the_last_entry_encoded(library: Client) -> None:
    answer = library.get("/v2/_catalog?n=2")

    assert answer.headers["Link"] == '</v2/_catalog?n=2&last=a-b>; rel="next"'
    answer = library.get("/v2/_catalog?n=1&last=a.b")
    assert answer.headers["Link"] == '</v2/_catalog?n=1&last=a%2Fb>; rel="next"'


PATHS = ["/v2/{tagged}/tags/list", "/v2/_catalog"]


@pytest.mark.parametrize("path", PATHS)
def test_page_of_nothing_is_empty_and_the_last(client: Client, tagged: str, path: str) -> None:
    for number in ("0", "00"):
        answer = client.get(f"{path.format(tagged=tagged)}?n={number}")
        assert answer.status_code == 200
        assert [] in answer.json().values()
        assert "Link" not in answer.headers


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "number", ["abc", "-1", "+1", "1.0", "1e3", "0x1", "1 ", " 1", "1_0", "%D9%A3", "9" * 10_000]
)
def test_n_that_is_no_number_is_400(client: Client, tagged: str, path: str, number: str) -> None:
    answer = client.get(f"{path.format(tagged=tagged)}?n={number}")

    if number == "9" * 10_000 and answer.status_code == 200:
        return
    expect_error(answer, 400, "PAGINATION_NUMBER_INVALID")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("query", ["n=1&n=2", "last=a&last=b"])
def test_repeated_key_is_400(client: Client, tagged: str, path: str, query: str) -> None:
    answer = client.get(f"{path.format(tagged=tagged)}?{query}")

    expect_error(answer, 400, "PAGINATION_NUMBER_INVALID", detail=query[: query.index("=")])


@pytest.mark.parametrize("query", ["n=", "n", "last=", "last", "n=&last=", "other=1", "N=1"])
def test_empty_and_unknown_keys_count_as_absent(client: Client, tagged: str, query: str) -> None:
    assert client.get(f"/v2/{tagged}/tags/list?{query}").json()["tags"] == TAGS


@pytest.mark.parametrize("number", ["10000", "10001", "999999999"])
def test_huge_n_is_clamped(client: Client, tagged: str, number: str) -> None:
    assert client.get(f"/v2/{tagged}/tags/list?n={number}").json()["tags"] == TAGS


@pytest.mark.parametrize(
    "last", ["", "0", "1.0", "1.00", "A ", "aa", "a.", "zz", "é", "\U0010ffff", "%", "&n=1", "\n"]
)
def test_page_begins_strictly_after_any_text(client: Client, tagged: str, last: str) -> None:
    answer = client.get(f"/v2/{tagged}/tags/list", params={"last": last})

    assert answer.json()["tags"] == [tag for tag in TAGS if tag.encode() > last.encode()]


def test_last_that_was_deleted_is_still_a_place(client: Client, name: str) -> None:
    client.stored(name, make_image(), tags=["a", "b", "c", "d"])
    first = client.get(f"/v2/{name}/tags/list?n=2")
    client.delete(f"/v2/{name}/manifests/b")
    client.delete(f"/v2/{name}/manifests/a")
    link = next_page(first)
    assert link is not None

    assert client.get(link).json()["tags"] == ["c", "d"]


def test_last_repository_that_is_gone_is_still_a_place(library: Client) -> None:
    answer = library.get("/v2/_catalog", params={"last": "a/b/a", "n": "1"})

    assert answer.json()["repositories"] == ["a/b/c"]


@pytest.mark.parametrize("last", ["z", "zz", "\U0010ffff"])
def test_after_the_end_there_is_nothing(library: Client, last: str) -> None:
    answer = library.get("/v2/_catalog", params={"last": last + "z"})

    assert answer.json() == {"repositories": []}
    assert "Link" not in answer.headers


def test_link_appears_only_when_another_page_exists(client: Client, tagged: str) -> None:
    exact = client.get(f"/v2/{tagged}/tags/list?n={len(TAGS)}")
    one_less = client.get(f"/v2/{tagged}/tags/list?n={len(TAGS) - 1}")

    assert next_page(exact) is None
    assert next_page(one_less) is not None


def test_without_n_a_page_has_a_thousand_and_links_to_the_rest(client: Client, name: str) -> None:
    tags = sorted(f"t{number}" for number in range(MANY))
    document = make_image()
    for start in range(0, MANY, 201):
        client.stored(name, document, tags=tags[start : start + 201])

    pages = follow(client, f"/v2/{name}/tags/list", "tags")

    assert pages == [tags[:1000], tags[1000:]]


def test_repository_that_never_was_is_unknown(client: Client, name: str) -> None:
    expect_error(client.get(f"/v2/{name}/tags/list"), 404, "NAME_UNKNOWN", detail=name)
    client.open_upload(name)
    expect_error(client.get(f"/v2/{name}/tags/list"), 404, "NAME_UNKNOWN", detail=name)
    expect_error(client.get(f"/v2/{name}/tags/list?n=0"), 404, "NAME_UNKNOWN", detail=name)


def test_repository_whose_tags_are_gone_has_none(client: Client, name: str) -> None:
    document = client.stored(name, make_image(), "v1")
    client.delete(f"/v2/{name}/manifests/v1")
    assert client.get(f"/v2/{name}/tags/list").json() == {"name": name, "tags": []}
    assert name in client.get("/v2/_catalog").json()["repositories"]

    client.delete(f"/v2/{name}/manifests/{document.digest}")
    assert client.get(f"/v2/{name}/tags/list").json() == {"name": name, "tags": []}
    assert name not in client.get("/v2/_catalog").json()["repositories"]


def test_name_that_begins_others_lists_only_its_own(library: Client) -> None:
    library.stored("a", make_image(), "own")
    library.stored("a/b", make_image(), "other")

    assert library.get("/v2/a/tags/list").json()["tags"] == ["own", "v1"]
    assert library.get("/v2/a/b/tags/list").json()["tags"] == ["other", "v1"]


@pytest.mark.parametrize("query", ["n=%FF", "last=%FF", "%FF=1", "n=1&x=%80"])
def test_query_that_is_not_utf8_is_400(client: Client, tagged: str, query: str) -> None:
    answer = client.get(f"/v2/{tagged}/tags/list?{query}")

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "NAME_INVALID"


def test_pages_stay_whole_while_others_push(
    registry: ServedRegistry, client: Client, name: str
) -> None:
    document = make_image()
    stable = [f"m{number:02}" for number in range(20)]
    client.stored(name, document, tags=stable)
    seen: list[str] = []
    following: str | None = f"/v2/{name}/tags/list?n=4"
    number = 0
    while following is not None:
        answer = client.get(following)
        seen += answer.json()["tags"]
        following = next_page(answer)
        client.stored(name, document, tags=[f"a{number}", f"z{number}"])
        number += 1
        assert number < 50

    assert [tag for tag in seen if tag in stable] == stable
    assert len(seen) == len(set(seen))
