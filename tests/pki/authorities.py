"""Authorities of our own for tests, made by the functions that the commands call."""

from __future__ import annotations

import time
from pathlib import Path

from cryptography import x509

from angos_trio.pki.authority import (
    ClientWish,
    Founding,
    Issued,
    PkiDirectory,
    ServerWish,
    create_authority,
    issue_client,
    issue_server,
)

DAY_SECS = 86_400
NOW = int(time.time())


def found(folder: Path, *, now: int = NOW, **wanted: object) -> PkiDirectory:
    """A new authority in a directory below the folder."""
    directory = PkiDirectory(folder / "pki")
    create_authority(directory, Founding(**{"name": "lab", **wanted}), now)  # type: ignore[arg-type]
    return directory


def serve(directory: PkiDirectory, *names: str, now: int = NOW, **wanted: object) -> Issued:
    """A certificate for the server."""
    wish = ServerWish(names or ("registry.lab", "127.0.0.1"), **wanted)  # type: ignore[arg-type]
    return issue_server(directory, wish, now)


def admit(directory: PkiDirectory, name: str, now: int = NOW, **wanted: object) -> Issued:
    """A certificate for a client."""
    return issue_client(directory, ClientWish(name, **wanted), now)  # type: ignore[arg-type]


def certificates(path: Path) -> list[x509.Certificate]:
    """What a file holds."""
    return x509.load_pem_x509_certificates(path.read_bytes())


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file with its content, but for the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
