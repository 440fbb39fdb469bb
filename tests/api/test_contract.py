"""The contract, word for word in `contract.txt`: each endpoint, query parameter, JSON example and
code that stands there is looked for, in what is served and in what is described."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from angos_trio.oci.codes import TABLE, Code
from tests.openapi.document import FILE
from tests.openapi.pages import SAME
from tests.web.content import Filler, library

TEXT: Final = Path(__file__).with_name("contract.txt").read_text(encoding="utf-8")
_ENDPOINT = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE) (/\S*)")
_PARAMETER = re.compile(r"(?:^|\)|results)(\w+)- [A-Z]")
"""The breaks between the lines of its lists are lost."""
_ROW = re.compile(r"^(/\S*) \| .+ \|$", re.MULTILINE)
_CODE = re.compile(r"^([A-Z_]+) \| ([0-9]{3}) \|", re.MULTILINE)
NAMES: Final = {"namespace": "name", "repository": "name", "uuid": "session"}
"""Of values in paths: what the contract calls them, and what they are called here."""
HERE: Final = {"repository": "library", "namespace": "library/nginx"}
NULLABLE: Final = {"parent", "last_pulled_at"}
"""What the example has, and what may be not known all the same: the contract shows one as null."""


@dataclass
class Endpoint:
    """What the contract says of some endpoints that stand together."""

    asked: list[str]
    parameters: list[str] = field(default_factory=list)
    examples: list[dict[str, Any]] = field(default_factory=list)


def endpoints() -> list[Endpoint]:
    """All of the contract. An example belongs to the endpoint above it."""
    found: list[Endpoint] = []
    lines = TEXT.partition("\nAuthentication\n")[0].splitlines()
    was_endpoint = False
    for number, line in enumerate(lines):
        match = _ENDPOINT.fullmatch(line)
        if match is not None and was_endpoint:
            found[-1].asked.append(line)
        elif match is not None:
            found.append(Endpoint([line]))
        elif line == "{" and lines[number - 1] == "Response:":
            example, _ = json.JSONDecoder().raw_decode("\n".join(lines[number:]))
            found[-1].examples.append(example)
        elif found:
            found[-1].parameters += _PARAMETER.findall(line)
        was_endpoint = match is not None
    return found


def examples() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each example with the path that answers so."""
    for endpoint in endpoints():
        for example in endpoint.examples:
            yield endpoint.asked[0].partition(" ")[2], example


def pages() -> list[str]:
    """The paths of the table of the web interface."""
    table = TEXT.partition("UI Routes\n")[2].partition("UI Configuration")[0]
    return _ROW.findall(table)


def described(asked: str) -> dict[str, Any]:
    """The operation of the description that is an endpoint of the contract."""
    method, _, path = asked.partition(" ")
    path = re.sub(r"\{(\w+)\}", lambda match: f"{{{NAMES.get(match[1], match[1])}}}", path)
    path = path.partition("?")[0]
    paths = json.loads(FILE.read_text(encoding="utf-8"))["paths"]
    found: dict[str, Any] = paths[SAME.get(path, path)][method.lower()]
    return found


@pytest.fixture(scope="module")
def filler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filler]:
    with library(tmp_path_factory.mktemp("library")) as (_, filler):
        yield filler


def assert_like(example: Any, answer: Any, at: str = "") -> None:
    """The answer has the example's keys first, in its order, with values of its types."""
    if isinstance(example, dict):
        assert list(answer)[: len(example)] == list(example), at
        for key, value in example.items():
            is_unknown = key in NULLABLE and answer[key] is None
            assert is_unknown or value is not None or type(answer[key]) is str, f"{at}.{key}"
            if not is_unknown and value is not None:
                assert_like(value, answer[key], f"{at}.{key}")
    elif isinstance(example, list):
        assert type(answer) is list
        for each in answer:
            assert_like(example[0], each, f"{at}[]")
    else:
        assert type(answer) is type(example), at


def listed(document: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """An answer without keys that may stand before those of the contract."""
    return {key: document[key] for key in example}


def test_contract_is_read() -> None:
    found = endpoints()

    assert sum(len(endpoint.asked) for endpoint in found) == 23
    assert [path for path, _ in examples()] == [
        "/v2/_ext/_repositories",
        "/v2/_ext/{repository}/_namespaces",
        "/v2/_ext/{namespace}/_revisions",
        "/v2/_ext/{namespace}/_uploads",
        "/_ui/config",
    ]
    assert [name for endpoint in found for name in endpoint.parameters] == [
        *("digest", "mount", "n", "last", "n", "last", "artifactType"),
    ]
    assert len(pages()) == 5


@pytest.mark.parametrize("asked", [each for endpoint in endpoints() for each in endpoint.asked])
def test_endpoint_is_described(asked: str) -> None:
    assert described(asked)["x-routes"]


def test_query_parameters_are_described() -> None:
    for endpoint in endpoints():
        for asked in endpoint.asked:
            named = {each.get("name") for each in described(asked).get("parameters", ())}
            wanted = {*endpoint.parameters, *re.findall(r"[?&](\w+)=", asked)}
            assert wanted <= named, asked


@pytest.mark.parametrize(
    ("path", "example"), list(examples()), ids=[path for path, _ in examples()]
)
def test_answer_is_like_the_example(filler: Filler, path: str, example: dict[str, Any]) -> None:
    answer = filler.get(path.format(**HERE))

    assert answer.status_code == 200, answer.text
    document = answer.json()
    entries = [value for value in document.values() if isinstance(value, list)]
    assert all(entries), "a list that is empty is like every example"
    assert_like(example, listed(document, example))


def test_error_is_like_the_example(filler: Filler) -> None:
    text = TEXT.partition("Error responses follow")[2] or TEXT.partition("Error Responses")[2]
    example, _ = json.JSONDecoder().raw_decode(text[text.index("{") :])

    answer = filler.get("/v2/library/nginx/manifests/sha256:" + "0" * 64)

    assert example["errors"][0]["code"] == answer.json()["errors"][0]["code"]
    assert_like(example, answer.json())


def test_codes_may_have_the_statuses_of_the_contract() -> None:
    rows = _CODE.findall(TEXT)

    assert len(rows) == 14
    for name, status in rows:
        assert int(status) in TABLE[Code(name)].statuses, name


@pytest.mark.parametrize("path", pages())
def test_page_is_there(filler: Filler, path: str) -> None:
    tags = filler.get("/v2/_ext/library/nginx/_tags?n=1").json()["tags"]
    here = {
        "repository": "library",
        "namespace": "nginx",
        "tag": tags[0]["name"],
        "digest": tags[0]["digest"],
    }

    answer = filler.get(path.format(**here))

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    "answer", [{"b": 1, "a": "x"}, {"a": 1, "b": 1}, {"a": "x"}, {"a": None, "b": 1}]
)
def test_other_keys_orders_and_types_are_found(answer: dict[str, Any]) -> None:
    with pytest.raises((AssertionError, KeyError)):
        assert_like({"a": "y", "b": 2}, answer)
