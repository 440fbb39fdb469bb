"""The configuration as a JSON Schema (draft 2020-12), for editors and for checks beforehand.

It says what types say. What `checks` looks at besides is in no schema: a document that is valid may
still be refused.
"""

from __future__ import annotations

from typing import Any

import msgspec

from angos_trio.config.known import NOT_BUILT, WITHOUT_EFFECT
from angos_trio.config.model import Config
from angos_trio.config.tables import table_at

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_EMPTY = "Empty"
_NULL = {"type": "null"}


def json_schema() -> Schema:
    """The schema of a whole configuration. It refuses keys that do not exist, and takes those of
    the original as the registry does: some without effect, some only if they are empty."""
    (top,), tables = msgspec.json.schema_components([Config], ref_template="#/$defs/{name}")
    definitions: Schema = {name: _without_null(table) for name, table in tables.items()}
    for pattern, why in NOT_BUILT.items():
        _add(definitions, pattern, {"$ref": f"#/$defs/{_EMPTY}", "description": f"Refused: {why}"})
    for pattern, why in WITHOUT_EFFECT.items():
        _add(definitions, pattern, {"deprecated": True, "description": f"No effect: {why}"})
    definitions[_EMPTY] = {
        "title": _EMPTY,
        "description": "Nothing at all: a list, a text or a table with nothing in it.",
        "anyOf": [
            {"enum": [[], ""]},
            {"type": "object", "additionalProperties": {"$ref": f"#/$defs/{_EMPTY}"}},
        ],
    }
    schema = {"$schema": DIALECT, **top, "$defs": dict(sorted(definitions.items()))}
    plain: Schema = msgspec.json.decode(msgspec.json.encode(schema))
    return plain


def _without_null(schema: Schema) -> Schema:
    """The same without null, which TOML does not have: what may be null is absent instead. What a
    default would fill in as a whole table is said by that table."""
    kept = {key: value for key, value in schema.items() if key != "anyOf"}
    if kept.get("default", "") is None or isinstance(kept.get("default"), dict):
        del kept["default"]
    if "description" in kept:
        kept["description"] = " ".join(kept["description"].split())
    if "properties" in kept:
        kept["properties"] = {
            name: _without_null(below) for name, below in kept["properties"].items()
        }
    choices = [_without_null(item) for item in schema.get("anyOf", ()) if item != _NULL]
    if len(choices) == 1:
        return {**choices[0], **kept}
    return {**kept, "anyOf": choices} if choices else kept


def _add(definitions: Schema, pattern: str, schema: Schema) -> None:
    """Put a key of the original into the table that holds it; a key without such a table stands in
    one that is taken or refused as a whole."""
    *above, name = pattern.split(".")
    table = table_at(tuple(above))
    if table is not None:
        definitions[table.__name__]["properties"][name] = schema
