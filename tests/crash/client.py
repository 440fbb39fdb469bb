"""A blocking client that knows when the server went away, and content that can be made again."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

ANSWER_SECS_MAX = 60.0


class ServerGone(Exception):
    """The connection broke before an answer: what was asked for may or may not have happened."""


class WrongAnswer(Exception):
    """An answer that the registry must not give here; the message says which."""


@dataclass(frozen=True)
class Answer:
    """A whole answer; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error_code(self) -> str | None:
        """The code of an error in the shape of the distribution specification, else None."""
        try:
            found: str = json.loads(self.body)["errors"][0]["code"]
        except (ValueError, KeyError, TypeError, IndexError):
            return None
        return found

    @property
    def offset(self) -> int:
        """How many bytes a session holds, by its `Range`; `0-0` is read as none."""
        last = int(self.headers["range"].removeprefix("0-"))
        return last + 1 if last else 0


@dataclass(frozen=True)
class Content:
    """Bytes that are made from a seed, so that nobody needs to keep them."""

    seed: str
    size: int
    algorithm: str = "sha256"

    def bytes(self) -> bytes:
        """The bytes."""
        return random.Random(self.seed).randbytes(self.size)

    @cached_property
    def digest(self) -> str:
        """Their digest."""
        return digest_of(self.bytes(), self.algorithm)


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """The digest of some bytes."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


@dataclass
class Client:
    """Asks one registry over one connection at a time."""

    address: str
    _connection: http.client.HTTPConnection | None = field(default=None, repr=False)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request and its answer. A body in parts needs a Content-Length among the headers.

        Raises ServerGone; an answer that comes before the end of the body is an answer all the
        same.
        """
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self.address, timeout=ANSWER_SECS_MAX)
        connection = self._connection
        try:
            try:
                connection.request(method, path, body, dict(headers or {}))
            except (BrokenPipeError, ConnectionResetError):
                if connection.sock is None:
                    raise
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ServerGone(f"{method} {path}: {error!r}") from error
        named = {name.lower(): value for name, value in response.getheaders()}
        if named.get("connection") == "close" or response.status >= 400:
            # What is refused before the end of a large body is answered, and then closed.
            self.close()
        return Answer(response.status, named, content)

    def expect(self, statuses: int | Iterable[int], answer: Answer, what: str) -> Answer:
        """The answer, if its status is among those. Raises WrongAnswer."""
        wanted = {statuses} if isinstance(statuses, int) else set(statuses)
        if answer.status not in wanted:
            raise WrongAnswer(
                f"{what}: {answer.status} {answer.body[:300]!r}, expected {sorted(wanted)}"
            )
        return answer

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def blob_path(namespace: str, digest: str) -> str:
    """Where a blob is read and deleted."""
    return f"/v2/{namespace}/blobs/{digest}"


def manifest_path(namespace: str, reference: str) -> str:
    """Where a manifest or a tag is read, written and deleted."""
    return f"/v2/{namespace}/manifests/{reference}"


def uploads_path(namespace: str) -> str:
    """Where an upload begins."""
    return f"/v2/{namespace}/blobs/uploads/"


MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


def manifest_of(blobs: list[tuple[str, int]], mark: str) -> bytes:
    """An image manifest over blobs, each a digest and a size; the first is its configuration."""
    descriptors: list[dict[str, Any]] = [
        {"mediaType": LAYER_TYPE, "digest": digest, "size": size} for digest, size in blobs
    ]
    descriptors[0]["mediaType"] = CONFIG_TYPE
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptors[0],
        "layers": descriptors[1:],
        "annotations": {"mark": mark},
    }
    return json.dumps(document).encode()
