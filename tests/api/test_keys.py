"""`/v2/_ext/_keys`: over the control socket, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from angos_trio.auth.api_keys import parse_key
from angos_trio.auth.passwords import hash_password
from angos_trio.identity import Action
from tests.api.client import Client, expect_error, next_page
from tests.api.serving import serving_operator
from tests.server.log_lines import LogLines

KEYS = "/v2/_ext/_keys"
HASH = hash_password("correct horse")
USERS = {
    "identity": {
        "a": {"username": "alice", "password": HASH},
        "b": {"username": "bob", "password": HASH},
    }
}


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Speaks to the control socket of a registry that has two users."""
    root = tmp_path_factory.mktemp("operator")
    path = root / "control.sock"
    with (
        serving_operator(root, path, auth=USERS),
        httpx.Client(
            transport=httpx.HTTPTransport(uds=str(path)),
            base_url="http://localhost",
            timeout=10,
        ) as speaking,
    ):
        yield speaking


@pytest.fixture(autouse=True)
def _no_keys_are_left(operator: httpx.Client) -> Iterator[None]:
    yield
    for key in operator.get(KEYS).json()["keys"]:
        operator.delete(f"{KEYS}/{key['id']}")


def wanted(**changes: Any) -> dict[str, Any]:
    return {
        "name": "ci",
        "as": "alice",
        "expires_in_secs": 3600,
        "repositories": ["team/**"],
        "actions": ["get-blob"],
        **changes,
    }


def made(operator: httpx.Client, **changes: Any) -> dict[str, Any]:
    answer = operator.post(KEYS, json=wanted(**changes))
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


def test_key_is_made_and_shown_once(operator: httpx.Client) -> None:
    answer = operator.post(KEYS, json=wanted())

    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    document = answer.json()
    assert answer.headers["Location"] == f"{KEYS}/{document['id']}"
    parsed = parse_key(document["key"])
    assert parsed is not None
    assert parsed[0] == document["id"]
    assert document["expires_at"] == document["created_at"] + 3600

    listed = operator.get(KEYS)
    assert parsed[1] not in listed.text
    (key,) = listed.json()["keys"]
    assert key == {name: value for name, value in document.items() if name != "key"}
    assert key["last_used_at"] is None
    assert "hash" not in listed.text


def test_key_that_is_narrowed_to_nothing_and_does_not_expire(operator: httpx.Client) -> None:
    document = made(operator, expires_in_secs=None, repositories=[], actions=[])

    assert document["expires_at"] is None
    assert document["repositories"] == document["actions"] == []


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"name": ""}, ""),
        ({"name": "a/b"}, "a/b"),
        ({"as": "carol"}, "carol"),
        ({"as": ""}, ""),
        ({"expires_in_secs": 0}, 0),
        ({"expires_in_secs": 10**12}, 10**12),
        ({"repositories": ["Team"]}, "Team"),
        ({"repositories": ["a"] * 33}, 33),
        ({"actions": ["get-blobs"]}, "get-blobs"),
        ({"actions": ["create-api-key"]}, "create-api-key"),
    ],
)
def test_value_that_no_key_has_is_400(
    operator: httpx.Client, changes: dict[str, Any], detail: object
) -> None:
    expect_error(operator.post(KEYS, json=wanted(**changes)), 400, "NAME_INVALID", detail)
    assert operator.get(KEYS).json() == {"keys": []}


WHOLE = json.dumps(wanted())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"{}",
        WHOLE.replace('"name"', '"nam"').encode(),
        WHOLE.replace('"repositories"', '"repository"').encode(),
        WHOLE.replace("3600", '"3600"').encode(),
        WHOLE.replace("3600", "true").encode(),
        WHOLE.replace("3600", "1.5").encode(),
        WHOLE.replace('["team/**"]', '"team/**"').encode(),
        WHOLE.replace('["get-blob"]', "[null]").encode(),
        b'{"name":' + b"[" * 60_000,
        b" " * (64 * 1024) + WHOLE.encode(),
    ],
    ids=lambda body: ascii(body[-12:]),
)
def test_body_that_is_no_such_document_is_400(operator: httpx.Client, body: bytes) -> None:
    answer = operator.post(KEYS, content=body)

    expect_error(answer, 400, "NAME_INVALID", None)
    assert "body" in answer.json()["errors"][0]["message"]
    assert operator.get(KEYS).json() == {"keys": []}


