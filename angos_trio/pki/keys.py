"""Private keys, as files have them, and requests for certificates, which others make."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from angos_trio.errors import OperatorError
from angos_trio.limits.certificates import KEY_PASSWORD_BYTES_MAX, RSA_BITS_MIN
from angos_trio.pki.certificates import CertificateError, reading
from angos_trio.pki.profiles import PrivateKey, PublicKey

_CURVES = ("secp256r1", "secp384r1", "secp521r1")


def load_key(
    path: Path,
    content: bytes,
    password: bytes | None = None,
    *,
    cure: str = "openssl pkey takes its password away",
) -> PrivateKey:
    """A key in PEM, for ECDSA or RSA. `cure` is for one that is encrypted when no password is
    given. Raises OperatorError."""
    is_encrypted = b"ENCRYPTED" in content
    if is_encrypted and password is None:
        raise OperatorError(f"{path}: this key is encrypted: {cure}")
    try:
        key = load_pem_private_key(content, password if is_encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if is_encrypted:
            raise OperatorError(f"{path}: the password is wrong, or the file is damaged") from None
        raise OperatorError(f"{path}: no private key in PEM, or the file is damaged") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise OperatorError(f"{path}: this key is neither for ECDSA nor for RSA")
    return key


def check_password(password: bytes | None) -> None:
    """Refuse one that no key can be encrypted with. Raises OperatorError."""
    if password is not None and len(password) > KEY_PASSWORD_BYTES_MAX:
        raise OperatorError(
            f"the password of a key is longer than {KEY_PASSWORD_BYTES_MAX} bytes: take a shorter "
            "one"
        )


def public_bytes(key: object) -> bytes:
    """What two keys of a pair have in common; empty for a kind that is not known."""
    public = key.public_key() if isinstance(key, PrivateKey) else key
    if not isinstance(public, PublicKey):
        return b""
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def fits(key: PrivateKey, certificate: x509.Certificate) -> bool:
    """Whether a certificate is for this key."""
    try:
        return public_bytes(key) == public_bytes(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        return False


def weakness_of(key: object) -> str | None:
    """Why nobody should take a key; None when it is good."""
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < RSA_BITS_MIN:
            return f"its RSA key has {key.key_size} bits, and {RSA_BITS_MIN} are the least"
        return None
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _CURVES:
            return f"its key is on the curve {key.curve.name}, which not all clients know"
        return None
    return "its key is neither for ECDSA nor for RSA, and not all clients know that kind"


def requested_key(path: Path, content: bytes) -> PublicKey:
    """The key of a request for a certificate, in PEM or DER, and nothing else of it.

    The request is signed with that key, so that whoever made it has it. Raises OperatorError.
    """
    try:
        with reading():
            if b"-----BEGIN" in content:
                request = x509.load_pem_x509_csr(content)
            else:
                request = x509.load_der_x509_csr(content)
            is_signed, key = request.is_signature_valid, request.public_key()
    except CertificateError as error:
        raise OperatorError(
            f"{path}: no request for a certificate (CSR) in PEM or DER: {error}"
        ) from None
    if not is_signed:
        raise OperatorError(
            f"{path}: the signature of the request is wrong: it was changed, or whoever made it "
            "does not have the key"
        )
    weakness = weakness_of(key)
    if weakness is not None or not isinstance(key, PublicKey):
        raise OperatorError(f"{path}: {weakness}: make the request with an ECDSA key on P-256")
    return key
