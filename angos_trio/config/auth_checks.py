"""What the types of `[auth]` do not say. No refusal shows a secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from angos_trio.config.model import (
    ALGORITHMS,
    Auth,
    AuthorizationWebhook,
    BasicCredential,
    BasicIdentity,
    Oidc,
    TokenService,
    Upstream,
)
from angos_trio.config.paths import KeyRefused, Keys, dotted, quoted
from angos_trio.config.tables import keys_of, secrets_with_files, tables_in
from angos_trio.config.values import (
    check_header_name,
    check_name,
    check_user,
    decode_token_key,
    is_loopback,
    parse_url,
)
from angos_trio.limits.processes import TABLE_NAME_CHARACTERS_MAX, USERNAME_CHARACTERS_MAX

_OWN_HEADERS = "x-registry-"
_BEARER = re.compile(r"[!-~]+", re.ASCII)
_PASSWORD_HASH = re.compile(r"\$argon2id\$[A-Za-z0-9+/=,$-]+", re.ASCII)


def check_auth(auth: Auth) -> None:
    """Refuse what cannot be meant. Raises KeyRefused with the key's path."""
    for kind in ("identity", "oidc", "webhook"):
        for name in getattr(auth, kind):
            check_name(name, dotted(("auth", kind, name)), TABLE_NAME_CHARACTERS_MAX)
    for path, table in tables_in(auth, ("auth",)):
        _check_certificate(table, path)
        check_secrets(table, path)
    _check_users(auth)
    for name, provider in auth.oidc.items():
        _check_provider(name, provider, ("auth", "oidc", name))
    if auth.token_service is not None and auth.token_service.realm is not None:
        parse_url(auth.token_service.realm, "auth.token_service.realm")
    for name, webhook in auth.webhook.items():
        _check_webhook(webhook, ("auth", "webhook", name))


def _check_certificate(table: msgspec.Struct, path: Keys) -> None:
    """A certificate without its key, or a key without its certificate, is a mistake."""
    pair = ("client_certificate_bundle", "client_private_key")
    if not all(hasattr(table, key) for key in pair):
        return
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
    }
)
"""What the text of each secret must be."""


def _check_users(auth: Auth) -> None:
    """A name leads to one user; and to no provider, whose name is the user where a client shows an
    OIDC token as a Basic password."""
    seen: dict[str, str] = {}
    for name, identity in auth.identity.items():
        path = dotted(("auth", "identity", name, "username"))
        check_user(identity.username, path, USERNAME_CHARACTERS_MAX)
        shown = quoted(identity.username)
        if identity.username in seen:
            raise KeyRefused(path, f"{shown} is the name of {seen[identity.username]} too")
        if identity.username in auth.oidc:
            provider = dotted(("auth", "oidc", identity.username))
            raise KeyRefused(path, f"{shown} is the name of {provider}: tokens come under it")
        seen[identity.username] = dotted(("auth", "identity", name))


def _check_provider(name: str, provider: Oidc, path: Keys) -> None:
    check_user(name, dotted(path), TABLE_NAME_CHARACTERS_MAX)
    if provider.issuer is None and provider.provider == "generic":
        raise KeyRefused(dotted(path), 'needs issuer, unless provider is "github"')
    if provider.issuer is not None:
        issuer = dotted((*path, "issuer"))
        _check_outside_url(provider.issuer, issuer)
        if "?" in provider.issuer:
            raise KeyRefused(issuer, "an issuer has no query (OpenID Connect Discovery, section 3)")
    if provider.jwks_uri is not None:
        _check_outside_url(provider.jwks_uri, dotted((*path, "jwks_uri")))
    algorithms = dotted((*path, "allowed_algorithms"))
    if not provider.allowed_algorithms:
        raise KeyRefused(algorithms, "is empty, so that no token could be taken")
    for algorithm in provider.allowed_algorithms:
        if algorithm not in ALGORITHMS:
            why = f"{quoted(algorithm)} is not taken; taken are {', '.join(ALGORITHMS)}"
            raise KeyRefused(algorithms, why)
    if not all(provider.required_claims):
        raise KeyRefused(dotted((*path, "required_claims")), "a claim has a name")
    if provider.required_audience == "":
        why = "is empty; leave it out to take tokens for any audience"
        raise KeyRefused(dotted((*path, "required_audience")), why)


def _check_outside_url(text: str, path: str) -> None:
    """Keys that come over plain HTTP are anybody's."""
    url = parse_url(text, path)
    if url.scheme == "http" and not is_loopback(url.hostname or ""):
        raise KeyRefused(path, "must begin with https; http is for a host's own addresses only")


def _check_webhook(webhook: AuthorizationWebhook, path: Keys) -> None:
    parse_url(webhook.url, dotted((*path, "url")))
    has_bearer = webhook.bearer_token is not None or webhook.bearer_token_file is not None
    if has_bearer and webhook.basic_auth is not None:
        raise KeyRefused(dotted(path), "a bearer token and basic_auth; write one of them")
    if webhook.basic_auth is not None:
        user = dotted((*path, "basic_auth", "username"))
        check_user(webhook.basic_auth.username, user, USERNAME_CHARACTERS_MAX)
    headers = dotted((*path, "forward_headers"))
    for header in webhook.forward_headers:
        check_header_name(header, headers)
        if header.lower().startswith(_OWN_HEADERS):
            raise KeyRefused(headers, f"{quoted(header)} is written by the registry alone")
