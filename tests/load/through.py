"""Many clients want one blob that only the upstream has: it is transferred once, all get it, their
first bytes come before its last ones have arrived, and memory stays bounded. With one worker, and
with two.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import trio

from tests.bench.mirrors import LIMIT_BYTES, Limited
from tests.bench.report import table
from tests.e2e.upstreams import docker_registry
from tests.load.memory import BOUND_BYTES
from tests.load.resident import MIB, Sampler
from tests.running import RunningRegistry, running_registry

CLIENTS = 50
READ_BYTES = 256 * 1024
SECS_MAX = 600


@dataclass(frozen=True)
class Got:
    """What one client got: the digest, and seconds until its first byte and its last."""

    digest: str
    first_secs: float
    last_secs: float


@dataclass(frozen=True)
class Found:
    """What came of all clients together. `transfers` are GETs of the blob that the upstream
    answered; `upstream_secs` is how long it took to give its last byte."""

    workers: int
    wanted: str
    got: list[Got]
    transfers: int
    upstream_secs: float
    sampled_bytes: int

    @property
    def problems(self) -> list[str]:
        """What is not as it is meant to be."""
        wrong = sum(each.digest != self.wanted for each in self.got)
        late = sum(each.first_secs >= self.upstream_secs for each in self.got)
        found = []
        if wrong or len(self.got) != CLIENTS:
            found.append(f"{len(self.got) - wrong} of {CLIENTS} clients got the right bytes")
        if self.transfers != 1:
            found.append(f"{self.transfers} transfers from the upstream")
        if late:
            found.append(f"{late} clients got nothing before the upstream had given its last byte")
        if self.sampled_bytes >= BOUND_BYTES:
            found.append(f"more than {BOUND_BYTES // MIB} MiB resident")
        return found

    def cells(self) -> tuple[str, ...]:
        """A line of the table."""
        return (
            str(self.workers),
            str(sum(each.digest == self.wanted for each in self.got)),
            str(self.transfers),
            f"{max(each.first_secs for each in self.got):.2f} s",
            f"{self.upstream_secs:.2f} s",
            f"{max(each.last_secs for each in self.got):.2f} s",
            f"{self.sampled_bytes / MIB:.1f} MiB",
        )


@contextmanager
def near_registry(root: Path, url: str, workers: int) -> Iterator[RunningRegistry]:
    """A registry that pulls `hub` through."""
    config = root / "near.toml"
    config.write_text(
        f'[server]\nworkers = {workers}\n[[repository.hub.upstream]]\nurl = "{url}"\n',
        encoding="utf-8",
    )
    with running_registry(root / "near", arguments=["-c", str(config)]) as registry:
        yield registry


def push(address: str, size: int) -> str:
    """Push a blob of random bytes to the upstream; its digest."""
    content = os.urandom(size)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    with httpx.Client(base_url=f"http://{address}", timeout=SECS_MAX) as client:
        place = client.post("/v2/app/blobs/uploads/").raise_for_status().headers["Location"]
        answer = client.put(
            httpx.URL(place).copy_add_param("digest", digest),
            content=content,
            headers={"Content-Type": "application/octet-stream"},
        )
        answer.raise_for_status()
    return digest


async def get_all(address: str, path: str) -> list[Got]:
    """What every client gets, all at once."""
    found: list[Got] = []
    begun_at = time.monotonic()

    async def get(client: httpx.AsyncClient) -> None:
        hasher, first_secs = hashlib.sha256(), 0.0
        async with client.stream("GET", path) as answer:
            answer.raise_for_status()
            async for part in answer.aiter_raw(READ_BYTES):
                first_secs = first_secs or time.monotonic() - begun_at
                hasher.update(part)
        secs = time.monotonic() - begun_at
        found.append(Got(f"sha256:{hasher.hexdigest()}", first_secs, secs))

    limits = httpx.Limits(max_connections=CLIENTS)
    async with (
        httpx.AsyncClient(base_url=f"http://{address}", timeout=SECS_MAX, limits=limits) as client,
        trio.open_nursery() as clients,
    ):
        for _ in range(CLIENTS):
            clients.start_soon(get, client)
    return found


def run(workers: int, mib: int, directory: Path) -> Found:
    """Fresh registries, and all clients at once."""
    with ExitStack() as stack:
        root = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="angos-trio-through-", dir=directory)
            )
        )
        upstream = stack.enter_context(docker_registry(root, "upstream"))
        digest = push(upstream.address, mib * MIB)
        limited = Limited(upstream.address, LIMIT_BYTES)
        stack.callback(limited.close)
        url = f"http://{limited.address}"
        near = stack.enter_context(near_registry(root, url, workers))
        begun_at = time.monotonic()
        with Sampler(near.process.pid) as sampler:
            got = trio.run(get_all, near.address, f"/v2/hub/app/blobs/{digest}")
        transfers = upstream.requests().count(f"GET /v2/app/blobs/{digest}")
        upstream_secs = limited.last_at - begun_at
        return Found(workers, digest, got, transfers, upstream_secs, sampler.sampled_bytes)


def main() -> int:
    """Run both; 0 when all is as it is meant to be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=500, help="size of the blob")
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()))
    chosen = parser.parse_args()
    print(f"{CLIENTS} clients want one blob of {chosen.mib} MiB; the upstream gives "
          f"{LIMIT_BYTES // 10**6} MB a second", flush=True)  # fmt: skip
    found = [run(workers, chosen.mib, chosen.directory) for workers in (1, 2)]
    heads = ("workers", "right", "transfers", "last first byte", "upstream's last byte",
             "last byte", "resident")  # fmt: skip
    print(table(heads, [each.cells() for each in found]))
    problems = [f"{each.workers} workers: {each_}" for each in found for each_ in each.problems]
    print(*problems, sep="\n", end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
