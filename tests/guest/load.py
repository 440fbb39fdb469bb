"""Clients of a registry that restarts; runs in the guest with nothing but its Python.

Prints what went wrong as JSON, and how much there was. A connection that is used again may have
been ended by the server just then: such a request is sent once more, as every client does (Go's
does so where no byte of an answer came).
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import ssl
import sys
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

HOST = "registry.lab"
PKI = "/etc/angos-trio/pki"
BLOB_BYTES = 24_000_000
TRANSFER_SECS = 8.0
"""A transfer takes so long, and so is under way when the registry restarts."""
PIECES = 80

problems: list[str] = []
counts = {"new connections": 0, "used again": 0, "uploads": 0, "downloads": 0}
ends_at = time.monotonic() + float(sys.argv[1])


def context() -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=f"{PKI}/ca.crt")
    made.load_cert_chain(f"{PKI}/clients/admin.crt", f"{PKI}/private/clients/admin.key")
    return made


def connect() -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection(HOST, timeout=60, context=context())


def expect(status: int, wanted: int, what: str) -> None:
    if status != wanted:
        problems.append(f"{what}: {status}")


def new_connections() -> None:
    while time.monotonic() < ends_at:
        connection = connect()
        connection.request("GET", "/v2/")
        expect(connection.getresponse().status, 200, "GET /v2/ of a new connection")
        connection.close()
        counts["new connections"] += 1


def used_again() -> None:
    connection = connect()
    while time.monotonic() < ends_at:
        for attempt in (1, 2):
            try:
                connection.request("GET", "/v2/")
                answer = connection.getresponse()
                answer.read()
                break
            except (http.client.RemoteDisconnected, ConnectionError, ssl.SSLError):
                if attempt == 2:
                    raise
                connection.close()
                connection = connect()
        expect(answer.status, 200, "GET /v2/ of a connection that is used again")
        counts["used again"] += 1


def upload() -> None:
    while time.monotonic() < ends_at:
        body = os.urandom(BLOB_BYTES)
        digest = hashlib.sha256(body).hexdigest()
        connection = connect()
        connection.request("POST", "/v2/load/pushed/blobs/uploads/")
        answer = connection.getresponse()
        answer.read()
        expect(answer.status, 202, "POST of an upload")
        place = answer.headers["Location"]
        separator = "&" if "?" in place else "?"
        size = BLOB_BYTES // PIECES

        def slowly(body: bytes = body, size: int = size) -> Any:
            for at in range(0, BLOB_BYTES, size):
                yield body[at : at + size]
                time.sleep(TRANSFER_SECS / PIECES)

        connection = connect()
        headers = {"Content-Length": str(BLOB_BYTES), "Content-Type": "application/octet-stream"}
        path = place[place.index("/v2/") :]
        connection.request("PUT", f"{path}{separator}digest=sha256:{digest}", slowly(), headers)
        expect(connection.getresponse().status, 201, "PUT of a blob")
        counts["uploads"] += 1


def download() -> None:
    body = os.urandom(BLOB_BYTES)
    digest = hashlib.sha256(body).hexdigest()
    connection = connect()
    connection.request(
        "POST",
        f"/v2/load/pulled-{uuid.uuid4().hex[:8]}/blobs/uploads/?digest=sha256:{digest}",
        body,
    )
    answer = connection.getresponse()
    answer.read()
    expect(answer.status, 201, "POST of a whole blob")
    path = answer.headers["Location"]
    path = path[path.index("/v2/") :]
    while time.monotonic() < ends_at:
        connection = connect()
        connection.request("GET", path)
        answer = connection.getresponse()
        got = hashlib.sha256()
        while piece := answer.read(BLOB_BYTES // PIECES):
            got.update(piece)
            time.sleep(TRANSFER_SECS / PIECES)
        if got.hexdigest() != digest:
            problems.append("GET of a blob: other bytes")
        counts["downloads"] += 1


def guarded(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as error:
        problems.append(f"{work.__name__}: {type(error).__name__}: {error}")


threads = [
    threading.Thread(target=guarded, args=(work,))
    for work in (new_connections, new_connections, used_again, used_again, upload, download)
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps({"problems": problems, "counts": counts}))
