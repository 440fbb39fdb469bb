"""What the code is, in the words in which the docs must put it."""

from __future__ import annotations

import argparse
import ast
import functools
import re
from collections.abc import Iterator
from typing import Any, Final, cast

import msgspec
from msgspec import inspect

from angos_trio.api.context import Runtime
from angos_trio.api.routes import build_operator_routes, build_routes
from angos_trio.auth import access, webhook
from angos_trio.cli import main as cli
from angos_trio.config.model import Config, Secret
from angos_trio.config.tables import keys_with_defaults
from angos_trio.http.routing import Admission, Route
from angos_trio.identity import Action, Approach, Identity, Target
from angos_trio.oci.codes import TABLE, Code
from angos_trio.telemetry.metrics import Metrics, StorageGauges
from angos_trio.web.frame import Site
from angos_trio.web.routes import build_pages
from tests.docs.pages import REPOSITORY
from tests.factories import make_certificate

NONE: Final = "–"
_LEVELS: Final = {
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "error": "error",
    "exception": "error",
}


def key_types() -> dict[str, str]:
    """Every key of the configuration that is no table, with its type."""
    return dict(_key_types(inspect.type_info(Config), ""))


def keys_of_the_start() -> set[str]:
    """Every key, or table, that a reload does not change, or neither adds nor takes away."""
    return set(_marked(inspect.type_info(Config), ""))


def _marked(kind: inspect.Type, path: str) -> Iterator[str]:
    if _has_mark(kind, "at_start") or _has_mark(kind, "presence_at_start"):
        yield path
        return
    kind = _bare(kind)
    if isinstance(kind, inspect.StructType):
        for field in kind.fields:
            yield from _marked(field.type, f"{path}.{field.encode_name}".lstrip("."))
    elif isinstance(kind, inspect.DictType):
        yield from _marked(kind.value_type, f"{path}.*")


def _key_types(kind: inspect.Type, path: str) -> Iterator[tuple[str, str]]:
    bare = _bare(kind)
    if isinstance(bare, inspect.StructType):
        for field in bare.fields:
            yield from _key_types(field.type, f"{path}.{field.encode_name}".lstrip("."))
    elif isinstance(bare, inspect.DictType):
        yield from _key_types(bare.value_type, f"{path}.*")
    elif isinstance(bare, inspect.VarTupleType) and isinstance(bare.item_type, inspect.StructType):
        yield from _key_types(bare.item_type, path)
    else:
        yield path, _type_text(kind)


def _bare(kind: inspect.Type) -> inspect.Type:
    """Without our own marks, and without None."""
    if isinstance(kind, inspect.Metadata):
        return _bare(kind.type)
    if not isinstance(kind, inspect.UnionType):
        return kind
    kept = tuple(_bare(item) for item in kind.types if not isinstance(item, inspect.NoneType))
    return kept[0] if len(kept) == 1 else inspect.UnionType(kept)


def _has_mark(kind: inspect.Type, mark: str) -> bool:
    if isinstance(kind, inspect.Metadata):
        return mark in (kind.extra or {}) or _has_mark(kind.type, mark)
    return isinstance(kind, inspect.UnionType) and any(_has_mark(item, mark) for item in kind.types)


def _type_text(kind: inspect.Type) -> str:
    if _has_mark(kind, "is_path"):
        return "path"
    match _bare(kind):
        case inspect.BoolType():
            return "boolean"
        case inspect.IntType(ge=int(least), le=int(most)):
            return f"integer, {least} to {most}"
        case inspect.StrType():
            return "text"
        case inspect.CustomType(cls=cls) if cls is Secret:
            return "secret"
        case inspect.VarTupleType(item_type=item):
            # What each may be stands in words: there are too many for a type.
            text = _type_text(item)
            return "list of texts" if text.startswith("`") else f"list of {text}s"
        case inspect.UnionType(types=(inspect.IntType(), inspect.StrType())):
            return "size"
        case inspect.UnionType(types=(inspect.IntType() as number, inspect.LiteralType() as word)):
            return f"{_type_text(number)}, {_type_text(word)}"
        case inspect.LiteralType(values=values):
            *others, last = (f'`"{value}"`' for value in values)
            return f"{', '.join(others)} or {last}".strip()
    raise TypeError(f"the docs have no words for {kind}")


def key_defaults() -> dict[str, str]:
    """Every key of the configuration that is no table, with its default as TOML."""
    listed = dict(keys_with_defaults())
    tables = {path for path in listed if any(other.startswith(f"{path}.") for other in listed)}
    return {path: _toml(value) for path, value in listed.items() if path not in tables}


def _toml(value: object) -> str:
    if value is None or value is msgspec.NODEFAULT:
        return NONE
    text = msgspec.json.encode(value).decode()
    return f"`{text}`"


_ADMISSIONS: Final = {
    Admission.POLICY: "asked",
    Admission.IDENTITY: "outside",
    Admission.OPTIONAL: "outside",
    Admission.PUBLIC: "outside",
}


@functools.cache
def routes() -> set[str]:
    """Every operation: method, path, action, and whether the policy is asked; or that only the
    operator has it."""
    runtime = Runtime(cast(Any, None), Metrics(), *[cast(Any, None)] * 3)
    everybodys = {route.template for route in build_routes(runtime).routes}
    found = set()
    for route in build_operator_routes(runtime, set, cast(Any, None)).routes:
        for method, operation in route.operations.items():
            is_everybodys = route.template in everybodys
            policy = _ADMISSIONS[operation.admission] if is_everybodys else "operator"
            found.add(f"{method} {route.template} {operation.action} {policy}")
    return found


