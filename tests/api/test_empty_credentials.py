"""What podman and skopeo send when they have no credentials: neither a user nor a password."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from angos_trio.auth.passwords import hash_password
from tests.api.client import Client
from tests.api.serving import ServedRegistry, serving
from tests.factories import make_image

HASH = hash_password("correct horse")
RULES = [
    "identity.username == 'alice'",
    "has(request.namespace) && request.namespace == 'open'"
    " && request.action in ['get-manifest', 'get-blob']",
]
EMPTY = {"Authorization": "Basic Og=="}
MORE_THAN_MAY_FAIL = 80


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    with serving(
        tmp_path_factory.mktemp("registry"),
        auth={"identity": {"a": {"username": "alice", "password": HASH}}},
        global_={"access_policy": {"default": "deny", "rules": RULES}},
    ) as served:
        yield served


def test_they_show_nobody_and_what_is_open_to_nobody_is_open(served: ServedRegistry) -> None:
    image = make_image()
    served.store("open", [image])

    with Client(served.url) as client:
        path = f"manifests/{image.digest}"
        assert client.get(f"/v2/open/{path}", headers=EMPTY).status_code == 200
        assert client.get(f"/v2/closed/{path}", headers=EMPTY).status_code == 401
        assert client.post("/v2/open/blobs/uploads/", headers=EMPTY).status_code == 401


def test_they_are_no_attempt_that_failed(served: ServedRegistry) -> None:
    with Client(served.url) as client:
        answers = [client.get("/v2/", headers=EMPTY) for _ in range(MORE_THAN_MAY_FAIL)]

    assert {answer.status_code for answer in answers} == {401}
    assert answers[0].headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize("shown", ["alice:", ":correct horse", "::", " :"])
def test_what_is_less_than_a_user_and_more_than_nothing_is_wrong(
    served: ServedRegistry, shown: str
) -> None:
    image = make_image()
    served.store("open", [image])
    text = base64.b64encode(shown.encode()).decode()

    with Client(served.url) as client:
        answer = client.get(
            f"/v2/open/manifests/{image.digest}", headers={"Authorization": f"Basic {text}"}
        )

    assert answer.status_code == 401
