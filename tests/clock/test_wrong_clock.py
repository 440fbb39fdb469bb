"""Registries on a host whose clock is wrong: they start, say so, and lose nothing."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import pytest

from angos_trio.auth.passwords import hash_password
from angos_trio.clock import BEHIND_SECS, RELEASED_AT
from tests.api.client import Client
from tests.cli.commands import SECS_MAX, run_command, said
from tests.clock.wrong import WrongClock
from tests.factories import make_blob
from tests.running import RunningRegistry, running_registry

pytestmark = pytest.mark.slow
IN_1970 = 60
RETENTION = """
prune_interval_secs = 1
[global.retention_policy]
rules = ["top_pushed(1)"]
"""


@pytest.fixture
def wrong(tmp_path: Path) -> WrongClock:
    return WrongClock(tmp_path / "clock")


@pytest.fixture(params=[1, 2], ids=["one process", "several"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "registry.toml"
    path.write_text(
        f"[global]\nmin_free_space = 0\n{RETENTION}[server]\nworkers = {request.param}\n"
        "[blob_store.fs]\nballast = 0\n"
    )
    return path


@pytest.fixture
def data(config: Path, tmp_path: Path) -> Path:
    """A data directory with an image of today."""
    path = tmp_path / "data"
    with running_registry(path, arguments=["-c", str(config)]) as registry, client(registry) as c:
        push(c, "old")
    return path


def client(registry: RunningRegistry) -> Client:
    return Client(registry.base_url)


def push(c: Client, tag: str) -> None:
    blob = c.push_blob("app", make_blob(tag))
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "text/plain", "digest": blob.digest, "size": len(blob.body)},
        "layers": [],
    }
    headers = {"Content-Type": str(document["mediaType"])}
    answer = c.put(f"/v2/app/manifests/{tag}", content=json.dumps(document), headers=headers)
    assert answer.status_code == 201, answer.text


def times_of_events(c: Client) -> list[int]:
    """When things happened, as events tell it."""
    lines = c.get("/v2/_ext/_events", params={"after": 0}).text.splitlines()
    return [event["at"] for event in map(json.loads, lines) if "at" in event]


def ready(registry: RunningRegistry) -> list[str]:
    answer = httpx.get(f"{registry.base_url}/readyz", timeout=SECS_MAX)
    assert answer.status_code == 200
    return list(answer.json().get("degraded", []))


def warnings(registry: RunningRegistry) -> list[str]:
    lines = [json.loads(line) for line in registry.log.splitlines() if line.startswith("{")]
    return [line["problem"] for line in lines if line["event"] == "clock.behind"]


def test_start_in_1970_is_told_of_and_what_is_pushed_then_is_the_newest(
    data: Path, config: Path, wrong: WrongClock
) -> None:
    wrong.set(IN_1970)
    begin = int(time.time())
    options = ["-c", str(config)]
    with (
        running_registry(data, arguments=options, environment=wrong.environment) as registry,
        client(registry) as c,
    ):
        (told,) = ready(registry)
        assert told.startswith("the clock of this host says 1970-01-01T00:0")
        assert "until then time is counted from that, and retention rests" in told
        assert len(warnings(registry)) == 1
        push(c, "new")
        lonely = c.push_blob("app", make_blob("lonely"))
        time.sleep(2.5)  # two rounds of retention
        assert c.tags("app") == ["new", "old"]
        times = times_of_events(c)
        assert all(begin - SECS_MAX <= at <= begin + SECS_MAX for at in times), times

        wrong.shift(0)  # somebody sets it
        deadline = time.monotonic() + SECS_MAX
        while ready(registry) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert ready(registry) == []
        said(data, "gc", "-c", str(config))
        assert c.get(f"/v2/app/blobs/{lonely.digest}").status_code == 200
        while c.tags("app") != ["new"] and time.monotonic() < deadline:
            time.sleep(0.2)
        assert c.tags("app") == ["new"], "the newest by push is what was pushed in 1970"


def test_clock_that_is_behind_and_could_be_right_lets_nothing_be_deleted_by_age(
    data: Path, config: Path, wrong: WrongClock
) -> None:
    wrong.set(max(RELEASED_AT + 60, int(time.time()) - BEHIND_SECS - 3600))
    options = ["-c", str(config)]
    with (
        running_registry(data, arguments=options, environment=wrong.environment) as registry,
        client(registry) as c,
    ):
        (told,) = ready(registry)
        assert told.endswith("set it, or wait if it was ahead then; until then retention rests")
        assert len(warnings(registry)) == 1
        push(c, "new")
        time.sleep(2.5)
        assert c.tags("app") == ["new", "old"]
        said(data, "gc", "-c", str(config))
        assert c.get("/v2/app/manifests/new").status_code == 200


def test_first_start_in_1970_begins_no_earlier_than_this_version(
    tmp_path: Path, wrong: WrongClock
) -> None:
    wrong.set(IN_1970)
    with running_registry(tmp_path / "data", environment=wrong.environment) as registry:
        (told,) = ready(registry)
        assert "1970-01-01" in told
        with client(registry) as c:
            push(c, "first")
            times = times_of_events(c)
        assert times
        assert all(RELEASED_AT <= at < RELEASED_AT + SECS_MAX for at in times), times


def test_key_that_had_expired_does_not_count_again_in_1970(
    tmp_path: Path, wrong: WrongClock
) -> None:
    config, data = tmp_path / "registry.toml", tmp_path / "data"
    config.write_text(
        f'[auth.identity.alice]\nusername = "alice"\npassword = "{hash_password("secret")}"\n'
        "[server]\nworkers = 1\n"
    )
    options = ["-c", str(config)]

    def status(registry: RunningRegistry, password: str) -> int:
        address = f"{registry.base_url}/v2/app/tags/list"
        return httpx.get(address, auth=("alice", password), timeout=SECS_MAX).status_code

    with running_registry(data, arguments=options, environment=wrong.environment) as registry:
        words = ("token", "create", "--as", "alice", "--name", "ci", "--expires", "30m")
        ended = run_command(data, *words, "-c", str(config))
        assert ended.returncode == 0, ended
        key = ended.stdout.strip()
        assert status(registry, key) == 404
        wrong.shift(3600)
        assert status(registry, key) == 401
        url = f"{registry.base_url}/v2/app/blobs/uploads/"
        blob = make_blob("later")
        pushed = httpx.post(
            url, params={"digest": blob.digest}, content=blob.body, auth=("alice", "secret")
        )
        assert pushed.status_code == 201
    wrong.set(IN_1970)
    with running_registry(data, arguments=options, environment=wrong.environment) as registry:
        assert status(registry, "secret") == 200
        assert status(registry, key) == 401
