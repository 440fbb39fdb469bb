"""A registry of four workers does what a plain dictionary does, whichever worker is asked."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.crash.client import (
    MANIFEST_TYPE,
    Answer,
    blob_path,
    digest_of,
    manifest_of,
    manifest_path,
    uploads_path,
)
from tests.family.family import running_family
from tests.family.lines import Line, lines_to

EXAMPLES, STEPS = 40, 30
CONTENTS = [b"alpha", b"beta" * 1000, b"gamma" * 50_000]
DIGESTS = [digest_of(content) for content in CONTENTS]
SIZES = {digest_of(content): len(content) for content in CONTENTS}
TYPED = {"Content-Type": MANIFEST_TYPE}
WORKER, REPOSITORY = st.integers(0, 3), st.sampled_from(["app", "tools/base"])
BLOB, TAG = st.sampled_from(CONTENTS), st.sampled_from(["v1", "v2", "latest"])
MARK = st.integers(0, 2)
_numbers = iter(range(1_000_000))


def body_of(content: bytes, mark: int) -> bytes:
    """A manifest over one blob."""
    digest = digest_of(content)
    return manifest_of([(digest, SIZES[digest])], str(mark))


class Machine(RuleBasedStateMachine):
    """Every request goes through a worker that is drawn; the model is three dictionaries."""

    lines: list[Line]
    """Of one family, for all examples; names of repositories are new in each."""

    def __init__(self) -> None:
        super().__init__()
        self.prefix = ""
        self.blobs: dict[str, set[str]] = {}
        self.manifests: dict[str, dict[str, str]] = {}
        """By repository: the blob that each manifest names."""
        self.tags: dict[str, dict[str, str]] = {}
        self.bodies: dict[str, bytes] = {}

    @initialize()
    def begin(self) -> None:
        self.prefix = f"machine/n{next(_numbers)}"

    def name(self, repository: str) -> str:
        name = f"{self.prefix}/{repository}"
        self.blobs.setdefault(name, set())
        self.manifests.setdefault(name, {})
        self.tags.setdefault(name, {})
        return name

    def ask(self, worker: int, method: str, path: str, body: bytes = b"") -> Answer:
        return self.lines[worker].ask(method, path, body, TYPED if body else {})

    def is_named(self, name: str, digest: str) -> bool:
        """Whether a manifest of the repository holds the blob in place."""
        return digest in self.manifests[name].values()

    @rule(first=WORKER, second=WORKER, repository=REPOSITORY, content=BLOB)
    def push_blob(self, first: int, second: int, repository: str, content: bytes) -> None:
        name, digest = self.name(repository), digest_of(content)
        location = self.ask(first, "POST", uploads_path(name)).headers["location"]
        answer = self.ask(second, "PUT", f"{location}?digest={digest}", content)
        assert answer.status == 201
        self.blobs[name].add(digest)

    @rule(worker=WORKER, repository=REPOSITORY, content=BLOB, tag=TAG, mark=MARK)
    def push_manifest(
        self, worker: int, repository: str, content: bytes, tag: str, mark: int
    ) -> None:
        name, body = self.name(repository), body_of(content, mark)
        assert self.ask(worker, "PUT", manifest_path(name, tag), body).status == 201
        digest = digest_of(body)
        self.bodies[digest] = body
        self.manifests[name][digest] = digest_of(content)
        self.tags[name][tag] = digest

    @rule(worker=WORKER, repository=REPOSITORY, source=TAG, moved=TAG)
    def retag(self, worker: int, repository: str, source: str, moved: str) -> None:
        name = self.name(repository)
        found = self.ask(worker, "GET", manifest_path(name, source))
        digest = self.tags[name].get(source)
        assert found.status == (404 if digest is None else 200)
        if digest is None:
            return
        assert found.body == self.bodies[digest]
        answer = self.ask((worker + 1) % 4, "PUT", manifest_path(name, moved), found.body)
        assert answer.status == 201
        self.tags[name][moved] = digest

    @rule(worker=WORKER, repository=REPOSITORY, tag=TAG)
    def delete_tag(self, worker: int, repository: str, tag: str) -> None:
        name = self.name(repository)
        answer = self.ask(worker, "DELETE", manifest_path(name, tag))
        assert answer.status == (202 if tag in self.tags[name] else 404)
        self.tags[name].pop(tag, None)

    @rule(worker=WORKER, repository=REPOSITORY, content=BLOB, mark=MARK)
    def delete_manifest(self, worker: int, repository: str, content: bytes, mark: int) -> None:
        name, digest = self.name(repository), digest_of(body_of(content, mark))
        answer = self.ask(worker, "DELETE", manifest_path(name, digest))
        assert answer.status == (202 if digest in self.manifests[name] else 404)
        self.manifests[name].pop(digest, None)
        self.tags[name] = {tag: at for tag, at in self.tags[name].items() if at != digest}

    @rule(worker=WORKER, repository=REPOSITORY, content=BLOB)
    def delete_blob(self, worker: int, repository: str, content: bytes) -> None:
        name, digest = self.name(repository), digest_of(content)
        answer = self.ask(worker, "DELETE", blob_path(name, digest))
        if digest not in self.blobs[name]:
            assert answer.status == 404
        elif self.is_named(name, digest):
            assert answer.status == 405
        else:
            assert answer.status == 202
            self.blobs[name].discard(digest)

    @rule(worker=WORKER, source=REPOSITORY, into=REPOSITORY, content=BLOB)
    def mount(self, worker: int, source: str, into: str, content: bytes) -> None:
        origin, name, digest = self.name(source), self.name(into), digest_of(content)
        path = f"{uploads_path(name)}?mount={digest}&from={origin}"
        answer = self.ask(worker, "POST", path)
        if digest in self.blobs[origin]:
            assert answer.status == 201
            self.blobs[name].add(digest)
        elif answer.status == 201:  # the repository itself may hold it already
            assert digest in self.blobs[name]
        else:
            assert answer.status == 202
            location = answer.headers["location"]
            assert self.ask((worker + 1) % 4, "DELETE", location).status == 204

    @rule(worker=WORKER, repository=REPOSITORY)
    def list_tags(self, worker: int, repository: str) -> None:
        name = self.name(repository)
        answer = self.ask(worker, "GET", f"/v2/{name}/tags/list")
        listed = json.loads(answer.body)["tags"] if answer.status == 200 else []
        assert listed == sorted(self.tags[name])

    @rule(worker=WORKER, repository=REPOSITORY, content=BLOB)
    def pull_blob(self, worker: int, repository: str, content: bytes) -> None:
        name, digest = self.name(repository), digest_of(content)
        answer = self.ask(worker, "GET", blob_path(name, digest))
        if digest in self.blobs[name]:
            assert answer.status == 200
            assert answer.body == content
        else:
            assert answer.status == 404

    @invariant()
    def every_tag_is_read_through_some_worker(self) -> None:
        for number, (name, tags) in enumerate(self.tags.items()):
            for tag, digest in tags.items():
                answer = self.ask((number + len(tags)) % 4, "GET", manifest_path(name, tag))
                assert answer.status == 200
                assert answer.body == self.bodies[digest]


@pytest.mark.slow
def test_family_does_what_the_model_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKERS", raising=False)
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="angos-trio-family-"))
        family = stack.enter_context(running_family(Path(scratch)))
        lines = stack.enter_context(lines_to(family.address))
        machine = type("WithLines", (Machine,), {"lines": lines})
        bounds = settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(machine, settings=bounds)
        for line in lines:
            line.close()
        assert family.stop() == []
