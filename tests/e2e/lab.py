"""A registry with eyes on it: its API, its counters, and what its process read and wrote."""

from __future__ import annotations

import http.client
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from angos_trio.records import replace
from tests.e2e.machine import Failure, Sandbox
from tests.e2e.material import TAG, Layout, Material, file_digest
from tests.e2e.report import Report
from tests.processes import family
from tests.running import RunningRegistry, running_registry

ANSWER_SECS_MAX = 30
MOVED_BYTES_MAX = 2 << 20
"""Of rows: some 60 KiB for each change. A layer that is moved is larger."""
MANIFEST_TYPES = ", ".join(
    f"application/vnd.{name}+json"
    for name in (
        "oci.image.manifest.v1",
        "oci.image.index.v1",
        "docker.distribution.manifest.v2",
        "docker.distribution.manifest.list.v2",
    )
)

COUNTED = re.compile(
    r'^http_requests_total\{method="(\w+)",route="([\w-]+)",status="(\d+)"\} (\S+)$', re.MULTILINE
)
# A crash is logged as an event of that name; what is not caught at all ends in a traceback.
CRASHES = re.compile(
    r'^.*(?:\.crashed"|"level": "(?:error|critical)"|Traceback \(most).*$', re.MULTILINE
)

Counts = Counter[tuple[str, str, str]]


