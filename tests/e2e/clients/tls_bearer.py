"""The Bearer flow: guests pull and users push, all at one registry that gives out tokens."""

from __future__ import annotations

from functools import partial

from tests.e2e.clients.tls_clients import Client, started, tokens
from tests.e2e.lab import Lab
from tests.e2e.machine import expect_refusal
from tests.e2e.secure import SecureLab, alone, make
from tests.secure import PASSWORD, USER

SUITE = "bearer"
GUESTS_READ = (
    "identity.username != null",
    "request.action in ['get-api-version', 'list-tags', 'get-manifest', 'get-blob', "
    "'get-referrers']",
)
NOT_ALLOWED = "unauthorized: authentication required"
# How a client words that nobody in particular may not push, and that a password is wrong.
REFUSALS = {
    "docker": (NOT_ALLOWED, "unauthorized"),
    "podman": (NOT_ALLOWED, "invalid username/password"),
    "skopeo": (NOT_ALLOWED, "invalid username/password"),
    "ctr": ("401 Unauthorized", "401 Unauthorized"),
}


def run(lab: Lab) -> None:
    """All checks of all clients."""
    secure = make(lab, SUITE, has_client_ca=False, has_tokens=True, rules=GUESTS_READ)
    with alone(lab, SUITE, secure) as other:
        for program, told in REFUSALS.items():
            with started(program, other) as client:
                client.show(secure.ca, None)
                _guests_and_users(program, other, client, told)


def _guests_and_users(program: str, lab: SecureLab, client: Client, told: tuple[str, str]) -> None:
    not_allowed, wrong = told
    with lab.check(SUITE, f"{program}: anonymous push is refused: {not_allowed}"), tokens(lab):
        expect_refusal(not_allowed, run=client.push)
    with lab.check(SUITE, f"{program}: push as a user, anonymous pull: same image"), tokens(lab):
        client.log_in(USER, PASSWORD)
        client.push()
        client.log_out()
        client.empty()
        client.pull()
        client.expect_pulled()
    with lab.check(SUITE, f"{program}: pull as a user: same image"):
        client.log_in(USER, PASSWORD)
        client.empty()
        client.pull()
        client.expect_pulled()
        client.log_out()
    with lab.check(SUITE, f"{program}: a wrong password is refused, and is no guest: {wrong}"):
        expect_refusal(wrong, run=partial(_push_as_somebody_else, client))


def _push_as_somebody_else(client: Client) -> None:
    client.log_in(USER, "wrong")
    client.push(f"{client.repository}/wrong")
