"""Interrupted transfers that go on: a client of our own on plain sockets, and skopeo killed."""

from __future__ import annotations

import hashlib
import re
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from angos_trio.records import replace
from tests.e2e.clients.skopeo import Skopeo
from tests.e2e.lab import Lab, expect_no_crash, request_counts
from tests.e2e.machine import Failure
from tests.e2e.material import MANIFEST, TAG, noise
from tests.running import RunningRegistry, start_registry

CLIENT = "python"
BLOB_BYTES = 40_000_000
SENT_BYTES = 23_456_789
ACKNOWLEDGED_BYTES = 3_000_000
PIECE_BYTES = 1 << 20
ATTEMPTS_MAX = 20
RETRY_SECS = 0.25
KILLED_AFTER_SECS = 0.15
POLL_SECS = 0.02


@dataclass(frozen=True)
class Upload:
    """One session of a registry, and the blob that is to come through it."""

    lab: Lab
    name: str
    path: str
    body: bytes

    @property
    def digest(self) -> str:
        """The digest of the whole blob."""
        return f"sha256:{hashlib.sha256(self.body).hexdigest()}"

    def send_part(self, head: str, body: bytes, leave: Callable[[socket.socket], None]) -> None:
        """Send the head of a request and a part of its body, then leave without an answer."""
        host, _, port = self.lab.address.partition(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(f"{head}\r\nHost: {self.lab.address}\r\n\r\n".encode())
            connection.sendall(body)
            leave(connection)

    def offset(self) -> int:
        """How much the registry has, as it says it."""
        answer = self.lab.ask("GET", self.path)
        if answer.status != 204:
            raise Failure(f"GET of the session: {answer.status} {answer.body!r}")
        told = re.fullmatch(r"0-(\d+)", answer.headers["Range"])
        if told is None:
            raise Failure(f"GET of the session: Range: {answer.headers['Range']}")
        # The range of an empty session is 0-0 as well; nobody cuts after one byte here.
        return int(told[1]) + 1 if told[1] != "0" else 0

    def resume(self) -> int:
        """Send the rest from where the registry is; the offset that this began at.

        The registry may still be taking in what the lost connection brought. Then it refuses a
        second writer (409), or has moved on since it was asked (416), and does not wait for the
        whole body before it says so. One asks again.
        """
        refusal = ""
        for _ in range(ATTEMPTS_MAX):
            offset = self.offset()
            window = {"Content-Range": f"{offset}-{len(self.body) - 1}"}
            try:
                answer = self.lab.ask("PATCH", self.path, window, self.body[offset:])
            except (BrokenPipeError, ConnectionResetError) as error:
                refusal = str(error)
            else:
                if answer.status == 202:
                    return offset
                refusal = f"{answer.status} {answer.body!r}"
                if answer.status not in (409, 416):
                    raise Failure(f"PATCH of the rest: {refusal}")
            time.sleep(RETRY_SECS)
        raise Failure(f"still refused after {ATTEMPTS_MAX} attempts: {refusal}")

    def finish(self) -> None:
        """Close the session, and fail unless the blob is served with its own bytes."""
        answer = self.lab.ask("PUT", f"{self.path}?digest={self.digest}")
        if answer.status != 201:
            raise Failure(f"PUT of the session: {answer.status} {answer.body!r}")
        expect_blob(self.lab, self.name, self.digest)
        self.lab.expect(404, "GET", self.path)


def expect_blob(lab: Lab, name: str, digest: str) -> None:
    """Fail unless a repository serves a blob with the bytes that its digest says."""
    body = lab.expect(200, "GET", f"/v2/{name}/blobs/{digest}").body
    if f"sha256:{hashlib.sha256(body).hexdigest()}" != digest:
        raise Failure(f"{digest} is served with other bytes")


def start_upload(lab: Lab, case: str) -> Upload:
    """Open a session for a blob that is like no other."""
    name = f"resume/{case}"
    answer = lab.ask("POST", f"/v2/{name}/blobs/uploads/")
    if answer.status != 202:
        raise Failure(f"POST: {answer.status} {answer.body!r}")
    return Upload(lab, name, answer.headers["Location"], noise(f"resume-{case}", BLOB_BYTES))


def _hang_up(connection: socket.socket) -> None:
    """End the connection in order, as a client that is stopped does."""
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(5)
    try:
        while connection.recv(65536):
            pass
    except (TimeoutError, ConnectionResetError):
        pass


def _reset(connection: socket.socket) -> None:
    """End the connection at once, as a machine that fails does; what is not yet sent is lost."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


WAYS_OUT = {"hung up on": _hang_up, "reset": _reset}


def run(lab: Lab) -> None:
    """All checks of interrupted transfers."""
    _cut_pushes(lab)
    _cut_pull(lab)
    _refused_chunks(lab)
    _killed_registry(lab)
    _killed_client(lab)


def _cut_pushes(lab: Lab) -> None:
    for number, (way, leave) in enumerate(WAYS_OUT.items()):
        with lab.check(CLIENT, f"PATCH {way} in the middle, status, the rest, PUT: right digest"):
            upload = start_upload(lab, f"patch-{number}")
            head = f"PATCH {upload.path} HTTP/1.1\r\nContent-Length: {BLOB_BYTES}"
            upload.send_part(head, upload.body[:SENT_BYTES], leave)
            _expect_progress(upload.resume())
            upload.finish()
    with lab.check(CLIENT, "chunked PATCH cut inside a chunk, status, the rest, PUT: right digest"):
        upload = start_upload(lab, "chunked")
        head = f"PATCH {upload.path} HTTP/1.1\r\nTransfer-Encoding: chunked"
        part = upload.body[:SENT_BYTES]
        pieces = [part[at : at + PIECE_BYTES] for at in range(0, SENT_BYTES, PIECE_BYTES)]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        upload.send_part(head, chunks[:-1000], _hang_up)
        _expect_progress(upload.resume())
        upload.finish()
    with lab.check(CLIENT, "PUT with a body cut in the middle, the rest, PUT: right digest"):
        upload = start_upload(lab, "put")
        query = f"digest={upload.digest}"
        head = f"PUT {upload.path}?{query} HTTP/1.1\r\nContent-Length: {BLOB_BYTES}"
        upload.send_part(head, upload.body[:SENT_BYTES], _hang_up)
        upload.resume()
        upload.finish()


def _expect_progress(offset: int) -> None:
    """What had arrived before the cut is kept; the last of it may have been lost on the way."""
    if not 0 < offset <= SENT_BYTES:
        raise Failure(f"resumed at {offset:,}; {SENT_BYTES:,} bytes had been sent")


def _cut_pull(lab: Lab) -> None:
    with lab.check(CLIENT, "GET cut in the middle, the rest by Range: the same bytes"):
        upload = start_upload(lab, "pull")
        upload.resume()
        upload.finish()
        path = f"/v2/{upload.name}/blobs/{upload.digest}"
        first = _first_bytes(lab, path, BLOB_BYTES // 3)
        answer = lab.ask("GET", path, {"Range": f"bytes={len(first)}-"})
        if answer.status != 206 or first + answer.body != upload.body:
            raise Failure(f"{answer.status} after {len(first):,} bytes, {len(answer.body):,} more")


def _first_bytes(lab: Lab, path: str, count: int) -> bytes:
    """The beginning of a body, from a connection that is then reset."""
    host, _, port = lab.address.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {lab.address}\r\n\r\n".encode())
        received = b""
        while b"\r\n\r\n" not in received or len(received) < count:
            received += connection.recv(PIECE_BYTES)
        _reset(connection)
    return received.partition(b"\r\n\r\n")[2]


def _refused_chunks(lab: Lab) -> None:
    with lab.check(CLIENT, "a chunk out of order is 416 with the right range, and changes nothing"):
        upload = start_upload(lab, "order")
        for window, body in (("0-999", 1000), ("500-1499", 1000), ("2000-2999", 1000)):
            start = int(window.partition("-")[0])
            part = upload.body[start : start + body]
            answer = lab.ask("PATCH", upload.path, {"Content-Range": window}, part)
            expected = 202 if start == 0 else 416
            if (answer.status, answer.headers["Range"]) != (expected, "0-999"):
                raise Failure(f"{window}: {answer.status} Range: {answer.headers['Range']}")
        upload.resume()
        upload.finish()
    with lab.check(CLIENT, "a session that is cancelled is gone"):
        upload = start_upload(lab, "cancel")
        lab.ask("PATCH", upload.path, None, upload.body[:1000])
        lab.expect(204, "DELETE", upload.path)
        lab.expect(404, "GET", upload.path)


@contextmanager
def _mortal(lab: Lab) -> Iterator[Lab]:
    """A registry that is killed, and started again on the same files and port by `_revive`."""
    scratch = lab.directory("mortal")
    registry = start_registry(scratch / "data", scratch / "log")
    try:
        yield replace(lab, registry=registry)
    finally:
        registry.kill()


@contextmanager
def _revived(lab: Lab) -> Iterator[Lab]:
    """The registry after a kill -9."""
    dead = lab.registry
    dead.kill()
    registry: RunningRegistry = start_registry(dead.data_dir, dead.log_file, address=dead.address)
    try:
        again = replace(lab, registry=registry)
        yield again
        expect_no_crash(again)
    finally:
        registry.stop()


def _killed_registry(lab: Lab) -> None:
    with (
        lab.check(CLIENT, "registry killed (-9) amid a PATCH, restarted: resumes, right digest"),
        _mortal(lab) as mortal,
    ):
        manifest = _push_manifest(mortal)
        upload = start_upload(mortal, "killed")
        mortal.ask("PATCH", upload.path, None, upload.body[:ACKNOWLEDGED_BYTES])

        def kill(connection: socket.socket) -> None:
            time.sleep(KILLED_AFTER_SECS)
            mortal.registry.kill()

        rest = BLOB_BYTES - ACKNOWLEDGED_BYTES
        head = f"PATCH {upload.path} HTTP/1.1\r\nContent-Length: {rest}"
        upload.send_part(head, upload.body[ACKNOWLEDGED_BYTES:SENT_BYTES], kill)
        with _revived(mortal) as revived:
            again = replace(upload, lab=revived)
            offset = again.resume()
            if not ACKNOWLEDGED_BYTES <= offset <= SENT_BYTES:
                raise Failure(f"resumed at {offset:,} of {ACKNOWLEDGED_BYTES:,} to {SENT_BYTES:,}")
            again.finish()
            if revived.digest("resume/kept", TAG) != manifest:
                raise Failure("the manifest that was acknowledged before the kill is gone")


def _push_manifest(lab: Lab) -> str:
    """Push a manifest with a tag; its digest, once it is acknowledged."""
    layout, image = lab.material.small
    lab.seed("resume/kept", layout, [image.manifest])
    if lab.manifest("resume/kept", TAG)["mediaType"] != MANIFEST:
        raise Failure("another manifest is served")
    return image.manifest


def _killed_client(lab: Lab) -> None:
    layout, image = lab.material.debian
    skopeo = Skopeo(lab, "resume-skopeo")
    remote = skopeo.remote("resume/skopeo")
    with lab.check(CLIENT, "skopeo killed (-9) amid a push; the next push is complete"):
        command = skopeo.sandbox.wrapped(
            *("skopeo", "--insecure-policy", "copy", "--preserve-digests"),
            *("--dest-tls-verify=false", f"oci:{layout.root}:{TAG}", remote),
        )
        quiet = subprocess.DEVNULL
        with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet) as process:
            _wait_for_upload(lab, process)
            process.send_signal(signal.SIGKILL)
        lab.expect(404, "GET", f"/v2/resume/skopeo/manifests/{TAG}")
        skopeo.copy(f"oci:{layout.root}:{TAG}", remote, "--preserve-digests")
        expect_blob(lab, "resume/skopeo", image.layer)
        if lab.digest("resume/skopeo", TAG) != image.manifest:
            raise Failure("the tag points at another manifest")


def _wait_for_upload(lab: Lab, process: subprocess.Popen[bytes]) -> None:
    """Return when a client has opened a session and has had a moment to send something."""
    opened = "POST", "start-upload", "202"
    before = request_counts(lab)[opened]
    while process.poll() is None and request_counts(lab)[opened] == before:
        time.sleep(POLL_SECS)
    time.sleep(POLL_SECS)