@dataclass(frozen=True)
class Answer:
    """A response, its body read."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        """The body as a JSON document."""
        return json.loads(self.body)


@dataclass
class Lab:
    """What every client gets: a registry, material, a place to write, and the report."""

    registry: RunningRegistry
    material: Material
    report: Report
    scratch: Path
    is_quick: bool = False
    """Whether what takes long may be done with less."""

    @property
    def address(self) -> str:
        """HOST:PORT of the registry."""
        return self.registry.address

    @property
    def has_tls(self) -> bool:
        """Whether clients must come with TLS."""
        return self.registry.probe is not None

    def check(self, client: str, name: str) -> AbstractContextManager[None]:
        """A named check of a client."""
        return self.report.check(client, name)

    def sandbox(self, name: str, **environment: str) -> Sandbox:
        """An empty sandbox."""
        return Sandbox(self.scratch / name / "sandbox", environment)

    def directory(self, name: str) -> Path:
        """A directory for what a client writes, made when it is not there."""
        path = self.scratch / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def connection(self) -> http.client.HTTPConnection:
        """A connection of its own, which the caller closes."""
        return http.client.HTTPConnection(self.address, timeout=ANSWER_SECS_MAX)

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | BinaryIO = b"",
    ) -> Answer:
        """One request on a connection of its own."""
        return ask_once(self.connection(), method, path, headers, body)

    def expect(self, status: int, method: str, path: str) -> Answer:
        """Like `ask`; fails on any other status."""
        answer = self.ask(method, path, {"Accept": MANIFEST_TYPES})
        if answer.status != status:
            raise Failure(f"{method} {path}: {answer.status}, expected {status}: {answer.body!r}")
        return answer

    def manifest(self, name: str, reference: str) -> dict[str, Any]:
        """A manifest as the registry serves it."""
        document: dict[str, Any] = self.expect(
            200, "GET", f"/v2/{name}/manifests/{reference}"
        ).json()
        return document

    def metrics(self) -> str:
        """What the registry counts."""
        return self.expect(200, "GET", "/metrics").body.decode()

    def digest(self, name: str, reference: str) -> str:
        """What a tag points at, as the registry says it."""
        answer = self.expect(200, "HEAD", f"/v2/{name}/manifests/{reference}")
        return str(answer.headers["Docker-Content-Digest"])

    def tags(self, name: str) -> list[str]:
        """The tags of a repository."""
        found: list[str] = self.expect(200, "GET", f"/v2/{name}/tags/list").json()["tags"]
        return found

    def blob_file(self, digest: str) -> Path:
        """Where the registry keeps a blob."""
        algorithm, _, value = digest.partition(":")
        return self.registry.data_dir / "blobs" / algorithm / value[:2] / value

    def seed(self, name: str, layout: Layout, manifests: Sequence[str], tag: str = TAG) -> None:
        """Push what a layout holds by the API alone, so that a pull does not rest on a client.

        The last manifest is tagged.
        """
        for digest in layout.sizes.keys() - set(manifests):
            self.send_blob(name, digest, layout.blob(digest))
        for digest in manifests:
            reference = tag if digest == manifests[-1] else digest
            kind = {"Content-Type": layout.document(digest)["mediaType"]}
            path = f"/v2/{name}/manifests/{reference}"
            answer = self.ask("PUT", path, kind, layout.blob(digest).read_bytes())
            if answer.status != 201:
                raise Failure(f"PUT {path}: {answer.status}, expected 201: {answer.body!r}")

    def send_blob(self, name: str, digest: str, file: Path) -> None:
        """Push a blob in one request."""
        with file.open("rb") as body:
            path = f"/v2/{name}/blobs/uploads/?digest={digest}"
            answer = self.ask("POST", path, {"Content-Length": str(file.stat().st_size)}, body)
        if answer.status != 201:
            raise Failure(f"POST {path}: {answer.status}, expected 201: {answer.body!r}")

    @contextmanager
    def another(self) -> Iterator[Lab]:
        """The same with a second, empty registry, which must not crash either."""
        with running_registry() as registry:
            other = replace(self, registry=registry)
            yield other
            expect_no_crash(other)

    @contextmanager
    def only_mounts(self, layers: int, *digests: str) -> Iterator[None]:
        """Fail unless the block mounts so many layers, and moves none of their bytes.

        The registry must answer that many mounts with 201; its process must neither write nor send
        as much as two MiB, half a layer; and the files of the blobs must be the ones that were
        there before.
        """
        counts, moved = request_counts(self), moved_bytes(self.registry)
        files = [self.blob_file(digest).stat() for digest in digests]
        yield
        asked = request_counts(self) - counts
        if asked["POST", "start-upload", "201"] < layers:
            raise Failure(f"not all of {layers} layers were mounted: {dict(asked)}")
        if asked["GET", "get-blob", "200"] > layers:
            raise Failure(f"more was fetched than configurations: {dict(asked)}")
        moved = moved_bytes(self.registry) - moved
        if moved > MOVED_BYTES_MAX:
            raise Failure(f"the registry wrote or sent {moved:,} bytes")
        for digest, before in zip(digests, files, strict=True):
            after = self.blob_file(digest).stat()
            if (before.st_ino, before.st_mtime_ns) != (after.st_ino, after.st_mtime_ns):
                raise Failure(f"the file of {digest} was written again")


def ask_once(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | BinaryIO = b"",
) -> Answer:
    """One request on a connection that is closed after it."""
    try:
        connection.request(method, path, body or None, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def request_counts(lab: Lab) -> Counts:
    """How many requests there were, by method, action and status."""
    found = COUNTED.findall(lab.metrics())
    if not found:
        raise Failure("/metrics counts no requests")
    return Counter({(method, route, status): int(float(n)) for method, route, status, n in found})


def moved_bytes(registry: RunningRegistry) -> int:
    """Bytes that the registry's processes gave to files, or from files to sockets.

    The kernel counts them.
    """
    return sum(_written_bytes(pid) for pid in family(registry.process.pid))


def _written_bytes(pid: int) -> int:
    found = re.search(r"^wchar: (\d+)$", Path(f"/proc/{pid}/io").read_text(), re.MULTILINE)
    if found is None:
        raise Failure("this kernel does not count what a process writes")
    return int(found[1])


def expect_no_crash(lab: Lab) -> None:
    """Fail if the log tells of a crash or the counters of an answer of 500 or more."""
    _expect_calm_log(lab.registry)
    broken = {key: count for key, count in request_counts(lab).items() if key[2] >= "500"}
    if broken:
        raise Failure(f"answers of 500 or more: {broken}")


def _expect_calm_log(registry: RunningRegistry) -> None:
    if crashes := CRASHES.findall(registry.log):
        raise Failure(f"{len(crashes)} crashes in the log, the first:\n{crashes[0][:3000]}")


def expect_sound_store(registry: RunningRegistry) -> None:
    """Fail unless every blob of a stopped registry has the bytes that its name says."""
    for algorithm in (registry.data_dir / "blobs").iterdir():
        for path in algorithm.glob("*/*"):
            if file_digest(path, algorithm.name) != f"{algorithm.name}:{path.name}":
                raise Failure(f"{path.name} holds other bytes")


def expect_clean_stop(registry: RunningRegistry) -> None:
    """Stop the registry; fail on any exit code but 0, and if its log tells of a crash by then."""
    code = registry.stop()
    if code != 0:
        raise Failure(f"ended with {code}:\n{registry.log[-3000:]}")
    _expect_calm_log(registry)
