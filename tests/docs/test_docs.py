"""The docs say what the code is, nothing less and nothing else; and each check is able to fail."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from angos_trio import __version__, limits
from angos_trio.config.known import NOT_BUILT, WITHOUT_EFFECT
from angos_trio.config.parse import parse
from angos_trio.errors import OperatorError
from tests.docs import facts
from tests.docs.pages import (
    REPOSITORY,
    Pages,
    anchor,
    code,
    codes,
    difference,
    examples,
    headings,
    links,
    read_pages,
    rows,
    section,
    tables,
    targets_of_make,
)
from tests.running import running_registry
from tests.skips import leave_out

ACCESS = "docs/access-control.md"
API = "docs/api.md"
WEB = "docs/web-interface.md"
CONFIGURATION = "docs/configuration.md"
OPERATING = "docs/operating.md"
README = "README.md"
CHANGES_PAGE = "CHANGELOG.md"
NOT_SENT = "Not sent by this version"
UNITS = {"": 1, " s": 1, " KiB": 1024, " MiB": 1024**2}
ADDRESS = "127.0.0.1:8000"

Check = Callable[[Pages], list[str]]


def keys(pages: Pages) -> list[str]:
    """Keys of the configuration with type and default."""
    written = rows(pages[CONFIGURATION], "Key", "Type", "Default", "Meaning")
    types, defaults = facts.key_types(), facts.key_defaults()
    return [
        *difference("key", {f"{code(row[0])}: {row[1]}" for row in written}, _joined(types)),
        *difference("key", {f"{code(row[0])}: {row[2]}" for row in written}, _joined(defaults)),
    ]


def _joined(items: dict[str, str]) -> set[str]:
    return {f"{key}: {value}" for key, value in items.items()}


def known_keys(pages: Pages) -> list[str]:
    """Keys of the original that are refused or without effect, with the reason."""
    written = {
        table.heading: {f"{code(key)}: {reason}" for key, reason in table.rows}
        for table in tables(pages[CONFIGURATION])
        if table.head == ("Key", "Reason")
    }
    refused = written.pop("Keys of Angos that are refused", set())
    ignored = written.pop("Keys of Angos without effect", set())
    return [
        *difference("refused key", refused, _joined(dict(NOT_BUILT))),
        *difference("key without effect", ignored, _joined(dict(WITHOUT_EFFECT))),
        *(f"unexpected table of keys below {heading}" for heading in written),
    ]


def configurations(pages: Pages) -> list[str]:
    """Examples are accepted without a remark, and show every key."""
    found = []
    for name, text in pages.items():
        for example in examples(text, "toml"):
            try:
                found += [f"{name}: {remark}" for remark in parse([(name, example)]).remarks]
            except OperatorError as error:
                found.append(f"{name}: {error}")
    shown = "\n".join(examples(pages[CONFIGURATION], "toml"))
    for key in facts.key_types():
        last = key.rpartition(".")[2]
        if not re.search(rf"^{last} = ", shown, re.MULTILINE):
            found.append(f"{CONFIGURATION}: no example of {key}")
    return found


def routes(pages: Pages) -> list[str]:
    """Routes with method, path, action and policy; those with errors of their own have a part."""
    table = rows(pages[API], "Method", "Path", "Action", "Policy", "Success")
    written = {f"{row[0]} {code(row[1])} {code(row[2])} {row[3]}" for row in table}
    parts = {part for part in map(code, headings(pages[API])) if re.match(r"[A-Z]+ /", part)}
    real = facts.routes()
    own = {
        " ".join(route.split()[:2])
        for route in real
        if re.search(r"\{|_catalog|_ext|/token", route)
    }
    return [*difference("route", written, real), *difference("part of a route", parts, own)]


def web_routes(pages: Pages) -> list[str]:
    """Paths of the web interface, with action and policy."""
    table = rows(pages[WEB], "Method", "Path", "Action", "Policy", "Shows")
    written = {f"{row[0]} {code(row[1])} {code(row[2])} {row[3]}" for row in table}
    return difference("route", written, facts.web_routes())


def keys_of_the_start(pages: Pages) -> list[str]:
    """The keys that a reload names and leaves as they are."""
    told = pages[OPERATING].partition("(`reload.needs_restart`):")[2].partition("\n\n")[0]
    return difference("key of the start", set(codes(told)), facts.keys_of_the_start())


def errors(pages: Pages) -> list[str]:
    """Codes with statuses: the table, and what routes send."""
    table = rows(pages[API], "Code", "Status", "When")
    allowed = {f"{code(row[0])} {row[1]}" for row in table}
    sent = {f"{code(row[0])} {row[1]}" for row in table if not row[2].startswith(NOT_SENT)}
    by_routes = {f"{code(row[1])} {row[0]}" for row in rows(pages[API], "Status", "Code", "When")}
    return [
        *difference("error", allowed, facts.error_pairs()),
        *difference("error that is sent", sent, facts.sent_pairs()),
        *difference("error of a route", by_routes, facts.sent_pairs()),
    ]


def metrics(pages: Pages) -> list[str]:
    """Metrics with type and labels."""
    table = rows(pages[API], "Metric", "Type", "Labels", "Meaning")
    written = {
        f"{code(name)} {kind} {', '.join(codes(labels)) or labels}"
        for name, kind, labels, _ in table
    }
    return difference("metric", written, facts.metrics())


def identity_facts(pages: Pages) -> list[str]:
    """What rules see of a caller, and of a certificate."""
    written = set()
    for cell, text in rows(pages[ACCESS], "Variable", "What it is"):
        for name in codes(cell):
            kind, _, field = name.partition(".")
            if kind == "identity":
                written.add(field)
            if field == "certificate":
                written |= {f"certificate.{shown}" for shown in codes(text)}
    return difference("fact", written, facts.identity_facts())


def webhook_headers(pages: Pages) -> list[str]:
    """The headers of a question to an authorization webhook."""
    table = rows(pages[ACCESS], "Header", "What it says")
    written = {name for cell, _ in table for name in codes(cell) if name.startswith("X-")}
    return difference("header", written, facts.webhook_headers())


def bounds(pages: Pages) -> list[str]:
    """Limits have the value of their constant."""
    found = []
    constants: dict[str, object] = {}
    for module in pkgutil.iter_modules(limits.__path__, f"{limits.__name__}."):
        constants |= vars(importlib.import_module(module.name))
    for what, value, _, name in rows(pages[API], "Limit", "Value", "What happens", "Name"):
        match = re.fullmatch(r"([0-9,]+)( s| KiB| MiB|)", value)
        real = constants.get(code(name))
        if match is None or int(match[1].replace(",", "")) * UNITS[match[2]] != real:
            found.append(f"limit: {what} is {value} in the docs and {code(name)} = {real}")
    return found


def log_events(pages: Pages) -> list[str]:
    """Log events with level, room and fields."""
    table = rows(pages[OPERATING], "Event", "Level", "Room", "Fields", "Meaning")
    written = {
        f"{code(event)} {level} {code(room)} {fields}" for event, level, room, fields, _ in table
    }
    return difference("log event", written, facts.log_events())


def options(pages: Pages) -> list[str]:
    """Commands and options."""
    table = rows(pages[OPERATING], "Command", "Option", "Meaning")
    written = {f"{code(command)}: {spelled}" for command, spelled, _ in table}
    return difference("option", written, facts.options())


def version(pages: Pages) -> list[str]:
    """The version that README and the changes speak of."""
    return [
        f"{name}: not of version {__version__}"
        for name, words in (
            (README, f"Version {__version__} "),
            (CHANGES_PAGE, f"## {__version__}"),
        )
        if words not in pages[name]
    ]


def references(pages: Pages) -> list[str]:
    """Links lead to a page and a heading that are there; `make` is asked for what it has."""
    found = []
    for name, text in pages.items():
        for link in links(text):
            path, _, part = link.partition("#")
            target = (REPOSITORY / name).parent / path if path else REPOSITORY / name
            if not target.exists():
                found.append(f"{name}: no page {link}")
            elif part and part not in map(anchor, headings(_text_of(pages, target))):
                found.append(f"{name}: no heading {link}")
        found += [
            f"{name}: no target: make {target}"
            for target in targets_of_make(text)
            if target not in facts.make_targets()
        ]
    return found


def _text_of(pages: Pages, target: Path) -> str:
    return pages.get(target.resolve().relative_to(REPOSITORY).as_posix(), "")


CHECKS: tuple[Check, ...] = (
    keys,
    known_keys,
    configurations,
    routes,
    web_routes,
    errors,
    keys_of_the_start,
    metrics,
    identity_facts,
    webhook_headers,
    bounds,
    log_events,
    options,
    references,
    version,
)


@pytest.fixture(scope="module")
def pages() -> Pages:
    return read_pages()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_docs_and_code_agree(check: Check, pages: Pages) -> None:
    found = check(pages)

    assert not found, "\n".join(["", *found])


# A check, a page, and a change of that page that must be found: first what is missing from the
# docs, then what is stale there.
CHANGES: tuple[tuple[Check, str, str, str], ...] = (
    (keys, CONFIGURATION, "| `server.port` |", "| `server.ports` |"),
    (keys_of_the_start, OPERATING, "`global.min_free_space`, ", ""),
    (keys, CONFIGURATION, "| `8000` |", "| `8001` |"),
    (keys, CONFIGURATION, "| integer, 0 to 65535 |", "| integer, 1 to 65535 |"),
    (keys, CONFIGURATION, '| `"allow"` or `"deny"` |', '| `"allow"` |'),
    (keys, CONFIGURATION, "| `repository.*.immutable_tags` |", "| `repository.immutable_tags` |"),
    (keys, CONFIGURATION, "| secret | – | The argon2id", "| text | – | The argon2id"),
    (keys, CONFIGURATION, "| `auth.oidc.*.issuer` |", "| `auth.oidc.issuer` |"),
    (keys, CONFIGURATION, "| list of paths |", "| list of texts |"),
    (known_keys, CONFIGURATION, "| `cache` | there is", "| `cache` | there was"),
    (known_keys, CONFIGURATION, "| `observability.tracing` |", "| `tracing` |"),
    (known_keys, CONFIGURATION, "## Keys of Angos without effect", "## Without effect"),
    (configurations, CONFIGURATION, "stall_timeout = 120", "stall = 120"),
    (configurations, CONFIGURATION, "stall_timeout = 120\n", ""),
    (configurations, "docs/quick-start.md", "port = 8000", 'port = "8000"'),
    (configurations, "docs/quick-start.md", "port = 8000", "port = 8000\nquery_timeout = 1"),
    (routes, API, "| GET | `/healthz` |", "| GET | `/health2` |"),
    (routes, API, "`healthz` | outside", "`readyz` | outside"),
    (routes, API, "| PATCH |", "| POST |"),
    (routes, API, "`metrics` | asked", "`metrics` | outside"),
    (routes, API, "### `GET /v2/_catalog`", "### `GET /v2/_catalogue`"),
    (routes, API, "`create-api-key` | operator", "`create-api-key` | asked"),
    (routes, API, "### `POST /v2/_ext/_keys`", "### Making a key"),
    (routes, API, "### `POST /token`", "### A form"),
    (web_routes, WEB, "| `ui-config` | asked |", "| `ui-config` | outside |"),
    (web_routes, WEB, "| GET | `/{name}` |", "| GET | `/{names}` |"),
    (errors, API, "| `TAG_INVALID` | 400 |", "| `TAG_INVALID` | 404 |"),
    (errors, API, "| `UNKNOWN` | 500 |", "| `UNKNOWN_ERROR` | 500 |"),
    (errors, API, NOT_SENT, "Sent"),
    (errors, API, "| The caller has too many", f"| {NOT_SENT}: the caller has too many"),
    (errors, API, "| 429 | `TOOMANYREQUESTS`", "| 428 | `TOOMANYREQUESTS`"),
    (metrics, API, "| `storage_writable` | gauge", "| `storage_writeable` | gauge"),
    (metrics, API, "| `http_requests_total` | counter", "| `http_requests_total` | gauge"),
    (metrics, API, "| `method`, `route`, `status` |", "| `method`, `status` |"),
    (metrics, API, "| `service_up` | gauge | `service` |", "| `service_up` | gauge | – |"),
    (identity_facts, ACCESS, "| `identity.id` |", "| `identity.name` |"),
    (identity_facts, ACCESS, "`fingerprint` (SHA-256)", "`thumbprint` (SHA-256)"),
    (webhook_headers, ACCESS, "`X-Registry-Digest`", "`X-Registry-Digests`"),
    (webhook_headers, ACCESS, ", `X-Forwarded-Uri`", ""),
    (bounds, API, "| 64 KiB | 431", "| 32 KiB | 431"),
    (bounds, API, "| `PAGE_ENTRIES_MAX` |", "| `PAGE_MAX` |"),
    (log_events, OPERATING, "| `stopped` | info", "| `ended` | info"),
    (log_events, OPERATING, "| `access.denied` | warning", "| `access.denied` | info"),
    (log_events, OPERATING, "`duration_ms`, ", ""),
    (log_events, OPERATING, "| `registry.pull` |", "| `pull` |"),
    (options, OPERATING, "| `angos-trio check` | `--data-dir DIR` |", "| `angos-trio check` | – |"),
    (options, OPERATING, "`--listen HOST:PORT`", "`--bind HOST:PORT`"),
    (options, OPERATING, "| `angos-trio token revoke` | `ID_OR_NAME` |", "| `angos-trio` | `ID` |"),
    (version, README, f"Version {__version__}", "Version 9.9.9"),
    (version, CHANGES_PAGE, f"## {__version__}", "## 9.9.9"),
    (references, README, "(docs/api.md)", "(docs/apis.md)"),
    (references, README, "    make test", "    make tests"),
    (references, "CONTRIBUTING.md", "`make format`", "`make pretty`"),
    (references, "docs/glossary.md", "(api.md#routes)", "(api.md#route)"),
)


@pytest.mark.parametrize(("check", "name", "old", "new"), CHANGES)
def test_change_of_the_docs_is_found(
    check: Check, name: str, old: str, new: str, pages: Pages
) -> None:
    assert old in pages[name]

    changed = {**pages, name: pages[name].replace(old, new, 1)}

    assert set(check(changed)) - set(check(pages))


def test_missing_table_is_an_error(pages: Pages) -> None:
    with pytest.raises(LookupError):
        metrics({**pages, API: "# API\n"})


def test_torn_row_is_an_error(pages: Pages) -> None:
    torn = pages[API].replace(
        "| `storage_writable` | gauge | – |", "| `storage_writable` | gauge |"
    )

    with pytest.raises(LookupError):
        metrics({**pages, API: torn})


def test_errors_are_read_from_the_code() -> None:
    text = (
        "raise OciError(Code.TAG_INVALID, detail=tag)\n"
        "raise OciError(Code.DENIED, status=405)\n"
        "super().__init__(Code.UNAVAILABLE, status=503)\n"
        "query.one('n', Code.DIGEST_INVALID)\n"
        "TABLE[Code.UNKNOWN]\n"
    )

    assert set(facts.pairs_of(ast.parse(text))) == {
        "TAG_INVALID 400",
        "DENIED 405",
        "UNAVAILABLE 503",
        "DIGEST_INVALID 400",
    }


def test_log_events_are_read_from_the_code() -> None:
    text = (
        "_log = logger('room')\n"
        "_log.info('begun', secs=1, name=name)\n"
        "log.logger('room').exception('crashed')\n"
        "self.error(code)\n"
    )

    assert set(facts.events_of(ast.parse(text))) == {
        "begun info room `secs`, `name`",
        "crashed error room –",
    }


def commands(text: str) -> Iterator[str]:
    for example in examples(text, "sh"):
        yield from example.strip().splitlines()


@pytest.mark.slow
def test_readme_push_and_pull_work_as_typed(pages: Pages) -> None:
    if shutil.which("skopeo") is None:
        leave_out("skopeo is not installed")
    typed = "\n".join(commands(section(pages[README], "A push and a pull")))
    assert ADDRESS in typed

    with running_registry() as registry:
        script = "set -e\n" + typed.replace(ADDRESS, registry.address)
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("the same bytes came back\n")
