"""The JSON Schema says what types say, and takes every example of the docs."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.config.known import NOT_BUILT, WITHOUT_EFFECT
from angos_trio.config.model import ALGORITHMS, Secret
from angos_trio.config.parse import parse
from angos_trio.config.schema import DIALECT, json_schema
from angos_trio.config.tables import keys_with_defaults
from angos_trio.errors import OperatorError
from tests.config.documents import ARGON2ID
from tests.config.refusals import value_or_refusal
from tests.config.test_parse import EVERYTHING, toml_lines
from tests.docs.pages import examples, read_pages
from tests.oci.strategies import QUICK

SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
HERE = Path(__file__).parent


def mistakes(text: str) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(tomllib.loads(text))]


def test_schema_is_one_of_its_dialect() -> None:
    assert SCHEMA["$schema"] == DIALECT == VALIDATOR.META_SCHEMA["$id"]
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_documented_example_is_valid() -> None:
    found = [
        f"{name}: {mistake}"
        for name, text in read_pages().items()
        for example in examples(text, "toml")
        for mistake in mistakes(example)
    ]

    assert found == []


def test_configuration_with_everything_is_valid() -> None:
    assert mistakes(EVERYTHING) == []


def test_configuration_of_the_original_is_valid() -> None:
    assert mistakes((HERE / "angos.toml").read_text(encoding="utf-8")) == []


def test_each_unsupported_section_of_the_original_is_a_mistake() -> None:
    text = (HERE / "angos-unsupported.toml").read_text(encoding="utf-8")

    assert len(mistakes(text)) == len(NOT_BUILT)


def test_empty_configuration_is_valid() -> None:
    assert mistakes("") == []


@pytest.mark.parametrize(
    "text",
    [
        "servr = 1",
        "server = 5",
        "server = []",
        "server.prt = 1",
        "server.port = '8000'",
        "server.port = -1",
        "server.port = 65536",
        "server.port = 1.5",
        "server.tls = {}",
        "server.tls.server_private_key = 'a'",
        "server.tls = { server_certificate_bundle = '', server_private_key = 'a' }",
        "global.max_blob_size = '5 apples'",
        "global.max_blob_size = -1",
        "global.max_blob_size = true",
        "global.trusted_proxies = 'a'",
        "global.access_policy.default = 'maybe'",
        "global.access_policy.rule = []",
        "global.event_webhooks = 'a'",
        "event_webhook.a = { url = 'https://a.test', policy = 'async' }",
        "event_webhook.a = { url = 'https://a.test', policy = 'sync', events = ['tag.create'] }",
        "event_webhook.a = { url = 'https://a.test', policy = 'async', events = ['tag.made'] }",
        "auth.identity.a = {}",
        f"auth.identity.a = {{ username = 'a', password = '{ARGON2ID}', admin = true }}",
        "auth.identity.a = { username = 'a', password = 5 }",
        "auth.oidc.a.provider = 'gitlab'",
        "auth.oidc.a.allowed_algorithms = ['none']",
        "auth.oidc.a.allowed_algorithms = ['HS256']",
        "auth.token_service.ttl_secs = 1",
        "auth.webhook.a.url = 'https://a.test'",
        "repository.a.immutable_tag = true",
        "repository.a.upstream = [{ url = 5 }]",
        "repository.a.upstream = [{ uri = 'https://a.test' }]",
        "repository.a.upstream = { url = 'https://a.test' }",
        "repository.a.tag_check_interval = 'sometimes'",
        "observability.log_level = 'trace'",
        "cache.redis.url = 'a'",
    ],
)
def test_mistake_is_found(text: str) -> None:
    assert mistakes(text)


def test_schema_has_every_key_with_its_default() -> None:
    found = dict(keys_of(SCHEMA["$defs"]["Config"], ""))
    known = dict(keys_with_defaults())
    ours = {path: schema for path, schema in found.items() if path in known}

    assert ours.keys() == known.keys()
    assert found.keys() - known.keys() <= {*NOT_BUILT, *WITHOUT_EFFECT}
    for path, schema in ours.items():
        if isinstance(known[path], bool | int | str):
            assert schema["default"] == known[path]


def keys_of(schema: dict[str, Any], above: str) -> Any:
    """Every key that a schema knows, with what it says of it."""
    for name, said in schema.get("properties", {}).items():
        path = f"{above}{name}"
        yield path, said
        yield from keys_of(resolved(said), f"{path}.")
        yield from keys_of(resolved(said.get("items", {})), f"{path}.")
        named = said.get("additionalProperties")
        if isinstance(named, dict):
            yield from keys_of(resolved(named), f"{path}.*.")


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    found = schema if reference is None else SCHEMA["$defs"][reference.rpartition("/")[2]]
    return {} if found.get("title") == "Empty" else found


def test_no_table_takes_keys_that_do_not_exist() -> None:
    for name, table in SCHEMA["$defs"].items():
        assert name == "Empty" or table["additionalProperties"] is False


def test_secrets_are_marked_and_algorithms_listed() -> None:
    tables = SCHEMA["$defs"]

    assert tables["TokenService"]["properties"]["secret_key"] == {
        "type": "string",
        "writeOnly": True,
    }
    listed = tables["Oidc"]["properties"]["allowed_algorithms"]["items"]["enum"]
    assert tuple(listed) == ALGORITHMS


def test_each_key_says_what_its_value_is() -> None:
    saying = {"type", "enum", "anyOf", "$ref", "const"}
    for name, table in SCHEMA["$defs"].items():
        for key, schema in table.get("properties", {}).items():
            assert saying & schema.keys() or "deprecated" in schema, f"{name}.{key}"


def test_type_that_says_nothing_of_its_values_has_no_schema() -> None:
    """So a key that holds a bare `Secret`, not `SecretText`, fails every test of this file."""

    class Table(msgspec.Struct):
        key: Secret

    with pytest.raises(TypeError, match="custom type"):
        msgspec.json.schema(Table)


def test_nothing_in_it_may_be_null() -> None:
    assert "null" not in str(SCHEMA).replace("!= null", "")
    assert "None" not in str(SCHEMA)


@QUICK
@given(st.lists(toml_lines(), max_size=3).map("\n".join))
def test_what_the_registry_takes_is_valid(text: str) -> None:
    if not isinstance(value_or_refusal(lambda: parse([("angos.toml", text)])), OperatorError):
        assert mistakes(text) == []
