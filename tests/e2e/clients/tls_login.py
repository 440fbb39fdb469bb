"""podman login: with a password, with an API key, and with a token of a real OpenID provider."""

from __future__ import annotations

import json
import time
from functools import partial

from tests.e2e.clients.tls_clients import Client, started, tokens
from tests.e2e.lab import Lab
from tests.e2e.machine import Failure, expect_refusal
from tests.e2e.network import own_network
from tests.e2e.provider import CLIENT, ISSUER, OpenIdProvider, Resource, running_provider
from tests.e2e.secure import ADDRESS, NAME, SecureLab, make_odd, secured
from tests.secure import PASSWORD, USER

SUITE = "login"
PROVIDER = "login"
"""What the configuration calls the provider; for podman it is the user."""
HERE, OTHER, SHORT = f"https://{NAME}", "https://other.example.test", f"https://{NAME}/short"
RESOURCES = {HERE: Resource(HERE, 600), OTHER: Resource(OTHER, 600), SHORT: Resource(HERE, 1)}
RULES = (
    f"identity.username == '{USER}'",
    f"identity.oidc != null && identity.oidc.provider_name == '{PROVIDER}' && "
    f"identity.oidc.claims.sub == '{CLIENT}' && "
    "(request.action == 'get-api-version' || "
    "has(request.namespace) && request.namespace.startsWith('podman/'))",
)
WRONG = "invalid username/password"
DENIED = "denied"
FORBIDDEN = "403 (Forbidden)"
FLOWS = {"Basic": False, "Bearer": True}
"""How podman shows what it was told: itself with each request, or once, for a registry token."""


def run(lab: Lab) -> None:
    """All checks, in a network of its own."""
    with own_network(ADDRESS):
        for flow, has_tokens in FLOWS.items():
            name = f"{SUITE}/{flow}"
            secure = make_odd(lab, name, has_client_ca=False, has_tokens=has_tokens, rules=RULES)
            section = {
                "issuer": ISSUER,
                "required_audience": HERE,
                "server_ca_bundle": str(secure.ca),
                "clock_skew_tolerance": 0,
            }
            words = [f"{key} = {json.dumps(value)}" for key, value in section.items()]
            more = "\n".join([f"[auth.oidc.{PROVIDER}]", *words, ""])
            with (
                secured(lab, name, secure, more) as other,
                running_provider(other, RESOURCES) as provider,
                started("podman", other) as client,
            ):
                client.show(secure.ca, None)
                _password(flow, other, client)
                _key(flow, other, client)
                _token(flow, other, client, provider)


def _there_and_back(client: Client, user: str, secret: str) -> None:
    client.log_in(user, secret)
    client.push()
    client.empty()
    client.pull()
    client.expect_pulled()
    client.log_out()


def _password(flow: str, lab: SecureLab, client: Client) -> None:
    with lab.check(SUITE, f"{flow}: a wrong password is refused: {WRONG}"):
        expect_refusal(WRONG, run=partial(client.log_in, USER, "wrong"))
    with (
        lab.check(SUITE, f"{flow}: a password: push, pull: same image"),
        tokens(lab, are_given=FLOWS[flow]),
    ):
        _there_and_back(client, USER, PASSWORD)


def _key(flow: str, lab: SecureLab, client: Client) -> None:
    create = ("token", "create", "--as", USER, "--name")
    key = ""
    with lab.check(SUITE, f"{flow}: an API key: push, pull: same image"):
        key = lab.administer(*create, "e2e").strip()
        _there_and_back(client, USER, key)
    with lab.check(SUITE, f"{flow}: an API key that may only read: pull; push is {DENIED}"):
        reads = [f"--action={action}" for action in ("get-api-version", "get-manifest", "get-blob")]
        narrow = lab.administer(*create, "reader", "--repository=podman/**", *reads).strip()
        client.log_in(USER, narrow)
        client.empty()
        client.pull()
        client.expect_pulled()
        expect_refusal(DENIED, run=partial(client.push, "podman/other"))
    with lab.check(SUITE, f"{flow}: a revoked API key is refused"):
        client.log_in(USER, key)
        lab.administer("token", "revoke", "e2e")
        expect_refusal("unauthorized", run=client.pull)
        expect_refusal(WRONG, run=partial(client.log_in, USER, key))


def _token(flow: str, lab: SecureLab, client: Client, provider: OpenIdProvider) -> None:
    with lab.check(SUITE, f"{flow}: a token of the provider: push, pull: same image"):
        _there_and_back(client, PROVIDER, provider.token(HERE))
    with lab.check(
        SUITE, f"{flow}: a token of the provider, where its bearer may not: {FORBIDDEN}"
    ):
        client.log_in(PROVIDER, provider.token(HERE))
        expect_refusal(FORBIDDEN, run=partial(client.push, "elsewhere/app"))
    with lab.check(SUITE, f"{flow}: a token for another audience is refused: {WRONG}"):
        _expect_wrong(lab, client, provider.token(OTHER), "audience")
    with lab.check(SUITE, f"{flow}: a token that has expired is refused: {WRONG}"):
        token = provider.token(SHORT)
        time.sleep(RESOURCES[SHORT].secs + 1)
        _expect_wrong(lab, client, token, "expired")


def _expect_wrong(lab: SecureLab, client: Client, token: str, reason: str) -> None:
    """Fail unless a token is refused, and the log of the registry says why."""
    before = len(lab.registry.log)
    expect_refusal(WRONG, run=partial(client.log_in, PROVIDER, token))
    said = lab.registry.log[before:]
    if "authentication.failed" not in said or reason not in said:
        raise Failure(f"expected {reason!r} in the log:\n{said}")
