"""A registry with TLS on a network of its own, under the name that its certificate is for."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from tests.certificates import client_context
from tests.e2e.lab import (
    ANSWER_SECS_MAX,
    Answer,
    Lab,
    ask_once,
    expect_clean_stop,
    expect_no_crash,
    expect_sound_store,
)
from tests.e2e.machine import Failure, Sandbox, command
from tests.e2e.network import own_network
from tests.e2e.own import OwnSecure
from tests.running import program, running_registry
from tests.secure import PASSWORD, USER, Secure

NAME = "registry.example.test"
ADDRESS = "192.0.2.10"
"""Of documentation (RFC 5737), and no loopback address: docker takes those as ones without TLS."""
PORT = 443
"""The one that clients leave out; so directories of certificates are called as the host alone."""

Pair = tuple[Path, Path]
"""A client's certificate and its key."""


@dataclass
class SecureLab(Lab):
    """The same over TLS; what it asks of the registry by itself, it asks as its operator."""

    secure: Secure = field(kw_only=True)
    configuration: tuple[Path, ...] = field(kw_only=True)
    context: ssl.SSLContext = field(init=False)

    def __post_init__(self) -> None:
        pair = self.secure.client("operator") if self.secure.has_client_ca else None
        self.context = client_context(self.secure.ca.read_bytes(), pair)
        (self.scratch / "hosts").write_text(f"127.0.0.1 localhost\n{ADDRESS} {NAME}\n")

    @property
    def address(self) -> str:
        """The name of the registry."""
        return NAME

    def metrics(self) -> str:
        """What the registry counts, as its second listener tells it to this host."""
        listener = http.client.HTTPConnection(self.secure.probe, timeout=ANSWER_SECS_MAX)
        answer = ask_once(listener, "GET", "/metrics")
        if answer.status != 200:
            raise Failure(f"GET /metrics: {answer.status}, expected 200: {answer.body!r}")
        return answer.body.decode()

    def sandbox(self, name: str, **environment: str) -> Sandbox:
        """An empty sandbox, in which the name of the registry is known."""
        hosts = {"/etc/hosts": self.scratch / "hosts"}
        return Sandbox(self.scratch / name / "sandbox", environment, hosts)

    def administer(self, *words: str) -> str:
        """What a command of the registry's own prints, with its configuration and data."""
        options = [word for file in self.configuration for word in ("-c", str(file))]
        place = ["--data-dir", str(self.registry.data_dir)]
        return command(*program(), *words, *options, *place)

    def connection(self) -> http.client.HTTPConnection:
        """A connection of its own, which the caller closes."""
        return connection_by(self.context)

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | BinaryIO = b"",
    ) -> Answer:
        """One request on a connection of its own."""
        proof = basic(USER, PASSWORD) if self.secure.has_user else {}
        return super().ask(method, path, {**proof, **(headers or {})}, body)


def basic(user: str, password: str) -> dict[str, str]:
    """The header that says who a user is."""
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def connection_by(context: ssl.SSLContext) -> http.client.HTTPSConnection:
    """A connection to the registry, with its certificate checked; the caller closes it."""
    connection = http.client.HTTPSConnection(NAME, timeout=ANSWER_SECS_MAX)
    plain = socket.create_connection((ADDRESS, PORT), ANSWER_SECS_MAX)
    try:
        connection.sock = context.wrap_socket(plain, server_hostname=NAME)
    except BaseException:
        plain.close()
        raise
    return connection


@contextmanager
def secured(lab: Lab, name: str, secure: Secure, more: str = "") -> Iterator[SecureLab]:
    """A registry with TLS for the length of a `with` block, on the network of this thread.

    `more` is merged over its configuration. Fails when the registry crashed, did not stop in order,
    or holds other bytes than it should.
    """
    files = secure.write(), secure.folder / "more.toml"
    files[1].write_text(more, encoding="utf-8")
    with running_registry(
        arguments=[word for file in files for word in ("-c", str(file))],
        address=f"{ADDRESS}:{PORT}",
        probe=secure.probe,
    ) as registry:
        other = SecureLab(
            *(registry, lab.material, lab.report, lab.directory(name), lab.is_quick),
            secure=secure,
            configuration=files,
        )
        yield other
        expect_no_crash(other)
        expect_clean_stop(registry)
        expect_sound_store(registry)


@contextmanager
def alone(lab: Lab, name: str, secure: Secure, more: str = "") -> Iterator[SecureLab]:
    """The same with a network of its own."""
    with own_network(ADDRESS), secured(lab, name, secure, more) as other:
        yield other


def make(lab: Lab, name: str, **wanted: Any) -> OwnSecure:
    """The files of a registry, in a directory of its own."""
    return OwnSecure(lab.directory(f"{name}/files"), names=(NAME,), **wanted)


def make_odd(lab: Lab, name: str, **wanted: Any) -> Secure:
    """The same with authorities in this process, which issue whatever a check needs."""
    return Secure(lab.directory(f"{name}/files"), names=(NAME,), **wanted)
