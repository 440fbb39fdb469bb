"""curl, with the files and the command that `angos-trio client-config curl` prints."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.client_files import STRANGERS, Place
from tests.e2e.lab import Lab
from tests.e2e.machine import Failure, Sandbox, expect_refusal
from tests.e2e.secure import Pair, SecureLab, alone, make

SUITE = "curl-tls"


class Curl:
    """curl as a user runs it, with files below their home."""

    def __init__(self, lab: SecureLab) -> None:
        self.lab = lab
        self.sandbox: Sandbox = lab.sandbox("curl")
        self.place = Place(lab, "curl", home=self.sandbox.root / "home", way="sh")

    def ask(self, ca: Path, pair: Pair) -> str:
        """What the command that was printed answers, as that client."""
        self.place.write(ca, pair)
        [check] = self.place.checks()
        return self.sandbox.run("sh", "-c", check)


def run(lab: Lab) -> None:
    """All checks."""
    secure = make(lab, SUITE)
    builder, revoked = secure.client("builder"), secure.client("mallory")
    secure.revoke("mallory")
    stranger = STRANGERS.client("builder").write(secure.folder, "stranger")
    with alone(lab, SUITE, secure) as other:
        curl = Curl(other)
        with lab.check(SUITE, "the command as printed, with a certificate: 200"):
            if curl.ask(secure.ca, builder).strip() != "{}":
                raise Failure("another answer")
        with lab.check(SUITE, "a revoked certificate: 401"):
            expect_refusal("error: 401", run=lambda: curl.ask(secure.ca, revoked))
        with lab.check(SUITE, "a certificate of another authority: unknown CA"):
            expect_refusal("unknown ca", run=lambda: curl.ask(secure.ca, stranger))
