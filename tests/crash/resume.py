"""Going on with uploads that a kill interrupted."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.crash.client import Answer, Client, uploads_path
from tests.crash.model import BLOB, Counts, Key, Model, Upload


@dataclass
class Resumer:
    """Looks at every session that a client knows of, and finishes, cancels or leaves it.

    `is_lossy` is for a power cut: what a session had received need not be there any more.
    """

    client: Client
    model: Model
    counts: Counts
    is_lossy: bool = False
    wrong: list[str] = field(default_factory=list)

    def resume_all(self, rng: random.Random) -> list[str]:
        """Facts must be settled. Returns what is wrong."""
        for upload in list(self.model.uploads.values()):
            offset = self._offset(upload)
            upload.finishing, upload.is_cancelled = None, False
            if offset is None:
                self.model.uploads.pop(upload.location)
                continue
            upload.acknowledged = offset
            fate = rng.random()
            if fate < 0.5:
                self.finish(upload, chunks=rng.randint(0, 2))
            elif fate < 0.75:
                self._cancel(upload)
        return self.wrong

    def _offset(self, upload: Upload) -> int | None:
        """Where the session goes on; None when it is gone, as it may be."""
        answer = self.client.ask("GET", upload.location)
        if answer.status == 204:
            offset = answer.offset
            if not (self.is_lossy or upload.acknowledged <= offset) or offset > upload.sent:
                self.wrong.append(
                    f"LOST {upload.location}: offset {offset}, acknowledged {upload.acknowledged}, "
                    f"sent {upload.sent}"
                )
            return offset
        key: Key = (BLOB, upload.namespace, upload.content.digest)
        was_finished = upload.finishing is not None and self.model.value(key) is not None
        if answer.status != 404 or not (was_finished or upload.is_cancelled or self.is_lossy):
            self.wrong.append(
                f"LOST {upload.location}: {answer.status} {answer.body[:200]!r}, "
                f"acknowledged {upload.acknowledged}, finishing {upload.finishing is not None}"
            )
        return None

    def finish(self, upload: Upload, *, chunks: int) -> None:
        """Send the rest: its digest says whether what was there before is right."""
        content, key = upload.content.bytes(), (BLOB, upload.namespace, upload.content.digest)
        for _ in range(chunks):
            offset = upload.acknowledged
            part = content[offset : offset + (len(content) - offset) // 2]
            if not part:
                break
            window = {"Content-Range": f"{offset}-{offset + len(part) - 1}"}
            answer = self.client.ask("PATCH", upload.location, part, window)
            if not self._is_as_expected(answer, 202, upload):
                return
            upload.acknowledged = upload.sent = offset + len(part)
        change = self.model.begin({key: upload.content.digest})
        self.model.sizes[upload.content.digest] = upload.content.size
        path = f"{upload.location}?digest={upload.content.digest}"
        answer = self.client.ask("PUT", path, content[upload.acknowledged :])
        self.model.uploads.pop(upload.location)
        if not self._is_as_expected(answer, 201, upload):
            self.model.refuse(change)
            return
        self.model.acknowledge(change)
        self.counts.resumed += 1

    def _cancel(self, upload: Upload) -> None:
        self._is_as_expected(self.client.ask("DELETE", upload.location), 204, upload)
        self.model.uploads.pop(upload.location)
        self._is_as_expected(self.client.ask("GET", upload.location), 404, upload)

    def _is_as_expected(self, answer: Answer, status: int, upload: Upload) -> bool:
        if answer.status == status:
            return True
        self.wrong.append(
            f"LOST resumed {upload.location} at {upload.acknowledged} of {upload.content}: "
            f"{answer.status} {answer.body[:200]!r}, expected {status}"
        )
        return False


def push_anew(client: Client, upload: Upload) -> Answer:
    """What a client does whose session is gone: the whole blob in one request."""
    path = f"{uploads_path(upload.namespace)}?digest={upload.content.digest}"
    return client.ask("POST", path, upload.content.bytes())
