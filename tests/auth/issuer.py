"""An issuer of tokens: real keys, and a real server that tells its public ones."""

from __future__ import annotations

import contextlib
import functools
import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from angos_trio.auth.key_sets import KeySets
from angos_trio.auth.oidc import OidcProvider, OidcSettings
from angos_trio.net.client import HttpClient
from tests.net.web import Reply, Request, Web, json_reply, web

NOW = 1_700_000_000
AUDIENCE = "registry.example.test"
PLAIN = ssl.create_default_context()
DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/keys"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@functools.cache
def rsa_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key for RS and PS; the same for the same number."""
    return rsa.generate_private_key(65537, bits)


@functools.cache
def ec_key(curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    """A key for ES."""
    return ec.generate_private_key(curve())


@functools.cache
def ed_key() -> ed25519.Ed25519PrivateKey:
    """A key for EdDSA."""
    return ed25519.Ed25519PrivateKey.generate()


def jwk_of(key: PrivateKey, kid: str | None = None, **more: object) -> dict[str, Any]:
    """The public half as a JWK; a value of None leaves a member out."""
    name = {rsa.RSAPrivateKey: "RS256", ec.EllipticCurvePrivateKey: "ES256"}
    algorithm = next((n for kind, n in name.items() if isinstance(key, kind)), "EdDSA")
    public: Any = key.public_key()
    made: dict[str, Any] = jwt.get_algorithm_by_name(algorithm).to_jwk(public, as_dict=True)
    members = {**made, "kid": kid, "use": "sig", **more}
    return {member: value for member, value in members.items() if value is not None}


def claims_of(issuer: str, **more: object) -> dict[str, Any]:
    """Claims that are all right; a value of `...` leaves one out."""
    claims = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": "job-1",
        "iat": NOW - 5,
        "nbf": NOW - 5,
        "exp": NOW + 600,
        **more,
    }
    return {name: value for name, value in claims.items() if value is not ...}


@dataclass
class Issuer:
    """Serves a discovery document and its keys; each can be replaced by any reply."""

    served: Web
    keys: list[dict[str, Any]] = field(default_factory=list)
    replies: dict[str, Reply] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Its name, and where it is."""
        return self.served.url

    def reply(self, request: Request) -> Reply:
        """What it says."""
        replaced = self.replies.get(request.target)
        if replaced is not None:
            return replaced
        if request.target == DISCOVERY:
            return json_reply({"issuer": self.url, "jwks_uri": self.url + KEYS})
        return json_reply({"keys": self.keys}) if request.target == KEYS else Reply(404)

    def fetches(self) -> int:
        """How often its keys were fetched."""
        return self.served.targets().count(KEYS)

    def token(
        self,
        key: PrivateKey | None = None,
        algorithm: str = "RS256",
        headers: Mapping[str, object] | None = None,
        **claims: object,
    ) -> str:
        """A token that is all right, but for what is said here."""
        named = {"kid": "one"} if headers is None else dict(headers)
        return jwt.encode(claims_of(self.url, **claims), key or rsa_key(), algorithm, named)

    def provider(self, key_sets: KeySets | None = None, **more: Any) -> OidcProvider:
        """Who takes its tokens."""
        bearer = more.pop("bearer_token", None)
        tls = more.pop("tls", PLAIN)
        wanted = {"name": "ci", "issuer": self.url, "required_audience": AUDIENCE, **more}
        client = HttpClient(tls, timeout_secs=10)
        return OidcProvider(OidcSettings(**wanted), client, key_sets or KeySets(), bearer)


@contextlib.contextmanager
def issuer(tls: ssl.SSLContext | None = None) -> Iterator[Issuer]:
    """An issuer with one RSA key whose name is `one`."""
    with web(Reply(404), tls) as served:
        serving = Issuer(served, [jwk_of(rsa_key(), "one")])
        served.handler = serving.reply
        yield serving


def as_json(document: object) -> bytes:
    """The document as a server sends it."""
    return json.dumps(document).encode()
