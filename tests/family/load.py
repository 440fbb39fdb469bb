"""Clients that push and pull while processes are killed, and what they were promised."""

from __future__ import annotations

import http.client
import random
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.crash.client import (
    MANIFEST_TYPE,
    Answer,
    Content,
    blob_path,
    digest_of,
    manifest_of,
    manifest_path,
    uploads_path,
)
from tests.family.lines import BROKEN, WORKER_HEADER, connected, exchange

TAGS = tuple(f"v{number}" for number in range(4))
RESUMES_MAX = 200
KIB = 1 << 10


class CutOff(Exception):
    """The connection broke before there was an answer."""


class GaveUp(Exception):
    """An upload cannot go on."""


@dataclass
class Upload:
    """One that is under way."""

    location: str
    content: Content
    acknowledged: int = 0
    is_cut: bool = False
    """One of its requests was cut off."""
    is_ending: bool = False
    """A PUT was sent."""


@dataclass
class Promises:
    """What one client's namespace must hold: blobs and manifests by digest, tags by name.

    A tag may hold any of several manifests when pushes of it got no answer.
    """

    namespace: str
    blobs: dict[str, int] = field(default_factory=dict)
    manifests: set[str] = field(default_factory=set)
    tags: dict[str, set[str | None]] = field(default_factory=dict)


