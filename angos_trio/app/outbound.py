"""Whom the registry asks: identity providers for their keys, webhooks for their word.

What it needs for that, `httpx` and `jwt` among it, is imported only where one is configured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from angos_trio.auth.access import Authorizer
from angos_trio.config.model import Auth, AuthorizationWebhook, Oidc
from angos_trio.config.paths import dotted
from angos_trio.config.sources import read_small_file
from angos_trio.errors import OperatorError
from angos_trio.limits.processes import SECRET_FILE_BYTES_MAX
from angos_trio.records import Frozen

if TYPE_CHECKING:
    from angos_trio.auth.key_sets import KeySets
    from angos_trio.auth.oidc import OidcProvider, OidcSettings
    from angos_trio.net.client import HttpClient


class Issuer(Frozen):
    """A provider that has been looked at; its keys are the process's."""

    settings: OidcSettings
    client: HttpClient
    bearer_token: Callable[[], str] | None

    def provider(self, key_sets: KeySets) -> OidcProvider:
        """Who verifies its tokens."""
        from angos_trio.auth.oidc import OidcProvider

        return OidcProvider(self.settings, self.client, key_sets, self.bearer_token)


def issuers_of(auth: Auth) -> Sequence[Issuer]:
    """`[auth.oidc]`. Raises OperatorError with the key's path."""
    return [
        _issuer(name, section, dotted(("auth", "oidc", name)))
        for name, section in sorted(auth.oidc.items())
    ]


def _issuer(name: str, section: Oidc, path: str) -> Issuer:
    from angos_trio.auth.oidc import GITHUB_ISSUER, OidcSettings, check_settings
    from angos_trio.net.client import HttpClient
    from angos_trio.net.tls import client_tls

    settings = OidcSettings(
        name=name,
        issuer=section.issuer or GITHUB_ISSUER,
        jwks_uri=section.jwks_uri,
        required_audience=section.required_audience,
        required_claims=section.required_claims,
        allowed_algorithms=section.allowed_algorithms,
        clock_skew_secs=section.clock_skew_tolerance,
        refresh_secs=section.jwks_refresh_interval,
        refresh_timeout_secs=section.jwks_refresh_timeout_secs,
        request_timeout_secs=section.http_request_timeout_secs,
    )
    try:
        check_settings(settings)
    except ValueError as error:
        raise OperatorError(f"{path}.{error}") from None
    tls = client_tls(
        path,
        server_ca_bundle=section.server_ca_bundle,
        client_certificate_bundle=section.client_certificate_bundle,
        client_private_key=section.client_private_key,
    )
    client = HttpClient(tls, timeout_secs=section.http_request_timeout_secs)
    file = section.bearer_token_file
    return Issuer(settings, client, None if file is None else partial(_read, file))


def _read(path: str) -> str:
    content, _ = read_small_file(path, SECRET_FILE_BYTES_MAX)
    return content.decode()


def webhooks_of(auth: Auth) -> Mapping[str, Authorizer]:
    """`[auth.webhook]`. Raises OperatorError with the key's path."""
    return {
        name: _webhook(name, section, dotted(("auth", "webhook", name)))
        for name, section in auth.webhook.items()
    }


def _webhook(name: str, section: AuthorizationWebhook, path: str) -> Authorizer:
    from angos_trio.auth.webhook import WebhookAuthorizer, WebhookSettings, basic, bearer
    from angos_trio.net.client import HttpClient
    from angos_trio.net.tls import client_tls

    authorization = None
    if section.bearer_token is not None:
        authorization = bearer(section.bearer_token.reveal())
    elif section.basic_auth is not None and section.basic_auth.password is not None:
        pair = section.basic_auth
        authorization = basic(pair.username, section.basic_auth.password.reveal())
    tls = client_tls(
        path,
        server_ca_bundle=section.server_ca_bundle,
        client_certificate_bundle=section.client_certificate_bundle,
        client_private_key=section.client_private_key,
    )
    settings = WebhookSettings(
        name, section.url, authorization, section.forward_headers, section.cache_ttl
    )
    try:
        client = HttpClient(tls, timeout_secs=section.timeout_ms / 1000)
        return WebhookAuthorizer(settings, client)
    except ValueError as error:
        raise OperatorError(f"{path}.{error}") from None
