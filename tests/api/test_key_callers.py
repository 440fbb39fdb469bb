"""Callers who show an API key: they are its owner, narrowed, until it expires or is revoked."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from angos_trio.auth.api_keys import make_key
from angos_trio.auth.passwords import hash_password
from angos_trio.clock import epoch_seconds
from angos_trio.records import replace
from angos_trio.registry.api_keys import WantedKey, create_key, revoke_key
from tests.api.client import Client, expect_error
from tests.api.serving import ServedRegistry, serving
from tests.factories import make_blob, make_image, make_name
from tests.registry.support import caller_of

OPERATOR = caller_of("operator")
HASH = hash_password("correct horse")
USERS = {
    "identity": {
        "a": {"username": "alice", "password": HASH},
        "b": {"username": "bob", "password": HASH},
    }
}
READS = ("get-blob", "get-manifest", "list-tags")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    """A registry with two users, who may do everything."""
    root = tmp_path_factory.mktemp("registry")
    with serving(root, auth=USERS) as served:
        yield served


Made = Callable[..., tuple[str, str]]


@pytest.fixture
def made(registry: ServedRegistry) -> Made:
    """Makes a key of alice; its id and its text."""

    def make(
        *,
        secs: int | None = None,
        repositories: tuple[str, ...] = (),
        actions: tuple[str, ...] = (),
    ) -> tuple[str, str]:
        wanted = WantedKey(make_name("key").replace("/", "-"), "alice", secs, repositories, actions)
        key, text = registry.server.call(create_key, registry.core, OPERATOR, wanted, {"alice"})
        return key.id, text

    return make


def showing(registry: ServedRegistry, user: str, secret: str) -> Client:
    client = Client(registry.url)
    client.auth = httpx.BasicAuth(user, secret)
    return client


def status(registry: ServedRegistry, authorization: str) -> int:
    with Client(registry.url) as client:
        return client.get("/v2/", headers={"Authorization": authorization}).status_code


def basic(user: str, secret: str) -> str:
    sent = httpx.Request("GET", "http://localhost")
    return next(httpx.BasicAuth(user, secret).auth_flow(sent)).headers["Authorization"]


def test_key_is_a_password_and_a_bearer_token(registry: ServedRegistry, made: Made) -> None:
    _, key = made()

    assert status(registry, basic("alice", key)) == 200
    assert status(registry, f"Bearer {key}") == 200
    assert status(registry, f"bearer {key}") == 200


def test_key_that_is_not_right_is_401_and_never_anonymous(
    registry: ServedRegistry, made: Made
) -> None:
    key_id, key = made()

    assert status(registry, basic("bob", key)) == 401
    for wrong in (make_key().text, f"atk_{key_id}_{make_key().secret}", key[:-1], key + "x"):
        assert status(registry, f"Bearer {wrong}") == 401
        assert status(registry, basic("alice", wrong)) == 401


def test_expired_key_is_401(registry: ServedRegistry) -> None:
    earlier = replace(registry.core, now=lambda: epoch_seconds() - 100)
    for secs, expected in ((1000, 200), (99, 401)):
        wanted = WantedKey(f"lives-{secs}", "alice", secs, (), ())
        _, key = registry.server.call(create_key, earlier, OPERATOR, wanted, {"alice"})
        assert status(registry, f"Bearer {key}") == expected


def test_revoked_key_is_401_at_once(registry: ServedRegistry, made: Made) -> None:
    key_id, key = made()
    with showing(registry, "alice", key) as client:
        assert client.get("/v2/").status_code == 200
        registry.server.call(revoke_key, registry.core, OPERATOR, key_id)
        expect_error(client.get("/v2/"), 401, "UNAUTHORIZED")


def test_key_reaches_what_it_is_narrowed_to_and_nothing_else(
    registry: ServedRegistry, made: Made
) -> None:
    inside, outside = make_name("team/app"), make_name("other/app")
    with showing(registry, "alice", "correct horse") as owner:
        for name in (inside, outside):
            blob = owner.push_blob(name)
            owner.stored(name, make_image(), "v1")
    _, key = made(repositories=("team/**",), actions=READS)
    with showing(registry, "alice", key) as client:
        assert client.get("/v2/").status_code == 200
        assert client.get(f"/v2/{inside}/manifests/v1").status_code == 200
        assert client.get(f"/v2/{inside}/tags/list").status_code == 200
        for answer in (
            client.get(f"/v2/{outside}/manifests/v1"),
            client.get(f"/v2/{outside}/blobs/{blob.digest}"),
            client.push_manifest(inside, make_image(), "v2"),
            client.delete(f"/v2/{inside}/manifests/v1"),
            client.post(f"/v2/{inside}/blobs/uploads/"),
            client.get("/v2/_catalog"),
            client.get("/metrics"),
        ):
            expect_error(answer, 403, "DENIED")


def test_catalog_shows_what_the_key_reaches(registry: ServedRegistry, made: Made) -> None:
    inside, outside = make_name("shown/app"), make_name("hidden/app")
    with showing(registry, "alice", "correct horse") as owner:
        for name in (inside, outside):
            owner.stored(name, make_image(), "v1")
    _, key = made(repositories=("shown/*",))
    with showing(registry, "alice", key) as client:
        assert client.get("/v2/_catalog").json() == {"repositories": [inside]}


def test_mount_from_beyond_the_key_moves_nothing(registry: ServedRegistry, made: Made) -> None:
    inside, outside = make_name("mount/app"), make_name("beyond/app")
    with showing(registry, "alice", "correct horse") as owner:
        blob = owner.push_blob(outside, make_blob())
    _, key = made(repositories=("mount/**",))
    with showing(registry, "alice", key) as client:
        for parameters in ({"mount": blob.digest, "from": outside}, {"mount": blob.digest}):
            answer = client.post(f"/v2/{inside}/blobs/uploads/", params=parameters)
            assert answer.status_code == 202, "an upload is opened, nothing is mounted"
        assert client.get(f"/v2/{inside}/blobs/{blob.digest}").status_code == 404
