"""One client's small day, step by step, with every kind of change in it; it can be taken up again
where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.crash.client import (
    MANIFEST_TYPE,
    Answer,
    Client,
    Content,
    WrongAnswer,
    blob_path,
    digest_of,
    manifest_of,
    manifest_path,
    uploads_path,
)
from tests.crash.model import BLOB, MANIFEST, TAG, Key, Model, Upload, Value

KIB, MIB = 1 << 10, 1 << 20
CHUNK_ENDS = (5 * MIB // 2, 5 * MIB // 2 + 70 * KIB)
"""A chunk of several writes, and one that fits a single one; the rest comes with the last PUT."""
LAYER_BYTES = CHUNK_ENDS[-1] + MIB + 100 * KIB
Request = tuple[object, ...]


class Refused(Exception):
    """A 5xx answer: the registry said that it did nothing."""

    def __init__(self, operation: str, answer: Answer) -> None:
        super().__init__(f"{operation}: {answer.status} {answer.body[:300]!r}")
        self.answer = answer


@dataclass
class Script:
    """Pushes in one namespace, named after `mark`; what is older is pushed by `prepare`."""

    client: Client
    model: Model
    namespace: str
    mark: str
    layer_bytes: int = LAYER_BYTES
    session_may_go: bool = False
    """Whether an upload may be gone after a failure, and is then begun anew."""
    upload: Upload | None = None
    cancelled: Upload | None = None
    _done: set[str] = field(default_factory=set)
    _tried: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.config = Content(f"{self.mark}/config", 3 * KIB)
        self.layer = Content(f"{self.mark}/layer", self.layer_bytes)
        self.spare = Content(f"{self.mark}/spare", 2 * KIB)
        self.older = Content(f"{self.mark}/older", 100 * KIB)
        self.brief = Content(f"{self.mark}/brief", 4 * KIB)
        blobs = [(item.digest, item.size) for item in (self.config, self.layer)]
        self.first = manifest_of(blobs, f"{self.mark}/first")
        self.second = manifest_of(blobs, f"{self.mark}/second")
        self.old = manifest_of([(self.older.digest, self.older.size)], f"{self.mark}/old")
        for body in (self.first, self.second, self.old):
            self.model.bodies[digest_of(body)] = body
        for content in self._contents():
            self.model.sizes[content.digest] = content.size

    def _contents(self) -> tuple[Content, ...]:
        return self.config, self.layer, self.spare, self.older, self.brief

    def prepare(self) -> None:
        """What is there before anything fails."""
        self._push(self.spare)
        self._push(self.older)
        self._put_manifest("old", self.old)
        self._put_manifest("older", self.old)

    def operations(self) -> list[tuple[str, Callable[[], None]]]:
        """What `run` does, in this order."""
        second = digest_of(self.second)
        return [
            ("push", lambda: self._push(self.config)),
            ("upload", self._push_layer),
            ("manifest by tag", lambda: self._put_manifest("latest", self.first)),
            ("manifest by digest", lambda: self._put_manifest(second, self.second)),
            ("move of a tag", lambda: self._put_manifest("latest", self.second)),
            ("delete of a manifest", self._delete_first),
            ("delete of a blob", lambda: self._delete_blob(self.spare)),
            ("mount", self._mount),
            ("cancel", self._cancel),
            ("brief push", self._push_brief),
            ("brief delete", lambda: self._delete_blob(self.brief)),
        ]

    def run(self) -> None:
        """Go on with what is not done yet. Raises Refused, ServerGone and WrongAnswer."""
        for name, operation in self.operations():
            if name not in self._done:
                operation()
                self._done.add(name)

    def delete_older(self) -> None:
        """A delete that must work whatever the disk refuses to take in."""
        request = ("DELETE", manifest_path(self.namespace, "old"))
        self._change({(TAG, self.namespace, "old"): None}, request, 202)

    def keys(self) -> list[Key]:
        """Every fact that the script has to do with."""
        bodies = (self.first, self.second, self.old)
        return [
            *((BLOB, self.namespace, content.digest) for content in self._contents()),
            *((MANIFEST, self.namespace, digest_of(body)) for body in bodies),
            *((TAG, self.namespace, tag) for tag in ("latest", "old", "older")),
            (BLOB, self.other_namespace, self.layer.digest),
        ]

    @property
    def other_namespace(self) -> str:
        """Where the layer is mounted to."""
        return f"{self.namespace}/mounted"

    def _ask(self, request: Request, *accepted: int) -> Answer:
        answer = self.client.ask(*request)  # type: ignore[arg-type]
        what = f"{request[0]} {request[1]}"
        if answer.status >= 500:
            raise Refused(what, answer)
        return self.client.expect(accepted, answer, what)

    def _change(self, values: dict[Key, Value], request: Request, *accepted: int) -> Answer:
        change = self.model.begin(values)
        try:
            answer = self._ask(request, *accepted)
        except (Refused, WrongAnswer):
            self.model.refuse(change)
            raise
        self.model.acknowledge(change)
        return answer

    def _push(self, content: Content) -> None:
        path = f"{uploads_path(self.namespace)}?digest={content.digest}"
        values: dict[Key, Value] = {(BLOB, self.namespace, content.digest): content.digest}
        self._change(values, ("POST", path, content.bytes()), 201)

    def _put_manifest(self, reference: str, body: bytes) -> None:
        digest = digest_of(body)
        values: dict[Key, Value] = {(MANIFEST, self.namespace, digest): digest}
        if reference != digest:
            values[(TAG, self.namespace, reference)] = digest
        path = manifest_path(self.namespace, reference)
        self._change(values, ("PUT", path, body, {"Content-Type": MANIFEST_TYPE}), 201)

    def _delete_first(self) -> None:
        digest = digest_of(self.first)
        path = manifest_path(self.namespace, digest)
        self._delete({(MANIFEST, self.namespace, digest): None}, path)

    def _delete_blob(self, content: Content) -> None:
        digest = content.digest
        self._delete({(BLOB, self.namespace, digest): None}, blob_path(self.namespace, digest))

    def _delete(self, values: dict[Key, Value], path: str) -> None:
        """The second time it may be gone already, if the first had no answer."""
        accepted = (202, 404) if path in self._tried else (202,)
        self._tried.add(path)
        self._change(values, ("DELETE", path), *accepted)

    def _mount(self) -> None:
        digest = self.layer.digest
        path = f"{uploads_path(self.other_namespace)}?mount={digest}&from={self.namespace}"
        self._change({(BLOB, self.other_namespace, digest): digest}, ("POST", path), 201)

    def _start(self, content: Content) -> Upload:
        answer = self._ask(("POST", uploads_path(self.namespace)), 202)
        return Upload(self.namespace, answer.headers["location"], content)

    def _append(self, upload: Upload, content: bytes, end: int) -> None:
        part = content[upload.acknowledged : end]
        upload.sent = end
        headers = {"Content-Range": f"{upload.acknowledged}-{end - 1}"}
        answer = self._ask(("PATCH", upload.location, part, headers), 202)
        if answer.offset != end:
            raise WrongAnswer(f"PATCH to {end} answers offset {answer.offset}")
        upload.acknowledged = end

    def _push_layer(self) -> None:
        content, key = self.layer.bytes(), (BLOB, self.namespace, self.layer.digest)
        upload = self.upload
        if upload is not None and not self._can_go_on(upload):
            if self.model.value(key) is not None:
                return
            upload = None
        if upload is None:
            self.upload = upload = self._start(self.layer)
        for end in CHUNK_ENDS:
            if upload.acknowledged < end:
                self._append(upload, content, end)
        upload.sent = len(content)
        path = f"{upload.location}?digest={self.layer.digest}"
        request = ("PUT", path, content[upload.acknowledged :])
        self._change({key: self.layer.digest}, request, 201)

    def _can_go_on(self, upload: Upload) -> bool:
        """Whether the session is there, and then at an offset that it may have."""
        answer = self._ask(("GET", upload.location), 204, 404)
        if answer.status == 404:
            key = (BLOB, self.namespace, upload.content.digest)
            if not self.session_may_go and self.model.value(key) is None:
                raise WrongAnswer(f"LOST {upload.location}: neither a session nor a blob")
            return False
        if not upload.acknowledged <= answer.offset <= upload.sent:
            raise WrongAnswer(
                f"LOST {upload.location}: offset {answer.offset}, acknowledged "
                f"{upload.acknowledged}, sent {upload.sent}"
            )
        upload.acknowledged = answer.offset
        return True

    def _cancel(self) -> None:
        if self.cancelled is not None:
            self._ask(("DELETE", self.cancelled.location), 204, 404)
        self.cancelled = upload = self._start(self.spare)
        self._append(upload, self.spare.bytes(), self.spare.size)
        self._ask(("DELETE", upload.location), 204)
        self._ask(("GET", upload.location), 404)

    def _push_brief(self) -> None:
        """A session without chunks, so that a delete follows soon after a finish."""
        content = self.brief
        if self.cancelled is not None:
            self._ask(("DELETE", self.cancelled.location), 204, 404)
        self.cancelled = upload = self._start(content)
        path = f"{upload.location}?digest={content.digest}"
        values: dict[Key, Value] = {(BLOB, self.namespace, content.digest): content.digest}
        self._change(values, ("PUT", path, content.bytes()), 201)
