"""A real OpenID provider beside the registry, and the tokens that it gives a client."""

from __future__ import annotations

import http.client
import json
import secrets
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tests.certificates import client_context
from tests.e2e.lab import ask_once
from tests.e2e.machine import REPOSITORY, Failure, daemon, require
from tests.e2e.secure import ADDRESS, SecureLab, basic
from tests.e2e.tools import npm_package
from tests.secure import Secure

PACKAGE = "oidc-provider"
PORT = 8443
ISSUER = f"https://{ADDRESS}:{PORT}"
CLIENT = "builder"
"""Who the tokens are about."""
ANSWER_SECS_MAX = 10


@dataclass(frozen=True)
class Resource:
    """What a token may be asked for: its audience, and the seconds that it is good."""

    audience: str
    secs: int


@dataclass(frozen=True)
class OpenIdProvider:
    """A running provider; `secret` is that of its only client."""

    context: ssl.SSLContext
    secret: str

    def token(self, resource: str) -> str:
        """An access token for a resource."""
        wish = urlencode({"grant_type": "client_credentials", "resource": resource})
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self.ask("POST", "/token", {**basic(CLIENT, self.secret), **form}, wish.encode())
        token: str = answer["access_token"]
        return token

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> dict[str, Any]:
        """A document of the provider."""
        connection = http.client.HTTPSConnection(
            ADDRESS, PORT, timeout=ANSWER_SECS_MAX, context=self.context
        )
        try:
            answer = ask_once(connection, method, path, headers, body)
        except OSError as error:
            raise Failure(f"{method} {ISSUER}{path}: {error}") from error
        if answer.status != 200:
            raise Failure(f"{method} {ISSUER}{path}: {answer.status} {answer.body!r}")
        document: dict[str, Any] = answer.json()
        return document


@contextmanager
def running_provider(lab: SecureLab, resources: Mapping[str, Resource]) -> Iterator[OpenIdProvider]:
    """A provider for the length of a `with` block, on the network of this thread."""
    secure = lab.secure
    scratch = lab.directory("provider")
    secret = secrets.token_urlsafe(32)
    settings = scratch / "settings.json"
    settings.write_text(json.dumps(_settings(secure, secret, resources)))
    module = npm_package(PACKAGE) / "lib" / "index.js"
    program: list[str | Path] = [
        require("node"),
        REPOSITORY / "tests/e2e/provider.mjs",
        module,
        settings,
    ]
    provider = OpenIdProvider(client_context(secure.root.pem), secret)

    def ready() -> None:
        provider.ask("GET", "/.well-known/openid-configuration")

    with daemon(lab.sandbox("provider"), program, scratch / "log", ready):
        yield provider


def _settings(secure: Secure, secret: str, resources: Mapping[str, Resource]) -> dict[str, object]:
    issued = secure.root.server(ADDRESS)
    key = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048), as_dict=True)
    key.pop("key_ops")
    return {
        "issuer": ISSUER,
        "host": ADDRESS,
        "port": PORT,
        "certificate": issued.pem.decode(),
        "key": issued.key_pem.decode(),
        "client": CLIENT,
        "secret": secret,
        "resources": {name: asdict(resource) for name, resource in resources.items()},
        "jwks": {"keys": [{**key, "kid": "one", "use": "sig", "alg": "RS256"}]},
    }
