"""`/v2/_ext/`: repositories, namespaces, revisions, tags and uploads, as the contract has them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import trio

from angos_trio.storage.metadata import pulls
from angos_trio.storage.metadata.pulls import Pulls
from tests.api.client import Client, expect_error, next_page
from tests.api.serving import ServedRegistry, serving
from tests.factories import Document, make_blob, make_descriptor, make_image, make_index

PATHS = {
    "repositories": "/v2/_ext/_repositories",
    "namespaces": "/v2/_ext/library/_namespaces",
    "revisions": "/v2/_ext/library/nginx/_revisions",
    "uploads": "/v2/_ext/library/nginx/_uploads",
}
PAGES = "n=2"


class Library(Client):
    """Speaks to a registry with a configured repository `library` and content around it."""

    index: Document
    parts: list[Document]

    def fill(self) -> None:
        self.parts = [make_image(), make_image()]
        self.index = make_index([make_descriptor(part) for part in self.parts])
        for part in self.parts:
            self.stored("library/nginx", part)
        self.stored("library/nginx", self.index, "latest")
        self.stored("library/nginx", self.index, "1.25.0")
        signature = "application/vnd.cncf.notary.signature"
        subject = make_descriptor(self.index)
        self.stored("library/nginx", make_image(artifactType=signature, subject=subject))
        self.stored("library", make_image(), "v1")
        self.stored("library/a/b", make_image(), "v1")
        self.stored("library-two/x", make_image(), "v1")
        self.stored("other", make_image(), "v1")
        self.open_upload("library/nginx")
        self.open_upload("library/only/uploads")

    def entries(self, path: str) -> list[dict[str, Any]]:
        """The list of an answer, whichever it is; the answer has no other list."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        (found,) = [value for value in answer.json().values() if isinstance(value, list)]
        return list(found)

    def pages(self, path: str) -> list[list[dict[str, Any]]]:
        found = []
        following: str | None = path
        while following is not None:
            answer = self.get(following)
            assert answer.status_code == 200, answer.text
            found.append(next(v for v in answer.json().values() if isinstance(v, list)))
            following = next_page(answer)
        return found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    rules = {"immutable_tags": True, "immutable_tags_exclusions": ["latest"]}
    repositories: dict[str, object] = {"library": rules, "empty": {}}
    with serving(tmp_path_factory.mktemp("library"), repository=repositories) as registry:
        yield registry


@pytest.fixture(scope="module")
def library(served: ServedRegistry) -> Iterator[Library]:
    with Library(served.url) as client:
        client.fill()
        yield client


def test_repositories_are_the_configured_and_one_for_each_other_first_segment(
    library: Library,
) -> None:
    found = library.entries("/v2/_ext/_repositories")

    assert [(each["name"], each["configured"], each["namespaces"]) for each in found] == [
        ("empty", True, 0),
        ("library", True, 4),
        ("library-two", False, 1),
        ("other", False, 1),
    ]
    library_entry = found[1]
    assert library_entry["immutable_tags"] is True
    assert library_entry["immutable_tags_exclusions"] == ["latest"]
    assert (library_entry["manifests"], library_entry["tags"]) == (6, 4)
    assert library_entry["uploads"] == 2


def test_namespaces_are_told_by_their_name_in_the_repository_and_by_their_path(
    library: Library,
) -> None:
    found = library.entries("/v2/_ext/library/_namespaces")

    assert [(each["name"], each["path"]) for each in found] == [
        ("", "library"),
        ("a/b", "library/a/b"),
        ("nginx", "library/nginx"),
        ("only/uploads", "library/only/uploads"),
    ]
    assert [(each["manifests"], each["uploads"]) for each in found] == [
        (1, 0),
        (1, 0),
        (4, 1),
        (0, 1),
    ]


def test_repository_that_is_not_there_is_404(library: Library) -> None:
    for path in ("nobody/_namespaces", "nobody/_revisions", "nobody/_tags"):
        expect_error(library.get(f"/v2/_ext/{path}"), 404, "NAME_UNKNOWN")
    assert library.entries("/v2/_ext/empty/_namespaces") == []
    assert library.entries("/v2/_ext/nobody/_uploads") == []
    expect_error(library.get("/v2/_ext/NO/_tags"), 400, "NAME_INVALID")


def test_revision_tells_what_is_around_it(library: Library) -> None:
    found = {each["digest"]: each for each in library.entries(PATHS["revisions"])}
    top = found[library.index.digest]

    assert len(found) == 4
    assert list(found) == sorted(found)
    assert top["tags"] == ["1.25.0", "latest"]
    assert (top["kind"], top["parent"], top["attached"]) == ("index", None, ["signature"])
    (signature,) = [each for each in found.values() if each["subject"]]
    assert top["referrers"] == [signature["digest"]]
    assert signature["kind"] == "signature"
    for part in library.parts:
        entry = found[part.digest]
        above = library.index.digest
        assert (entry["parent"], entry["parents"]) == (above, [above])
        assert entry["tags"] == []
    assert abs(top["pushed_at"] - time.time()) < 600
    assert top["pushed_at_iso"].startswith("20")
    assert top["total_size"] > sum(found[part.digest]["size"] for part in library.parts)


