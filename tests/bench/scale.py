"""A large registry: 1,000,000 tags, 200,000 manifests, 1,000,000 blobs.

Started by `make bench-scale`. Pages and a start must cost what they cost in a small one; pulls must
not feel that 100,000 blobs are collected beside them; and a collection is compared with that of
docker-registry over the same images.
"""

from __future__ import annotations

import argparse
import http.client
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench.report import table
from tests.bench.rows import KIB, Figures, build_client, load
from tests.bench.scale_stores import (
    LARGE,
    Image,
    Sizes,
    begin,
    fill,
    numbered,
    put_images_of_ours,
    put_images_of_theirs,
)
from tests.bench.sides import CACHE, OURS, BenchError, Side, peer_program, start
from tests.control import GC, RUN, ask
from tests.running import program

ROOT = CACHE / "scale"
PAGES = 60
PAGE_MS_MAX = 5.0
START_SECS_MAX = 2.0
P99_RATIO_MAX = 2.0
PULLS = 500
PULLERS = 2
PAUSE = "5ms"
ENTRIES = 16
QUIET_ROUNDS = 5
IMAGES = 10_000
DELETED = set(range(0, IMAGES, 10))
GC_ROUNDS = 3
RUN_SECS_MAX = 600


@dataclass(frozen=True)
class Line:
    """A figure with its bound; no bound: it is shown only."""

    what: str
    figure: float
    unit: str
    bound: float | None = None

    @property
    def is_kept(self) -> bool:
        return self.bound is None or self.figure <= self.bound

    def cells(self) -> tuple[str, str, str]:
        bound = "" if self.bound is None else f"{self.bound:g} {self.unit}"
        return self.what, f"{self.figure:.2f} {self.unit}", bound


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    begun_at = time.monotonic()
    work()
    return time.monotonic() - begun_at


def page_ms(side: Side, paths: Sequence[str]) -> float:
    """The median of what a client waits for a page, in milliseconds, over one connection."""
    connection = http.client.HTTPConnection(side.address, timeout=30)
    took = []
    for number in range(PAGES):
        path = paths[number % len(paths)]
        begun_at = time.monotonic()
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        took.append((time.monotonic() - begun_at) * 1000)
        if answer.status != 200 or len(body) < 1000:
            raise BenchError(f"{path}: {answer.status}, {body[:200]!r}")
    connection.close()
    return statistics.median(took)


