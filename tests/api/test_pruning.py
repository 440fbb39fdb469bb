"""`/v2/_ext/_prune`: a run, its list in pages; and which requests count as pulls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from angos_trio.limits.housekeeping import PLAN_PAGE_LINES_MAX
from angos_trio.storage.metadata import pulls
from tests.api.client import Client, expect_error
from tests.api.serving import ServedRegistry, serving, serving_operator
from tests.factories import make_image, make_name

pytestmark = pytest.mark.slow

PRUNE = "/v2/_ext/_prune"
RULES = {"retention_policy": {"rules": ["image.tag == 'v1'"]}}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    with serving(tmp_path_factory.mktemp("registry"), global_=RULES) as served:
        yield served


def ended(client: Client, **options: bool) -> dict[str, Any]:
    """The outcome of a run that is asked for now."""
    asked = client.post(PRUNE, json=options)
    assert asked.status_code == 202, asked.text
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        run = client.get(PRUNE).json()["run"]
        if run["state"] == "done":
            outcome: dict[str, Any] = run["outcome"]
            return outcome
        time.sleep(0.01)
    raise AssertionError("the run never ended")


def entries(client: Client, plan: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    offset: int | None = 0
    while offset is not None:
        page = client.get(f"{PRUNE}?plan={plan}&from={offset}").json()
        assert len(page["entries"]) <= PLAN_PAGE_LINES_MAX
        found += page["entries"]
        offset = page["next"]
    return found


def test_run_does_what_the_one_before_said_it_would(client: Client, name: str) -> None:
    pushed = make_image()
    for tag in ("v1", "v2"):
        client.push_manifest(name, pushed, tag)
    dry = ended(client, dry_run=True)
    assert client.get(f"/v2/{name}/manifests/v2").status_code == 200
    listed = {
        each["tag"]: each for each in entries(client, dry["plan"]) if each["namespace"] == name
    }
    assert listed["v1"]["rule"] == "global.retention_policy.rules[0]"
    assert {tag: each["keep"] for tag, each in listed.items()} == {"v1": True, "v2": False}
    assert {each["digest"] for each in listed.values()} == {pushed.digest}

    done = ended(client)
    assert done["tags_deleted"] == dry["tags_going"] == 1
    assert client.get(f"/v2/{name}/manifests/v1").status_code == 200
    expect_error(client.get(f"/v2/{name}/manifests/v2"), 404, "MANIFEST_UNKNOWN")
    assert 'retention_deletions_total{kind="tag"}' in client.get("/metrics").text


def test_list_of_many_tags_comes_in_pages(client: Client, name: str) -> None:
    pushed = make_image()
    count = PLAN_PAGE_LINES_MAX + 200
    for at in range(0, count, 50):
        tags = "&".join(f"tag=t{number}" for number in range(at, at + 50))
        url = f"/v2/{name}/manifests/{pushed.digest}?{tags}"
        put = client.put(url, content=pushed.body, headers={"Content-Type": pushed.media_type})
        assert put.status_code == 201
    plan = ended(client, dry_run=True)["plan"]
    listed = {each["tag"] for each in entries(client, plan) if each["namespace"] == name}
    assert listed == {f"t{number}" for number in range(count)}


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("plan=a&plan=b", 400, "NAME_INVALID"),
        ("plan=0", 404, "NAME_UNKNOWN"),
        ("plan=../metadata.db", 404, "NAME_UNKNOWN"),
        ("plan=0&from=x", 400, "PAGINATION_NUMBER_INVALID"),
        ("plan=0&from=-1", 400, "PAGINATION_NUMBER_INVALID"),
        ("plan=0&from=9999999999999999", 400, "PAGINATION_NUMBER_INVALID"),
        ("plan=0&from=1&from=2", 400, "PAGINATION_NUMBER_INVALID"),
    ],
)
def test_bad_question_is_refused(client: Client, query: str, status: int, code: str) -> None:
    expect_error(client.get(f"{PRUNE}?{query}"), status, code)


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"dry_run": 1}'])
def test_bad_wish_is_refused(client: Client, body: bytes) -> None:
    expect_error(client.post(PRUNE, content=body), 400, "NAME_INVALID", detail=None)


def pulled(served: ServedRegistry, name: str, *references: str) -> dict[str, int]:
    """How often each was pulled."""
    return served.server.call(_counts, served, name, references)


async def _counts(served: ServedRegistry, name: str, references: tuple[str, ...]) -> dict[str, int]:
    await served.doors.pull_times.flush()
    found = await served.core.storage.stats.run(lambda rows: pulls.of(rows, name, references))
    return {reference: each.count for reference, each in found.items()}


def test_get_of_a_manifest_is_a_pull_and_nothing_else(
    registry: ServedRegistry, client: Client, name: str
) -> None:
    pushed = make_image()
    client.push_manifest(name, pushed, "v1")
    by_tag, by_digest = (f"/v2/{name}/manifests/{what}" for what in ("v1", pushed.digest))
    for url in (by_tag, by_digest):
        assert client.head(url).status_code == 200
    assert client.get(f"/v2/{name}/manifests/none").status_code == 404
    assert client.get(f"/v2/{name}/tags/list").status_code == 200
    assert client.get(f"/v2/{name}/referrers/{pushed.digest}").status_code == 200
    assert pulled(registry, name, "v1", "none", pushed.digest) == {}

    assert client.get(by_tag).status_code == 200
    assert pulled(registry, name, "v1", pushed.digest) == {"v1": 1, pushed.digest: 1}
    assert client.get(by_digest).status_code == 200
    assert client.get(by_tag, headers={"If-None-Match": f'"{pushed.digest}"'}).status_code == 304
    assert pulled(registry, name, "v1", pushed.digest) == {"v1": 2, pushed.digest: 3}


def test_pull_is_not_counted_where_the_configuration_says_so(tmp_path: Path) -> None:
    pushed, name = make_image(), make_name()
    with (
        serving(tmp_path, global_={"update_pull_time": False}) as served,
        served.client() as client,
    ):
        client.push_manifest(name, pushed, "v1")
        assert client.get(f"/v2/{name}/manifests/v1").status_code == 200
        assert pulled(served, name, "v1", pushed.digest) == {}


def test_pull_by_the_operator_is_not_counted(tmp_path: Path) -> None:
    pushed, name = make_image(), make_name()
    socket = tmp_path / "control.sock"
    transport = httpx.HTTPTransport(uds=str(socket))
    with (
        serving_operator(tmp_path, socket) as served,
        httpx.Client(transport=transport, base_url="http://localhost", timeout=10) as client,
    ):
        headers = {"Content-Type": pushed.media_type}
        put = client.put(f"/v2/{name}/manifests/v1", content=pushed.body, headers=headers)
        assert put.status_code == 201
        assert client.get(f"/v2/{name}/manifests/v1").status_code == 200
        assert pulled(served, name, "v1", pushed.digest) == {}
