"""A detached signature, Ed25519 (RFC 8032) over the list of sums, so that one covers every file.

On a host without a network it is verified with nothing but OpenSSL:

    openssl pkeyutl -verify -rawin -pubin -inkey angos-trio.pub \\
      -sigfile SHA256SUMS.sig -in SHA256SUMS
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)


class SignError(Exception):
    """The key cannot be used; says why."""


def sign(path: Path, key_file: Path) -> None:
    """Write `<path>.sig` and the public key beside it. Raises SignError."""
    key = _read(key_file)
    path.with_name(path.name + ".sig").write_bytes(key.sign(path.read_bytes()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path.with_name("angos-trio.pub").write_bytes(public)


def make_key(path: Path) -> None:
    """A key of this checkout, for builds that nobody else is to trust."""
    key = Ed25519PrivateKey.generate()
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _read(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, TypeError, ValueError) as error:
        raise SignError(f"{path}: no private key in PEM without a password: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SignError(f"{path}: the key is not of Ed25519")
    return key
