"""TLS for a server in a test, and the client's side of it. Real files, real OpenSSL."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from angos_trio.pki.server import LiveTls, TlsFiles, load_server_tls
from angos_trio.records import replace
from angos_trio.server.transport import TlsOptions
from tests.certificates import Authority, Issued, client_context

both = pytest.mark.parametrize("secured", [False, True], indirect=True, ids=["plain", "tls"])
"""Marks a test that is to hold over TLS, too; it uses the fixture `secured`."""


class Secured:
    """The files of a server below `folder`, and what was loaded of them.

    `root` signed the server's certificate, `clients` those of clients. `more` as for `TlsFiles`.
    """

    def __init__(self, folder: Path, *, handshake_secs: float = 10.0, **more: Any) -> None:
        self.folder = folder
        self.root = Authority("Servers' root")
        self.clients = Authority("Clients' root")
        certificate, key = self.root.server().write(folder, "server")
        (folder / "clients.pem").write_bytes(self.clients.pem)
        (folder / "clients.crl").write_bytes(self.clients.crl())
        files = TlsFiles(
            certificate=str(certificate),
            private_key=str(key),
            client_ca=str(folder / "clients.pem"),
            client_crls=(str(folder / "clients.crl"),),
        )
        self.live = LiveTls(load_server_tls(replace(files, **more)))
        self.options = TlsOptions(lambda: self.live.current.context, handshake_secs)

    def client(self, shown: Issued | None = None, **settings: Any) -> ssl.SSLContext:
        """The side of a client that trusts the server, and shows a certificate if it has one.

        `settings` are attributes of the context.
        """
        files = None if shown is None else shown.write(self.folder, "client")
        context = client_context(self.root.pem, files)
        for name, value in settings.items():
            setattr(context, name, value)
        return context
