"""Every route and method, for every kind of caller, under every kind of policy.

What is expected comes from a model in Python beside the CEL of the policies, and from the table of
routes itself, so that a route that is added is in the matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from angos_trio.api.context import Runtime
from angos_trio.api.routes import build_routes
from angos_trio.auth.passwords import hash_password
from angos_trio.http.routing import Admission, Operation
from angos_trio.telemetry.metrics import Metrics
from angos_trio.web.frame import Site
from angos_trio.web.routes import build_pages
from tests.api.serving import ServedRegistry, serving

PASSWORD = "correct horse"
READS = frozenset({"get-blob", "get-manifest", "list-tags", "get-referrers"})
OF_REGISTRY = frozenset({"get-api-version", "list-catalog"})
USERS = ("reader", "writer", "other", "admin")
CALLERS = ("anonymous", "wrong", *USERS)
NAMESPACE = "team/app"
VALUES = {
    "name": NAMESPACE,
    "digest": "sha256:" + "0" * 64,
    "reference": "latest",
    "session": "01234567-89ab-4cde-8f01-23456789abcd",
    "repository": "elsewhere",
    "file": "app.css",
    "unknown": "A",
    "id": "1",
}
READ_LIST = str(sorted(READS)).replace('"', "'")
OF_TEAM = "has(request.namespace) && request.namespace.startsWith('team/')"
RULES_OF_DENY = [
    "identity.username == 'admin'",
    "identity.username != null && request.action in ['get-api-version', 'list-catalog']",
    f"identity.username == 'writer' && {OF_TEAM}",
    f"identity.username == 'reader' && {OF_TEAM} && request.action in {READ_LIST}",
]
RULES_OF_ALLOW = [
    "identity.username == null",
    f"identity.username == 'other' && {OF_TEAM}",
    f"identity.username == 'reader' && {OF_TEAM} && !(request.action in {READ_LIST})",
    "identity.username != 'admin' && request.action == 'metrics'",
]
POLICIES: Mapping[str, Mapping[str, Any]] = {
    "no policy": {},
    "deny": {"global_": {"access_policy": {"default": "deny", "rules": RULES_OF_DENY}}},
    "allow": {"global_": {"access_policy": {"default": "allow", "rules": RULES_OF_ALLOW}}},
    "of the repository": {
        "repository": {
            "team": {"access_policy": {"default": "deny", "rules": [
                "identity.username in ['admin', 'writer']",
                f"identity.username == 'reader' && request.action in {READ_LIST}",
            ]}}
        }
    },
}  # fmt: skip


Asked = tuple[str, str, Operation]
ATTEMPTS = 20
"""Wrong passwords from one address."""
TIMEOUT_SECS = 60.0
"""Wrong passwords wait for each other."""


def may(policy: str, caller: str, action: str, *, is_of_team: bool) -> bool:
    """The model: what each policy means for each caller."""
    if caller in ("anonymous", "wrong"):
        return False
    if caller == "admin":
        return True
    if is_of_team:
        may_in_team = {"writer": True, "reader": action in READS, "other": False}[caller]
        return may_in_team or policy == "no policy"
    if policy == "deny":
        return action in OF_REGISTRY
    return policy != "allow" or action != "metrics"


def operations() -> list[Asked]:
    """Every method of every route, HEAD beside each GET."""
    table = build_routes(Runtime(cast(Any, None), Metrics(), *[cast(Any, None)] * 3))
    fixed, pages = build_pages(cast(Any, None), Site("", lambda request: None))
    found = []
    for route in (*table.routes, *fixed, *pages.routes):
        methods = dict(route.operations)
        if "GET" in methods:
            methods.setdefault("HEAD", methods["GET"])
        found += [(method, route.template, operation) for method, operation in methods.items()]
    return found


@pytest.fixture(scope="module", params=POLICIES)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, ServedRegistry]]:
    hashed = hash_password(PASSWORD)
    users = {name: {"username": name, "password": hashed} for name in USERS}
    root: Path = tmp_path_factory.mktemp("matrix")
    with serving(root, auth={"identity": users}, **POLICIES[request.param]) as served:
        yield request.param, served


def credentials(caller: str, number: int) -> tuple[str, str] | None:
    """What is shown; a wrong password some times, then names that nobody has, as attempts count."""
    if caller == "anonymous":
        return None
    if caller in USERS:
        return caller, PASSWORD
    return ("reader" if number < 5 else f"nobody-{number}"), f"not {PASSWORD}"


@pytest.mark.slow
def test_matrix(served: tuple[str, ServedRegistry]) -> None:
    policy, registry = served
    wrong = []
    for first, some in enumerate(batched(operations(), ATTEMPTS)):
        # Wrong attempts count by address too: each few come from one of their own.
        transport = httpx.HTTPTransport(local_address=f"127.0.0.{first + 2}")
        with httpx.Client(
            base_url=registry.url, trust_env=False, timeout=TIMEOUT_SECS, transport=transport
        ) as client:
            for caller in CALLERS:
                for number, (method, template, operation) in enumerate(some, first * ATTEMPTS):
                    path = template.format(**VALUES)
                    shown = credentials(caller, number)
                    status = client.request(method, path, auth=shown).status_code
                    expected = expect(policy, caller, template, operation)
                    if not fits(status, expected):
                        wrong.append(
                            f"{policy}, {caller}: {method} {path}: {status}, not {expected}"
                        )
    assert wrong == []


def batched(items: list[Asked], size: int) -> list[list[Asked]]:
    """So many of them at a time."""
    return [items[first : first + size] for first in range(0, len(items), size)]


def expect(policy: str, caller: str, template: str, operation: Operation) -> str:
    """`passed`, `401` or `403`."""
    if operation.admission in (Admission.PUBLIC, Admission.OPTIONAL):
        return "passed"
    if caller == "wrong":
        return "401"
    if operation.admission is Admission.IDENTITY:
        return "passed"
    if may(policy, caller, operation.action, is_of_team="{name}" in template):
        return "passed"
    return "401" if caller == "anonymous" else "403"


def fits(status: int, expected: str) -> bool:
    return (
        status not in (401, 403) and status < 500
        if expected == "passed"
        else str(status) == expected
    )
