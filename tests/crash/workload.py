"""What a client does all day: pushes in every way, moves and deletes tags, mounts, reads."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.crash.client import (
    MANIFEST_TYPE,
    Answer,
    Client,
    Content,
    ServerGone,
    WrongAnswer,
    blob_path,
    digest_of,
    manifest_of,
    manifest_path,
    uploads_path,
)
from tests.crash.model import BLOB, MANIFEST, TAG, Change, Counts, Key, Model, Upload, Value

KIB, MIB = 1 << 10, 1 << 20
SHARED_NAMESPACE = "crash/shared"
SHARED_TAG = (TAG, SHARED_NAMESPACE, "latest")
TAGS = tuple(f"v{number}" for number in range(6))
PIECE_BYTES = 96 * KIB


def namespaces_of(client: int) -> tuple[str, str]:
    """Two namespaces to which only this client writes."""
    return f"crash/client{client}/app", f"crash/client{client}/tools/base"


@dataclass
class Moment:
    """A request of some kind that is about to be sent, for whoever wants to kill just then."""

    kind: str | None
    countdown: int
    came: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def about_to(self, kind: str) -> None:
        """A client is about to send a changing request."""
        with self._lock:
            if self.kind == kind:
                self.countdown -= 1
                if self.countdown == 0:
                    self.came.set()


MOMENTS = (None, None, "push", "start", "append", "finish", "finish", "manifest", "delete", "mount")
"""What a kill may wait for; None is any moment at all."""


@dataclass
class Worker:
    """One client with a random generator of its own; `run` ends when the server is gone."""

    number: int
    client: Client
    model: Model
    rng: random.Random
    moment: Moment
    cycle: str
    """Part of the names of contents, so that none comes twice by chance."""
    may_be_refused: bool = False
    """Whether a 5xx answer is no fault, but the end: the disk is about to go."""
    counts: Counts = field(default_factory=Counts)
    wrong: list[str] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    """The 5xx statuses that were no fault."""
    _drawn: int = 0
    _held: dict[str, set[str]] = field(default_factory=dict)
    _manifests: dict[str, dict[str, frozenset[str]]] = field(default_factory=dict)
    _tags: dict[str, dict[str, str]] = field(default_factory=dict)

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop, or until the server goes away."""
        self._remember()
        actions = (
            [self._push_at_once, self._push_in_two, self._push_in_chunks, self._push_manifest] * 3
            + [self._push_shared_tag, self._delete_tag, self._delete_blob, self._mount, self._read]
            + [self._delete_manifest, self._leave_upload, self._cancel_upload]
        )
        try:
            while not stop.is_set():
                self.rng.choice(actions)(self.rng.choice(namespaces_of(self.number)))
        except ServerGone:
            return
        except WrongAnswer as error:
            self.wrong.append(str(error))
        except BaseException as error:
            self.wrong.append(f"client {self.number} broke: {error!r}")
            raise
        finally:
            self.client.close()

    def _remember(self) -> None:
        for namespace in namespaces_of(self.number):
            self._held[namespace] = set()
            self._manifests[namespace] = {}
            self._tags[namespace] = {}
            for (kind, _, name), value in self.model.settled_in(namespace):
                if kind == BLOB:
                    self._held[namespace].add(name)
                elif kind == MANIFEST:
                    body = self.model.bodies[name]
                    self._manifests[namespace][name] = frozenset(_references(body))
                else:
                    self._tags[namespace][name] = value

    # Asking

    def _change(
        self, kind: str, values: Mapping[Key, Value], request: tuple[object, ...], accepted: int
    ) -> Change:
        """Send a request that makes facts true, and note how it went."""
        change = self.model.begin(values)
        self._ask(kind, request, accepted)
        self.model.acknowledge(change)
        return change

    def _ask(self, kind: str, request: tuple[object, ...], *accepted: int) -> Answer:
        self.moment.about_to(kind)
        try:
            answer = self._send(request)
        except ServerGone:
            self.counts.broken += 1
            raise
        return self.client.expect(accepted, answer, f"{request[0]} {request[1]}")

    def _send(self, request: tuple[object, ...]) -> Answer:
        answer = self.client.ask(*request)  # type: ignore[arg-type]
        if answer.status >= 500 and self.may_be_refused:
            self.refusals.append(answer.status)
            raise ServerGone(f"{request[0]} {request[1]}: {answer.status}")
        return answer

    # Blobs

    def _content(self) -> Content:
        """New content, or sometimes what other clients push as well."""
        self._drawn += 1
        seed = f"{self.cycle}/{self.number}/{self._drawn}"
        if self.rng.random() < 0.25:
            seed = f"{self.cycle}/shared/{self.rng.randrange(4)}"
            return Content(seed, len(seed) * (MIB // 16 if seed.endswith("3") else KIB))
        is_large = self.rng.random() < (0.35 if self.number % 2 else 0.05)
        size = self.rng.randint(MIB, 6 * MIB) if is_large else self.rng.randint(2, 64 * KIB)
        return Content(seed, size, "sha512" if self.rng.random() < 0.1 else "sha256")

    def _blob_is_there(self, namespace: str, content: Content) -> None:
        self._held[namespace].add(content.digest)
        self.counts.blobs += 1

    def _fact(self, namespace: str, content: Content) -> dict[Key, Value]:
        self.model.sizes[content.digest] = content.size
        return {(BLOB, namespace, content.digest): content.digest}

    def _push_at_once(self, namespace: str) -> None:
        content = self._content()
        path = f"{uploads_path(namespace)}?digest={content.digest}"
        request = ("POST", path, *self._body(content.bytes()))
        self._change("push", self._fact(namespace, content), request, 201)
        self._blob_is_there(namespace, content)

    def _body(self, content: bytes, **headers: str) -> tuple[object, dict[str, str]]:
        """A body at once, or in pieces with small pauses, or without a length."""
        way = self.rng.random()
        if way < 0.6:
            return content, headers
        if way < 0.85:
            headers["Content-Length"] = str(len(content))
        return _pieces(content, self.rng.choice([0.0, 0.001, 0.004])), headers

    def _start(self, namespace: str, content: Content) -> Upload:
        path = uploads_path(namespace)
        if content.algorithm != "sha256" and self.rng.random() < 0.5:
            path += f"?digest-algorithm={content.algorithm}"
        answer = self._ask("start", ("POST", path), 202)
        upload = Upload(namespace, answer.headers["location"], content)
        self.model.uploads[upload.location] = upload
        return upload

    def _append(self, upload: Upload, content: bytes, size: int) -> None:
        offset = upload.acknowledged
        chunk = content[offset : offset + size]
        headers = {"Content-Type": "application/octet-stream"}
        if self.rng.random() < 0.7:
            headers["Content-Range"] = f"{offset}-{offset + len(chunk) - 1}"
        body, headers = self._body(chunk, **headers)
        upload.sent = offset + len(chunk)
        answer = self._ask("append", ("PATCH", upload.location, body, headers), 202)
        if answer.offset != upload.sent:
            raise WrongAnswer(f"PATCH to {upload.sent} answers offset {answer.offset}")
        upload.acknowledged = upload.sent
        self.counts.chunks += 1

    def _finish(self, upload: Upload, content: bytes) -> None:
        body, headers = self._body(content[upload.acknowledged :])
        if upload.acknowledged == len(content):
            body, headers = b"", {}
        path = f"{upload.location}?digest={upload.content.digest}"
        upload.finishing = self.model.begin(self._fact(upload.namespace, upload.content))
        upload.sent = len(content)
        self._ask("finish", ("PUT", path, body, headers), 201)
        self.model.acknowledge(upload.finishing)
        self.model.uploads.pop(upload.location)
        self._blob_is_there(upload.namespace, upload.content)

    def _push_in_two(self, namespace: str) -> None:
        content = self._content()
        self._finish(self._start(namespace, content), content.bytes())

    def _push_in_chunks(self, namespace: str) -> None:
        content = self._content()
        upload, taken = self._start(namespace, content), content.bytes()
        for _ in range(self.rng.randint(1, 4)):
            size = self.rng.choice([1500, 70 * KIB, MIB, MIB + 17, 5 * MIB // 2])
            if len(taken) - upload.acknowledged < 2:
                break
            self._append(upload, taken, size)
        self._finish(upload, taken)

    def _leave_upload(self, namespace: str) -> None:
        """Begin an upload and forget it: it is found open after the next kill."""
        if len(self.model.uploads) > 40:
            return
        content = self._content()
        self._append(self._start(namespace, content), content.bytes(), content.size // 2 + 1)

    def _cancel_upload(self, namespace: str) -> None:
        content = self._content()
        upload = self._start(namespace, content)
        self._append(upload, content.bytes(), content.size // 2 + 1)
        upload.is_cancelled = True
        self._ask("delete", ("DELETE", upload.location), 204)
        self.model.uploads.pop(upload.location)

    def _mount(self, namespace: str) -> None:
        """From the other own namespace, or from that of somebody who may delete it meanwhile."""
        own = next(name for name in namespaces_of(self.number) if name != namespace)
        source = self.rng.choice([own, namespaces_of((self.number + 1) % 2)[0]])
        known = [key for key, _ in self.model.settled_in(source) if key[0] == BLOB]
        if not known:
            return
        digest = self.rng.choice(known)[2]
        change = self.model.begin({(BLOB, namespace, digest): digest})
        path = f"{uploads_path(namespace)}?mount={digest}&from={source}"
        accepted = (201,) if source == own else (201, 202)
        answer = self._ask("mount", ("POST", path), *accepted)
        if answer.status == 202:
            self.model.refuse(change)
            self._ask("delete", ("DELETE", answer.headers["location"]), 204)
            return
        self.model.acknowledge(change)
        self._held[namespace].add(digest)
        self.counts.blobs += 1

    def _delete_blob(self, namespace: str) -> None:
        if not self._held[namespace]:
            return
        digest = self.rng.choice(sorted(self._held[namespace]))
        request = ("DELETE", blob_path(namespace, digest))
        if any(digest in references for references in self._manifests[namespace].values()):
            self._ask("delete", request, 405)
            return
        self._change("delete", {(BLOB, namespace, digest): None}, request, 202)
        self._held[namespace].discard(digest)
        self.counts.deletes += 1

    # Manifests and tags

    def _push_manifest(self, namespace: str) -> None:
        """By tag, by digest, or by digest with tags in the query; sometimes one that is there."""
        known = sorted(self._manifests[namespace])
        if known and self.rng.random() < 0.3:
            digest = self.rng.choice(known)
        else:
            digest = self._new_manifest(namespace)
        tags = self.rng.sample(TAGS, self.rng.choice([0, 1, 1, 1, 2]))
        path = manifest_path(namespace, digest)
        if len(tags) == 1:
            path = manifest_path(namespace, tags[0])
        elif tags:
            path += "?" + "&".join(f"tag={tag}" for tag in tags)
        body = self.model.bodies[digest]
        values: dict[Key, Value] = {(MANIFEST, namespace, digest): digest}
        values.update(dict.fromkeys(((TAG, namespace, tag) for tag in tags), digest))
        request = ("PUT", path, body, {"Content-Type": MANIFEST_TYPE})
        self._change("manifest", values, request, 201)
        self._manifests[namespace][digest] = frozenset(_references(body))
        self._tags[namespace].update(dict.fromkeys(tags, digest))
        self.counts.manifests += 1

    def _new_manifest(self, namespace: str) -> str:
        """The digest of a manifest over blobs that the namespace holds."""
        held = sorted(self._held[namespace])
        if not held:
            self._push_at_once(namespace)
            held = sorted(self._held[namespace])
        chosen = self.rng.sample(held, min(len(held), self.rng.randint(1, 4)))
        self._drawn += 1
        blobs = [(digest, self.model.sizes[digest]) for digest in chosen]
        body = manifest_of(blobs, f"{self.cycle}/{self.number}/{self._drawn}")
        digest = digest_of(body)
        self.model.bodies[digest] = body
        return digest

    def _push_shared_tag(self, _: str) -> None:
        """All clients fight for one tag, with manifests that name what is not there."""
        self._drawn += 1
        absent = digest_of(b"absent")
        body = manifest_of([(absent, 6)], f"{self.cycle}/{self.number}/{self._drawn}")
        digest = digest_of(body)
        self.model.bodies[digest] = body
        values = {(MANIFEST, SHARED_NAMESPACE, digest): digest, SHARED_TAG: digest}
        path = manifest_path(SHARED_NAMESPACE, SHARED_TAG[2])
        request = ("PUT", path, body, {"Content-Type": MANIFEST_TYPE})
        self._change("manifest", values, request, 201)
        self.counts.manifests += 1

    def _delete_tag(self, namespace: str) -> None:
        if not self._tags[namespace]:
            return
        tag = self.rng.choice(sorted(self._tags[namespace]))
        request = ("DELETE", manifest_path(namespace, tag))
        self._change("delete", {(TAG, namespace, tag): None}, request, 202)
        self._tags[namespace].pop(tag)
        self.counts.deletes += 1

    def _delete_manifest(self, namespace: str) -> None:
        if not self._manifests[namespace]:
            return
        digest = self.rng.choice(sorted(self._manifests[namespace]))
        gone = [tag for tag, target in self._tags[namespace].items() if target == digest]
        values: dict[Key, Value] = {(MANIFEST, namespace, digest): None}
        values.update(dict.fromkeys(((TAG, namespace, tag) for tag in gone), None))
        self._change("delete", values, ("DELETE", manifest_path(namespace, digest)), 202)
        self._manifests[namespace].pop(digest)
        for tag in gone:
            self._tags[namespace].pop(tag)
        self.counts.deletes += 1

    def _read(self, namespace: str) -> None:
        """Something of one's own is there and is what it says."""
        known = sorted(key for key, _ in self.model.settled_in(namespace))
        if not known:
            return
        kind, _, name = self.rng.choice(known)
        path = blob_path(namespace, name) if kind == BLOB else manifest_path(namespace, name)
        answer = self.client.expect(200, self._send(("GET", path)), f"GET {path}")
        expected = self._tags[namespace][name] if kind == TAG else name
        if digest_of(answer.body, expected.partition(":")[0]) != expected:
            raise WrongAnswer(f"GET {path}: content is not {expected}")


def _pieces(content: bytes, pause_secs: float) -> Iterator[bytes]:
    for offset in range(0, len(content), PIECE_BYTES):
        yield content[offset : offset + PIECE_BYTES]
        if pause_secs:
            time.sleep(pause_secs)


def _references(body: bytes) -> list[str]:
    document = json.loads(body)
    return [item["digest"] for item in (document["config"], *document["layers"])]
