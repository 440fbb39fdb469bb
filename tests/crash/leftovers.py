"""What a crash can leave in `uploads/`, put there by hand, and what must come of it at a start."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path

from angos_trio.identity import anonymous
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName, SessionId
from angos_trio.storage.session_record import UploadSession
from tests.crash.checks import blob_file
from tests.crash.client import Answer, Client, Content, blob_path, digest_of
from tests.running import HOST

NAMESPACE = "left/over"
NOT_OURS = ("notes.data", "notes.json", "notes.tmp", "README")
SIZE = 300_000


@dataclass
class Leftover:
    """One session's files: its content, and how much of that had arrived."""

    content: Content
    arrived: int
    session: SessionId = field(default_factory=lambda: SessionId.from_uuid(uuid.uuid4()))

    @property
    def location(self) -> str:
        """Where a client goes on with it."""
        return f"/v2/{NAMESPACE}/blobs/uploads/{self.session}"

    def record(self, *, is_finishing: bool = False) -> bytes:
        """The record as the registry writes it."""
        caller = anonymous(HOST)
        return UploadSession(
            id=self.session,
            namespace=RepositoryName(NAMESPACE),
            owner=caller.owner,
            limit_key=caller.limit_key,
            started_at=1_700_000_000,
            algorithm="sha256",
            finishing=Digest(self.content.digest) if is_finishing else None,
        ).encode()

    def arrived_bytes(self) -> bytes:
        """The bytes that had arrived."""
        return self.content.bytes()[: self.arrived]


class Leftovers:
    """Every kind at once. `put` lays them down while the registry is down."""

    def __init__(self, seed: str) -> None:
        def leftover(name: str, arrived: int = SIZE) -> Leftover:
            return Leftover(Content(f"{seed}/{name}", SIZE), arrived)

        self.open = leftover("open", SIZE // 3)
        self.empty = leftover("empty", 0)
        self.finishing = leftover("finishing")
        self.published = leftover("published")
        self.torn = leftover("torn")
        self.nameless = leftover("nameless")
        self.replaced = leftover("replaced", SIZE // 2)

    def put(self, data_dir: Path) -> None:
        """Write the files."""
        uploads = data_dir / "uploads"
        for name in NOT_OURS:
            (uploads / name).write_text("somebody's own", encoding="utf-8")
        (uploads / "folder.data").mkdir()
        for item in (self.open, self.finishing, self.torn, self.nameless, self.replaced):
            (uploads / f"{item.session}.data").write_bytes(item.arrived_bytes())
        for item in (self.open, self.empty, self.replaced):
            (uploads / f"{item.session}.json").write_bytes(item.record())
        for item in (self.finishing, self.published):
            (uploads / f"{item.session}.json").write_bytes(item.record(is_finishing=True))
        torn = self.torn.record()
        (uploads / f"{self.torn.session}.json").write_bytes(torn[: len(torn) // 2])
        half = self.replaced.record(is_finishing=True)
        (uploads / f"{self.replaced.session}.json.tmp").write_bytes(half[: len(half) // 2])
        published = blob_file(data_dir, self.published.content.digest)
        published.write_bytes(self.published.arrived_bytes())
        published.chmod(0o440)

    def wrong(self, address: str, *, may_be_dropped: bool = False) -> list[str]:
        """What did not come of them as it must; the open ones are finished on the way.

        A published blob without rows may be dropped only where a disk refused to take the rows.
        """
        with Client(address) as client:
            return [
                *_resumed(client, self.open),
                *_resumed(client, self.empty),
                *_resumed(client, self.finishing),
                *_resumed(client, self.replaced),
                *([] if may_be_dropped else _finished(client, self.published)),
                *_status(client, self.published, 404),
                *_status(client, self.torn, 404),
                *_status(client, self.nameless, 404),
            ]


def wrong_in_uploads(data_dir: Path) -> list[str]:
    """Once every session is finished: what is not ours is there, and nothing else."""
    expected = sorted([*NOT_OURS, "folder.data"])
    found = sorted(path.name for path in (data_dir / "uploads").iterdir())
    return [] if found == expected else [f"uploads/ holds {found}, expected {expected}"]


def _resumed(client: Client, item: Leftover) -> list[str]:
    answer = client.ask("GET", item.location)
    if answer.status != 204 or answer.offset != item.arrived:
        return [_said("GET", item, answer, f"offset {item.arrived}")]
    rest = item.content.bytes()[item.arrived :]
    answer = client.ask("PUT", f"{item.location}?digest={item.content.digest}", rest)
    if answer.status != 201:
        return [_said("PUT", item, answer, "201")]
    return _finished(client, item)


def _finished(client: Client, item: Leftover) -> list[str]:
    answer = client.ask("GET", blob_path(NAMESPACE, item.content.digest))
    if answer.status != 200 or digest_of(answer.body) != item.content.digest:
        return [_said("GET blob", item, answer, "its bytes")]
    return []


def _status(client: Client, item: Leftover, status: int) -> list[str]:
    answer = client.ask("GET", item.location)
    return [] if answer.status == status else [_said("GET", item, answer, str(status))]


def _said(asked: str, item: Leftover, answer: Answer, expected: str) -> str:
    said = f"{answer.status} {dict(answer.headers)} {answer.body[:200]!r}"
    return f"LOST {asked} of {item.content.seed}: {said}, expected {expected}"
