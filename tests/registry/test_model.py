"""Random histories over real storage, beside a model of dictionaries: both always say the same."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest, digest_of
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.oci.pagination import Page
from angos_trio.registry.context import Registry
from angos_trio.registry.delete import delete_blob, delete_manifest
from angos_trio.registry.listing import list_catalog, list_referrers, list_tags
from angos_trio.registry.mount import mount_blob
from angos_trio.registry.pull import find_blob, find_manifest, read_body
from angos_trio.registry.push_blob import append_chunk, finish_upload, start_upload
from tests.registry.support import (
    ANYBODY,
    EMPTY,
    IMMUTABLE,
    content,
    held_bytes,
    image,
    index,
    opened_registry,
    push,
    push_bytes,
)
from tests.storage.support import IN_MEMORY, TEST_SECS_MAX, blob_path

NAMES = [RepositoryName(name) for name in ("a", "a/b")]
BLOBS = [EMPTY, b"", b"one", b"two" * 1000]
TAGS = ["v1", "v2", "latest"]
SUBJECT = image(annotations={"is": "the subject"})
BODIES = [
    SUBJECT,
    image(digest_of(b"one")),
    image(digest_of(b"one"), digest_of(b"two" * 1000), subject=digest_of(SUBJECT)),
    image(digest_of(b"absent"), subject=digest_of(SUBJECT), artifact_type="sbom/x"),
    index(digest_of(SUBJECT), digest_of(b"one")),
]
REFERENCES = {
    0: {digest_of(EMPTY)},
    1: {digest_of(EMPTY), digest_of(b"one")},
    2: {digest_of(EMPTY), digest_of(b"one"), digest_of(b"two" * 1000)},
    3: {digest_of(EMPTY), digest_of(b"absent")},
    4: {digest_of(SUBJECT), digest_of(b"one")},
}
REFERS = {2, 3}

names, blobs, tags = st.sampled_from(NAMES), st.sampled_from(BLOBS), st.sampled_from(TAGS)
bodies = st.integers(0, len(BODIES) - 1)


class Running:
    """A registry in a thread of its own, asked from this one."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ready = threading.Event()
        self._registry: Registry | None = None
        self._thread = threading.Thread(target=trio.run, args=(self._serve,))
        self._thread.start()
        assert self._ready.wait(TEST_SECS_MAX)

    async def _serve(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._end = trio.Event()
        try:
            async with opened_registry(self._root, rule=IMMUTABLE) as self._registry:
                self._ready.set()
                await self._end.wait()
        finally:
            self._ready.set()

    def ask(self, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        """The outcome of a use-case, or the code of its refusal."""

        async def asked() -> Any:
            return await work(self._registry, *arguments)

        try:
            return trio.from_thread.run(asked, trio_token=self._token)
        except OciError as error:
            return error.code

    def stop(self) -> None:
        trio.from_thread.run_sync(self._end.set, trio_token=self._token)
        self._thread.join(TEST_SECS_MAX)


async def push_chunks(registry: Registry, name: RepositoryName, bytes_: bytes, cut: int) -> None:
    session = await start_upload(registry, ANYBODY, name, "sha256")
    await append_chunk(registry, ANYBODY, name, session.id, content(bytes_[:cut]))
    rest = content(bytes_[cut:])
    await finish_upload(registry, ANYBODY, name, session.id, digest_of(bytes_), rest)


async def push_at(
    registry: Registry, name: RepositoryName, tag: str | None, body: bytes, more: list[str]
) -> Digest:
    reference = digest_of(body) if tag is None else tag
    return (await push(registry, reference, body, *more, name=name)).digest


async def body_at(registry: Registry, name: RepositoryName, reference: Any) -> bytes:
    return await read_body(registry, await find_manifest(registry, name, reference))


async def referrers_of(registry: Registry, name: RepositoryName) -> list[Digest]:
    page = await list_referrers(registry, name, digest_of(SUBJECT), None, "")
    return [referrer.digest for referrer in page.referrers]


async def tags_of(registry: Registry, name: RepositoryName) -> list[str]:
    """All of them, two a page."""
    found: list[str] = []
    page = await list_tags(registry, name, Page(2, ""))
    while page.next_after is not None:
        found += page.names
        page = await list_tags(registry, name, Page(2, page.next_after))
    return found + page.names


class History(RuleBasedStateMachine):
    """Pushes, mounts, deletes, listings and restarts."""

    @initialize()
    def begin(self) -> None:
        base = IN_MEMORY if IN_MEMORY.is_dir() else None
        self._scratch = tempfile.TemporaryDirectory(dir=base, prefix="angos-trio-")
        self.root = Path(self._scratch.name) / "data"
        self.running = Running(self.root)
        self.blobs: dict[RepositoryName, set[Digest]] = {name: set() for name in NAMES}
        self.manifests: dict[RepositoryName, dict[Digest, int]] = {name: {} for name in NAMES}
        self.tags: dict[RepositoryName, dict[str, Digest]] = {name: {} for name in NAMES}
        self.known: set[RepositoryName] = set()

    def teardown(self) -> None:
        if hasattr(self, "running"):
            self.running.stop()
            self._scratch.cleanup()

    def ask(self, work: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        return self.running.ask(work, *arguments)

    @rule(name=names, bytes_=blobs, cut=st.none() | st.integers(0, 3000))
    def push_blob(self, name: RepositoryName, bytes_: bytes, cut: int | None) -> None:
        if cut is None:
            assert self.ask(push_bytes, bytes_, name) == digest_of(bytes_)
        else:
            assert self.ask(push_chunks, name, bytes_, cut) is None
        self.blobs[name].add(digest_of(bytes_))
        self.known.add(name)

    @rule(name=names, bytes_=blobs, source=st.none() | names)
    def mount(self, name: RepositoryName, bytes_: bytes, source: RepositoryName | None) -> None:
        digest = digest_of(bytes_)
        sources = {name, *(NAMES if source is None else [source])}
        expected = any(digest in self.blobs[candidate] for candidate in sources)
        assert self.ask(mount_blob, ANYBODY, name, digest, source) is expected
        if expected:
            self.blobs[name].add(digest)
            self.known.add(name)

    @precondition(lambda self: any(self.blobs.values()))
    @rule(name=names, bytes_=blobs)
    def delete_blob(self, name: RepositoryName, bytes_: bytes) -> None:
        digest = digest_of(bytes_)
        expected = None
        if digest not in self.blobs[name]:
            expected = Code.BLOB_UNKNOWN
        elif any(digest in REFERENCES[number] for number in self.manifests[name].values()):
            expected = Code.DENIED
        assert self.ask(delete_blob, ANYBODY, name, digest) == expected
        if expected is None:
            self.blobs[name].discard(digest)

    @rule(name=names, tag=tags, number=bodies)
    def push_by_tag(self, name: RepositoryName, tag: str, number: int) -> None:
        self._push(name, tag, number, [])

    @rule(name=names, number=bodies, more=st.lists(tags, max_size=3))
    def push_by_digest(self, name: RepositoryName, number: int, more: list[str]) -> None:
        self._push(name, None, number, more)

    def _push(self, name: RepositoryName, tag: str | None, number: int, more: list[str]) -> None:
        digest = digest_of(BODIES[number])
        wanted = more if tag is None else [tag]
        is_kept = any(
            self.tags[name].get(item, digest) != digest for item in wanted if item != "latest"
        )
        expected = Code.TAG_IMMUTABLE if is_kept else digest
        assert self.ask(push_at, name, tag, BODIES[number], more) == expected
        if not is_kept:
            self.manifests[name][digest] = number
            self.tags[name].update(dict.fromkeys(wanted, digest))
            self.known.add(name)

    @precondition(lambda self: any(self.tags.values()))
    @rule(name=names, tag=tags)
    def delete_tag(self, name: RepositoryName, tag: str) -> None:
        expected = None
        if tag not in self.tags[name]:
            expected = Code.MANIFEST_UNKNOWN
        elif tag != "latest":
            expected = Code.TAG_IMMUTABLE
        assert self.ask(delete_manifest, ANYBODY, name, Tag(tag)) == expected
        if expected is None:
            del self.tags[name][tag]

    @precondition(lambda self: any(self.manifests.values()))
    @rule(name=names, number=bodies)
    def delete_manifest(self, name: RepositoryName, number: int) -> None:
        digest = digest_of(BODIES[number])
        pointing = {tag for tag, found in self.tags[name].items() if found == digest}
        expected = None
        if digest not in self.manifests[name]:
            expected = Code.MANIFEST_UNKNOWN
        elif pointing - {"latest"}:
            expected = Code.TAG_IMMUTABLE
        assert self.ask(delete_manifest, ANYBODY, name, digest) == expected
        if expected is None:
            del self.manifests[name][digest]
            for tag in pointing:
                del self.tags[name][tag]

    @rule()
    def restart(self) -> None:
        self.running.stop()
        self.running = Running(self.root)

    @rule()
    def look_at_everything(self) -> None:
        for name in NAMES:
            for bytes_ in BLOBS:
                self._look_at_blob(name, bytes_)
            for reference in (*map(Tag, TAGS), *map(digest_of, BODIES)):
                digest = self.tags[name].get(reference, reference)
                number = self.manifests[name].get(digest)  # type: ignore[call-overload]
                expected = Code.MANIFEST_UNKNOWN if number is None else BODIES[number]
                assert self.ask(body_at, name, reference) == expected
            refers = [digest for digest, n in self.manifests[name].items() if n in REFERS]
            assert self.ask(referrers_of, name) == sorted(refers)

    def _look_at_blob(self, name: RepositoryName, bytes_: bytes) -> None:
        digest = digest_of(bytes_)
        found = self.ask(find_blob, name, digest)
        if digest in self.blobs[name]:
            assert found.size == len(bytes_)
            assert blob_path(self.root, digest).read_bytes() == bytes_
        else:
            assert found == Code.BLOB_UNKNOWN

    @invariant()
    def catalog_is_that_of_the_model(self) -> None:
        if hasattr(self, "running"):
            expected = sorted(name for name in NAMES if self.manifests[name])
            assert self.ask(list_catalog, ANYBODY, Page(10, "")).names == expected
            assert list((self.root / "uploads").iterdir()) == []

    @invariant()
    def tags_are_those_of_the_model(self) -> None:
        for name in NAMES if hasattr(self, "running") else []:
            found = self.ask(tags_of, name)
            expected = sorted(self.tags[name]) if name in self.known else Code.NAME_UNKNOWN
            assert found == expected

    @invariant()
    def bytes_that_are_held_are_those_of_the_rows(self) -> None:
        if hasattr(self, "running"):
            held_bytes(self.root)


TestHistory = pytest.mark.slow(History.TestCase)
TestHistory.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
