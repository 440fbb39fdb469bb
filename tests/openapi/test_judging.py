"""What judges answers, and what makes requests, without a registry."""

from __future__ import annotations

import jsonschema
import pytest

from tests.openapi.asking import Asker, NoAnswerError, Wanted
from tests.openapi.declared import undeclared
from tests.openapi.document import descriptions, places
from tests.openapi.hostile import hostile, some_of
from tests.openapi.judging import closed
from tests.openapi.known import GIVEN
from tests.openapi.parts import STRING, array, record
from tests.running import free_port


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", b"/v2/", 200),
        ("HEAD", b"/v2/a/b/manifests/latest", 304),
        ("GET", b"/v2/a/blobs/b/tags/list", 404),
        ("PUT", b"/v2/", 405),
        ("GET", b"/a/b:tag", 401),
        ("POST", b"/", 405),
        ("GET", b"/v2/nothing", 404),
        ("GET", b"/v2/%ff", 400),
    ],
)
def test_status_of_the_description_is_declared(method: str, path: bytes, status: int) -> None:
    assert undeclared(method, path, status) is None


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", b"/v2/", 418),
        ("HEAD", b"/v2/a/b/manifests/latest", 206),
        ("DELETE", b"/v2/a/tags/list", 202),
        ("GET", b"/a/b:tag", 409),
        ("GET", b"/v2/nothing", 200),
        ("GET", b"/v2/%ff", 500),
    ],
)
def test_status_that_the_description_does_not_have_is_named(
    method: str, path: bytes, status: int
) -> None:
    problem = undeclared(method, path, status)

    assert problem is not None
    assert str(status) in problem


def test_closed_schema_takes_no_key_that_it_does_not_name() -> None:
    kind = record(entries=array(record(name=STRING)))
    more = {"entries": [{"name": "a", "more": 1}]}

    jsonschema.validate(more, kind)
    jsonschema.validate({"entries": [{"name": "a"}]}, closed(kind))
    with pytest.raises(jsonschema.ValidationError, match="more"):
        jsonschema.validate(more, closed(kind))


def test_seed_decides_which_odd_requests_are_made() -> None:
    meant = Wanted("PUT", "/v2/a/manifests/b?tag=c", {"X": "y"}, b"{}")

    assert some_of(meant, 1, 20) == some_of(meant, 1, 20)
    assert some_of(meant, 1, 20) != some_of(meant, 2, 20)
    assert len(some_of(meant, 1, 10_000)) == len(list(hostile(meant)))


def test_each_part_of_a_request_is_odd_once() -> None:
    meant = Wanted("POST", "/v2/a/_delete?x=1", {}, b"{}")
    odd = list(hostile(meant))

    assert any(wanted.target.startswith("/v2/%00/") for wanted in odd)
    assert any(wanted.target.endswith("?x=1&n=1&n=2") for wanted in odd)
    assert any("Range" in wanted.headers for wanted in odd)
    assert any(wanted.body == b"NaN" for wanted in odd)
    assert not any(wanted == meant for wanted in odd)


def test_request_is_told_without_who_asked() -> None:
    told = Wanted("GET", "/v2/", {"Authorization": "Basic c2VjcmV0", "X": "y"}).told()

    assert "c2VjcmV0" not in told
    assert "'X': 'y'" in told


def test_what_succeeds_is_known_of_operations_that_there_are() -> None:
    assert set(GIVEN) <= set(descriptions())
    assert {place.key for place in places() if place.method == "DELETE"} <= set(GIVEN)


def test_answer_that_does_not_come_is_an_error_of_its_own() -> None:
    with pytest.raises(NoAnswerError):
        Asker(f"127.0.0.1:{free_port()}").ask(Wanted("GET", "/"))