def test_second_key_of_a_name_is_400_for_the_same_user_only(operator: httpx.Client) -> None:
    made(operator)
    made(operator, **{"as": "bob"})

    expect_error(operator.post(KEYS, json=wanted()), 400, "NAME_INVALID", "ci")


def test_revoked_key_is_gone(operator: httpx.Client) -> None:
    document = made(operator)
    path = f"{KEYS}/{document['id']}"

    answer = operator.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert operator.get(KEYS).json() == {"keys": []}
    expect_error(operator.delete(path), 404, "NAME_UNKNOWN", document["id"])


@pytest.mark.parametrize("key_id", ["nothing", "%20", "..", "%25", "a" * 1000, "tags"])
def test_unknown_id_is_404(operator: httpx.Client, key_id: str) -> None:
    expect_error(operator.request("DELETE", f"{KEYS}/{key_id}"), 404, "NAME_UNKNOWN")


def test_pages_of_keys(operator: httpx.Client) -> None:
    ids = sorted(made(operator, name=f"k{number}")["id"] for number in range(5))

    found: list[str] = []
    url: str | None = f"{KEYS}?n=2"
    while url is not None:
        answer = operator.get(url)
        found += [key["id"] for key in answer.json()["keys"]]
        url = next_page(answer)
    assert found == ids
    assert operator.get(f"{KEYS}?n=0").json() == {"keys": []}
    for query in ("n=x", "n=1&n=2", "last=a&last=b"):
        expect_error(operator.get(f"{KEYS}?{query}"), 400, "PAGINATION_NUMBER_INVALID")


@pytest.mark.parametrize(
    ("path", "allowed"), [(KEYS, "GET, HEAD, POST"), (f"{KEYS}/abc", "DELETE")]
)
def test_other_methods_are_405(operator: httpx.Client, path: str, allowed: str) -> None:
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} - set(allowed.split(", ")):
        answer = operator.request(method, path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, allowed), method


def test_operator_has_all_other_routes_too(operator: httpx.Client) -> None:
    assert operator.get("/v2/").status_code == 200
    assert operator.get("/v2/_catalog").json() == {"repositories": []}


def test_secret_and_hash_are_in_no_log_line(operator: httpx.Client, log_lines: LogLines) -> None:
    document = made(operator)
    operator.delete(f"{KEYS}/{document['id']}")

    lines = log_lines.wait_for("request", 2)
    assert [line["action"] for line in lines[:2]] == [
        Action.CREATE_API_KEY,
        Action.DELETE_API_KEY,
    ]
    parsed = parse_key(document["key"])
    assert parsed is not None
    assert parsed[1] not in json.dumps(lines)


@pytest.mark.parametrize("path", [KEYS, f"{KEYS}/", f"{KEYS}/abcdefgh2345", f"{KEYS}/tags/list/x"])
def test_nobody_reaches_them_over_tcp(client: Client, path: str) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        answer = client.request(method, path, json=wanted())
        assert answer.status_code == 404, method
        if method != "HEAD":
            expect_error(answer, 404, "NAME_UNKNOWN")


@pytest.mark.parametrize("name", ["_ext", "_ext/_keys", "a/_ext"])
def test_no_repository_stands_in_their_way(client: Client, name: str) -> None:
    answer = client.put(f"/v2/{name}/manifests/v1", content=b"{}")

    expect_error(answer, 400, "NAME_INVALID", name)


def test_socket_is_for_its_owner_alone(operator: httpx.Client, tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with serving_operator(tmp_path, path):
        assert path.stat().st_mode & 0o777 == 0o600
