"""Jobs on the page that tells how the registry is, and the forms that decide about one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from angos_trio.storage.metadata import jobs
from angos_trio.storage.metadata.jobs import Wanted
from angos_trio.storage.transactions import Rows, Transaction
from tests.api.serving import ServedRegistry, serving
from tests.web.content import HOSTILE
from tests.web.pages import Element
from tests.web.signing_in import Browser

PAGE = "/_ui/health"
WEBHOOKS = {
    name: {"url": "http://127.0.0.1:1/", "policy": policy, "events": ["tag.create"]}
    for name, policy in (("lab", "async"), ("asked", "required"))
}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedRegistry]:
    with serving(tmp_path, event_webhook=WEBHOOKS) as found:
        yield found


@pytest.fixture
def client(served: ServedRegistry) -> Iterator[Browser]:
    with Browser(served.url) as speaking:
        yield speaking


def change(served: ServedRegistry, act: Callable[[Rows], object]) -> None:
    def step(transaction: Transaction) -> None:
        act(transaction.rows)

    async def main() -> None:
        await served.core.storage.write(step)

    served.server.call(main)


def add(served: ServedRegistry, problem: str = "", *, has_failed: bool = False) -> None:
    """A delivery that waits; one with a problem was tried."""

    def act(rows: Rows) -> None:
        jobs.add(rows, Wanted("webhook.lab", "team/app", "{}", 100), 100)
        if problem:
            (job,) = jobs.claim(rows, "webhook.lab", 100, 200, 1)
            if has_failed:
                jobs.bury(rows, job, problem, 150)
            else:
                jobs.put_off(rows, job, 2**40, problem)

    change(served, act)


def part(client: Browser) -> Element:
    return client.page(PAGE).one("section", **{"aria-labelledby": "jobs"})


def test_webhooks_are_there_before_anything_happens(client: Browser) -> None:
    (line,) = part(client).one("dl", class_="pairs").all("div")

    assert line.text.split() == ["Webhook", "lab", "nothing", "waits"]
    assert part(client).all("table") == []


def test_what_waits_is_counted_and_what_was_tried_says_why(
    served: ServedRegistry, client: Browser
) -> None:
    add(served, HOSTILE)
    add(served)
    (line,) = part(client).one("dl", class_="pairs").all("div")
    (row,) = part(client).one("tbody").all("tr")

    assert "2 jobs waiting" in line.text
    assert "<script>" in row.text
    assert "is tried again, after 1 attempt" in row.text
    assert row.one("a").text == "team/app"


def test_dead_letter_is_tried_again_or_dropped_by_a_form(
    served: ServedRegistry, client: Browser
) -> None:
    for _ in range(2):
        add(served, "the answer has status 422", has_failed=True)
    first, second = part(client).one("tbody").all("tr")
    assert "2 jobs failed" in part(client).text

    answer = client.submit(first.one("form", action=f"{PAGE}/jobs/retry"), job="1")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{PAGE}#jobs")
    answer = client.submit(second.one("form", action=f"{PAGE}/jobs/delete"), job="2")
    assert answer.status_code == 303

    found = client.get("/v2/_ext/_jobs").json()
    assert found["queues"] == {
        "webhook.lab": {"waiting": 1, "failed": 0, "oldest_at": found["jobs"][0]["created_at"]}
    }
    assert [each["id"] for each in found["jobs"]] == [1]


@pytest.mark.parametrize("job", ["", "4711", "x", "9" * 30])
def test_job_that_is_not_there_is_not_found(
    served: ServedRegistry, client: Browser, job: str
) -> None:
    add(served, "refused", has_failed=True)
    form = part(client).one("form", action=f"{PAGE}/jobs/delete")

    assert client.submit(form, job=job).status_code == 404


def test_nothing_is_shown_where_nothing_is_configured_and_nothing_waits(tmp_path: Path) -> None:
    with serving(tmp_path) as plain, Browser(plain.url) as client:
        assert client.page(PAGE).all("section", **{"aria-labelledby": "jobs"}) == []
