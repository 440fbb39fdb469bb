"""The signature over a list of sums, Ed25519 (RFC 8032)."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from angos_trio.errors import OperatorError


def check_signature(public_key: bytes, content: bytes, signature: bytes) -> None:
    """Refuse content that the holder of a key has not signed. Raises OperatorError."""
    try:
        key = load_pem_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise OperatorError(f"--public-key: it is no public key in PEM: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise OperatorError("--public-key: it is not of Ed25519")
    try:
        key.verify(signature, content)
    except InvalidSignature:
        raise OperatorError(
            "SHA256SUMS is not signed by this key: the files are not from its holder, or were "
            "changed"
        ) from None
