"""Pages cost what they show, with 5,000 namespaces and 10,000 tags in one of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from angos_trio.identity import Origin
from tests.api.client import Client
from tests.api.serving import serving
from tests.bench.scale_stores import LARGE, Sizes, fill
from tests.web.pages import page_of
from tests.web.past import aged, grown, pulled, sampled

pytestmark = pytest.mark.slow

SIZES = Sizes(
    tags=20_000, manifests=20_000, blobs=40_000, namespaces=5_000, referrers=100, garbage=0
)
"""Half of all is in one namespace."""
P95_MS_MAX = 50.0
HTML_BYTES_MAX = 80_000
ELEMENTS_MAX = 2_500
LOOKS = 40
ROUNDS = 4
"""The best of so many counts: others may be busy on the same cores."""
PATHS = (
    *("/", "/team", "/team?sort=size&order=desc", "/team?q=app-049", f"/{LARGE}"),
    *("/_ui/activity", "/_ui/storage", "/_ui/health", "/_ui/find?q=app-04", "/_ui/find?q=one:v00"),
    "/_ui/help",
    *(f"/{LARGE}?kind=image", f"/{LARGE}?kind=chart", f"/{LARGE}?platform=linux/arm64&q=v"),
    *(f"/{LARGE}?state=signed&sort=size", f"/{LARGE}?state=untagged"),
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Speaks to the registry of that size."""
    root: Path = tmp_path_factory.mktemp("large")
    with serving(root) as served:
        data_dir = served.plan.storage.root
    fill(data_dir, SIZES)
    with serving(root) as served, served.client() as client:
        served.happen(
            LARGE, 5_000, Origin("2001:db8:85a3:8d3:1319:8a2e:370:7348", "docker/27 " * 20)
        )
        sampled(served, grown())
        aged(served, 100)
        pulled(served, 200)
        yield client


def p95_ms(client: Client, path: str) -> float:
    """What a page costs, in 95 of 100 cases: processor time of the registry and of the client that
    asks, which are one process here. How long a client waits is that on a machine that is idle; on
    one that is busy it says nothing about the page."""
    took = []
    for _ in range(LOOKS):
        began = time.process_time()
        client.get(path)
        took.append((time.process_time() - began) * 1000)
    return sorted(took)[LOOKS * 95 // 100 - 1]


@pytest.mark.parametrize("path", PATHS)
def test_page_of_a_large_registry_is_quick_and_small(client: Client, path: str) -> None:
    answer = client.get(path)  # the first compiles its template, and may count anew
    page = page_of(answer)

    assert len(answer.content) < HTML_BYTES_MAX
    assert sum(1 for _ in page.walk()) < ELEMENTS_MAX
    rounds: list[float] = []
    while len(rounds) < ROUNDS and min(rounds, default=P95_MS_MAX) >= P95_MS_MAX:
        rounds.append(p95_ms(client, path))
    print(path, [round(each, 1) for each in rounds], len(answer.content))
    assert min(rounds) < P95_MS_MAX, rounds


def test_sums_of_a_large_repository_are_right(client: Client) -> None:
    page = page_of(client.get("/"))

    assert page.one("p", class_="said").text.startswith("2 repositories hold 20,000 tags in ")
    said = page_of(client.get("/team")).one("p", class_="said").text
    assert said.startswith("4,999 namespaces hold 10,000 tags and 10,000 manifests in ")
