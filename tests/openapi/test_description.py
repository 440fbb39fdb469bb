"""`docs/openapi.json` describes what code and docs say, all of it and nothing else."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.docs import facts
from tests.openapi import document
from tests.openapi.document import (
    FILE,
    HEAD,
    SWITCHING,
    Place,
    descriptions,
    errors,
    places,
    success_statuses,
)

REFERENCE = re.compile(r'"\$ref": "#/components/(\w+)/([^"]+)"')


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    """The file."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def operations(written: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every operation by method and path."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in written["paths"].items()
        for method, operation in methods.items()
    }


def test_file_is_what_the_code_and_the_docs_make_of_it() -> None:
    assert FILE.read_text(encoding="utf-8") == document.text(), "make openapi writes it anew"


def test_routes_are_those_of_the_tables_with_action_and_policy(written: dict[str, Any]) -> None:
    told = {
        f"{key.partition(' ')[0]} {route['path']} {route['action']} {route['policy']}"
        for key, operation in operations(written).items()
        for route in operation["x-routes"]
    }
    implied = {route for route in told if route.startswith("HEAD ")}
    named = {route for route in facts.routes() if route.startswith("HEAD ")}

    assert told - implied == (facts.routes() | facts.web_routes()) - named
    assert implied == {
        route.replace("GET ", "HEAD ", 1) for route in told if route.startswith("GET ")
    }
    assert named <= implied


def test_everything_that_is_described_is_a_route() -> None:
    assert set(descriptions()) == {place.key for place in places()}


def test_statuses_of_success_are_those_of_the_table_of_routes(written: dict[str, Any]) -> None:
    described = {
        key: {int(status) for status in operation["responses"] if int(status) < 400}
        for key, operation in operations(written).items()
        if key in success_statuses()
    }

    assert described == success_statuses()


def test_each_error_of_the_docs_is_one_of_its_operation(written: dict[str, Any]) -> None:
    found = operations(written)

    for key, statuses in errors().items():
        if key and statuses:
            assert {str(status) for status in statuses} <= set(found[key]["responses"]), key


def test_references_lead_somewhere(written: dict[str, Any]) -> None:
    text = json.dumps(written)
    wanted = set(REFERENCE.findall(text))

    assert wanted
    assert [each for each in wanted if each[1] not in written["components"][each[0]]] == []
    assert text.count("$ref") == len(REFERENCE.findall(text))


def test_ids_of_operations_are_unique(written: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operation in operations(written).values()]

    assert len(ids) == len(set(ids))


def test_head_has_no_content_and_all_that_get_has_else(written: dict[str, Any]) -> None:
    found = operations(written)

    for key, operation in found.items():
        if key.startswith("HEAD "):
            answers = operation["responses"]
            get = found[key.replace("HEAD", "GET", 1)]["responses"]
            assert all("content" not in answer for answer in answers.values()), key
            own = {"206", "507", str(SWITCHING)}
            assert set(get) - own == set(answers) - own, key
    heads = [name for name in written["components"]["responses"] if name.startswith(HEAD)]
    assert all("content" not in written["components"]["responses"][name] for name in heads)


def test_route_that_is_not_described_is_named() -> None:
    place = places()[0]
    unknown = Place("GET", "/v2/_ext/_new", place.operation, "")

    with pytest.raises(LookupError, match="GET /v2/_ext/_new"):
        document.operation_of([unknown])
