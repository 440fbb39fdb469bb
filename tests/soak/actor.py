"""One client of the soak: what it pushes, moves and deletes, and what it must find whole.

Tags belong to one client, layers and namespaces to all: so each knows what its own tags point to,
while collection, mounts and pushes of the others work on the same blobs.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.crash.client import (
    CONFIG_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    Answer,
    Client,
    Content,
    ServerGone,
    blob_path,
    digest_of,
    manifest_path,
    uploads_path,
)

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
CACHE_TYPE = "application/vnd.buildkit.cacheconfig.v0"
NAMESPACES = tuple(f"soak/n{number}" for number in range(12))
POOL = tuple(Content(f"layer {number}", 200 + 997 * number % 40_000) for number in range(500))
TAGS = 2
"""Of each client in each namespace."""
DAWDLING = 0.3
"""Of the pushes wait between the last layer and the manifest, as long as a promise allows."""
WRONG_MAX = 20


class BrokenPromise(Exception):
    """The registry did what it must not; the message says what."""


@dataclass(frozen=True)
class Built:
    """A manifest with its type."""

    body: bytes
    media_type: str

    @property
    def digest(self) -> str:
        return digest_of(self.body)

    @property
    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.body)}


@dataclass
class Actor:
    """A client. `promise_secs` is how long a promise is good for at least: whoever takes longer on
    the way from it to a manifest has been too slow, which is counted and no fault."""

    number: int
    address: str
    rng: random.Random
    promise_secs: float
    counts: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    kept: dict[tuple[str, str], str] = field(default_factory=dict)
    """What each of its tags points to, as far as it was acknowledged."""
    promised_at: float = 0.0

    def run(self, is_over: Callable[[], bool]) -> None:
        """Act until it is over, or too much is wrong."""
        acts = (
            (self.push_image, 6),
            (self.push_nested, 3),
            (self.push_cache, 2),
            (self.pull, 8),
            (self.delete_tag, 4),
            (self.delete_manifest, 4),
            (self.delete_own_blob, 1),
        )
        chosen, weights = [act for act, _ in acts], [weight for _, weight in acts]
        with Client(self.address) as self.client:
            while not is_over() and len(self.wrong) < WRONG_MAX:
                act = self.rng.choices(chosen, weights)[0]
                try:
                    act()
                except (BrokenPromise, ServerGone) as error:
                    self.wrong.append(f"client {self.number}, {act.__name__}: {error}")
                else:
                    self.counts[act.__name__] += 1

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """One request; an answer of 5xx is never right."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.client.ask(method, path, body, named)
        self.statuses[answer.status] += 1
        if answer.status >= 500:
            raise BrokenPromise(f"{method} {path}: {answer.status} {answer.body[:200]!r}")
        return answer

    def expect(self, status: int, answer: Answer, what: str) -> Answer:
        if answer.status != status:
            raise BrokenPromise(f"{what}: {answer.status} {answer.body[:300]!r}, not {status}")
        return answer

    def a_namespace(self) -> str:
        return self.rng.choice(NAMESPACES)

    def a_tag(self) -> str:
        return f"c{self.number}-{self.rng.randrange(TAGS)}"

    # What goes up

    def ensure_blob(self, namespace: str, content: Content) -> dict[str, Any]:
        """What a client does before it pushes a layer: ask, mount, or push."""
        digest = content.digest
        descriptor = {"mediaType": LAYER_TYPE, "digest": digest, "size": content.size}
        if self.ask("HEAD", blob_path(namespace, digest)).status == 200:
            self.counts["promised"] += 1
            return descriptor
        if self.rng.random() < 0.5:
            source = self.a_namespace()
            path = f"{uploads_path(namespace)}?mount={digest}&from={source}"
            answer = self.ask("POST", path)
            if answer.status == 201:
                self.counts["mounted"] += 1
                return descriptor
            self.expect(202, answer, f"mount of {digest} from {source}")
            location = answer.headers["location"]
            answer = self.ask("PUT", f"{location}?digest={digest}", content.bytes())
        elif self.rng.random() < 0.5:
            path = f"{uploads_path(namespace)}?digest={digest}"
            answer = self.ask("POST", path, content.bytes())
        else:
            answer = self.expect(202, self.ask("POST", uploads_path(namespace)), "start of upload")
            location = answer.headers["location"]
            half = content.size // 2
            body = content.bytes()
            answer = self.expect(202, self.ask("PATCH", location, body[:half]), "chunk")
            answer = self.ask("PUT", f"{location}?digest={digest}", body[half:])
        self.expect(201, answer, f"push of {digest} to {namespace}")
        self.counts["pushed"] += 1
        return descriptor

    def config(self) -> Content:
        """One that nobody else has."""
        return Content(f"config {self.number} {self.rng.getrandbits(64)}", 120)

    def image(self, namespace: str, *, subject: Built | None = None) -> Built:
        """The blobs of an image pushed, and its manifest."""
        config = {**self.ensure_blob(namespace, self.config()), "mediaType": CONFIG_TYPE}
        layers = self.rng.sample(POOL, self.rng.randint(1, 4))
        document: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config,
            "layers": [self.ensure_blob(namespace, layer) for layer in layers],
        }
        if subject is not None:
            document["subject"] = subject.descriptor
        return Built(json.dumps(document).encode(), MANIFEST_TYPE)

    def index(self, parts: list[dict[str, Any]]) -> Built:
        """An index that no other is like."""
        document = {
            "schemaVersion": 2,
            "mediaType": INDEX_TYPE,
            "manifests": parts,
            "annotations": {"mark": f"{self.number} {self.rng.getrandbits(64)}"},
        }
        return Built(json.dumps(document).encode(), INDEX_TYPE)

    def put(self, namespace: str, built: Built, tag: str | None) -> None:
        """A manifest by its tag, or by its digest."""
        path = manifest_path(namespace, tag or built.digest)
        answer = self.ask("PUT", path, built.body, Content_Type=built.media_type)
        if tag is not None:
            self.kept.pop((namespace, tag), None)
        if time.monotonic() - self.promised_at > self.promise_secs:
            self.counts["too slow"] += 1
            raise BrokenOff
        self.expect(201, answer, f"manifest {path}")
        self.counts["manifests"] += 1
        if tag is not None:
            self.kept[namespace, tag] = built.digest

    def push_image(self) -> None:
        """An image by tag, sometimes with a referrer."""
        namespace = self.begin()
        with_referrer = self.rng.random() < 0.3
        built = self.image(namespace)
        self.put_or_give_up(namespace, (built, self.a_tag()))
        if with_referrer:
            referrer = self.image(namespace, subject=built)
            self.put_or_give_up(namespace, (referrer, None))

    def push_nested(self) -> None:
        """An index in an index, their images by digest."""
        namespace = self.begin()
        images = [self.image(namespace) for _ in range(2)]
        inner = self.index([image.descriptor for image in images])
        outer = self.index([inner.descriptor, images[0].descriptor])
        parts: list[tuple[Built, str | None]] = [(image, None) for image in images]
        self.put_or_give_up(namespace, *parts, (inner, None), (outer, self.a_tag()))

    def push_cache(self) -> None:
        """An index that lists layers as manifests, as BuildKit's caches do."""
        namespace = self.begin()
        layers = [self.ensure_blob(namespace, item) for item in self.rng.sample(POOL, 5)]
        config = {**self.ensure_blob(namespace, self.config()), "mediaType": CACHE_TYPE}
        self.put_or_give_up(namespace, (self.index([*layers, config]), self.a_tag()))

    def begin(self) -> str:
        self.promised_at = time.monotonic()
        return self.a_namespace()

    def put_or_give_up(self, namespace: str, *built: tuple[Built, str | None]) -> None:
        if self.rng.random() < DAWDLING:
            time.sleep(self.rng.uniform(0.2, 0.7) * self.promise_secs)
        try:
            for manifest, tag in built:
                self.put(namespace, manifest, tag)
        except BrokenOff:
            return

    # What comes down, and what goes

    def one_of_mine(self) -> tuple[str, str] | None:
        return self.rng.choice(list(self.kept)) if self.kept else None

    def pull(self) -> None:
        """One of its tags, whole."""
        if (mine := self.one_of_mine()) is not None:
            self.pull_whole(*mine)

    def pull_whole(self, namespace: str, tag: str) -> None:
        """A tag with all that it names, each with the bytes that its digest says."""
        answer = self.expect(
            200, self.ask("GET", manifest_path(namespace, tag)), f"{namespace}:{tag}"
        )
        if digest_of(answer.body) != self.kept[namespace, tag]:
            raise BrokenPromise(f"{namespace}:{tag} is {digest_of(answer.body)}")
        self._pull_parts(namespace, answer.body)

    def _pull_parts(self, namespace: str, body: bytes) -> None:
        document = json.loads(body)
        parts = [*document.get("manifests", ()), *document.get("layers", ())]
        if "config" in document:
            parts.append(document["config"])
        for part in parts:
            digest = part["digest"]
            is_manifest = part["mediaType"] in (MANIFEST_TYPE, INDEX_TYPE)
            path = (manifest_path if is_manifest else blob_path)(namespace, digest)
            answer = self.expect(200, self.ask("GET", path), f"part of {namespace}: {path}")
            if digest_of(answer.body) != digest:
                raise BrokenPromise(f"{path} has the bytes of {digest_of(answer.body)}")
            if is_manifest:
                self._pull_parts(namespace, answer.body)

    def delete_tag(self) -> None:
        """A tag alone: its image stays for a time without one."""
        if (mine := self.one_of_mine()) is not None:
            namespace, tag = mine
            del self.kept[mine]
            self.expect(202, self.ask("DELETE", manifest_path(namespace, tag)), f"delete of {tag}")

    def delete_manifest(self) -> None:
        """A manifest with every tag that points to it: its own ones only do."""
        if (mine := self.one_of_mine()) is None:
            return
        namespace, digest = mine[0], self.kept[mine]
        for key in [
            key for key, value in self.kept.items() if (key[0], value) == (namespace, digest)
        ]:
            del self.kept[key]
        self.expect(
            202, self.ask("DELETE", manifest_path(namespace, digest)), f"delete of {digest}"
        )

    def delete_own_blob(self) -> None:
        """A blob that is nobody else's, as soon as it is there."""
        namespace, content = self.a_namespace(), self.config()
        self.ensure_blob(namespace, content)
        path = blob_path(namespace, content.digest)
        self.expect(202, self.ask("DELETE", path), "delete of a blob")
        self.expect(404, self.ask("GET", path), "a deleted blob")


class BrokenOff(Exception):
    """The client was too slow for its own promise: nothing that the registry did."""
