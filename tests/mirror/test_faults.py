"""Every fault of an upstream, for everything that is pulled, cached or not: what a client is told,
and that nothing wrong is ever served whole or stored."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.api.client import Client
from tests.api.serving import ServedRegistry, serving
from tests.factories import Content, Document, make_blob, make_descriptor, make_image
from tests.mirror.chaos import FAULTS, ChaosProxy, chaos_before

pytestmark = pytest.mark.slow
SILENCE_SECS: Final = 3
SETTLE_SECS_MAX: Final = 5
"""More than a busy machine takes for what is only late."""
LAYER_BYTES: Final = 300_000
KINDS: Final = ("tag", "manifest", "blob", "range")
RANGE: Final = "bytes=1000-200999"

HARMLESS: Final = frozenset({"latency"})
OF_TAGS: Final = frozenset({"other digest"})
"""What is asked for by its digest is judged by that."""
STATUSES: Final = {"404": 404, "429": 503, "silence": 503, "silence half way": 503}
"""Where it is not 502."""
OF_BODIES: Final = frozenset(
    {"reset half way", "truncated", "flipped byte", "longer", "shorter", "silence half way"}
)
"""What a look at a tag, which has no body, does not show."""


def expected_status(fault: str, kind: str) -> int:
    """What is answered where nothing is here, unless the connection is ended: of a blob's bytes it
    may be known too late that they are wrong."""
    if fault in HARMLESS or (kind != "tag" and fault in OF_TAGS):
        return 206 if kind == "range" else 200
    return STATUSES.get(fault, 502)


@dataclass(frozen=True)
class Stored:
    """What there is upstream."""

    image: Document
    layer: Content


@dataclass(frozen=True)
class Registries:
    """A registry, and what stands between it and the other."""

    near: ServedRegistry
    client: Client
    proxy: ChaosProxy
    stored: Stored

    def path(self, kind: str) -> str:
        """What is asked for."""
        image, layer = self.stored.image, self.stored.layer
        return {
            "tag": "/v2/hub/app/manifests/v1",
            "manifest": f"/v2/hub/app/manifests/{image.digest}",
            "blob": f"/v2/hub/app/blobs/{layer.digest}",
            "range": f"/v2/hub/app/blobs/{layer.digest}",
        }[kind]

    def get(self, kind: str) -> httpx.Response | None:
        """The answer; None for a connection that was ended before it was whole."""
        headers = {"Range": RANGE} if kind == "range" else {}
        try:
            return self.client.get(self.path(kind), headers=headers)
        except (httpx.RemoteProtocolError, httpx.ReadError):
            return None

    def is_right(self, kind: str, answer: httpx.Response) -> bool:
        """Whether these are the bytes."""
        layer = self.stored.layer.body
        wanted = {"blob": layer, "range": layer[1000:201_000]}.get(kind, self.stored.image.body)
        return answer.content == wanted


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Stored]]:
    with serving(tmp_path_factory.mktemp("far")) as served, served.client() as client:
        config, layer = make_blob(b"{}"), make_blob(bytes(range(250)) * (LAYER_BYTES // 250))
        for blob in (config, layer):
            client.push_blob("app", blob)
        image = make_image(make_descriptor(config), [make_descriptor(layer)])
        client.stored("app", image, "v1")
        yield served.server.address[1], Stored(image, layer)


@pytest.fixture(scope="module")
def large(far: tuple[int, Stored]) -> Iterator[Content]:
    with Client(f"http://127.0.0.1:{far[0]}") as client:
        yield client.push_blob("app", make_blob(bytes(range(250)) * 20_000))


@pytest.fixture
def registries(tmp_path: Path, far: tuple[int, Stored]) -> Iterator[Registries]:
    with chaos_before(far[0]) as proxy:
        upstream = {
            "url": f"http://127.0.0.1:{proxy.port}",
            "read_timeout_secs": SILENCE_SECS,
            "connect_timeout_secs": SILENCE_SECS,
        }
        table = {"hub": {"upstream": [upstream], "tag_check_interval": 0}}
        with serving(tmp_path, repository=table) as near, near.client() as client:
            yield Registries(near, client, proxy, far[1])
            expect_right_blobs(near)


def expect_right_blobs(near: ServedRegistry) -> None:
    """Every file has the bytes that its name says, and no upload is left once what somebody got is
    synced and has its name too."""
    deadline = time.monotonic() + SETTLE_SECS_MAX
    while near.files("uploads") != [] and time.monotonic() < deadline:
        time.sleep(0.01)
    for path in near.files("blobs"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    assert near.files("uploads") == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_where_nothing_is_here(registries: Registries, fault: str, kind: str) -> None:
    registries.proxy.fault = fault
    answer = registries.get(kind)

    expected = expected_status(fault, kind)
    if answer is None:  # it was noticed when some had been sent already
        assert fault in OF_BODIES
        assert kind in ("blob", "range")
    else:
        assert answer.status_code == expected
    if answer is not None and expected in (200, 206):
        assert registries.is_right(kind, answer)
    if fault == "429":
        assert answer is not None
        assert answer.headers["Retry-After"] == "2"

    registries.proxy.fault = None
    deadline = time.monotonic() + 20  # one that could not be reached is left alone for a moment
    again = registries.get(kind)
    while (again is None or again.status_code in (502, 503)) and time.monotonic() < deadline:
        time.sleep(0.2)
        again = registries.get(kind)
    assert again is not None
    assert again.is_success, again.text
    assert registries.is_right(kind, again)


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_where_all_is_here(registries: Registries, fault: str) -> None:
    for kind in ("tag", "blob"):
        answer = registries.get(kind)
        assert answer is not None
        assert answer.is_success
    registries.proxy.fault = fault
    registries.proxy.asked.clear()

    tag = registries.get("tag")
    assert tag is not None
    is_gone, is_fresh = fault == "404", fault in HARMLESS
    assert tag.status_code == (404 if is_gone else 200)
    if not is_gone:
        assert registries.is_right("tag", tag)
        if fault not in OF_BODIES:
            assert ("X-Angos-Stale" in tag.headers) != is_fresh
    asked = len(registries.proxy.asked)
    for kind in ("manifest", "blob", "range"):
        answer = registries.get(kind)
        assert answer is not None
        assert answer.is_success
        assert registries.is_right(kind, answer)
    assert len(registries.proxy.asked) == asked  # nobody was asked about what has a digest


@pytest.mark.parametrize("kind", ["blob", "range"])
def test_blob_that_breaks_off_on_its_way_ends_the_connection(
    registries: Registries, large: Content, kind: str
) -> None:
    registries.proxy.fault = "silence half way"
    headers = {"Range": f"bytes=10-{large.size - 10}"} if kind == "range" else {}
    path, received = f"/v2/hub/app/blobs/{large.digest}", list[int]()

    def receive() -> None:
        with registries.client.stream("GET", path, headers=headers) as answer:
            assert answer.is_success
            received.extend(len(part) for part in answer.iter_bytes())

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        receive()
    assert 0 < sum(received) <= large.size // 2

    registries.proxy.fault = None
    assert registries.client.get(path).content == large.body


def test_an_error_of_one_upstream_is_not_the_answer_of_another(
    registries: Registries, tmp_path: Path
) -> None:
    registries.proxy.fault = "500"
    good = {"url": f"http://127.0.0.1:{registries.proxy.target}"}
    bad = {"url": f"http://127.0.0.1:{registries.proxy.port}"}
    table = {"hub": {"upstream": [bad, good]}}
    with serving(tmp_path / "other", repository=table) as near, near.client() as client:
        answer = client.get(registries.path("blob"))
        assert answer.content == registries.stored.layer.body
        assert client.get(registries.path("tag")).content == registries.stored.image.body
        missing = client.get("/v2/hub/app/manifests/other")
        assert missing.status_code == 502  # one that could not say may have it
