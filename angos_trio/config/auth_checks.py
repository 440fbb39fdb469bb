"""What the types of `[auth]` do not say. No refusal shows a secret."""

from __future__ import annotations

from angos_trio.config.model import (
    ALGORITHMS,
    Auth,
    AuthorizationWebhook,
    Oidc,
)
from angos_trio.config.paths import KeyRefused, Keys, dotted, quoted
from angos_trio.config.secret_checks import check_certificate, check_secrets
from angos_trio.config.tables import tables_in
from angos_trio.config.values import (
    check_header_name,
    check_name,
    check_user,
    is_loopback,
    parse_url,
)
from angos_trio.limits.processes import TABLE_NAME_CHARACTERS_MAX, USERNAME_CHARACTERS_MAX

_OWN_HEADERS = "x-registry-"


def check_auth(auth: Auth) -> None:
    """Refuse what cannot be meant. Raises KeyRefused with the key's path."""
    for kind in ("identity", "oidc", "webhook"):
        for name in getattr(auth, kind):
            check_name(name, dotted(("auth", kind, name)), TABLE_NAME_CHARACTERS_MAX)
    for path, table in tables_in(auth, ("auth",)):
        check_certificate(table, path)
        check_secrets(table, path)
    _check_users(auth)
    for name, provider in auth.oidc.items():
        _check_provider(name, provider, ("auth", "oidc", name))
    if auth.token_service is not None and auth.token_service.realm is not None:
        parse_url(auth.token_service.realm, "auth.token_service.realm")
    for name, webhook in auth.webhook.items():
        _check_webhook(webhook, ("auth", "webhook", name))


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
