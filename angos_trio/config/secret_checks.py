"""Secrets and client certificates of a table, whichever it stands in. No refusal shows a secret."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from angos_trio.config.model import (
    AuthorizationWebhook,
    BasicCredential,
    BasicIdentity,
    EventWebhook,
    TokenService,
    Upstream,
)
from angos_trio.config.paths import KeyRefused, Keys, dotted
from angos_trio.config.tables import keys_of, secrets_with_files
from angos_trio.config.values import decode_token_key
from angos_trio.limits.processes import TOKEN_KEY_BYTES_MIN

CERTIFICATES: Final = (
    ("client_certificate_bundle", "client_private_key"),
    ("client_certificate", "client_private_key"),
)
"""What a client certificate and its key are called: in `[auth]`, and of an upstream."""
_BEARER = re.compile(r"[!-~]+", re.ASCII)
_PASSWORD_HASH = re.compile(r"\$argon2id\$[A-Za-z0-9+/=,$-]+", re.ASCII)


def check_certificate(table: msgspec.Struct, path: Keys) -> None:
    """A client certificate without its key, or a key without its certificate, is a mistake. Raises
    KeyRefused."""
    for pair in CERTIFICATES:
        if not all(hasattr(table, key) for key in pair):
            continue
        there = [key for key in pair if getattr(table, key) is not None]
        if len(there) == 1:
            raise KeyRefused(dotted((*path, there[0])), f"{pair[0]} and {pair[1]} belong together")


def check_secrets(table: msgspec.Struct, path: Keys) -> None:
    """Each secret of a table stands in one place at most, in some tables in exactly one; and is
    one. Raises KeyRefused."""
    needed = NEEDED.get(type(table))
    for secret, file in secrets_with_files(type(table)):
        written = [key.name for key in (secret, file) if getattr(table, key.attribute) is not None]
        if len(written) == 2:
            why = f"{secret.name} and {file.name} are two places for one secret; write one of them"
            raise KeyRefused(dotted(path), why)
        if not written and needed == secret.name:
            raise KeyRefused(dotted(path), f"needs {secret.name} or {file.name}")
    for key in keys_of(type(table)):
        value = getattr(table, key.attribute)
        if key.is_secret and value is not None:
            check_secret(type(table), key.name, value.reveal(), dotted((*path, key.name)))


def check_secret(struct: type[msgspec.Struct], name: str, text: str, path: str) -> None:
    """Refuse text that cannot be the secret of this key. Raises KeyRefused, without the text."""
    if not text:
        raise KeyRefused(path, "is empty")
    SECRETS[struct, name](text, path)


def unknown_secret(struct: type[msgspec.Struct], name: str) -> str:
    """Text that can be the secret of this key, and is nobody's."""
    if SECRETS[struct, name] is _check_hash:
        salt, digest = (_base64(secrets.token_bytes(count)).rstrip("=") for count in (16, 32))
        return f"$argon2id$v=19$m=19456,t=2,p=1${salt}${digest}"
    return _base64(secrets.token_bytes(TOKEN_KEY_BYTES_MIN))


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _check_hash(text: str, path: str) -> None:
    if not _PASSWORD_HASH.fullmatch(text):
        why = "is no argon2id hash; angos-trio hash-password makes one of a password"
        raise KeyRefused(path, why)


def _check_token_key(text: str, path: str) -> None:
    decode_token_key(text, path)


def _check_bearer(text: str, path: str) -> None:
    if not _BEARER.fullmatch(text):
        raise KeyRefused(path, "has characters that a header cannot carry")


def _check_password(text: str, path: str) -> None:
    if not text.isprintable():
        raise KeyRefused(path, "has control characters (RFC 7617, section 2)")


NEEDED: Mapping[type[msgspec.Struct], str] = MappingProxyType(
    {BasicIdentity: "password", TokenService: "secret_key", BasicCredential: "password"}
)
"""The secret that a table cannot do without."""

SECRETS: Mapping[tuple[type[msgspec.Struct], str], Callable[[str, str], None]] = MappingProxyType(
    {
        (BasicIdentity, "password"): _check_hash,
        (TokenService, "secret_key"): _check_token_key,
        (AuthorizationWebhook, "bearer_token"): _check_bearer,
        (BasicCredential, "password"): _check_password,
        (Upstream, "password"): _check_password,
        (EventWebhook, "token"): _check_bearer,
    }
)
"""What the text of each secret must be."""
