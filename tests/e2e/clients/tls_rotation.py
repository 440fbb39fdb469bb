"""The server's certificate replaced while bytes move and 200 clients ask: nothing is dropped."""

from __future__ import annotations

import hashlib
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from tests.e2e.lab import Lab
from tests.e2e.machine import Failure
from tests.e2e.material import TAG, noise
from tests.e2e.rotation import Rotation, serial_of, shown_by, wait_until
from tests.e2e.secure import SecureLab, alone, make

SUITE = "rotation"
REPOSITORY = "rotation/app"
PIECE_BYTES = 1 << 20
PIECES = 1024
PIECES_QUICK = 256
PIECE_SECS = 0.01
"""Between two pieces while a certificate is replaced, so that the transfer outlives that."""
CLIENTS = 200
ROUND_SECS = 2.0
END_SECS_MAX = 60
WAYS = {"noticed by the registry": False, "with SIGHUP": True}


def run(lab: Lab) -> None:
    """All checks, in a network of its own."""
    secure = make(lab, SUITE, has_user=False)
    with alone(lab, SUITE, secure) as other:
        layout, image = other.material.small
        other.seed(REPOSITORY, layout, [image.manifest])
        blob = Blob(PIECES_QUICK if lab.is_quick else PIECES)
        mib = blob.size >> 20
        for (way, has_signal), move in zip(WAYS.items(), (push, pull), strict=True):
            name = f"{move.__name__} of {mib} MiB beside {CLIENTS} clients, certificate replaced"
            with lab.check(SUITE, f"{name}, {way}: nothing dropped"):
                rotation = Rotation(other, secure.renew, has_signal)
                _rotate_amid(other, blob, move, rotation)


@dataclass(frozen=True)
class Blob:
    """Bytes without a pattern, which are made as they are sent."""

    pieces: int

    @property
    def size(self) -> int:
        """All of its bytes."""
        return self.pieces * PIECE_BYTES

    def __iter__(self) -> Iterator[bytes]:
        first = noise(SUITE, PIECE_BYTES)
        for number in range(self.pieces):
            mark = number.to_bytes(8)
            yield mark + first[len(mark) :]

    @cached_property
    def digest(self) -> str:
        """The digest of all."""
        found = hashlib.sha256()
        for piece in self:
            found.update(piece)
        return f"sha256:{found.hexdigest()}"


class Crowd:
    """Clients that ask for a manifest in rounds, all at once: half of them on one
    connection each, the others on a new one each time."""

    def __init__(self, lab: SecureLab) -> None:
        self.lab = lab
        self.answers = 0
        self.failures: list[str] = []
        self.handshakes: list[tuple[float, int]] = []
        """When each began, by the monotonic clock, and the serial number that was shown."""
        self._path = f"/v2/{REPOSITORY}/manifests/{TAG}"
        self._body = lab.expect(200, "GET", self._path).body
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask_on, args=[number % 2 == 0], daemon=True)
            for number in range(CLIENTS)
        ]

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """From when there are as many answers as clients."""
        for thread in self._threads:
            thread.start()
        try:
            wait_until(lambda: self.answers >= CLIENTS, "there are as many answers as clients")
            yield
        finally:
            self._is_over.set()
            for thread in self._threads:
                thread.join(END_SECS_MAX)

    def _ask_on(self, keeps: bool) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._is_over.is_set():
            try:
                connection = connection or self._connect()
                self._ask(connection)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                connection = None
            else:
                if not keeps:
                    connection.close()
                    connection = None
            self._is_over.wait(ROUND_SECS - time.monotonic() % ROUND_SECS)
        if connection is not None:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        begun = time.monotonic()
        connection = self.lab.connection()
        self.handshakes.append((begun, serial_of(connection)))
        return connection

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        connection.request("GET", self._path)
        response = connection.getresponse()
        if (response.status, response.read()) != (200, self._body):
            raise OSError(f"answered with {response.status}, or another body")
        if connection.sock is None:
            raise OSError("the registry ended the connection")
        with self._lock:
            self.answers += 1


def _amid(rotation: Rotation, pieces: int) -> Iterator[None]:
    """One step for each piece of a transfer: a quarter of it, and then on until the certificate is
    replaced and seen; the last quarter comes after that."""
    thread = threading.Thread(target=rotation.run, daemon=True)
    for number in range(pieces):
        if number == pieces // 4:
            thread.start()
        if thread.is_alive():
            time.sleep(PIECE_SECS)
        if number == pieces * 3 // 4:
            thread.join(END_SECS_MAX)
        yield


def push(lab: SecureLab, blob: Blob, rotation: Rotation) -> None:
    """Send a blob in one request."""
    opened = lab.ask("POST", f"/v2/{REPOSITORY}/blobs/uploads/")
    path = f"{opened.headers['Location']}?digest={blob.digest}"
    body = (piece for piece, _ in zip(blob, _amid(rotation, blob.pieces), strict=True))
    connection = lab.connection()
    try:
        connection.request("PUT", path, body, {"Content-Length": str(blob.size)})
        response = connection.getresponse()
        if response.status != 201:
            raise Failure(f"PUT: {response.status} {response.read()!r}")
    finally:
        connection.close()


def pull(lab: SecureLab, blob: Blob, rotation: Rotation) -> None:
    """Take a blob in one request."""
    found, steps = hashlib.sha256(), _amid(rotation, blob.pieces)
    connection = lab.connection()
    try:
        connection.request("GET", f"/v2/{REPOSITORY}/blobs/{blob.digest}")
        response = connection.getresponse()
        while piece := response.read(PIECE_BYTES):
            next(steps)
            found.update(piece)
    finally:
        connection.close()
    if f"sha256:{found.hexdigest()}" != blob.digest:
        raise Failure(f"sha256:{found.hexdigest()} came back, not {blob.digest}")


def _rotate_amid(
    lab: SecureLab,
    blob: Blob,
    move: Callable[[SecureLab, Blob, Rotation], None],
    rotation: Rotation,
) -> None:
    crowd = Crowd(lab)
    before = shown_by(lab)

    def late() -> set[int]:
        return {shown for begun, shown in crowd.handshakes if begun > rotation.ended_at}

    with crowd.at_work():
        move(lab, blob, rotation)
        wait_until(lambda: bool(late()), "a client came after the replacement")
    shown = {shown for _, shown in crowd.handshakes}
    print(f"    {crowd.answers} answers, {len(crowd.handshakes)} handshakes", flush=True)
    problems = [*rotation.failures, *crowd.failures]
    if problems:
        raise Failure(f"{len(problems)} failed, the first: {problems[0]}")
    if late() != {rotation.serial} or shown != {before, rotation.serial}:
        raise Failure(f"{before}, then {rotation.serial}: shown {shown}, at the end {late()}")