def test_pull_is_told_of_once_it_is_written(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = "/v2/_ext/a/_tags"
    with serving(tmp_path_factory.mktemp("pulled")) as registry, Client(registry.url) as client:
        client.stored("a", make_image(), "v1")
        first = client.get(path)
        assert first.json()["tags"][0]["last_pulled_at"] is None

        pulled = {("a", "v1"): Pulls(3, 1_700_000_000)}
        trio.run(registry.core.storage.stats.run, partial(pulls.add, pulled=pulled))
        found = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
        (entry,) = found.json()["tags"]
        assert (entry["pull_count"], entry["last_pulled_at"]) == (3, 1_700_000_000)


@pytest.mark.parametrize(
    "path", ["_repositories", "library/_namespaces", "library/nginx/_revisions", "library/_tags"]
)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_pages_have_what_the_whole_list_has(library: Library, path: str, size: int) -> None:
    whole = library.entries(f"/v2/_ext/{path}")
    pages = library.pages(f"/v2/_ext/{path}?n={size}")

    assert [entry for page in pages for entry in page] == whole
    assert all(len(page) == size for page in pages[:-1])
    backwards = library.pages(f"/v2/_ext/{path}?order=desc&n={size}")
    assert [entry for page in backwards for entry in page] == whole[::-1]
    assert library.pages(f"/v2/_ext/{path}?n=0") == [[]]


@pytest.mark.parametrize(
    "query",
    ["n=x", "n=-1", "n=1&n=2", "order=up", "sort=colour", f"q={'x' * 300}", "sort=size&after=v1"],
)
def test_query_that_says_nothing_is_400(library: Library, query: str) -> None:
    answer = library.get(f"/v2/_ext/library/_tags?{query}")

    expect_error(answer, 400, "PAGINATION_NUMBER_INVALID")


@pytest.mark.parametrize("sort", ["namespaces", "tags", "size", "pushed"])
def test_repositories_and_namespaces_are_sorted_by_what_they_hold(
    library: Library, sort: str
) -> None:
    keys = {"size": "held_bytes", "pushed": "last_pushed_at"}
    paths = {"_repositories": "name", "library/_namespaces": "path"}
    for path, name in paths.items():
        if path != "_repositories" and sort == "namespaces":
            continue
        pages = library.pages(f"/v2/_ext/{path}?sort={sort}&order=desc&n=2")
        found = [entry for page in pages for entry in page]
        values = [(entry[keys.get(sort, sort)] or 0, entry[name]) for entry in found]
        assert values == sorted(values, reverse=True)
        assert sorted(entry[name] for entry in found) == sorted(
            entry[name] for entry in library.entries(f"/v2/_ext/{path}")
        )
        assert found == library.entries(f"/v2/_ext/{path}?sort={sort}&order=desc")


def test_revisions_are_found_by_a_part_of_their_digest(library: Library) -> None:
    part = library.index.digest[10:30].upper()

    for page in ("", "&n=5"):
        (found,) = library.entries(f"{PATHS['revisions']}?q={part}{page}")
        assert found["digest"] == library.index.digest


@pytest.mark.parametrize("query", ["q=a", "order=asc", "sort=uuid"])
def test_list_without_orders_refuses_them(library: Library, query: str) -> None:
    answer = library.get(f"{PATHS['uploads']}?{query}")

    expect_error(answer, 400, "PAGINATION_NUMBER_INVALID")


def test_revisit_costs_no_list_until_something_changes(library: Library) -> None:
    for path in ("_repositories", "library/_tags", "library/_tags?n=1", "other/_revisions"):
        first = library.get(f"/v2/_ext/{path}")
        seen = {"If-None-Match": first.headers["ETag"]}
        again = library.get(f"/v2/_ext/{path}", headers=seen)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]

    tag = library.get("/v2/_ext/other/_tags").headers["ETag"]
    library.stored("other", make_image(), "v2")
    again = library.get("/v2/_ext/other/_tags", headers={"If-None-Match": tag})
    assert (again.status_code, again.headers["ETag"] != tag) == (200, True)
    library.delete("/v2/other/manifests/v2")


@pytest.fixture(scope="module")
def many(library: Library) -> list[str]:
    """Tags of one namespace in the order that people expect; each has an image of its own."""
    names = ["1.9", "1.10", "2.0-rc1", "edge", "Edge-2", "v3", "v12"]
    for number, name in enumerate(reversed(names)):
        layer = make_descriptor(make_blob("x" * (100 + number * 50)))
        library.stored("sorted", make_image(layers=[layer]), name)
    return names


