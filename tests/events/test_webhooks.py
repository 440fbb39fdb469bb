"""Webhooks of a registry in processes of its own, and a receiver that fails, hangs and is away."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.client import Client
from tests.events.receiver import Received, Receiver, receiver
from tests.factories import Content, Document, make_blob, make_descriptor, make_image
from tests.running import RunningRegistry, running_registry, start_registry
from tests.storage.support import rows_of

pytestmark = pytest.mark.slow

TOKEN = "a-token-of-the-receiver"
CHANGES = [
    *("manifest.push", "manifest.delete", "blob.push", "blob.delete", "tag.create", "tag.delete")
]
NOTHING = {"waiting": 0, "failed": 0, "oldest_at": None}
KINDS = {
    "manifest.pushed": "manifest.push",
    "manifest.deleted": "manifest.delete",
    "blob.pushed": "blob.push",
    "blob.mounted": "blob.push",
    "blob.deleted": "blob.delete",
    "tag.created": "tag.create",
    "tag.updated": "tag.create",
    "tag.deleted": "tag.delete",
}


def configuration(url: str, workers: int = 1, **more: Any) -> str:
    """One webhook for all namespaces; `more` are keys of it."""
    keys = {
        "url": url,
        "policy": "async",
        "events": CHANGES,
        "token": TOKEN,
        "timeout_ms": 500,
        **more,
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items() if value is not None]
    return "\n".join(
        [
            f"[server]\nworkers = {workers}",
            '[global]\nevent_webhooks = ["lab"]\nimmutable_tags = true',
            'immutable_tags_exclusions = ["latest|v.*"]',
            '[global.access_policy]\ndefault = "allow"',
            "[event_webhook.lab]",
            *lines,
        ]
    )


@contextmanager
def serving(folder: Path, text: str) -> Iterator[tuple[RunningRegistry, Client]]:
    """A registry by a configuration."""
    file = folder / "angos.toml"
    file.write_text(text, encoding="utf-8")
    environment = {**os.environ}
    environment.pop("WORKERS", None)
    with ExitStack() as stack:
        registry = stack.enter_context(
            running_registry(folder / "data", arguments=["-c", str(file)])
        )
        yield registry, stack.enter_context(Client(registry.base_url))


def changes(client: Client, name: str, rounds: int) -> None:
    """Pushes, moves and deletes; and some that are refused, which nobody is told of."""
    for number in range(rounds):
        config, layer = make_blob(f"config {name} {number}"), make_blob(f"layer {name} {number}")
        for blob in (config, layer):
            client.push_blob(name, blob)
        image = make_image(make_descriptor(config), [make_descriptor(layer)])
        client.stored(name, image, f"v{number}")
        client.stored(name, image, "latest")
        client.stored(name, image, f"v{number}")  # changes nothing
        if number == 0:
            client.stored(name, image, "kept")
        else:
            assert client.push_manifest(name, image, "kept").status_code == 409
        assert client.delete(f"/v2/{name}/blobs/{layer.digest}").status_code == 405
        if number % 2:
            assert client.delete(f"/v2/{name}/manifests/v{number}").status_code == 202
    loose = client.push_blob(name)
    client.post(f"/v2/{name}-2/blobs/uploads/", params={"mount": loose.digest, "from": name})
    assert client.delete(f"/v2/{name}/blobs/{loose.digest}").status_code == 202


def happened(data_dir: Path) -> dict[str, list[tuple[str, str, str | None]]]:
    """What the outbox says, by namespace in the order of commits, in the words of webhooks."""
    found = defaultdict(list)
    query = "SELECT kind, namespace, payload FROM events WHERE namespace != '' ORDER BY id"
    for kind, namespace, text in rows_of(data_dir, query):
        payload = json.loads(text)
        found[namespace].append((KINDS[kind], payload["digest"], payload.get("tag")))
    return dict(found)


def arrived(messages: list[Received]) -> dict[str, list[tuple[str, str, str | None]]]:
    """What the receiver took, each message once, where it came first."""
    found, seen = defaultdict(list), set()
    for message in messages:
        document = message.document
        if document["id"] not in seen:
            seen.add(document["id"])
            said = (document["kind"], document["digest"], document.get("tag"))
            found[document["namespace"]].append(said)
    return dict(found)


def expect_all(told: Receiver, data_dir: Path) -> None:
    """Everything that was committed arrived, nothing else did, in order, signed."""
    wanted = happened(data_dir)
    told.wait(lambda: arrived(told.taken) == wanted, secs=60)
    assert all(each.is_signed_with(TOKEN) for each in told.received)
    assert all(each.headers["x-registry-event"] == each.document["kind"] for each in told.received)
    assert {each.document["phase"] for each in told.received} == {"done"}


@pytest.mark.parametrize("workers", [1, 2])
def test_every_change_arrives_in_order_though_the_receiver_fails_hangs_and_restarts(
    tmp_path: Path, workers: int
) -> None:
    def answer(number: int, document: dict[str, Any]) -> int:
        return {3: 500, 9: 0, 15: 503}.get(number, 200)

    with (
        receiver(answer) as told,
        serving(tmp_path, configuration(told.url, workers)) as (
            registry,
            client,
        ),
    ):
        for name in ("team/one", "team/two", "lab/three"):
            changes(client, name, 3)
        told.wait_for(20)
        told.stop()
        changes(client, "team/one", 4)
        time.sleep(1)
        told.start()
        changes(client, "team/four", 1)
        expect_all(told, registry.data_dir)
        assert {each.status for each in told.received} >= {200, 500, 0, 503}

        metrics = client.get("/metrics").text
        assert (
            'event_webhook_deliveries_total{event="tag.create",result="taken",webhook="lab"}'
            in (metrics)
        )
        assert client.get("/v2/_ext/_jobs").json() == {
            "queues": {"webhook.lab": NOTHING},
            "jobs": [],
        }


@pytest.mark.parametrize("workers", [1, 2])
def test_kill_between_commit_and_delivery_loses_nothing(tmp_path: Path, workers: int) -> None:
    file, log = tmp_path / "angos.toml", tmp_path / "registry.log"
    with receiver() as told:
        file.write_text(configuration(told.url, workers), encoding="utf-8")
        told.stop()
        for round_ in range(3):
            registry = start_registry(tmp_path / "data", log, arguments=["-c", str(file)])
            try:
                with Client(registry.base_url) as client:
                    changes(client, f"team/app{round_}", 2)
            finally:
                registry.kill()
        told.start()
        registry = start_registry(tmp_path / "data", log, arguments=["-c", str(file)])
        try:
            expect_all(told, registry.data_dir)
        finally:
            registry.stop()


def test_kill_while_the_receiver_is_being_told_repeats_and_loses_nothing(tmp_path: Path) -> None:
    file, log = tmp_path / "angos.toml", tmp_path / "registry.log"
    with receiver() as told:
        file.write_text(configuration(told.url), encoding="utf-8")
        for round_ in range(4):
            registry = start_registry(tmp_path / "data", log, arguments=["-c", str(file)])
            try:
                with Client(registry.base_url) as client:
                    before = len(told.received)
                    changes(client, f"team/app{round_}", 3)
                    told.wait(lambda before=before: len(told.received) > before + 2)  # type: ignore[misc]
            finally:
                registry.kill()
        registry = start_registry(tmp_path / "data", log, arguments=["-c", str(file)])
        try:
            expect_all(told, registry.data_dir)
        finally:
            registry.stop()


def test_what_is_refused_for_good_is_a_dead_letter_that_can_be_sent_again(tmp_path: Path) -> None:
    refuses = {"blob.push"}

    def answer(number: int, document: dict[str, Any]) -> int:
        return 422 if document["kind"] in refuses else 200

    with receiver(answer) as told, serving(tmp_path, configuration(told.url)) as (_, client):
        blob = client.push_blob("team/app")
        other = client.push_blob("team/app")
        told.wait(lambda: len(told.received) >= 2)
        assert told.taken == []

        def dead() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = client.get(
                "/v2/_ext/_jobs", params={"state": "failed", "queue": "webhook.lab"}
            ).json()["jobs"]
            return found

        told.wait(lambda: len(dead()) == 2)
        first, second = dead()
        assert first["problem"] == "the answer has status 422"
        assert (first["namespace"], first["state"], first["attempts"]) == ("team/app", "failed", 1)
        sentence = "jobs of webhook.lab have failed and wait for somebody to decide: 2"
        assert client.get("/v2/_ext/_health").json()["degraded"] == [sentence]
        assert client.get("/readyz").json() == {"status": "ready", "degraded": [sentence]}

        refuses.clear()
        assert client.post(f"/v2/_ext/_jobs/{first['id']}/retry").status_code == 202
        assert client.delete(f"/v2/_ext/_jobs/{second['id']}").status_code == 204
        (taken,) = told.wait_for(1)
        assert taken.document["digest"] == blob.digest
        assert dead() == []
        assert client.delete(f"/v2/_ext/_jobs/{second['id']}").status_code == 404
        assert client.post("/v2/_ext/_jobs/x/retry").status_code == 404
        assert other.digest not in {each.document["digest"] for each in told.taken}


REQUIRED: dict[str, Any] = {
    "policy": "required",
    "events": [*CHANGES, "manifest.pull", "blob.pull"],
    "max_retries": 0,
    "timeout_ms": 10_000,
}


def push_image(client: Client, name: str) -> tuple[Document, Content]:
    """An image with a tag, and its layer."""
    config, layer = client.push_blob(name), client.push_blob(name)
    image = make_image(make_descriptor(config), [make_descriptor(layer)])
    return client.stored(name, image, "v1"), layer


def said(messages: list[Received]) -> list[tuple[str, str | None]]:
    """Kind and tag of messages."""
    return [(each.document["kind"], each.document.get("tag")) for each in messages]


def test_required_webhook_is_asked_before_each_thing_and_told_nothing(tmp_path: Path) -> None:
    with receiver() as told, serving(tmp_path, configuration(told.url, **REQUIRED)) as (_, client):
        name = "team/app"
        image, layer = push_image(client, name)
        client.get(f"/v2/{name}/manifests/v1").raise_for_status()
        client.head(f"/v2/{name}/manifests/v1").raise_for_status()
        client.get(f"/v2/{name}/blobs/{layer.digest}").raise_for_status()
        assert client.delete(f"/v2/{name}/manifests/{image.digest}").status_code == 202

        assert said(told.received) == [
            ("blob.push", None),
            ("blob.push", None),
            ("manifest.push", "v1"),
            ("tag.create", "v1"),
            ("manifest.pull", "v1"),
            ("blob.pull", None),
            ("manifest.delete", None),
            ("tag.delete", "v1"),
        ]
        assert {each.document["phase"] for each in told.received} == {"requested"}
        assert all(each.is_signed_with(TOKEN) for each in told.received)
        assert client.get("/v2/_ext/_jobs").json()["queues"] == {}


@pytest.mark.parametrize(
    ("status", "expected", "code"),
    [
        (422, 403, "DENIED"),
        (401, 403, "DENIED"),
        (500, 503, "UNAVAILABLE"),
        (429, 503, "UNAVAILABLE"),
    ],
)
def test_no_of_a_required_webhook_leaves_everything_as_it_was(
    tmp_path: Path, status: int, expected: int, code: str
) -> None:
    says = {"status": 200}

    def answer(number: int, document: dict[str, Any]) -> int:
        return says["status"]

    with (
        receiver(answer) as told,
        serving(tmp_path, configuration(told.url, **REQUIRED)) as (
            registry,
            client,
        ),
    ):
        name = "team/app"
        image, layer = push_image(client, name)
        before = happened(registry.data_dir)
        says["status"] = status
        other = make_blob()
        uploads, mount = f"/v2/{name}/blobs/uploads/", {"mount": layer.digest, "from": name}
        answers = [
            client.post(uploads, params={"digest": other.digest}, content=other.body),
            client.finish(client.open_upload(name), other, other.body),
            client.push_manifest(name, image, "v2"),
            client.get(f"/v2/{name}/manifests/v1"),
            client.get(f"/v2/{name}/blobs/{layer.digest}"),
            client.delete(f"/v2/{name}/manifests/v1"),
            client.delete(f"/v2/{name}/manifests/{image.digest}"),
            client.delete(f"/v2/{name}/blobs/{layer.digest}"),
            client.post("/v2/team/other/blobs/uploads/", params=mount),
        ]

        assert [each.status_code for each in answers] == [expected] * len(answers)
        assert {each.json()["errors"][0]["code"] for each in answers} == {code}
        assert happened(registry.data_dir) == before
        assert client.get(f"/v2/{name}/tags/list").json()["tags"] == ["v1"]


def test_pulls_are_told_and_looks_are_not(tmp_path: Path) -> None:
    text = configuration("URL", events=["manifest.pull", "blob.pull"])
    with receiver() as told, serving(tmp_path, text.replace("URL", told.url)) as (_, client):
        name = "team/app"
        config = client.push_blob(name)
        image = client.stored(name, make_image(make_descriptor(config)), "v1")
        client.head(f"/v2/{name}/manifests/v1")
        client.head(f"/v2/{name}/blobs/{config.digest}")
        assert client.get(f"/v2/{name}/manifests/none").status_code == 404
        assert client.get(f"/v2/{name}/blobs/{image.digest}").status_code == 404
        client.get(f"/v2/{name}/manifests/v1")
        client.get(f"/v2/{name}/manifests/{image.digest}")
        client.get(f"/v2/{name}/blobs/{config.digest}", headers={"Range": "bytes=0-0"})
        found = [each.document for each in told.wait_for(3)]

        assert [(each["kind"], each["digest"], each.get("reference")) for each in found] == [
            ("manifest.pull", image.digest, "v1"),
            ("manifest.pull", image.digest, image.digest),
            ("blob.pull", config.digest, None),
        ]


def test_namespaces_are_told_by_repository_and_filter(tmp_path: Path) -> None:
    with receiver() as lab, receiver() as team:
        text = "\n".join(
            [
                configuration(lab.url, repository_filter=["^team/", "one$"], events=["blob.push"]),
                f'[event_webhook.team]\nurl = "{team.url}"\npolicy = "optional"',
                'events = ["blob.push"]',
                '[repository."team"]\nevent_webhooks = ["team", "lab"]',
                '[repository."team/quiet"]\nevent_webhooks = []',
                '[repository."other"]',
            ]
        )
        with serving(tmp_path, text) as (_, client):
            for name in ("team/a", "team/quiet/b", "other/c", "free/one", "free/two", "team/z"):
                client.push_blob(name)
            lab.wait_for(3)
            team.wait_for(2)
            time.sleep(1)
        told = [(each.document["namespace"], each.document.get("repository")) for each in lab.taken]
        assert sorted(told) == [("free/one", None), ("team/a", "team"), ("team/z", "team")]
        assert sorted(each.document["namespace"] for each in team.taken) == ["team/a", "team/z"]
        assert "x-registry-signature-256" not in team.taken[0].headers


@pytest.mark.parametrize("workers", [1, 2])
def test_reload_takes_webhooks_that_are_new_and_gives_up_those_that_are_gone(
    tmp_path: Path, workers: int
) -> None:
    with receiver() as told, receiver() as other:
        told.stop()
        text = configuration(told.url, workers, events=["blob.push"])
        with serving(tmp_path, text) as (registry, client):
            client.push_blob("team/app")

            def counts(state: str) -> dict[str, int]:
                queues = client.get("/v2/_ext/_jobs").json()["queues"]
                return {name: each[state] for name, each in queues.items() if each[state]}

            told.wait(lambda: counts("waiting") == {"webhook.lab": 1})
            new = text.replace("[event_webhook.lab]", "[event_webhook.new]")
            new = new.replace('["lab"]', '["new"]').replace(told.url, other.url)
            (tmp_path / "angos.toml").write_text(new, encoding="utf-8")
            os.kill(registry.process.pid, signal.SIGHUP)
            other.wait(lambda: counts("failed") == {"webhook.lab": 1})
            blob = client.push_blob("team/app")
            (taken,) = other.wait_for(1)
            assert taken.document["digest"] == blob.digest
            found = client.get("/v2/_ext/_jobs", params={"state": "failed"}).json()["jobs"]
            assert [each["problem"] for each in found] == ["the configuration has no such webhook"]


def test_jobs_are_shown_to_who_sees_their_namespace(tmp_path: Path) -> None:
    with receiver(lambda number, document: 422) as told:
        hidden = '[repository."secret".access_policy]\ndefault = "deny"'
        text = configuration(told.url, events=["blob.push"])
        with serving(tmp_path, text) as (registry, client):
            client.push_blob("secret/app")
            client.push_blob("team/app")
            told.wait(lambda: len(told.received) == 2)
            (tmp_path / "angos.toml").write_text(text + "\n" + hidden, encoding="utf-8")
            os.kill(registry.process.pid, signal.SIGHUP)

            def failed() -> list[dict[str, Any]]:
                found: list[dict[str, Any]] = client.get(
                    "/v2/_ext/_jobs", params={"state": "failed"}
                ).json()["jobs"]
                return found

            told.wait(lambda: [each["namespace"] for each in failed()] == ["team/app"])
            (shown,) = failed()
            secret = {1: 2, 2: 1}[shown["id"]]
            assert client.delete(f"/v2/_ext/_jobs/{secret}").status_code == 404
            assert client.post(f"/v2/_ext/_jobs/{secret}/retry").status_code == 404


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"state": "done"}, 400),
        ({"queue": "webhook.none"}, 404),
        ({"n": "x"}, 400),
        ({"last": "-1"}, 400),
        ({"n": "0"}, 200),
    ],
)
def test_questions_that_mean_nothing_are_refused(
    shared_client: Client, query: dict[str, str], status: int
) -> None:
    assert shared_client.get("/v2/_ext/_jobs", params=query).status_code == status


@pytest.fixture(scope="module")
def shared_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("jobs")
    with serving(folder, configuration("http://127.0.0.1:1/")) as (_, client):
        yield client


def test_pages_of_jobs_follow_each_other(tmp_path: Path) -> None:
    with (
        receiver(lambda number, document: 422) as told,
        serving(tmp_path, configuration(told.url, events=["blob.push"])) as (_, client),
    ):
        for _ in range(5):
            client.push_blob("team/app")
        told.wait(lambda: len(told.received) == 5)
        told.wait(
            lambda: (
                client.get("/v2/_ext/_jobs").json()["queues"]
                == {"webhook.lab": {"waiting": 0, "failed": 5, "oldest_at": None}}
            )
        )
        found: list[int] = []
        address: str | None = "/v2/_ext/_jobs?state=failed&queue=webhook.lab&n=2"
        while address:
            answer: httpx.Response = client.get(address)
            found += [each["id"] for each in answer.json()["jobs"]]
            address = answer.links["next"]["url"] if "next" in answer.links else None
        assert found == [1, 2, 3, 4, 5]
