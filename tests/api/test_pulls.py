"""`/v2/_ext/{name}/_pulls`: who pulled a manifest lately."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from angos_trio.auth.passwords import hash_password
from angos_trio.identity import CLIENT_CHARACTERS_MAX
from tests.api.client import Client, expect_error
from tests.api.serving import ServedRegistry, serving
from tests.factories import make_image, make_name

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    with serving(tmp_path_factory.mktemp("pulls")) as served:
        yield served


@pytest.fixture
def client(served: ServedRegistry) -> Iterator[Client]:
    with Client(served.url) as speaking:
        yield speaking


def pulls(served: ServedRegistry, client: Client, name: str, reference: str) -> dict[str, Any]:
    """What is told of them, once they are written."""
    served.server.call(served.doors.pull_times.flush)
    answer = client.get(f"/v2/_ext/{name}/_pulls", params={"reference": reference})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "private, no-cache"
    found: dict[str, Any] = answer.json()
    return found


def test_pulls_are_told_the_latest_first(served: ServedRegistry, client: Client) -> None:
    name = make_name()
    image = client.stored(name, make_image(), tags=["v1", "latest"])
    client.pull(name, "v1")
    client.pull(name, image.digest, "docker/24.0.7")
    client.pull(name, "latest", "")
    client.head(f"/v2/{name}/manifests/v1")

    found = pulls(served, client, name, "v1")
    assert found == pulls(served, client, name, image.digest)
    assert (found["digest"], found["is_recorded"], found["pull_count"]) == (image.digest, True, 3)
    assert [(each["tag"], each["client"]) for each in found["pulls"]] == [
        ("latest", ""),
        (None, "docker/24.0.7"),
        ("v1", "skopeo/1.9"),
    ]
    assert {(each["pulled_by"], each["address"]) for each in found["pulls"]} == {
        ("anonymous::", "127.0.0.1")
    }
    assert found["last_pulled_at"] == found["pulls"][0]["pulled_at"]
    assert found["recorded_since"] <= found["last_pulled_at"]


def test_days_are_thirty_and_the_last_is_today(served: ServedRegistry, client: Client) -> None:
    name = make_name()
    client.stored(name, make_image(), tags=["v1"])
    for _ in range(3):
        client.pull(name, "v1")
    found = pulls(served, client, name, "v1")
    days = [each["day"] for each in found["days"]]
    assert len(days) == 30
    assert days == sorted(set(days))
    last = found["pulls"][0]["pulled_at_iso"]
    assert sum(each["pulls"] for each in found["days"]) == 3
    assert {each["day"]: each["pulls"] for each in found["days"]}[last[:10]] > 0


def test_what_a_program_says_of_itself_is_cut(served: ServedRegistry, client: Client) -> None:
    name = make_name()
    client.stored(name, make_image(), tags=["v1"])
    client.pull(name, "v1", "x" * 5_000)

    (line,) = pulls(served, client, name, "v1")["pulls"]
    assert line["client"] == "x" * CLIENT_CHARACTERS_MAX


def test_looking_is_no_pull(served: ServedRegistry, client: Client) -> None:
    name = make_name()
    image = client.stored(name, make_image(), tags=["v1"])
    for path in (
        f"/v2/_ext/{name}/_manifest/v1",
        f"/v2/_ext/{name}/_pulls?reference=v1",
        f"/{name}:v1?tab=pulls",
        f"/{name}@{image.digest}?tab=json&show=bytes",
    ):
        assert client.get(path).status_code == 200
    found = pulls(served, client, name, "v1")
    assert (found["pulls"], found["pull_count"], found["last_pulled_at"]) == ([], 0, None)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "TAG_INVALID"),
        ("?reference=", 400, "TAG_INVALID"),
        ("?reference=a&reference=b", 400, "TAG_INVALID"),
        ("?reference=sha256:zz", 400, "DIGEST_INVALID"),
        ("?reference=other", 404, "MANIFEST_UNKNOWN"),
        ("?reference=-", 404, "MANIFEST_UNKNOWN"),
        (f"?reference=sha256:{'0' * 64}", 404, "MANIFEST_UNKNOWN"),
    ],
)
def test_what_names_nothing_is_refused(client: Client, query: str, status: int, code: str) -> None:
    client.stored("refused/app", make_image(), tags=["v1"])
    expect_error(client.get(f"/v2/_ext/refused/app/_pulls{query}"), status, code)


def test_same_manifest_elsewhere_has_pulls_of_its_own(
    served: ServedRegistry, client: Client
) -> None:
    one, other, image = make_name(), make_name(), make_image()
    for name in (one, other):
        client.stored(name, image, tags=["v1"])
    client.pull(one, "v1")
    assert len(pulls(served, client, one, "v1")["pulls"]) == 1
    assert pulls(served, client, other, "v1")["pulls"] == []


def test_deleted_manifest_tells_nothing(served: ServedRegistry, client: Client) -> None:
    name = make_name()
    image = client.stored(name, make_image(), tags=["v1"])
    client.pull(name, "v1")
    assert client.delete(f"/v2/{name}/manifests/{image.digest}").status_code == 202
    for reference in ("v1", image.digest):
        answer = client.get(f"/v2/_ext/{name}/_pulls", params={"reference": reference})
        expect_error(answer, 404, "MANIFEST_UNKNOWN")


def test_pulls_that_are_not_recorded_are_said_not_to_be(tmp_path: Path) -> None:
    with (
        serving(tmp_path, global_={"update_pull_time": False}) as served,
        Client(served.url) as client,
    ):
        client.stored("app", make_image(), tags=["v1"])
        client.pull("app", "v1")
        served.server.call(_flush_off, served)
        answer = client.get("/v2/_ext/app/_pulls?reference=v1").json()
        told = (answer["is_recorded"], answer["recorded_since"], answer["pull_count"])
        assert told == (False, None, None)
        assert answer["pulls"] == []


async def _flush_off(served: ServedRegistry) -> None:
    await served.doors.pull_times.flush(is_on=False)


def test_file_of_pulls_that_cannot_be_read_is_503(tmp_path: Path) -> None:
    with serving(tmp_path) as served, Client(served.url) as client:
        client.stored("app", make_image(), tags=["v1"])
        served.plan.storage.root.joinpath("stats.db").mkdir()
        expect_error(client.get("/v2/_ext/app/_pulls?reference=v1"), 503, "UNAVAILABLE")


@pytest.mark.slow
def test_addresses_are_for_whom_policies_let_see_them(tmp_path: Path) -> None:
    hashed = hash_password(PASSWORD)
    users = {
        each: {"username": each, "password": hashed} for each in ("owner", "some", "all", "none")
    }
    rules = [
        "identity.username == 'owner'",
        "request.action == 'get-manifest'",
        "identity.username in ['some', 'all'] && request.action == 'list-pulls'",
        "identity.username == 'all' && request.action == 'get-pull-addresses' "
        "&& request.namespace == 'team/app'",
    ]
    policy = {"access_policy": {"default": "deny", "rules": rules}}
    with (
        serving(tmp_path, global_=policy, auth={"identity": users}) as served,
        Client(served.url) as client,
    ):

        def seen_by(user: str, name: str = "team/app") -> httpx.Response:
            query = {"reference": "v1"}
            return client.get(f"/v2/_ext/{name}/_pulls", params=query, auth=(user, PASSWORD))

        for name in ("team/app", "team/other"):
            client.auth = httpx.BasicAuth("owner", PASSWORD)
            client.stored(name, make_image(), tags=["v1"])
            client.auth = httpx.BasicAuth("none", PASSWORD)
            client.pull(name, "v1")
        served.server.call(served.doors.pull_times.flush)

        (line,) = seen_by("all").json()["pulls"]
        assert (line["pulled_by"], line["address"]) == ("basic::none", "127.0.0.1")
        (line,) = seen_by("some").json()["pulls"]
        assert (line["pulled_by"], line["address"]) == ("basic::none", None)
        (line,) = seen_by("all", "team/other").json()["pulls"]
        assert line["address"] is None
        expect_error(seen_by("none"), 403, "DENIED")
        # Who may not look learns nothing of what is there.
        expect_error(seen_by("none", "team/absent"), 403, "DENIED")
