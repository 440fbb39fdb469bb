"""What it costs to know who is calling and to ask rules about them: ours beside ours without."""

from __future__ import annotations

import base64
import json
import shutil
import statistics
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
"""With, by without: processor time of a request, and the time that one takes of a busy registry."""
_READS = (
    "request.action in"
    " ['get-api-version', 'list-tags', 'get-manifest', 'get-blob', 'get-referrers']"
)
RULES = (
    "identity.username == 'admin'",
    f"identity.username in ['bob', 'carol'] && {_READS}",
    "identity.username != null && has(request.namespace)"
    " && request.namespace.startsWith(identity.username + '/')",
    f"has(request.namespace) && request.namespace.startsWith('shared/') && {_READS}",
    "has(request.namespace) && request.namespace.startsWith('team/')"
    " && !request.namespace.endsWith('-internal')",
    "identity.certificate != null && 'Build' in identity.certificate.organizations",
    f"identity.certificate != null && 'Edge' in identity.certificate.organizations && {_READS}",
    "identity.oidc != null && identity.oidc.claims.repository == 'acme/app'",
    "identity.client_ip.startsWith('192.0.2.') || identity.client_ip == '2001:db8::7'",
    "identity.client_ip == '127.0.0.1'",
)
"""Of the kinds in docs/access-control.md; only the last is true of the caller, so that each is
asked."""


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
        policy = '[global.access_policy]\ndefault = "allow"\n'
        if self.has_rules:
            policy = f'[global.access_policy]\ndefault = "deny"\nrules = {json.dumps(RULES)}\n'
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
TURNS = 4
"""Times as many runs as of other rows, and each as much shorter: a cost of a few per cent drowns in
what a machine does by itself within seconds."""
LOADS = {
    "GET a manifest by tag": "manifest-get",
    "HEAD a manifest by tag": "manifest-head",
    "GET a blob of 1 KiB": "blob-get",
}


def rows(kind: Kind) -> list[Row]:
    """The same loads for each kind."""
    return [
        Row(f"{kind.name}: {load}", scenario, "requests", 32, 1000, 500, KIB, "push", 64, 16)
        for load, scenario in LOADS.items()
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


def measure_callers(
    rounds: int, kinds: Sequence[Kind], *, is_quick: bool, name: str = ""
) -> list[Measured]:
    """Each kind beside none; only rows whose name contains what is given."""
    measured = []
    for kind in kinds:
        for row in rows(kind):
            if name not in row.name:
                continue
            sized = row.made_quick() if is_quick else row
            measured.append(measure(sized, rounds * TURNS, partial(beside, kind)))
            print(f"{row.name:<42} cost  {cost_of(measured[-1]):6.2f}", flush=True)
    return measured


def cost_of(item: Measured) -> float:
    """With callers by without, 1 costs nothing: the processor time of a request or what is lost of
    the throughput, whichever is more. What only waits costs no processor time.

    Of each the median over pairs of neighbouring runs: a machine that gets slower or faster from
    one minute to the next does so for both.
    """
    pairs = list(zip(item.ours.runs, item.theirs.runs, strict=True))
    processor = statistics.median(ours.server_ms / theirs.server_ms for ours, theirs in pairs)
    lost = statistics.median(theirs.throughput / ours.throughput for ours, theirs in pairs)
    return max(processor, lost)


def costs_of(item: Measured) -> list[float]:
    """The same of each pair, in order of size."""
    pairs = zip(item.ours.runs, item.theirs.runs, strict=True)
    return sorted(
        max(ours.server_ms / theirs.server_ms, theirs.throughput / ours.throughput)
        for ours, theirs in pairs
    )


def too_dear(measured: Sequence[Measured], tolerance: float) -> list[str]:
    """What costs more than is meant, one line each; below 1, the tolerance lets more pass."""
    judged = {row.name for kind in JUDGED for row in rows(kind)}
    return [
        f"{item.row.name}: costs {cost_of(item):.2f}"
        for item in measured
        if item.row.name in judged and cost_of(item) > COST_MAX / tolerance
    ]