def web_routes() -> set[str]:
    """The same of the web interface."""
    return {
        f"{method} {route.template} {operation.action} {_ADMISSIONS[operation.admission]}"
        for route in pages_routes()
        for method, operation in route.operations.items()
    }


def pages_routes() -> list[Route]:
    """Every route of the web interface."""
    fixed, pages = build_pages(cast(Any, None), Site("", lambda request: None))
    return [*fixed, *pages.routes]


def error_pairs() -> set[str]:
    """Every code with every status that the table allows."""
    return {f"{name} {status}" for name, row in TABLE.items() for status in row.statuses}


@functools.cache
def sent_pairs() -> set[str]:
    """Every code with every status that the code names where it raises."""
    return {pair for tree in _trees().values() for pair in pairs_of(tree)}


def pairs_of(tree: ast.AST) -> Iterator[str]:
    """The pairs of one file. A code that is handed on, to a reader of a query, is sent with 400."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        for name in map(_code_named, node.args):
            if name is not None:
                yield f"{name} {_status_of(node, name)}"


def _code_named(node: ast.expr) -> str | None:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.attr if node.value.id == "Code" else None
    return None


def _status_of(call: ast.Call, name: str) -> int:
    for keyword in call.keywords:
        if keyword.arg == "status" and isinstance(keyword.value, ast.Constant):
            return cast(int, keyword.value.value)
    raises = _last_name(call.func) in ("OciError", "__init__")
    return TABLE[Code(name)].statuses[0] if raises else 400


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


@functools.cache
def metrics() -> set[str]:
    """Name, type and labels of all that a scrape shows."""
    metrics = Metrics()
    metrics.watch_storage(StorageGauges(*[lambda: 1] * 8))
    metrics.watch_services(lambda: {"worker-1": True})
    metrics.scrub_finds("blob_corrupt")
    metrics.retention_deletes("tag", 1)
    metrics.request_begins()
    metrics.request_ends("GET", "get-blob", 200, 1.0)
    metrics.collected(1, 1, 1, 1)
    metrics.upstreams.pulled_through("hub", "blob", 1)
    metrics.upstreams.upstream_failed("hub")
    metrics.upstreams.served_stale("hub")
    metrics.webhooks.sent("lab", "tag.create", "taken", 0.1)
    metrics.webhooks.missed("lab")
    metrics.watch_jobs(lambda: {"webhook.lab": (1, 1)})
    text = metrics.exposition().decode()
    return {
        f"{name} {kind} {', '.join(_labels_of(text, name)) or NONE}"
        for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    }


_CERTIFICATE: Final = make_certificate(common_names=("edge",), organizations=("Edge",))
_CALLERS: Final = (
    Identity("basic", "", "alice", "192.0.2.7", id="alice", certificate=_CERTIFICATE),
    Identity("oidc", "ci", "job", "192.0.2.7"),
)


def identity_facts() -> set[str]:
    """Every field of `identity` that rules see, and every field of a certificate."""
    certificate = access.certificate_facts(_CERTIFICATE)
    fields = access.identity_facts(_CALLERS[0])
    return {*fields, *(f"certificate.{name}" for name in certificate)}


def webhook_headers() -> set[str]:
    """Every header that an authorization webhook is sent, besides those of the configuration."""
    settings = webhook.WebhookSettings("asker", "https://asker.example.test/")
    target = Target("app", {"reference": "1", "digest": "sha256:0"})
    return {
        name
        for caller in _CALLERS
        for name, _ in webhook.headers_of(
            access.Question(Approach(host="h"), caller, Action.PUT_MANIFEST, target), settings
        )
    }


def _labels_of(text: str, name: str) -> list[str]:
    found = re.search(rf"^{name}(?:_bucket)?(?:\{{(.*)\}})? ", text, re.MULTILINE)
    if found is None:
        raise LookupError(f"no sample of {name}")
    return [label for label in re.findall(r"(\w+)=", found[1] or "") if label != "le"]


@functools.cache
def log_events() -> set[str]:
    """Event, level, room and fields of every line that the code logs."""
    return {event for tree in _trees().values() for event in events_of(tree)}


def events_of(tree: ast.AST) -> Iterator[str]:
    """The events of one file, which names one room."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    named = [(call, _last_name(call.func), _text(call.args[0])) for call in calls]
    rooms = {text for _, name, text in named if name == "logger" and text}
    for call, name, text in named:
        if name in _LEVELS and text is not None:
            (room,) = rooms
            fields = ", ".join(f"`{keyword.arg}`" for keyword in call.keywords) or NONE
            yield f"{text} {_LEVELS[name]} {room} {fields}"


def _text(node: ast.expr) -> str | None:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return cast(str, cast(ast.Constant, node).value) if is_text else None


@functools.cache
def _trees() -> dict[str, ast.Module]:
    package = REPOSITORY / "angos_trio"
    return {
        path.relative_to(package).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(package.rglob("*.py"))
    }


def options() -> set[str]:
    """Every option and argument of every command, as the docs write it."""
    return set(_options(cli._parser(), "angos-trio"))


def _options(parser: argparse.ArgumentParser, command: str) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from _options(below, f"{command} {name}")
        else:
            argument = f" {action.metavar}" if action.metavar else ""
            spelled = ", ".join(f"`{option}{argument}`" for option in action.option_strings)
            spelled = spelled or f"`{action.metavar}`"
            yield f"{command}: {spelled}"


@functools.cache
def make_targets() -> set[str]:
    """Every target of the Makefile that prints itself."""
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z0-9.-]*):.*## ", text, re.MULTILINE))