def names(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["name"] for entry in entries]


@pytest.mark.parametrize("size", [None, 1, 2, 3])
def test_tags_are_in_the_order_that_people_expect_and_the_other_way_round(
    library: Library, many: list[str], size: int | None
) -> None:
    page = "" if size is None else f"&n={size}"
    for query, wanted in (("sort=name", many), ("sort=name&order=desc", many[::-1])):
        pages = library.pages(f"/v2/_ext/sorted/_tags?{query}{page}")
        assert names([entry for found in pages for entry in found]) == wanted


@pytest.mark.parametrize("sort", ["size", "pushed"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_tags_are_sorted_by_size_and_by_time(
    library: Library, many: list[str], sort: str, order: str
) -> None:
    key = {"size": "total_size", "pushed": "pushed_at"}[sort]
    pages = library.pages(f"/v2/_ext/sorted/_tags?sort={sort}&order={order}&n=2")
    found = [entry for page in pages for entry in page]

    assert sorted(names(found)) == sorted(many)
    values = [(entry[key], entry["name"]) for entry in found]
    assert values == sorted(values, reverse=order == "desc")


def test_filter_looks_into_names_without_their_case(library: Library, many: list[str]) -> None:
    assert names(library.entries("/v2/_ext/sorted/_tags?q=EDGE")) == ["edge", "Edge-2"]
    assert names(library.entries("/v2/_ext/sorted/_tags?q=%25")) == []
    found = library.pages("/v2/_ext/sorted/_tags?q=1&n=2")
    assert [names(page) for page in found] == [["1.9", "1.10"], ["2.0-rc1", "v12"]]
    assert names(library.entries("/v2/_ext/library/_namespaces?q=NGIN")) == ["nginx"]
    assert names(library.entries("/v2/_ext/_repositories?q=two")) == ["library-two"]


def test_tag_tells_the_others_of_its_manifest_and_whether_it_can_change(library: Library) -> None:
    found = {each["name"]: each for each in library.entries("/v2/_ext/library/nginx/_tags")}

    assert found["latest"]["same_digest"] == ["1.25.0"]
    assert found["1.25.0"]["same_digest"] == ["latest"]
    assert (found["latest"]["immutable"], found["1.25.0"]["immutable"]) == (False, True)
    assert found["latest"]["digest"] == library.index.digest


def test_upload_is_told_with_its_bytes_until_it_is_over(library: Library) -> None:
    location = library.open_upload("sessions")
    library.patch(location, content=b"x" * 1000)
    (found,) = library.entries("/v2/_ext/sessions/_uploads")

    assert location.endswith(found["uuid"])
    assert (found["size"], found["actor"]) == (1000, "anonymous::")
    assert abs(found["started_at"] - time.time()) < 60
    library.delete(location)
    assert library.entries("/v2/_ext/sessions/_uploads") == []


def test_head_has_no_body(library: Library) -> None:
    for path in (*PATHS.values(), "/v2/_ext/library/_tags?n=1"):
        answer = library.head(path)
        assert (answer.status_code, answer.content) == (200, b"")


READER = (
    "request.action == 'list-repositories' || request.action == 'list-namespaces' || "
    "(request.action in ['list-tags', 'list-revisions'] && request.namespace.startsWith('open'))"
)


@pytest.mark.slow
def test_lists_have_what_the_caller_sees_and_counts_of_no_more(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("policies")
    policy = {"default": "deny", "rules": [READER]}
    with serving(root) as registry, Client(registry.url) as client:
        for name in ("open/a", "open/b", "open-secret/c", "secret/d"):
            client.stored(name, make_image(), "v1")
        client.open_upload("secret/e")
    rules = {"access_policy": policy}
    repositories: dict[str, object] = {"secret": {}, "open": {}}
    with (
        serving(root, global_=rules, repository=repositories) as registry,
        Library(registry.url) as client,
    ):
        found = client.entries("/v2/_ext/_repositories")
        assert [(each["name"], each["namespaces"]) for each in found] == [
            ("open", 2),
            ("open-secret", 1),
        ]
        assert names(client.entries("/v2/_ext/open/_namespaces")) == ["a", "b"]
        for path in ("secret/_namespaces", "nobody/_namespaces"):
            expect_error(client.get(f"/v2/_ext/{path}"), 404, "NAME_UNKNOWN")
        assert client.get("/v2/_ext/secret/d/_tags").status_code == 401
        assert client.get("/v2/_ext/open/a/_uploads").status_code == 401
        assert names(client.entries("/v2/_ext/open/a/_tags")) == ["v1"]
