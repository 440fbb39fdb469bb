"""From a raw path to a route."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.http.routing import Match, Operation, Route, RouteTable
from angos_trio.identity import Action
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName, Tag
from tests.oci.refusals import refused, value_or_refusal
from tests.oci.strategies import FEW, QUICK, SHA256, digests, names, tags

SESSION = "123e4567-e89b-12d3-a456-426614174000"

BLOB = "/v2/{name}/blobs/{digest}"
UPLOADS = "/v2/{name}/blobs/uploads/"
UPLOAD = "/v2/{name}/blobs/uploads/{session}"
MANIFEST = "/v2/{name}/manifests/{reference}"
TAGS = "/v2/{name}/tags/list"
REFERRERS = "/v2/{name}/referrers/{digest}"
FIXED = ("/v2/", "/v2", "/v2/_catalog", "/health", "/metrics")
TEMPLATES = (*FIXED, BLOB, UPLOADS, UPLOAD, MANIFEST, TAGS, REFERRERS)


async def answer(call: Call) -> Reply:
    return Reply(200)


def table_of(templates: tuple[str, ...]) -> RouteTable:
    operations = {"GET": Operation(Action.GET_API_VERSION, answer)}
    return RouteTable([Route(template, operations) for template in templates])


ROUTES = table_of(TEMPLATES)


def found(path: str) -> tuple[str, Mapping[str, str]] | None:
    match = ROUTES.find(path.encode("ascii"))
    return None if match is None else (match.route.template, match.values)


@pytest.mark.parametrize("path", FIXED)
def test_fixed_path_has_its_route(path: str) -> None:
    assert found(path) == (path, {})


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v2/_catalog/", "/v2/_catalog"),
        ("/health/", "/health"),
        ("/metrics/", "/metrics"),
        ("/%76%32/", "/v2/"),
        ("/v2/%5Fcatalog", "/v2/_catalog"),
    ],
)
def test_fixed_path_may_end_in_a_slash_or_be_encoded(path: str, template: str) -> None:
    assert found(path) == (template, {})


@pytest.mark.parametrize(
    ("path", "template", "values"),
    [
        ("/v2/a/blobs/b", BLOB, {"name": "a", "digest": "b"}),
        (f"/v2/a/b/c/blobs/{SHA256}", BLOB, {"name": "a/b/c", "digest": SHA256}),
        (f"/v2/a/blobs/{quote(SHA256)}", BLOB, {"name": "a", "digest": SHA256}),
        ("/v2/a/blobs/uploads/", UPLOADS, {"name": "a"}),
        ("/v2/a/blobs/uploads", UPLOADS, {"name": "a"}),
        ("/v2/a/b/blobs/uploads", UPLOADS, {"name": "a/b"}),
        (f"/v2/a/blobs/uploads/{SESSION}", UPLOAD, {"name": "a", "session": SESSION}),
        ("/v2/a/manifests/latest", MANIFEST, {"name": "a", "reference": "latest"}),
        ("/v2/a/tags/list", TAGS, {"name": "a"}),
        (f"/v2/a/referrers/{SHA256}", REFERRERS, {"name": "a", "digest": SHA256}),
        ("/v2/a/manifests/caf%C3%A9", MANIFEST, {"name": "a", "reference": "caf\u00e9"}),
        ("/v2/a/manifests/a+b", MANIFEST, {"name": "a", "reference": "a+b"}),
        ("/v2/a/manifests/a%20b", MANIFEST, {"name": "a", "reference": "a b"}),
        ("/v2/a/manifests/a%0A", MANIFEST, {"name": "a", "reference": "a\n"}),
        ("/v2/a/manifests/%zz%", MANIFEST, {"name": "a", "reference": "%zz%"}),
        ("/v2/a/manifests/%252F", MANIFEST, {"name": "a", "reference": "%2F"}),
        ("/v2/a/manifests/..", MANIFEST, {"name": "a", "reference": ".."}),
        ("/v2/A/manifests/x", MANIFEST, {"name": "A", "reference": "x"}),
    ],
)
def test_named_path_has_its_route_and_decoded_values(
    path: str, template: str, values: Mapping[str, str]
) -> None:
    assert found(path) == (template, values)


@pytest.mark.parametrize(
    ("path", "template", "name"),
    [
        ("/v2/blobs/blobs/x", BLOB, "blobs"),
        ("/v2/v2/tags/list", TAGS, "v2"),
        ("/v2/manifests/manifests/manifests", MANIFEST, "manifests"),
        ("/v2/tags/list/tags/list", TAGS, "tags/list"),
        ("/v2/a/blobs/manifests/x", MANIFEST, "a/blobs"),
        ("/v2/a/manifests/blobs/x", BLOB, "a/manifests"),
        ("/v2/a/blobs/uploads/manifests/x", MANIFEST, "a/blobs/uploads"),
        ("/v2/a/blobs/uploads/tags/list", TAGS, "a/blobs/uploads"),
        ("/v2/a/blobs/uploads/blobs/uploads", UPLOADS, "a/blobs/uploads"),
        ("/v2/a/blobs/uploads/blobs/uploads/", UPLOADS, "a/blobs/uploads"),
        ("/v2/a/blobs/uploads/blobs/uploads/x", UPLOAD, "a/blobs/uploads"),
        ("/v2/a/blobs/uploads/blobs/x", BLOB, "a/blobs/uploads"),
        ("/v2/a/manifests/tags/list", TAGS, "a/manifests"),
        ("/v2/a/manifests/b/referrers/x", REFERRERS, "a/manifests/b"),
        ("/v2/a/referrers/manifests/uploads", MANIFEST, "a/referrers"),
        ("/v2/uploads/blobs/uploads/uploads", UPLOAD, "uploads"),
        ("/v2/a/tags/manifests/list", MANIFEST, "a/tags"),
    ],
)
def test_right_most_endpoint_decides(path: str, template: str, name: str) -> None:
    match = found(path)

    assert match is not None
    assert (match[0], match[1]["name"]) == (template, name)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "//",
        "*",
        "/v1/",
        "/v3",
        "/V2/",
        "/v2x",
        "//v2/",
        "/x/v2/",
        "x/v2/",
        "x/health",
        "v2/",
        "/v2/a",
        "/v2/a/",
        "/v2/a/b/c",
        "/v2/blobs/x",
        "/v2/manifests/latest",
        "/v2/tags/list",
        "/v2/blobs/uploads/",
        "/v2/a/tags",
        "/v2/a/tags/lists",
        "/v2/a/tags/list/x",
        "/v2/a/blobs",
        "/v2/a/blobs/",
        "/v2/a/manifests/",
        "/v2/a/referrers/",
        "/v2/a/blobs/uploads//",
        "/v2/a/blobs/uploads/x/y",
        "/v2/../health",
        "/v2/%2e%2e/health",
        "/./health",
        "/healthx",
        "/health/x",
        "/v2/a/manifests\\x",
        "/x" * 5_000,
        "/v2" + "/x" * 5_000,
        "/" * 10_000,
    ],
    ids=lambda path: repr(path[:30]),
)
def test_other_path_has_no_route(path: str) -> None:
    assert found(path) is None


@pytest.mark.parametrize(
    "raw_path",
    [
        b"/v2/a%2Fb/manifests/x",
        b"/v2/a%2fb/manifests/x",
        b"/v2/a/manifests/..%2F..%2Fx",
        b"/v2%2F",
        b"/health%2F",
        b"/v2/a/manifests/x%00",
        b"/v2/a%00/manifests/x",
        b"/v2/a\x00/manifests/x",
        b"/v2/a/manifests/%FF",
        b"/v2/a/manifests/%C3",
        b"/v2/a/manifests/%C0%AF",  # an overlong slash
        b"/v2/a/manifests/%ED%A0%80",  # a surrogate
        b"/v2/caf\xc3\xa9/manifests/x",
        b"/\xff",
        b"/v2/" + b"%FF" * 10_000,
    ],
    ids=lambda raw_path: repr(raw_path[:40]),
)
def test_path_that_cannot_be_decoded_to_plain_segments_is_refused(raw_path: bytes) -> None:
    with refused(Code.NAME_INVALID, 400):
        ROUTES.find(raw_path)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v2//manifests/x", ""),
        ("/v2/a//b/manifests/x", "a//b"),
        ("/v2//a/manifests/x", "/a"),
        ("/v2/a//manifests/x", "a/"),
        ("/v2/../manifests/x", ".."),
        ("/v2/%2e%2e/manifests/x", ".."),
        ("/v2/a%5Cb/manifests/x", "a\\b"),
        ("/v2/caf%C3%A9/manifests/x", "caf\u00e9"),
        ("/v2/a%0A/manifests/x", "a\n"),
        ("/v2/_catalog/manifests/x", "_catalog"),
    ],
)
def test_malformed_name_has_a_route_and_is_then_refused(path: str, name: str) -> None:
    match = found(path)

    assert match == (MANIFEST, {"name": name, "reference": "x"})
    with refused(Code.NAME_INVALID, 400):
        RepositoryName(name)


FILLED = table_of((*TEMPLATES, "/v2/_ext/_keys", "/v2/_ext/_keys/{id}"))


@pytest.mark.parametrize(
    ("path", "template", "values"),
    [
        ("/v2/_ext/_keys", "/v2/_ext/_keys", {}),
        ("/v2/_ext/_keys/", "/v2/_ext/_keys", {}),
        ("/v2/_ext/_keys/abc", "/v2/_ext/_keys/{id}", {"id": "abc"}),
        ("/v2/_ext/_keys/a%20b", "/v2/_ext/_keys/{id}", {"id": "a b"}),
        ("/v2/%5Fext/_keys/..", "/v2/_ext/_keys/{id}", {"id": ".."}),
        ("/v2/a/manifests/x", MANIFEST, {"name": "a", "reference": "x"}),
        ("/v2/_ext/_keys/tags/list", TAGS, {"name": "_ext/_keys"}),
    ],
)
def test_segment_in_braces_takes_one_segment_and_a_name_is_not_needed(
    path: str, template: str, values: Mapping[str, str]
) -> None:
    match = FILLED.find(path.encode())

    assert match is not None
    assert (match.route.template, match.values) == (template, values)


@pytest.mark.parametrize(
    "path", ["/v2/_ext", "/v2/_ext/_keys/a/b", "/v2/_ext/_keys//", "/_ext/_keys/a"]
)
def test_more_or_fewer_segments_are_no_such_route(path: str) -> None:
    match = FILLED.find(path.encode())

    assert match is None or "{" not in match.route.template


def test_table_of_no_routes_finds_nothing() -> None:
    assert table_of(()).find(b"/v2/") is None


@pytest.mark.parametrize(
    "path", ["/v2/a/blobs/uploads", "/v2/a/tags/list", f"/v2/a/blobs/{SHA256}"]
)
def test_order_of_the_routes_does_not_matter(path: str) -> None:
    backwards = table_of(TEMPLATES[::-1]).find(path.encode())

    assert backwards is not None
    assert (backwards.route.template, backwards.values) == found(path)


def fillings() -> st.SearchStrategy[tuple[str, dict[str, str]]]:
    """A template, and well-formed values for it."""
    digest, tag = digests().map(str), tags().map(str)
    more = {
        BLOB: st.fixed_dictionaries({"digest": digest}),
        UPLOADS: st.just({}),
        UPLOAD: st.fixed_dictionaries({"session": st.uuids().map(str)}),
        MANIFEST: st.fixed_dictionaries({"reference": digest | tag}),
        TAGS: st.just({}),
        REFERRERS: st.fixed_dictionaries({"digest": digest}),
    }
    return st.sampled_from(sorted(more)).flatmap(
        lambda template: st.builds(
            lambda name, values: (template, {"name": str(name), **values}), names(), more[template]
        )
    )


@FEW
@given(fillings(), st.sampled_from(["/", "/:", "/:abcdefgh0123._-"]))
def test_well_formed_values_are_read_back_however_they_are_encoded(
    filling: tuple[str, dict[str, str]], plain: str
) -> None:
    template, values = filling
    path = quote(template.format(**values), safe=plain)

    assert found(path) == (template, values)


@QUICK
@given(names(), st.sampled_from(["manifests", "blobs", "referrers"]), st.one_of(tags(), digests()))
def test_reserved_words_in_a_name_do_not_move_the_endpoint(
    name: RepositoryName, word: str, reference: Tag | Digest
) -> None:
    match = ROUTES.find(f"/v2/{name}/{word}/x{reference}".encode())

    assert match is not None
    assert match.values["name"] == name
    assert f"x{reference}" in match.values.values()


def raw_paths() -> st.SearchStrategy[bytes]:
    words = ["", "v2", "a", "blobs", "uploads", "manifests", "tags", "list", "referrers", ".."]
    odd = ["_catalog", "health", "%2F", "%2e", "%00", "%", "%zz", "%C3%A9", "%C3", "caf\u00e9", "A"]
    pieces = st.sampled_from([*words, *odd]) | st.text(max_size=3)
    return st.binary() | st.lists(pieces, max_size=8).map(lambda parts: "/".join(parts).encode())


@QUICK
@given(raw_paths())
def test_any_path_is_a_route_or_none_or_an_oci_error(raw_path: bytes) -> None:
    match = value_or_refusal(lambda: ROUTES.find(raw_path))

    if isinstance(match, OciError):
        assert (match.code, match.status) == (Code.NAME_INVALID, 400)
    elif isinstance(match, Match):
        assert raw_path.startswith(b"/")
        others = [value for key, value in match.values.items() if key != "name"]
        assert not any("/" in value or value == "" for value in others)
        assert not any("\x00" in value for value in match.values.values())