@dataclass
class Pusher:
    """One client with a connection of its own, opened again whenever it breaks."""

    address: str
    promises: Promises
    rng: random.Random
    label: str
    wrong: list[str] = field(default_factory=list)
    broken: list[tuple[str | None, str]] = field(default_factory=list)
    """The worker of each connection that broke, where known, and how."""
    pushed: int = 0
    pulled: int = 0
    resumed: int = 0
    waited: int = 0
    """Answers 409 to what goes on with an upload whose worker was killed."""
    fresh: Promises = field(init=False)
    """What was promised in this round."""
    _connection: http.client.HTTPConnection | None = None
    _worker: str | None = None
    _drawn: int = 0

    def __post_init__(self) -> None:
        self.fresh = Promises(self.promises.namespace)

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop."""
        actions = (self._push_at_once, self._push_in_chunks, self._push_manifest, self._pull)
        try:
            while not stop.is_set():
                try:
                    self.rng.choice(actions)()
                except CutOff:
                    continue
        except BaseException as error:
            self.wrong.append(f"client {self.label} broke: {error!r}")
            raise
        finally:
            self._close()

    # Asking

    def _ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        try:
            if self._connection is None or self._connection.sock is None:
                self._worker, self._connection = None, connected(self.address)
            answer = exchange(self._connection, method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self._note_broken(method, path, error)
            self._close()
            raise CutOff from error
        self._worker = answer.headers.get(WORKER_HEADER)
        if answer.status >= 500:
            self._is_wrong(f"{method} {path}: {answer.status} {answer.body[:200]!r}")
        return answer

    def _note_broken(self, method: str, path: str, error: Exception) -> None:
        if isinstance(error, BROKEN):
            self.broken.append((self._worker, f"{method} {path}: {error!r}"))
        else:
            self._is_wrong(f"{method} {path} through {self._worker}: {error!r}")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _is_wrong(self, what: str) -> None:
        self.wrong.append(f"{what} (worker {self._worker})")

    def _expect(self, answer: Answer, what: str, *statuses: int) -> bool:
        if answer.status in statuses:
            return True
        self._is_wrong(f"{what}: {answer.status} {answer.body[:200]!r}, expected {statuses}")
        return False

    # Pushing

    def _content(self) -> Content:
        self._drawn += 1
        size = self.rng.randint(1, 40 * KIB)
        if self.rng.random() < 0.3:
            size = self.rng.randint(KIB, 1200 * KIB)
        return Content(f"{self.label}/{self._drawn}", size)

    def _is_pushed(self, content: Content) -> None:
        self.fresh.blobs[content.digest] = content.size
        self.promises.blobs[content.digest] = content.size
        self.pushed += 1

    def _push_at_once(self) -> None:
        content = self._content()
        path = f"{uploads_path(self.promises.namespace)}?digest={content.digest}"
        if self._expect(self._ask("POST", path, content.bytes()), "POST of a blob", 201):
            self._is_pushed(content)

    def _push_in_chunks(self) -> None:
        """A chunked upload that goes on after whatever cuts it off."""
        answer = self._ask("POST", uploads_path(self.promises.namespace))
        if not self._expect(answer, "POST", 202):
            return
        upload = Upload(answer.headers["location"], self._content())
        for _ in range(RESUMES_MAX):
            try:
                if (not upload.is_cut or self._find(upload)) and self._go_on(upload):
                    self.resumed += upload.is_cut
                    self._is_pushed(upload.content)
                    return
            except GaveUp:
                return
            except CutOff:
                upload.is_cut = True
        self._is_wrong(f"{upload.location} could not be finished")

    def _find(self, upload: Upload) -> bool:
        """Ask where a cut off upload goes on. Raises GaveUp where its end was cut off."""
        answer = self._ask("GET", upload.location)
        if answer.status == 404 and upload.is_ending:
            raise GaveUp  # it was finished, or is being finished
        self._require(answer, f"LOST {upload.location}, {upload.acknowledged} acknowledged", 204)
        if answer.offset < upload.acknowledged:
            self._is_wrong(f"LOST {upload.location}: {answer.offset} < {upload.acknowledged}")
        upload.acknowledged = answer.offset
        return True

    def _go_on(self, upload: Upload) -> bool:
        """Send the rest in chunks and finish; False when it is still held for the dead."""
        content, body = upload.content, upload.content.bytes()
        while content.size - upload.acknowledged > 2:
            offset = upload.acknowledged
            size = max(2, (content.size - offset) // 2)
            window = {"Content-Range": f"{offset}-{offset + size - 1}"}
            answer = self._ask("PATCH", upload.location, body[offset : offset + size], window)
            if self._is_held(answer, upload):
                return False
            self._require(answer, "PATCH", 202)
            upload.acknowledged += size
        upload.is_ending = True
        path = f"{upload.location}?digest={content.digest}"
        answer = self._ask("PUT", path, body[upload.acknowledged :])
        if self._is_held(answer, upload):
            return False
        self._require(answer, "PUT", 201)
        return True

    def _is_held(self, answer: Answer, upload: Upload) -> bool:
        is_held = answer.status == 409 and upload.is_cut
        self.waited += is_held
        return is_held

    def _require(self, answer: Answer, what: str, status: int) -> None:
        """Note what is wrong, and raise GaveUp."""
        if not self._expect(answer, what, status):
            raise GaveUp

    def _push_manifest(self) -> None:
        held = sorted(self.promises.blobs)
        if not held:
            self._push_at_once()
            return
        self._drawn += 1
        chosen = self.rng.sample(held, min(len(held), 2))
        blobs = [(digest, self.promises.blobs[digest]) for digest in chosen]
        body = manifest_of(blobs, f"{self.label}/{self._drawn}")
        digest, tag = digest_of(body), self.rng.choice(TAGS)
        before = self.promises.tags.get(tag, {None})
        self._set_tag(tag, {*before, digest})
        path = manifest_path(self.promises.namespace, tag)
        answer = self._ask("PUT", path, body, {"Content-Type": MANIFEST_TYPE})
        if self._expect(answer, "PUT of a manifest", 201):
            self._set_tag(tag, {digest})
            self.promises.manifests.add(digest)
            self.fresh.manifests.add(digest)
            self.pushed += 1

    def _set_tag(self, tag: str, values: set[str | None]) -> None:
        self.promises.tags[tag] = self.fresh.tags[tag] = values

    # Pulling

    def _pull(self) -> None:
        """Something that was promised is there."""
        held = sorted(self.promises.manifests)
        if held and self.rng.random() < 0.5:
            self._pull_one(manifest_path(self.promises.namespace, self.rng.choice(held)))
        elif self.promises.blobs:
            name = self.rng.choice(sorted(self.promises.blobs))
            self._pull_one(blob_path(self.promises.namespace, name))
        for tag in self.rng.sample(sorted(self.promises.tags), min(1, len(self.promises.tags))):
            self.wrong += tag_findings(
                self._ask("GET", manifest_path(self.promises.namespace, tag)),
                tag,
                self.promises.tags[tag],
            )

    def _pull_one(self, path: str) -> None:
        answer = self._ask("GET", path)
        if self._expect(answer, f"LOST {path}", 200):
            self.pulled += 1
            if digest_of(answer.body) != path.rpartition("/")[2]:
                self._is_wrong(f"LOST {path}: {len(answer.body)} other bytes")


def tag_findings(answer: Answer, tag: str, possible: set[str | None]) -> list[str]:
    """What is wrong with a tag that must hold one of several manifests."""
    found = digest_of(answer.body) if answer.status == 200 else None
    if answer.status not in (200, 404) or found not in possible:
        return [f"LOST tag {tag}: {answer.status} {found}, expected one of {possible}"]
    return []


def check_promises(address: str, promised: Iterable[Promises]) -> list[str]:
    """Read all that was promised, over a new connection for each client."""
    wrong: list[str] = []
    for promises in promised:
        connection, name = connected(address), promises.namespace
        paths = [blob_path(name, digest) for digest in promises.blobs]
        paths += [manifest_path(name, digest) for digest in promises.manifests]
        for path in paths:
            if connection.sock is None:
                connection = connected(address)
            answer = exchange(connection, "GET", path)
            if answer.status != 200 or digest_of(answer.body) != path.rpartition("/")[2]:
                wrong.append(f"LOST {path}: {answer.status}, {len(answer.body)} bytes")
        for tag, possible in promises.tags.items():
            if connection.sock is None:
                connection = connected(address)
            answer = exchange(connection, "GET", manifest_path(name, tag))
            wrong += tag_findings(answer, f"{name}:{tag}", possible)
        connection.close()
    return wrong
