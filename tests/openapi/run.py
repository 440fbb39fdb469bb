"""`make api`: schemathesis over every operation of a real registry, by `docs/openapi.json`.

Three callers: a stranger where everything is allowed; a user whom a policy lets, and strangers whom
it does not; the operator on the control socket. For each operation there are requests that name
what is there, requests that the description allows, requests that it does not, and odd ones that no
client would send. Every answer must be one that the description has.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from angos_trio.auth.passwords import hash_password
from tests.openapi.asking import Asker, NoAnswerError, UnsendableError, Wanted
from tests.openapi.document import document
from tests.openapi.hostile import some_of
from tests.openapi.judging import Judge, Served, closed, routes_of_everybody, routes_of_operator
from tests.openapi.known import PASSWORD, USER, Given, Known
from tests.openapi.operations import OPERATOR
from tests.openapi.parts import Schema
from tests.openapi.proof import unfound
from tests.running import RunningRegistry, running_registry
from tests.web.content import Filler

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
ORDER: Final = {"GET": 0, "HEAD": 1, "POST": 2, "PATCH": 3, "PUT": 4, "DELETE": 5}
"""What is there is looked at before anything is changed."""
WITHOUT_TOKENS: Final = frozenset({"GET /token", "HEAD /token", "POST /token", "POST /_ui/login"})
"""What is not there where nobody can say who they are."""
_CONFIGURATION: Final = """
[server]
max_uploads_per_caller = 100000
workers = 1
[blob_store.fs]
ballast = 0
[repository.library]
immutable_tags = true
immutable_tags_exclusions = ["latest"]
[repository.empty]
[repository.health]
[repository."team/apps"]
[repository."scratch/told"]
event_webhooks = ["nobody"]
[event_webhook.nobody]
url = "http://127.0.0.1:1/"
policy = "async"
events = ["blob.push"]
[global]
min_free_space = 0
"""
_OPEN: Final = """
[global.access_policy]
default = "allow"
"""
_GUARDED: Final = """
[global.access_policy]
default = "deny"
rules = ["identity.username == '{user}'"]
[auth.identity.{user}]
username = "{user}"
password = "{hashed}"
[auth.token_service]
secret_key = "{key}"
"""


@dataclass(frozen=True)
class Amount:
    """How many requests an operation gets of each kind. `has_odd_paths`: values in paths are
    generated too, which takes long."""

    known: int
    generated: int
    hostile: int
    has_odd_paths: bool = False


FULL: Final = Amount(known=8, generated=20, hostile=150, has_odd_paths=True)
QUICK: Final = Amount(known=4, generated=3, hostile=10)
GLANCE: Final = Amount(known=1, generated=0, hostile=2)
"""For who is refused, or asks what others have asked."""


@dataclass(frozen=True)
class Plan:
    """What all callers have in common: the description, its operations, how much is asked."""

    told: Schema
    operations: dict[str, Any]
    amount: Amount
    seed: int


@dataclass
class Trial:
    """One caller of one registry."""

    name: str
    asker: Asker
    known: Known
    judge: Judge
    amount: Amount
    seed: int
    is_refused: bool = False
    is_operators: bool = False
    asked: int = 0

    def run(self) -> None:
        """Ask it all, and say so."""
        begun_at = time.monotonic()
        keys = sorted(self.judge.served_keys(), key=lambda key: ORDER[key.partition(" ")[0]])
        for number, key in enumerate(keys):
            amount = self._amount_for(key)
            for _ in range(amount.known):
                self._ask(self._meant(key))
            if amount.generated:
                self._generate(key, amount)
            meant = self._meant(key)
            for wanted in some_of(meant, self.seed + number, amount.hostile):
                self._ask(wanted)
            for method in METHODS if amount.generated else ():
                self._ask(Wanted(method, meant.target.partition("?")[0]))
            self._ask(self._meant(key))  # the last word about what is switched
        good = set(keys) & self.judge.successes
        print(
            f"{self.name}: {self.asked} requests in {time.monotonic() - begun_at:.0f} s, "
            f"{len(good)} of {len(keys)} operations succeeded",
            flush=True,
        )

    def _amount_for(self, key: str) -> Amount:
        """HEAD is GET without a body: a glance is enough where there is no time."""
        if self.is_refused or (self.is_operators and key not in OPERATOR):
            return GLANCE
        return GLANCE if key.startswith("HEAD ") and self.amount is QUICK else self.amount

    def _meant(self, key: str) -> Wanted:
        """What names things that are there."""
        return _filled(self.judge.operations[key].Case(), self.known.given(key))

    def _generate(self, key: str, amount: Amount) -> None:
        """What the description allows, and what it does not."""
        from schemathesis import GenerationMode

        operation = self.judge.operations[key]
        given = self.known.given(key)
        fixed = {} if amount.has_odd_paths or not given.path else {"path_parameters": given.path}
        turn = itertools.count()
        _each(
            operation.as_strategy(GenerationMode.POSITIVE, **fixed),
            lambda case: self._ask_case(case, self.known.given(key) if next(turn) % 2 else None),
            amount.generated,
            self.seed,
        )
        _each(
            operation.as_strategy(GenerationMode.NEGATIVE, **fixed),
            lambda case: self._ask_case(case, None),
            amount.generated,
            self.seed,
        )

    def _ask_case(self, case: Any, given: Given | None) -> None:
        self._ask(_filled(case, given or Given()))

    def _ask(self, wanted: Wanted) -> None:
        self.asked += 1
        try:
            answered = self.asker.ask(wanted)
        except UnsendableError:
            return
        except NoAnswerError as error:
            self.judge.note(f"no answer: {error}", wanted)
            return
        self.judge.look(wanted, answered)


def _each(strategy: Any, ask: Callable[[Any], None], count: int, seed: int) -> None:
    """Draw so many values; nothing is made smaller, since answers are judged elsewhere."""
    import hypothesis

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def draw(case: Any) -> None:
        ask(case)

    try:
        draw()
    except hypothesis.errors.Unsatisfiable:
        return  # there is nothing that the description does not allow


def _filled(case: Any, given: Given) -> Wanted:
    """A generated case as a request, with what is given in place of what was generated."""
    import requests

    case.path_parameters = {**case.path_parameters, **given.path}
    case.query = {**(case.query or {}), **given.query}
    arguments = case.as_transport_kwargs(base_url="http://registry.test")
    arguments["headers"] = {
        name: value for name, value in arguments["headers"].items() if name != "User-Agent"
    }
    if given.body is not None:
        arguments = {
            name: value for name, value in arguments.items() if name not in ("json", "files")
        } | {"data": given.body}
    arguments["headers"] |= given.headers
    if given.media_type is not None:
        arguments["headers"]["Content-Type"] = given.media_type
    prepared = requests.Request(**arguments).prepare()
    body = prepared.body or b""
    return Wanted(
        method=case.method.upper(),
        target=prepared.path_url,
        headers={name: _text(value) for name, value in prepared.headers.items()},
        body=body.encode() if isinstance(body, str) else bytes(body),
    )


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


@contextmanager
def registry(configuration: str) -> Iterator[RunningRegistry]:
    """A real one with this configuration."""
    with tempfile.TemporaryDirectory(prefix="angos-trio-api-") as scratch:
        file = Path(scratch) / "angos-trio.toml"
        file.write_text(_CONFIGURATION + configuration, encoding="utf-8")
        with running_registry(arguments=["-c", str(file)]) as running:
            yield running


def trials(running: RunningRegistry, plan: Plan, user: str | None) -> list[Trial]:
    """Who asks a registry: a user or a stranger, and the operator."""
    socket = str(running.data_dir / "control.sock")
    operator = httpx.Client(
        base_url="http://localhost", transport=httpx.HTTPTransport(uds=socket), trust_env=False
    )
    filler = Filler(running.base_url)
    headers = {}
    if user is not None:
        filler.auth = httpx.BasicAuth(user, PASSWORD)
        shown = base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
        headers["Authorization"] = f"Basic {shown}"
    known = Known(filler, operator)
    known.fill()

    def trial(name: str, asker: Asker, served: Served, **marks: bool) -> Trial:
        judge = Judge(plan.told, plan.operations, served)
        return Trial(name, asker, known, judge, plan.amount, plan.seed, **marks)

    over_tcp = trial(user or "stranger", Asker(running.address, headers), routes_of_everybody())
    if user is None:
        return [over_tcp]
    return [
        over_tcp,
        trial("refused stranger", Asker(running.address), routes_of_everybody(), is_refused=True),
        trial("operator", Asker(socket), routes_of_operator(), is_operators=True),
    ]


def load(told: dict[str, Any]) -> dict[str, Any]:
    """Every operation by method and path."""
    import schemathesis
    from schemathesis.config import GenerationConfig, SchemathesisConfig

    config = SchemathesisConfig()
    # Wrong credentials count against the address, and would leave nothing but 429.
    config.projects.default.generation = GenerationConfig(with_security_parameters=False)
    loaded = schemathesis.openapi.from_dict(told, config=config)
    found = (each.ok() for each in loaded.get_all_operations())
    return {f"{each.method.upper()} {each.path}": each for each in found}


def main() -> int:
    """1 when there is a finding."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = secrets.randbelow(2**32) if arguments.seed is None else arguments.seed
    amount = QUICK if arguments.quick else FULL
    print(f"seed {seed}")
    begun_at = time.monotonic()
    told = closed(document())
    plan = Plan(told, load(told), amount, seed)
    blind = unfound(told, plan.operations)
    if blind:
        print("\n".join(blind))
        return 1
    hashed = hash_password(PASSWORD)
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    guarded = _GUARDED.format(user=USER, hashed=hashed, key=key)
    found = sum(
        ask(configuration, user, plan) for configuration, user in ((_OPEN, None), (guarded, USER))
    )
    print(f"\n{found} findings in {time.monotonic() - begun_at:.0f} s, seed {seed}")
    return 1 if found else 0


def ask(configuration: str, user: str | None, plan: Plan) -> int:
    """All callers of one registry; how much is wrong, after it is told."""
    findings: dict[str, str] = {}
    successes: set[str] = set()
    with registry(configuration) as running:
        asked = trials(running, plan, user)
        for trial in asked:
            trial.run()
            successes |= trial.judge.successes
            findings |= {f"{trial.name}: {key}": told for key, told in trial.judge.findings.items()}
        log = running.log.splitlines()
    findings |= {f"the log: {line[:3000]}": "" for line in log if "request.crashed" in line}
    wanted = {key for trial in asked for key in trial.judge.served_keys()}
    wanted -= set() if user is not None else WITHOUT_TOKENS
    findings |= {f"{key} never succeeded": "" for key in sorted(wanted - successes)}
    for problem, told in findings.items():
        print(f"\n{problem}\n    {told}", flush=True)
    return len(findings)


if __name__ == "__main__":
    sys.exit(main())
