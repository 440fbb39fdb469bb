"""The directory of an authority, as `angos-trio pki` lays it out, of certificates for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.certificates import Authority, Issued


def lay_out(
    folder: Path, ca: Authority, clients: Mapping[str, Issued], server: Issued | None = None
) -> Path:
    """Write it, and return it."""
    (folder / "clients").mkdir(parents=True)
    (folder / "private" / "clients").mkdir(parents=True)
    (folder / "private").chmod(0o700)
    (folder / "ca.crt").write_bytes(ca.pem)
    if server is not None:
        (folder / "server.crt").write_bytes(server.pem)
    for name, issued in clients.items():
        (folder / "clients" / f"{name}.crt").write_bytes(issued.pem)
        key = folder / "private" / "clients" / f"{name}.key"
        key.write_bytes(issued.key_pem)
        key.chmod(0o600)
    return folder
