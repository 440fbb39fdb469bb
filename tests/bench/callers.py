"""What it costs to know who is calling and to ask rules about them: ours beside ours without."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from angos_trio.auth.passwords import hash_password
from tests.bench.rows import KIB, Measured, Row, measure
from tests.bench.sides import OURS, Serving, Side, start
from tests.secure import PASSWORD, USER, Secure

COST_MAX = 1.15
"""Throughput without, by throughput with."""
RULES = [
    f"identity.username == 'user{number}' && has(request.namespace)"
    f" && request.namespace.startsWith('team{number}/') && request.action in"
    " ['put-manifest', 'delete-manifest']"
    for number in range(10)
]  # fmt: skip
"""None is true of the caller: each is asked."""


@dataclass(frozen=True)
class Kind:
    """What is asked of callers; over plain HTTP, or over TLS."""

    name: str
    has_tls: bool = False
    has_certificate: bool = False
    has_password: bool = False
    has_rules: bool = False

    @property
    def without(self) -> Kind:
        """The same transport, and nothing is asked."""
        return Kind("none", has_tls=self.has_tls)

    def serving(self, folder: Path) -> Serving:
        """A configuration in which everybody may do everything, and what the client is told."""
        folder.mkdir(parents=True)
        rules = json.dumps(RULES if self.has_rules else [])
        policy = f'[global.access_policy]\ndefault = "allow"\nrules = {rules}\n'
        client: list[str] = []
        if self.has_password:
            pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            client += ["-authorization", f"Basic {pair}"]
        if not self.has_tls:
            file = folder / "more.toml"
            file.write_text(policy + (_user() if self.has_password else ""), encoding="utf-8")
            return Serving([str(file)], None, client)
        secure = Secure(folder, has_client_ca=self.has_certificate, has_user=self.has_password)
        configuration = str(secure.write(policy))
        client += ["-ca", str(secure.ca)]
        if self.has_certificate:
            certificate, key = secure.client()
            client += ["-cert", str(certificate), "-key", str(key)]
        return Serving([configuration], secure.probe, client)


def _user() -> str:
    password = json.dumps(hash_password(PASSWORD))
    return f'[auth.identity.{USER}]\nusername = "{USER}"\npassword = {password}\n'


KINDS = (
    Kind("password (Basic)", has_password=True),
    Kind("client certificate", has_tls=True, has_certificate=True),
    Kind("ten rules in CEL", has_rules=True),
    Kind("all three", has_tls=True, has_certificate=True, has_password=True, has_rules=True),
)
JUDGED = KINDS[:3]
"""Each alone is to stay below the bound; all three together are shown."""


def rows() -> list[tuple[Kind, Row]]:
    """The same load for each kind."""
    return [
        (kind, Row(kind.name, "manifest-get", "requests", 32, 8000, 2000, KIB, "push", 64, 16))
        for kind in KINDS
    ]


@contextmanager
def beside(kind: Kind, root: Path) -> Iterator[tuple[Side, Side]]:
    """Ours with a kind of callers, and ours with nobody in particular, on empty data."""
    shutil.rmtree(root, ignore_errors=True)
    try:
        with ExitStack() as stack:
            sides = [
                stack.enter_context(
                    start(OURS, root / name, serving=each.serving(root / f"{name}-files"))
                )
                for name, each in (("with", kind), ("without", kind.without))
            ]
            yield sides[0], sides[1]
    finally:
        shutil.rmtree(root, ignore_errors=True)


def measure_callers(rounds: int, *, quick: bool) -> list[Measured]:
    """Each kind beside none."""
    measured = []
    for kind, row in rows():
        measured.append(measure(row.made_quick() if quick else row, rounds, partial(beside, kind)))
        print(f"{row.name:<42} cost  {cost_of(measured[-1]):6.2f}", flush=True)
    return measured


def cost_of(item: Measured) -> float:
    """Throughput without by throughput with: 1 costs nothing."""
    return 1 / item.ratio


def too_dear(measured: Sequence[Measured], tolerance: float) -> list[str]:
    """Kinds that cost more than is meant; below 1, the tolerance lets more pass."""
    judged = {kind.name for kind in JUDGED}
    return [
        f"{item.row.name}: a request costs {cost_of(item):.2f}"
        for item in measured
        if item.row.name in judged and cost_of(item) > COST_MAX / tolerance
    ]
