"""`/v2/_ext/_events`: what is told to whom, as lines and over a WebSocket."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio.testing

from angos_trio.auth.passwords import hash_password
from angos_trio.limits.lists import EVENTS_LISTENERS_MAX
from angos_trio.registry.api_keys import WantedKey, create_key, revoke_key
from tests.api.client import Client, expect_error
from tests.api.serving import ServedRegistry, serving, serving_operator
from tests.certificates import Issued
from tests.factories import make_image
from tests.registry.support import caller_of
from tests.server.frames import Frames, Refused
from tests.server.secured import Secured
from tests.server.wire import eventually

EVENTS = "/v2/_ext/_events"
PASSWORD = "correct horse"
HASH = hash_password(PASSWORD)
AUTH = {"identity": {name: {"username": name, "password": HASH} for name in ("admin", "viewer")}}
OF_ADMIN = "identity.username == 'admin'"
MAY_LISTEN = "identity.username == 'viewer' && request.action == 'get-events'"
SEES_TEAM = (
    "identity.username == 'viewer' && request.action == 'list-tags' && "
    "request.namespace.startsWith('team/')"
)
RATE = 40.0
"""How much faster than the wall the clock of a test goes that waits for a minute."""


def policy(*rules: str) -> dict[str, Any]:
    return {"auth": AUTH, "global_": {"access_policy": {"default": "deny", "rules": list(rules)}}}


def basic(user: str) -> tuple[str, str]:
    shown = base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
    return "Authorization", f"Basic {shown}"


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def all_told(client: Client, **query: str) -> list[dict[str, Any]]:
    """What is kept, without the line that says where it ends."""
    *told, last = lines(client.get(EVENTS, params={"after": "0", **query}))
    assert last["type"] == "heartbeat"
    return told


@contextmanager
def followed(client: Client, **query: str) -> Iterator[Iterator[dict[str, Any]]]:
    """Messages as lines, as they come."""
    with client.stream("GET", EVENTS, params={"follow": "true", **query}) as answer:
        assert answer.status_code == 200
        yield (json.loads(line) for line in answer.iter_lines())


@contextmanager
def listening(
    served: ServedRegistry, query: str = "", *headers: tuple[str, str], **options: Any
) -> Iterator[Frames]:
    """Messages over a WebSocket."""
    with served.wire(**options) as wire:
        yield Frames(wire, EVENTS + query, headers)


def pushed(client: Client, name: str, tag: str) -> str:
    return client.stored(name, make_image(), tag).digest


def told_of(messages: list[dict[str, Any]], name: str) -> list[tuple[str, str | None]]:
    return [(each["type"], each["data"].get("tag")) for each in messages if each["ns"] == name]


def test_events_are_told_in_the_order_of_their_commits(client: Client, name: str) -> None:
    digest = pushed(client, name, "v1")
    client.push_manifest(name, make_image(), "v1")
    client.delete(f"/v2/{name}/manifests/v1")

    told = all_told(client, namespace=name)

    assert told_of(told, name) == [
        ("manifest.pushed", None),
        ("tag.created", "v1"),
        ("manifest.pushed", None),
        ("tag.updated", "v1"),
        ("tag.deleted", "v1"),
    ]
    numbers = [each["seq"] for each in told]
    assert numbers == sorted(set(numbers))
    created = told[1]
    assert (created["v"], created["actor"]) == (1, "anonymous::")
    assert created["data"]["digest"] == digest
    assert isinstance(created["at"], int)


def test_without_a_cursor_only_the_place_is_told(client: Client, name: str) -> None:
    pushed(client, name, "v1")

    (last,) = lines(client.get(EVENTS))

    assert last["type"] == "heartbeat"
    assert last["seq"] == all_told(client)[-1]["seq"]


def test_cursor_resumes_behind_what_it_names(client: Client, name: str) -> None:
    pushed(client, name, "v1")
    pushed(client, name, "v2")
    told = all_told(client)

    for number in range(len(told)):
        later = lines(client.get(EVENTS, params={"after": str(told[number]["seq"])}))
        assert later[:-1] == told[number + 1 :]


def test_cursor_of_another_database_is_reset(client: Client) -> None:
    newest = lines(client.get(EVENTS))[0]["seq"]

    reset, last = lines(client.get(EVENTS, params={"after": str(newest + 1)}))

    assert reset == {"v": 1, "seq": newest, "type": "reset"}
    assert last["seq"] == newest


@pytest.mark.slow
def test_follower_is_told_its_place_and_then_what_happens(
    registry: ServedRegistry, client: Client, name: str
) -> None:
    with followed(client) as told, listening(registry) as frames, registry.client() as other:
        first = next(told)
        assert first["type"] == "heartbeat"
        assert frames.json() == first
        for tag in ("v1", "v2", "v3"):
            pushed(other, name, tag)
        of_lines = [next(told) for _ in range(6)]
        assert [frames.json() for _ in range(6)] == of_lines
        assert [tag for _, tag in told_of(of_lines, name) if tag] == ["v1", "v2", "v3"]


def test_socket_without_follow_ends_when_all_is_told(
    registry: ServedRegistry, client: Client, name: str
) -> None:
    pushed(client, name, "v1")
    with listening(registry, f"?after=0&follow=false&namespace={name}") as frames:
        assert frames.json()["type"] == "manifest.pushed"
        assert frames.json()["type"] == "tag.created"
        assert frames.json()["type"] == "heartbeat"
        assert frames.closed().code == 1000


def test_head_is_answered_without_a_body(client: Client) -> None:
    answer = client.head(EVENTS, params={"follow": "true"})

    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("after=x", "PAGINATION_NUMBER_INVALID"),
        ("after=-1", "PAGINATION_NUMBER_INVALID"),
        ("after=1&after=2", "PAGINATION_NUMBER_INVALID"),
        ("follow=yes", "NAME_INVALID"),
        ("follow=true&follow=false", "NAME_INVALID"),
        ("namespace=A", "NAME_INVALID"),
    ],
)
def test_bad_question_is_refused(
    registry: ServedRegistry, client: Client, query: str, code: str
) -> None:
    expect_error(client.get(f"{EVENTS}?{query}"), 400, code)
    with registry.wire() as wire, pytest.raises(Refused) as refused:
        Frames(wire, f"{EVENTS}?{query}")
    assert refused.value.answer.status == 400
    assert json.loads(refused.value.answer.body)["errors"][0]["code"] == code


def test_page_of_another_site_opens_no_socket(registry: ServedRegistry) -> None:
    own = ("Origin", "http://localhost")
    with listening(registry, "", own) as frames:
        assert frames.json()["type"] == "heartbeat"
    for other in ("https://localhost", "http://localhost:1", "http://evil.example", "null"):
        with registry.wire() as wire, pytest.raises(Refused) as refused:
            Frames(wire, EVENTS, [("Origin", other)])
        assert refused.value.answer.status == 403


def test_handshake_of_another_route_is_an_ordinary_request(
    registry: ServedRegistry, client: Client, name: str
) -> None:
    blob = client.push_blob(name)
    with registry.wire() as wire, pytest.raises(Refused) as refused:
        Frames(wire, f"/v2/{name}/blobs/{blob.digest}")
    assert refused.value.answer.status == 200
    assert refused.value.answer.body == blob.body


@pytest.mark.slow
def test_caller_listens_so_often_and_no_oftener(tmp_path: Path) -> None:
    with serving(tmp_path) as served, served.client() as client:
        wires = [served.wire() for _ in range(EVENTS_LISTENERS_MAX)]
        for wire in wires:
            assert Frames(wire, EVENTS).json()["type"] == "heartbeat"
        expect_error(client.get(EVENTS), 429, "TOOMANYREQUESTS")
        with listening(served) as frames:
            assert frames.closed().code == 4429
        for wire in wires:
            wire.close()
        eventually(lambda: client.get(EVENTS).status_code == 200)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    """A viewer may listen, and sees `team/` only."""
    root: Path = tmp_path_factory.mktemp("guarded")
    with serving(root, **policy(OF_ADMIN, MAY_LISTEN, SEES_TEAM)) as served:
        yield served


@contextmanager
def client_of(served: ServedRegistry, user: str) -> Iterator[Client]:
    with served.client() as client:
        client.auth = (user, PASSWORD)
        yield client


@pytest.mark.slow
def test_viewer_is_told_only_of_what_they_see(guarded: ServedRegistry) -> None:
    with client_of(guarded, "admin") as admin, client_of(guarded, "viewer") as viewer:
        blob = admin.push_blob("secret/app")
        pushed(admin, "secret/app", "v1")
        pushed(admin, "team/app", "v1")
        parameters = {"mount": blob.digest, "from": "secret/app"}
        assert admin.post("/v2/team/app/blobs/uploads/", params=parameters).status_code == 201

        text = viewer.get(EVENTS, params={"after": "0"}).text
        told = [json.loads(line) for line in text.splitlines()]

        assert "secret" not in text
        assert [each["type"] for each in told] == [
            "manifest.pushed",
            "tag.created",
            "blob.mounted",
            "heartbeat",
        ]
        assert told[2]["data"] == {"digest": blob.digest, "from": None}
        mounted = [each for each in all_told(admin) if each["type"] == "blob.mounted"]
        assert mounted[0]["data"]["from"] == "secret/app"
        assert "session" not in admin.get(EVENTS, params={"after": "0"}).text


@pytest.mark.slow
def test_viewer_without_the_right_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path, **policy(OF_ADMIN, SEES_TEAM)) as served:
        with client_of(served, "viewer") as viewer, served.client() as nobody:
            expect_error(viewer.get(EVENTS), 403, "DENIED")
            expect_error(nobody.get(EVENTS), 401, "UNAUTHORIZED")
        for headers, status in (([basic("viewer")], 403), ([], 401), ([basic("x")], 401)):
            with served.wire() as wire, pytest.raises(Refused) as refused:
                Frames(wire, EVENTS, headers)
            assert refused.value.answer.status == status
            if status == 401:
                assert "www-authenticate" in refused.value.answer.headers


@pytest.mark.slow
def test_reload_that_hides_a_namespace_counts_from_the_next_event(tmp_path: Path) -> None:
    with (
        serving(tmp_path, **policy(OF_ADMIN, MAY_LISTEN, SEES_TEAM)) as served,
        client_of(served, "admin") as admin,
        client_of(served, "viewer") as viewer,
        followed(viewer, after="0") as told,
        listening(served, "?after=0", basic("viewer")) as frames,
    ):
        pushed(admin, "team/app", "v1")
        assert [next(told)["type"] for _ in range(3)] == [
            "heartbeat",
            "manifest.pushed",
            "tag.created",
        ]
        assert [frames.json()["seq"] for _ in range(3)] == [0, 1, 2]
        served.reload(**policy(OF_ADMIN, MAY_LISTEN, SEES_TEAM.replace("team", "other")))
        pushed(admin, "team/app", "v2")
        pushed(admin, "other/app", "v1")
        for message in (next(told), frames.json()):
            assert (message["ns"], message["seq"]) == ("other/app", 5)


@pytest.mark.slow
def test_reload_that_takes_the_right_ends_the_feed(tmp_path: Path) -> None:
    with (
        serving(tmp_path, **policy(OF_ADMIN, MAY_LISTEN, SEES_TEAM)) as served,
        client_of(served, "admin") as admin,
        client_of(served, "viewer") as viewer,
        followed(viewer) as told,
        listening(served, "", basic("viewer")) as frames,
    ):
        assert (next(told)["type"], frames.json()["type"]) == ("heartbeat", "heartbeat")
        served.reload(**policy(OF_ADMIN, SEES_TEAM))
        pushed(admin, "team/app", "v1")
        assert list(told) == [{"v": 1, "type": "end", "reason": "denied"}]
        closed = frames.closed()
        assert (closed.code, closed.reason) == (4401, "denied")


@pytest.mark.slow
def test_user_who_is_gone_is_noticed_within_a_minute_without_an_event(tmp_path: Path) -> None:
    only_admin = {"identity": {"admin": AUTH["identity"]["admin"]}}
    clock = trio.testing.MockClock(rate=RATE)
    with (
        serving(tmp_path, clock=clock, **policy(OF_ADMIN, MAY_LISTEN)) as served,
        listening(served, "", basic("viewer")) as frames,
    ):
        assert frames.json()["type"] == "heartbeat"
        served.reload(**{**policy(OF_ADMIN, MAY_LISTEN), "auth": only_admin})
        assert frames.closed().code == 4401


@pytest.mark.slow
def test_certificate_that_is_revoked_ends_the_feed_within_a_minute(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secured = Secured(tmp_path_factory.mktemp("tls"))
    issued: Issued = secured.clients.client("alice")
    rules = policy("identity.certificate != null")
    clock = trio.testing.MockClock(rate=RATE)
    with (
        serving(tmp_path, clock=clock, secured=secured, **rules) as served,
        listening(served, tls=secured.client(issued)) as frames,
    ):
        assert frames.json()["type"] == "heartbeat"
        (secured.folder / "clients.crl").write_bytes(secured.clients.crl(issued))
        eventually(secured.live.look)
        closed = frames.closed()
        assert (closed.code, closed.reason) == (4401, "unauthorized")


@pytest.mark.slow
def test_key_listens_to_what_it_reaches_and_its_end_ends_the_feed(tmp_path: Path) -> None:
    operator = caller_of("operator")
    clock = trio.testing.MockClock(rate=RATE)
    with serving(tmp_path, clock=clock, auth=AUTH) as served:
        wanted = WantedKey("ci", "admin", None, ("team/*",), ())
        call, core = served.server.call, served.core
        key, text = call(create_key, core, operator, wanted, {"admin"})
        shown = ("Authorization", f"Bearer {text}")
        with client_of(served, "admin") as admin, listening(served, "?after=0", shown) as frames:
            pushed(admin, "other/app", "v1")
            pushed(admin, "team/app", "v1")
            assert frames.json()["type"] == "heartbeat"
            assert frames.json()["ns"] == frames.json()["ns"] == "team/app"
            call(revoke_key, core, operator, key.id)
            assert frames.closed().code == 4401
            # What is told of keys is the operator's.
            assert "key." not in admin.get(EVENTS, params={"after": "0"}).text


def test_operator_is_told_of_keys(tmp_path: Path) -> None:
    socket = tmp_path / "control.sock"
    transport = httpx.HTTPTransport(uds=str(socket))
    with (
        serving_operator(tmp_path, socket, auth=AUTH) as served,
        httpx.Client(transport=transport, base_url="http://localhost", timeout=10) as client,
    ):
        wanted = WantedKey("ci", "admin", None, (), ())
        served.server.call(create_key, served.core, caller_of("operator"), wanted, {"admin"})
        created, _ = lines(client.get(EVENTS, params={"after": "0"}))
        assert (created["type"], created["ns"]) == ("key.created", None)


@pytest.mark.slow
def test_heartbeats_come_when_nothing_else_does(tmp_path: Path) -> None:
    clock = trio.testing.MockClock(rate=RATE)
    with serving(tmp_path, clock=clock) as served:
        with served.client() as client, followed(client) as told:
            assert [next(told)["type"] for _ in range(4)] == ["heartbeat"] * 4
        with listening(served) as frames:
            assert [frames.json()["type"] for _ in range(4)] == ["heartbeat"] * 4


@pytest.mark.slow
def test_slow_reader_is_told_to_begin_anew_and_skips_to_the_newest(tmp_path: Path) -> None:
    count = 40_000
    clock = trio.testing.MockClock(rate=10.0)
    with (
        serving(tmp_path, clock=clock) as served,
        listening(served, buffer_bytes=4096) as frames,
    ):
        assert frames.json()["type"] == "heartbeat"
        served.happen("a", count)
        time.sleep(1.0)
        told = [frames.json()]
        while told[-1]["type"] != "reset":
            told.append(frames.json())
        assert told[-1]["seq"] == count
        assert len(told) < count
        of_events = [each["seq"] for each in told[:-1] if each["type"] != "heartbeat"]
        assert of_events == list(range(1, len(of_events) + 1))
        served.happen("a", 1)
        while (message := frames.json())["type"] == "heartbeat":
            continue
        assert message["seq"] == count + 1


@pytest.mark.slow
@pytest.mark.parametrize("is_socket", [False, True])
def test_reader_that_takes_nothing_is_cut_off(tmp_path: Path, is_socket: bool) -> None:
    clock = trio.testing.MockClock(rate=RATE)
    with serving(tmp_path, clock=clock, stall_secs=30.0) as served:
        served.happen("a", 60_000)
        with served.wire(buffer_bytes=4096) as wire:
            if is_socket:
                Frames(wire, f"{EVENTS}?after=0")
            else:
                wire.request("GET", f"{EVENTS}?after=0&follow=true")
                assert wire.head()[0] == 200  # before that the server is idle as well
            served.server.expect_idle()
            assert wire.is_reset()


@pytest.mark.slow
def test_stop_ends_feeds_at_once(tmp_path: Path) -> None:
    with (
        serving(tmp_path, drain_secs=60.0) as served,
        served.client() as client,
        followed(client) as told,
        listening(served) as frames,
    ):
        assert (next(told)["type"], frames.json()["type"]) == ("heartbeat", "heartbeat")
        served.server.begin_to_stop()
        assert list(told) == [{"v": 1, "type": "end", "reason": "going away"}]
        assert frames.closed().code == 1001
        served.server.join()


@pytest.mark.slow
def test_follower_that_leaves_is_noticed_without_an_event(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        with served.client() as client, followed(client) as told:
            next(told)
        with listening(served) as frames:
            frames.json()
        served.server.expect_idle()


@pytest.mark.slow
def test_nothing_is_lost_or_told_twice_over_a_restart(tmp_path: Path) -> None:
    seen, cursor = list[int](), 0
    for number in range(3):
        with serving(tmp_path) as served, served.client() as client:
            pushed(client, "a", f"v{number}")
            with followed(client, after=str(cursor)) as told:
                assert next(told)["seq"] == cursor
                seen += [next(told)["seq"] for _ in range(2)]
                cursor = seen[-1]
            pushed(client, "a", f"w{number}")
    with serving(tmp_path) as served, served.client() as client:
        seen += [each["seq"] for each in all_told(client) if each["seq"] > cursor]
    assert seen == list(range(1, 13))
