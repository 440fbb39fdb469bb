"""Client certificates: who shows a good one pushes and pulls, everybody else is told why not."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

from tests.e2e.client_files import STRANGERS
from tests.e2e.clients.tls_clients import Client, started
from tests.e2e.lab import Lab
from tests.e2e.machine import Failure, expect_refusal
from tests.e2e.material import TAG
from tests.e2e.network import own_network
from tests.e2e.own import OwnSecure
from tests.e2e.secure import ADDRESS, Pair, SecureLab, make, secured
from tests.secure import PASSWORD, USER

MODES = ("required", "optional")
READERS = (
    "identity.username != null || identity.certificate != null",
    "request.action in ['get-api-version', 'list-tags', 'get-manifest', 'get-blob']",
)
"""Guests read, whoever is known may do everything."""

MIRRORS = {
    "docker.io": ("--mirror", "docker.io"),
    "quay.io": ("--mirror", "all", "--strict-airgap"),
}
"""How the files are asked for by which something of a registry is pulled."""
CHECKED = "hello"
"""The repository that the printed commands ask for."""
MIRRORED = "".join(f'[repository."{name}"]\nnamespace = "{name}"\n' for name in MIRRORS)

GUEST_PUSH = "unauthorized: authentication required"
UNKNOWN_SERVER = "x509: certificate signed by unknown authority"
NONE_SHOWN = "tls: certificate required"
OTHER_AUTHORITY = "tls: unknown certificate authority"
# How a client words an answer of 401; the second is for one that reads the reason in the answer.
UNAUTHORIZED = {
    "skopeo": ("unauthorized: authentication required", "the client certificate is revoked"),
    "podman": ("unauthorized: authentication required", "the client certificate is revoked"),
    "buildah": ("unauthorized: authentication required", "the client certificate is revoked"),
    "ctr": ("401 Unauthorized", "401 Unauthorized"),
    "docker": ("no basic auth credentials", "no basic auth credentials"),
    "crictl": ("401 Unauthorized", "401 Unauthorized"),
}


@dataclass(frozen=True)
class People:
    """Client certificates: a good one, one of another authority, and one that was revoked."""

    builder: Pair
    stranger: Pair
    revoked: Pair


def invite(secure: OwnSecure) -> People:
    """The people."""
    people = People(
        builder=secure.client("builder"),
        stranger=STRANGERS.client("builder").write(secure.folder, "stranger"),
        revoked=secure.client("mallory"),
    )
    secure.revoke("mallory")
    return people


def run(program: str, lab: Lab) -> None:
    """All checks of a program, in a network of its own."""
    with own_network(ADDRESS):
        for mode in MODES:
            name = f"{program}-tls/{mode}"
            secure = make(lab, name)
            people = invite(secure)
            more = f'[server.tls]\nclient_auth = "{mode}"\n{MIRRORED}'
            with (
                secured(lab, name, secure, more) as other,
                started(program, other, is_large=True) as client,
            ):
                checks = Checks(f"{program}-tls", mode, other, client)
                checks.refusals(people, UNAUTHORIZED[program])
                checks.there_and_back(people.builder)
                checks.printed(program, people.builder)
                if program != "docker":
                    checks.mirrors(people.builder)
                if program == "docker" and mode == "optional":
                    checks.password()
        if program == "docker":
            _guests(lab)


def crictl(lab: Lab) -> None:
    """What Kubernetes asks of containerd, by the files of containerd; it takes minutes to build."""
    name, mode = "crictl", "required"
    with own_network(ADDRESS):
        secure = make(lab, name)
        builder, more = secure.client("builder"), f'[server.tls]\nclient_auth = "{mode}"\n'
        with secured(lab, name, secure, more) as other, started("ctr", other) as client:
            client.show(secure.ca, builder)
            Checks(name, mode, other, client).printed(name, builder)


@dataclass(frozen=True)
class Checks:
    """What is asked of a client that has its image, by a registry in one mode."""

    suite: str
    mode: str
    lab: SecureLab
    client: Client

    def refusals(self, people: People, unauthorized: tuple[str, str]) -> None:
        """Nobody but the builder gets in, and nothing of what they pushed is there."""
        said, reason = unauthorized
        ca = self.lab.secure.ca
        shown = self._none_shown(said)
        with self._check(f"the registry's authority is not known: {UNKNOWN_SERVER}"):
            self.client.show(None, people.builder)
            self._expect(UNKNOWN_SERVER, UNKNOWN_SERVER)
        with self._check(f"no certificate: {shown}"):
            self.client.show(ca, None)
            self._expect(shown, shown)
        with self._check(f"a certificate of another authority: {OTHER_AUTHORITY}"):
            self.client.show(ca, people.stranger)
            self._expect(OTHER_AUTHORITY, OTHER_AUTHORITY)
        with self._check(f"a revoked certificate: {reason}"):
            self.client.show(ca, people.revoked)
            self._expect(said, reason)

    def _none_shown(self, said: str) -> str:
        """How it is told that it has shown no certificate."""
        return NONE_SHOWN if self.mode == "required" else said

    def _expect(self, push: str, pull: str) -> None:
        """Fail unless a push and a pull are refused in these words."""
        expect_refusal(push, run=self.client.push)
        expect_refusal(pull, run=self.client.pull)
        self.lab.expect(404, "GET", f"/v2/{self.client.repository}/manifests/{TAG}")

    def there_and_back(self, pair: Pair) -> None:
        """With a good certificate."""
        with self._check("push with a certificate, pull into an empty store: same image"):
            self.client.show(self.lab.secure.ca, pair)
            self.client.push()
            self.client.empty()
            self.client.pull()
            self.client.expect_pulled()

    def printed(self, program: str, pair: Pair) -> None:
        """Each command of a program that is printed with the files does as it is, and shows whether
        they work: without a certificate it fails."""
        layout, image = self.lab.material.small
        ca = self.lab.secure.ca
        self.lab.seed(CHECKED, layout, [image.manifest], "latest")
        commands = [each for each in self.client.place.checks() if each.split()[0] == program]
        if not commands:
            raise Failure(f"no command of {program} is printed")
        for check in commands:
            ask = partial(self.client.sandbox.run, "sh", "-c", check, errors_too=True)
            with self._check(f"as printed, without a certificate and with one: {check}"):
                self.client.show(ca, None)
                expect_refusal(self._none_shown(UNAUTHORIZED[program][0]), run=ask)
                self.client.show(ca, pair)
                ask()

    def mirrors(self, pair: Pair) -> None:
        """What is of another registry comes from here: there is no way to any other."""
        layout, image = self.lab.material.small
        for upstream, options in MIRRORS.items():
            with self._check(f"pull of an image of {upstream} by the files of {' '.join(options)}"):
                name = f"{upstream}/library/hello"
                self.lab.seed(name, layout, [image.manifest])
                self.client.place.write(self.lab.secure.ca, pair, *options)
                self.client.pull_other(f"{name}:{TAG}")

    def password(self) -> None:
        """Without a certificate, with a user and a password."""
        with self._check("login with a wrong password is refused"):
            self.client.show(self.lab.secure.ca, None)
            expect_refusal("unauthorized", run=partial(self.client.log_in, USER, "wrong"))
        with self._check("login, push, pull into an empty store: same image"):
            self.client.log_in(USER, PASSWORD)
            self.client.push("docker/login")
            self.client.empty()
            self.client.pull()
            self.client.expect_pulled()
        with self._check("logout: pull and push are refused"):
            self.client.log_out()
            said, _ = UNAUTHORIZED["docker"]
            expect_refusal(said, run=self.client.pull)
            expect_refusal(said, run=self.client.push)

    def _check(self, name: str) -> AbstractContextManager[None]:
        return self.lab.check(self.suite, f"{self.mode}: {name}")


def _guests(lab: Lab) -> None:
    """docker where guests may read: pulls of nobody, and pushes with a certificate."""
    suite = "docker-tls"
    secure = make(lab, f"{suite}/guests", rules=READERS)
    with (
        secured(lab, f"{suite}/guests", secure) as other,
        started("docker", other) as client,
    ):
        with lab.check(suite, "guests read: push with a certificate, anonymous pull: same image"):
            client.show(secure.ca, secure.client("builder"))
            client.push()
            client.empty()
            client.show(secure.ca, None)
            client.pull()
            client.expect_pulled()
        with lab.check(suite, "guests read: anonymous push is refused"):
            expect_refusal(GUEST_PUSH, run=partial(client.push, "docker/guest"))
            other.expect(404, "GET", f"/v2/docker/guest/manifests/{TAG}")
