"""The switch over HTTP: the operator's route, and what every other one answers while it is on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from angos_trio.api.context import Runtime
from angos_trio.api.routes import build_routes
from angos_trio.telemetry.metrics import Metrics
from tests.api.client import Client, expect_error
from tests.api.serving import ServedRegistry, serving, serving_operator
from tests.factories import make_blob, make_image
from tests.server.log_lines import LogLines

pytestmark = pytest.mark.slow

SWITCH = "/v2/_ext/_read_only"
OFF = {"read_only": False, "since": None, "by": None}
NAME = "team/app"
SESSION = "01234567-89ab-4cde-8f01-23456789abcd"


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[httpx.Client]:
    """Speaks to the control socket of a registry."""
    path = tmp_path / "control.sock"
    transport = httpx.HTTPTransport(uds=str(path))
    with (
        serving_operator(tmp_path, path),
        httpx.Client(transport=transport, base_url="http://localhost", timeout=10) as speaking,
    ):
        yield speaking


def switch(operator: httpx.Client, *, is_on: bool) -> dict[str, Any]:
    answer = operator.put(SWITCH, json={"read_only": is_on})
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def test_operator_switches_and_asks(operator: httpx.Client) -> None:
    assert operator.get(SWITCH).json() == OFF
    found = switch(operator, is_on=True)
    assert found["read_only"] is True
    assert found["since"] > 0
    assert found["by"] == "operator::operator"
    assert operator.get(SWITCH).json() == found == switch(operator, is_on=True)
    assert switch(operator, is_on=False) == OFF == operator.get(SWITCH).json()


@pytest.mark.parametrize("body", [b"", b"{}", b'{"read_only": 1}', b'{"readonly": true}', b"[]"])
def test_document_that_says_nothing_switches_nothing(operator: httpx.Client, body: bytes) -> None:
    expect_error(operator.put(SWITCH, content=body), 400, "NAME_INVALID", None)
    assert operator.get(SWITCH).json() == OFF


def test_operator_is_refused_too_and_can_end_a_key_all_the_same(operator: httpx.Client) -> None:
    switch(operator, is_on=True)
    expect_error(operator.post(f"/v2/{NAME}/blobs/uploads/"), 405, "UNSUPPORTED")
    assert operator.delete("/v2/_ext/_keys/unknown").status_code == 404


def test_readiness_and_metrics_tell(operator: httpx.Client) -> None:
    def samples() -> set[str]:
        return set(operator.get("/metrics").text.splitlines())

    assert {"storage_read_only 0.0", "storage_has_room 1.0"} <= samples()
    switch(operator, is_on=True)
    assert "storage_read_only 1.0" in samples()
    answer = operator.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    (told,) = answer.json()["degraded"]
    assert told.startswith("the registry is read-only since ")
    switch(operator, is_on=False)
    assert operator.get("/readyz").json() == {"status": "ready"}


def test_route_is_the_operators_alone(tmp_path: Path) -> None:
    with serving(tmp_path) as served, Client(served.url) as client:
        expect_error(client.get(SWITCH), 404, "NAME_UNKNOWN")
        expect_error(client.put(SWITCH, json={"read_only": True}), 404, "NAME_UNKNOWN")


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    """A registry that was switched to read-only, with an image and a blob from before."""
    root: Path = tmp_path_factory.mktemp("frozen")
    path = root / "control.sock"
    with serving(root) as served, Client(served.url) as client:
        client.push_blob(NAME, make_blob("before"))
        client.stored(NAME, make_image(), "v1")
    transport = httpx.HTTPTransport(uds=str(path))
    with (
        serving_operator(root, path),
        httpx.Client(transport=transport, base_url="http://localhost", timeout=10) as operator,
    ):
        switch(operator, is_on=True)
    with serving(root) as served:
        yield served


def changes() -> list[tuple[str, str]]:
    """Every operation of every route that may change content."""
    table = build_routes(Runtime(None, Metrics(), None, None, None))  # type: ignore[arg-type]
    return [
        (method, route.template)
        for route in table.routes
        for method in route.operations
        if "{name}" in route.template and method not in ("GET", "HEAD")
    ]


@pytest.mark.parametrize(("method", "template"), changes())
def test_every_change_is_refused_before_its_body_is_read(
    frozen: ServedRegistry, method: str, template: str
) -> None:
    digest = make_blob("before").digest
    path = template.format(name=NAME, digest=digest, reference="v1", session=SESSION)
    with frozen.wire() as wire:
        wire.request(method, path, {"Content-Length": "10", "Expect": "100-continue"})
        answer = wire.answer()

    assert answer.status == 405
    assert b"the registry is read-only" in answer.body
    with Client(frozen.url) as client:
        expect_error(client.request(method, path), 405, "UNSUPPORTED")


def test_everything_can_be_read(frozen: ServedRegistry, log_lines: LogLines) -> None:
    blob = make_blob("before")
    with Client(frozen.url) as client:
        assert client.get(f"/v2/{NAME}/blobs/{blob.digest}").content == blob.body
        assert client.head(f"/v2/{NAME}/blobs/{blob.digest}").status_code == 200
        assert client.get(f"/v2/{NAME}/manifests/v1").status_code == 200
        assert client.tags(NAME) == ["v1"]
        assert client.get("/v2/_catalog").json() == {"repositories": [NAME]}
