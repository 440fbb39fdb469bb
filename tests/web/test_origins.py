"""Who is told from where others came, and of which runs: by the page, the API and the feed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from angos_trio.events.model import Event, EventKind, record
from angos_trio.storage.transactions import Transaction
from tests.api.client import Client
from tests.api.serving import ServedRegistry, serving
from tests.factories import make_image
from tests.web.content import HOSTILE
from tests.web.pages import page_of, rows_of

PAGE = "/_ui/activity"
API = "/v2/_ext/_activity"
FEED = "/v2/_ext/_events?after=0"
AGENT = "docker/27.3.1 go/go1.22.7 os/linux"


def push(client: Client, agent: str = AGENT) -> None:
    client.stored("team/app", make_image(), "v1", headers={"User-Agent": agent})


def run_ended(served: ServedRegistry) -> None:
    """A collection and a scrub, as they tell it."""
    collected = {"manifests": 1, "holds": 2, "blobs": 3, "bytes": 4_200_000}
    scrubbed = {"blobs": 9, "failed": 1, "findings": {"corrupt_blob": 2, "lost_blob": 1}}

    def step(transaction: Transaction) -> None:
        for kind, came_to in ((EventKind.GC_ENDED, collected), (EventKind.SCRUB_ENDED, scrubbed)):
            record(transaction.rows, Event(kind, None, served.core.now(), "registry::x", came_to))

    async def write() -> None:
        await served.core.storage.write(step)

    served.server.call(write)


def policy(*actions: str) -> dict[str, Any]:
    rules = [f"request.action in {list(actions)!r}"]
    return {"access_policy": {"default": "deny", "rules": rules}}


def lines(client: Client, path: str) -> list[dict[str, Any]]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.mark.slow
def test_who_looks_after_the_registry_is_told_from_where_others_came(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.client() as client:
        push(client)
        row = rows_of(page_of(client.get(PAGE)))[0]
        (event,) = client.get(f"{API}?kind=tag.").json()["activity"]

    assert row[5:] == ["docker/27.3.1", "127.0.0.1"]
    assert (event["client"], event["address"]) == (AGENT, "127.0.0.1")


@pytest.mark.slow
def test_nobody_else_is_told_from_where_others_came(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.client() as client:
        push(client)
    seen = policy("get-activity", "list-tags", "get-events", "list-repositories")
    with serving(tmp_path, global_=seen) as served, served.client() as client:
        for path in (PAGE, "/", API, f"{PAGE}.ndjson", FEED):
            answer = client.get(path)
            assert "team/app" in answer.text, path
            assert "127.0.0.1" not in answer.text.replace(served.url.partition("//")[2], ""), path
            assert "docker/27.3.1" not in answer.text, path
        heads = page_of(client.get(PAGE)).one("thead").text
        event = client.get(f"{API}?kind=tag.").json()["activity"][0]

    assert "Client" not in heads
    assert "Address" not in heads
    assert (event["client"], event["address"]) == (None, None)


@pytest.mark.slow
def test_feed_tells_nobody_from_where_others_came(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.client() as client:
        push(client)
        told = lines(client, FEED)

    assert [each["type"] for each in told if "at" in each] == ["manifest.pushed", "tag.created"]
    assert AGENT not in json.dumps(told)


@pytest.mark.slow
def test_hostile_program_runs_nothing_and_is_spelled_out(tmp_path: Path) -> None:
    agent = "<b>\xad" + HOSTILE.encode("ascii", "ignore").decode()
    with serving(tmp_path) as served, served.client() as client:
        client.stored(
            "team/app", make_image(), "v1", headers={"User-Agent": agent.encode("latin-1")}
        )
        answer = client.get(PAGE)
        cell = page_of(answer).one("table").all("td", class_="c-client")[0]
        (event, *_) = lines(client, f"{PAGE}.ndjson")

    assert "<script>alert" not in answer.text
    assert cell.text.startswith("<b>\\u00ad")
    assert len(cell.text) <= 33
    assert event["client"] == agent


RUNS = {"gc.ended": "3 blobs, 4.20 MB", "scrub.ended": "3 findings, 1 could not be looked at"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("action", "kinds"),
    [("get-gc", ["gc.ended"]), ("get-scrub", ["scrub.ended"]), ("get-storage", [])],
)
def test_run_is_told_to_who_may_see_such_runs(
    tmp_path: Path, action: str, kinds: list[str]
) -> None:
    seen = policy("get-activity", "get-events", "list-repositories", action)
    with serving(tmp_path, global_=seen) as served, served.client() as client:
        run_ended(served)
        listed = [each["kind"] for each in client.get(API).json()["activity"]]
        fed = [each["type"] for each in lines(client, FEED) if "at" in each]
        page = client.get(PAGE)

    assert listed == fed == kinds
    for kind, outcome in RUNS.items():
        assert (outcome in page.text) is (kind in kinds)