def measure_pages(side: Side, sizes: Sizes) -> list[Line]:
    """A page of each list, at its beginning, in its middle and near its end."""
    middles = [0, sizes.tags // 2, sizes.tags - 3000]
    tags = [f"/v2/{LARGE}/tags/list?last=v{at:07d}" for at in middles]
    names = [0, sizes.namespaces // 2, sizes.namespaces - 1100]
    catalog = [f"/v2/_catalog?last=team/app-{at:05d}" for at in names]
    referrers = [f"/v2/{LARGE}/referrers/{numbered('manifest', 0)}"]
    return [
        Line("a page of 1,000 tags", page_ms(side, tags), "ms", PAGE_MS_MAX),
        Line("a page of 1,000 repositories", page_ms(side, catalog), "ms", PAGE_MS_MAX),
        Line("a page of 100 referrers", page_ms(side, referrers), "ms", PAGE_MS_MAX),
    ]


def pull(side: Side, into: Figures) -> None:
    """Pulls of small images, each a manifest by its tag, its config and its layer."""
    words = ("-scenario", "pull", "-clients", PULLERS, "-count", PULLS, "-entries", ENTRIES)
    into.runs.append(load(side, *words, "-pause", PAUSE))


def measure_collection(side: Side, data_dir: Path, sizes: Sizes) -> list[Line]:
    """Pulls alone, and beside the collection of all garbage at once."""
    load(side, "-scenario", "push", "-clients", 4, "-count", ENTRIES, "-size", 16 * KIB)
    quiet, beside = Figures(), Figures()
    pull(side, Figures())
    for _ in range(QUIET_ROUNDS):
        pull(side, quiet)
    begun_at = time.monotonic()
    status, said = ask(data_dir, "POST", GC, {"now": True})
    if status != 202:
        raise BenchError(f"a collection was answered with {status}: {said}")
    while (run := ask(data_dir, "GET", RUN)[1]["run"])["state"] in ("wanted", "running"):
        pull(side, beside)
    secs = time.monotonic() - begun_at
    if run["state"] != "done" or run["outcome"]["blobs"] < sizes.garbage:
        raise BenchError(f"the collection came to {run}")
    p99 = beside.latency_ms(0.99) / quiet.latency_ms(0.99)
    median = beside.latency_ms(0.5) / quiet.latency_ms(0.5)
    return [
        Line("p99 of a pull alone", quiet.latency_ms(0.99), "ms"),
        Line("p99 of a pull beside the collection", beside.latency_ms(0.99), "ms"),
        Line("p99 beside by alone", p99, "times", P99_RATIO_MAX),
        Line("median beside by alone", median, "times"),
        Line(f"collection of {sizes.garbage:,} blobs", secs, "s"),
    ]


def measure_large(sizes: Sizes) -> list[Line]:
    """The large store: filled, started, asked, collected."""
    data_dir = begin(ROOT / "large")
    print(f"filled in {timed(lambda: fill(data_dir, sizes)):.0f} s", flush=True)
    size = (data_dir / "metadata.db").stat().st_size
    print(f"metadata.db has {size / 2**20:.0f} MiB", flush=True)
    starts = []
    for _ in range(3):
        with start(OURS, ROOT / "large", workers=2) as side:
            starts.append(side.start_secs)
    with start(OURS, ROOT / "large", workers=2) as side:
        return [
            Line("start with two workers", statistics.median(starts), "s", START_SECS_MAX),
            *measure_pages(side, sizes),
            *measure_collection(side, data_dir, sizes),
        ]


def measure_peers(images: int) -> list[Line]:
    """The same images in both, one in ten deleted: a collection from start to end, by turns."""
    ours, theirs = [], []
    wanted = [Image(number) for number in range(images)]
    for _ in range(GC_ROUNDS):
        data_dir = begin(ROOT / "ours")
        put_images_of_ours(data_dir, wanted, DELETED)
        shutil.rmtree(ROOT / "theirs", ignore_errors=True)
        put_images_of_theirs(ROOT / "theirs", wanted, DELETED)
        os.sync()
        command = [*program(), "gc", "--data-dir", str(data_dir)]
        ours.append(timed(partial(run_one, command)))
        theirs.append(timed(partial(run_one, their_collection(ROOT / "theirs"))))
        expect_same(images, data_dir, ROOT / "theirs")
    ratio = statistics.median(theirs) / statistics.median(ours)
    return [
        Line("angos-trio gc, stopped registry", statistics.median(ours), "s"),
        Line("registry garbage-collect", statistics.median(theirs), "s"),
        Line("theirs by ours", ratio, "times"),
    ]


def run_one(command: Sequence[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=RUN_SECS_MAX, check=False
    )
    if done.returncode != 0:
        raise BenchError(f"{command}: {done.stderr[-500:]}")


def their_collection(root: Path) -> list[str]:
    config = root / "config.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {root / 'data'}}}}}\n"
    )
    return [str(peer_program()), "garbage-collect", str(config)]


def expect_same(images: int, data_dir: Path, root: Path) -> None:
    """Both hold what the images that stay need, and nothing else. Theirs stores manifests too."""
    deleted = len([number for number in DELETED if number < images])
    wanted = 2 * (images - deleted) + 1
    ours = sum(1 for _ in data_dir.glob("blobs/sha256/*/*"))
    theirs = sum(1 for _ in root.glob("data/docker/registry/v2/blobs/sha256/*/*/data"))
    if ours != wanted or theirs != wanted + images - deleted:
        raise BenchError(f"{ours} and {theirs} files are left, not {wanted}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when a bound is not kept, 2 when it cannot be measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--by", type=int, default=1, help="a store that many times smaller")
    options = parser.parse_args(arguments)
    whole = Sizes()
    sizes = Sizes(
        tags=whole.tags // options.by,
        manifests=whole.manifests // options.by,
        blobs=whole.blobs // options.by,
        namespaces=whole.namespaces,
        referrers=whole.referrers // options.by,
        garbage=whole.garbage // options.by,
    )
    try:
        build_client()
        peer_program()
        lines = [*measure_large(sizes), *measure_peers(IMAGES // options.by)]
    except BenchError as error:
        print(f"bench-scale: {error}", file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(ROOT, ignore_errors=True)
    print(table(("", "figure", "at most"), [line.cells() for line in lines]))
    broken = [line for line in lines if not line.is_kept]
    for line in broken:
        print(f"{line.what}: {line.figure:.2f} {line.unit}, at most {line.bound:g}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
