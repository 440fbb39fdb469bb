"""Programs that are told of their files each time, with the files and the command that
`angos-trio client-config` prints."""

from __future__ import annotations

import filecmp
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.e2e.client_files import STRANGERS, Place
from tests.e2e.lab import Lab
from tests.e2e.machine import Failure, Sandbox, expect_refusal
from tests.e2e.secure import NAME, Pair, SecureLab, alone, make
from tests.e2e.tools import path_with_go_programs

IMAGE: Final = "hello"
NO_PASSWORD: Final = "basic credential not found"
OTHER_AUTHORITY: Final = "tls: unknown certificate authority"
CHART: Final = f"{IMAGE}-0.1.0.tgz"
_OPTIONS: Final = re.compile(r"--ca-file .*(?= \S+$)")
"""Of oras and helm, between the verb and what they ask for."""


@dataclass
class Told:
    """A program as a user runs it: with files below their home, or with those of the host."""

    program: str
    lab: SecureLab
    is_user: bool
    scratch: Path = field(init=False)
    sandbox: Sandbox = field(init=False)
    place: Place = field(init=False)

    def __post_init__(self) -> None:
        self.scratch = self.lab.directory(f"{self.program}-work")
        sandbox = self.lab.sandbox(self.program, PATH=path_with_go_programs())
        home = sandbox.root / "home" if self.is_user else None
        self.place = Place(self.lab, self.program, home=home, way="sh")
        self.sandbox = self.place.within(sandbox)

    @property
    def check(self) -> str:
        """The command that is printed."""
        [check] = self.place.checks()
        return check

    def run(self, line: str) -> str:
        """A line of a shell; what it prints."""
        return self.sandbox.run("sh", "-c", line, directory=self.scratch, errors_too=True)

    def ask(self, ca: Path, pair: Pair) -> str:
        """What the command that is printed answers, as that client."""
        self.place.write(ca, pair)
        return self.run(self.check)

    def push(self, verb: str, *what: str) -> None:
        """Push with the options that the printed command has."""
        found = _OPTIONS.search(self.check)
        if found is None:
            raise Failure(f"no options in {self.check}")
        self.run(" ".join([self.program, verb, found[0], *what]))


def _curl(told: Told) -> Callable[[str], bool]:
    del told
    return lambda answer: answer.endswith("{}")


def _oras(told: Told) -> Callable[[str], bool]:
    (told.scratch / "readme.txt").write_text("An artifact.\n")
    told.push("push", f"{NAME}/{IMAGE}:latest", "readme.txt:text/plain")
    return lambda answer: answer.split() == [IMAGE]


def _helm(told: Told) -> Callable[[str], bool]:
    pushed, pulled = told.scratch / f"pushed/{CHART}", told.scratch / CHART
    told.run(f"helm create {IMAGE} && helm package --destination pushed {IMAGE}")
    told.push("push", f"pushed/{CHART}", f"oci://{NAME}/charts")
    return lambda _: filecmp.cmp(pushed, pulled, shallow=False)


@dataclass(frozen=True)
class Kind:
    """`prepare` pushes what the printed command asks for, and returns whether an answer is right,
    of which `answer` tells; the others are how the program words a refusal."""

    prepare: Callable[[Told], Callable[[str], bool]]
    answer: str
    unauthorized: str
    other_authority: str
    is_user: bool = True


CLIENTS: Final[Mapping[str, Kind]] = {
    "curl": Kind(_curl, "200", "error: 401", "unknown ca"),
    "oras": Kind(_oras, "what was pushed", NO_PASSWORD, OTHER_AUTHORITY),
    "helm": Kind(_helm, "the chart that was pushed", NO_PASSWORD, OTHER_AUTHORITY, is_user=False),
}
"""By the name that `client-config` has for it, too."""


def run(program: str, lab: Lab) -> None:
    """All checks of a program."""
    suite, kind = f"{program}-tls", CLIENTS[program]
    secure = make(lab, suite)
    builder, revoked = secure.client("builder"), secure.client("mallory")
    secure.revoke("mallory")
    stranger = STRANGERS.client("builder").write(secure.folder, "stranger")
    with alone(lab, suite, secure) as other:
        told = Told(program, other, kind.is_user)
        told.place.write(secure.ca, builder)
        with lab.check(suite, f"the command as printed, with a certificate: {kind.answer}"):
            is_right = kind.prepare(told)
            answer = told.ask(secure.ca, builder)
            if not is_right(answer):
                raise Failure(f"another answer: {answer}")
        with lab.check(suite, f"a revoked certificate: {kind.unauthorized}"):
            expect_refusal(kind.unauthorized, run=lambda: told.ask(secure.ca, revoked))
        with lab.check(suite, f"a certificate of another authority: {kind.other_authority}"):
            expect_refusal(kind.other_authority, run=lambda: told.ask(secure.ca, stranger))
