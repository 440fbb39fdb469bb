"""The page of how the registry is, and the forms that ask for a run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from angos_trio import __version__
from angos_trio.auth.passwords import hash_password
from angos_trio.telemetry.health import Readiness
from angos_trio.web.health import DEGRADED, FAILS, WORKS, state_of
from angos_trio.web.runs import lines_of
from tests.api.serving import serving
from tests.web.content import HOSTILE
from tests.web.pages import Element, page_of
from tests.web.signing_in import Browser, send

PAGE = "/_ui/health"
PASSWORD = "correct horse battery staple"
WAIT_SECS = 30.0


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with serving(tmp_path_factory.mktemp("health")) as served, Browser(served.url) as speaking:
        yield speaking


def facts(page: Element) -> dict[str, str]:
    """What the page says of each thing that was looked at."""
    return {
        dt.text: dd.text
        for pairs in page.all("dl", class_="pairs")
        for dt, dd in zip(pairs.all("dt"), pairs.all("dd"), strict=True)
    }


def outcome(page: Element, kind: str) -> str:
    return page.one("div", class_="outcome", **{"data-run": kind}).text


def ask(client: Browser, kind: str, **fields: object) -> httpx.Response:
    """Send the form that asks for a run."""
    form = client.page(PAGE).one("form", action=f"{PAGE}/{kind}")
    return client.submit(form, **fields)


def ended(client: Browser, kind: str) -> str:
    """The outcome of a run once it is over."""
    deadline = time.monotonic() + WAIT_SECS
    while time.monotonic() < deadline:
        said = outcome(page_of(client.get(PAGE)), kind)
        if "ended" in said:
            return said
        time.sleep(0.05)
    raise AssertionError(f"{kind} goes on: {said}")


def test_page_says_how_it_is_in_words(client: Browser) -> None:
    page = page_of(client.get(PAGE))
    found = facts(page)

    assert page.one("p", class_="state").text == "All is well."
    assert found["Version"] == f"angos-trio {__version__}"
    assert found["Database"] == "can be written"
    assert found["Disk"].startswith("has room ")
    assert found["Changes"] == "are taken"
    assert found["Callers are known by"] == "nothing: nobody has to say who they are"
    assert [h2.text for h2 in page.all("h2")] == [
        *("Checks", "Collection", "Scrub", "Retention", "Backup and metrics"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "mode", "said"),
    [
        ("gc", "dry", "It would give back 0 B: 0 blobs"),
        ("gc", "run", "It gave back 0 B: 0 blobs"),
        ("scrub", "dry", "It found nothing wrong."),
        ("prune", "dry", "It would delete 0 tags"),
    ],
)
def test_run_is_asked_for_by_a_form_and_told(
    client: Browser, kind: str, mode: str, said: str
) -> None:
    answer = ask(client, kind, mode=mode)

    assert (answer.status_code, answer.headers["Location"]) == (303, f"{PAGE}#{kind}")
    told = ended(client, kind)
    assert said in told
    assert ("A dry run" in told) == (mode == "dry")


def test_run_that_is_told_here_is_that_of_the_api(client: Browser) -> None:
    ask(client, "gc", mode="run")
    ended(client, "gc")
    run = client.get("/v2/_ext/_gc?only=run").json()["run"]

    assert run["options"] == {"dry_run": False}


@pytest.mark.parametrize("modes", [[], ["Run"], ["run", "x"], ["a" * 5_000]])
def test_form_that_does_not_say_run_is_dry(client: Browser, modes: list[str]) -> None:
    ended_before = client.get("/v2/_ext/_gc?only=run").json()["run"]
    answer = ask(client, "gc", mode=modes)
    ended(client, "gc")
    run = client.get("/v2/_ext/_gc?only=run").json()["run"]

    assert answer.status_code == 303
    assert run["options"] == {"dry_run": True}
    assert ended_before is None or run["number"] > ended_before["number"]


def test_page_of_another_site_asks_for_nothing(client: Browser) -> None:
    answer = client.post(
        f"{PAGE}/scrub", data={"mode": "run"}, headers={"Origin": "http://evil.test"}
    )

    assert answer.status_code == 403


def test_what_is_kept_is_told_where_it_is_asked_for(client: Browser) -> None:
    client.push_blob("kept/app")

    assert "Pushed or released lately" not in facts(page_of(client.get(PAGE)))
    found = facts(page_of(client.get(f"{PAGE}?kept=all")))
    assert found["Pushed or released lately"].startswith("1 blob in ")


@pytest.mark.slow
def test_rights_decide_what_is_shown_and_what_can_be_asked(tmp_path: Path) -> None:
    users = {
        name: {"username": name, "password": hash_password(PASSWORD)} for name in ("ann", "bob")
    }
    rules = [
        "identity.username == 'ann'",
        "identity.username == 'bob' && request.action in ['get-health', 'get-gc']",
    ]
    policy = {"access_policy": {"default": "deny", "rules": rules}}
    with (
        serving(tmp_path, global_=policy, auth={"identity": users}) as served,
        Browser(served.url) as client,
    ):
        bob, ann = ("bob", PASSWORD), ("ann", PASSWORD)
        page = page_of(client.get(PAGE, auth=bob))
        assert [h2.text for h2 in page.all("h2")][1:-1] == ["Collection"]
        assert page.all("form", class_="acts") == []
        assert "passwords of 2 users" in facts(page)["Callers are known by"]
        for kind in ("gc", "scrub", "prune"):
            assert send(client, f"{PAGE}/{kind}", data={"mode": "dry"}, auth=bob).status_code == 403
        assert client.get("/v2/_ext/_gc?only=run", auth=ann).json() == {"run": None}
        assert len(page_of(client.get(PAGE, auth=ann)).all("form", class_="acts")) == 3
        assert send(client, f"{PAGE}/gc", data={"mode": "dry"}, auth=ann).status_code == 303


@pytest.mark.parametrize(
    ("readiness", "state"),
    [
        (Readiness(), WORKS),
        (Readiness(degraded=("x",)), DEGRADED),
        (Readiness(("x",), ("y",)), FAILS),
    ],
)
def test_state_is_as_bad_as_the_worst(readiness: Readiness, state: tuple[str, str]) -> None:
    assert state_of(readiness) == state


@pytest.mark.parametrize(
    ("kind", "document", "lines"),
    [
        ("gc", {}, []),
        ("gc", {"error": f"disk {HOSTILE}"}, None),
        ("gc", {"blobs": 1}, []),
        (
            "gc",
            {"blobs": 1, "bytes": 2000, "manifests": 2, "holds": 0, "is_whole": False},
            ["It gave back at least 2.00 kB: 1 blob, and in namespaces 2 manifests and 0 holds on "
             "blobs."],
        ),
        (
            "scrub",
            {"blobs": 2, "bytes": 5, "manifests": 1, "files": 3, "failed": 1,
             "findings": {"blob_corrupt": 2}},
            ["It looked at 2 blobs in 5 B, 1 manifest and 3 files.", "It found: 2 blob corrupt.",
             "1 thing could not be looked at."],
        ),
        ("scrub", {"findings": []}, []),
    ],
)  # fmt: skip
def test_outcomes_are_sentences(
    kind: str, document: dict[str, object], lines: list[str] | None
) -> None:
    found = lines_of(kind, document, is_dry=False)

    if lines is None:
        assert found[0].startswith("It failed: disk ")
        assert "\u202e" not in found[0]
    else:
        assert found == lines
