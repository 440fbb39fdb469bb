"""Parts of which the description of the API is made: schemas, parameters, headers, and what one
operation takes and answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from angos_trio.oci.roles import Role

Schema = dict[str, Any]

JSON: Final = "application/json"
HTML: Final = "text/html"
LINES: Final = "application/x-ndjson"
FORM: Final = "application/x-www-form-urlencoded"
BYTES: Final = "application/octet-stream"
TEXT: Final = "text/plain"

_COMPONENT: Final = r"[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*"
_DIGEST: Final = "sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}"
_TAG: Final = "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"
_UUID: Final = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

STRING: Final[Schema] = {"type": "string"}
INTEGER: Final[Schema] = {"type": "integer"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
BOOLEAN: Final[Schema] = {"type": "boolean"}
EPOCH: Final[Schema] = {"type": "integer", "description": "Seconds since 1970."}
ISO: Final[Schema] = {"type": ["string", "null"], "format": "date-time"}
NAME: Final[Schema] = {
    "type": "string",
    "pattern": f"^{_COMPONENT}(/{_COMPONENT})*$",
    "maxLength": 255,
}
DIGEST: Final[Schema] = {"type": "string", "pattern": f"^({_DIGEST})$"}
TAG: Final[Schema] = {"type": "string", "pattern": f"^{_TAG}$"}
REFERENCE: Final[Schema] = {"type": "string", "pattern": f"^({_TAG}|{_DIGEST})$"}
SESSION: Final[Schema] = {"type": "string", "pattern": f"^{_UUID}$"}


def ref(kind: str, name: str) -> Schema:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def schema(name: str) -> Schema:
    """A reference to a schema."""
    return ref("schemas", name)


def or_null(kind: Schema) -> Schema:
    """What may be null."""
    if isinstance(kind.get("type"), str):
        return {**kind, "type": [kind["type"], "null"]}
    return {"anyOf": [kind, {"type": "null"}]}


def array(items: Schema, most: int | None = None) -> Schema:
    """A list, of so many items at most."""
    return {"type": "array", "items": items, **({} if most is None else {"maxItems": most})}


def one_of(*values: str) -> Schema:
    """A text out of a few."""
    return {"type": "string", "enum": list(values)}


def record(optional: Mapping[str, Schema] | None = None, /, **required: Schema) -> Schema:
    """An object with all of these keys, and some that may be missing."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        **({"required": list(required)} if required else {}),
    }


def table(values: Schema) -> Schema:
    """An object with any keys."""
    return {"type": "object", "additionalProperties": values}


@dataclass(frozen=True)
class Parameter:
    """Something of a query, or a header of a request, that may be left out."""

    name: str
    kind: Schema
    about: str
    place: str = "query"
    is_required: bool = False
    is_repeated: bool = False

    def document(self) -> Schema:
        """As OpenAPI has it."""
        kind = array(self.kind) if self.is_repeated else self.kind
        found: Schema = {
            "name": self.name,
            "in": self.place,
            "description": self.about,
            "schema": kind,
        }
        if self.is_required:
            found["required"] = True
        return found


@dataclass(frozen=True)
class Answer:
    """What comes with one status: content by media type, and headers of which all are there unless
    their name ends in `?`."""

    about: str
    content: Mapping[str, Schema] = field(default_factory=dict)
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Body:
    """What a request brings, by media type."""

    content: Mapping[str, Schema]
    is_required: bool = False


@dataclass(frozen=True)
class Described:
    """One operation. `more` are refusals of which the docs of the API have no table of codes."""

    about: str
    answers: Mapping[int, Answer]
    takes: tuple[Parameter, ...] = ()
    body: Body | None = None
    more: Mapping[int, str] = field(default_factory=dict)


def json_answer(about: str, kind: Schema, *headers: str) -> Answer:
    """An answer in JSON."""
    return Answer(about, {JSON: kind}, headers)


HEADERS: Final[Mapping[str, tuple[str, Schema]]] = {
    "X-Request-Id": (
        "The `request_id` of the log.",
        {"type": "string", "pattern": "^[0-9a-f]{16}$"},
    ),
    "Docker-Content-Digest": ("The digest of the content.", DIGEST),
    "Docker-Distribution-API-Version": ("What is spoken here.", one_of("registry/2.0")),
    "Docker-Upload-UUID": ("The session.", SESSION),
    "Location": ("Where it is; relative to this host.", {"type": "string", "pattern": "^/"}),
    "Range": (
        "The bytes that the session holds; `0-0` stands for none, too.",
        {"type": "string", "pattern": "^0-[0-9]+$"},
    ),
    "Content-Range": (
        "The bytes that are sent, of how many.",
        {"type": "string", "pattern": r"^bytes (\*|[0-9]+-[0-9]+)/[0-9]+$"},
    ),
    "Accept-Ranges": ("Parts can be asked for.", one_of("bytes")),
    "ETag": (
        "The same as long as the answer is.",
        {"type": "string", "pattern": '^(W/)?"[^"]+"$'},
    ),
    "Link": (
        "The next page, if there is one (RFC 8288).",
        {"type": "string", "pattern": '^<[^>]+>; rel="next"$'},
    ),
    "Cache-Control": ("Who may keep the answer.", STRING),
    "OCI-Subject": ("The `subject` of the manifest, if it has one.", DIGEST),
    "OCI-Tag": ("The tags of the query, which were set.", STRING),
    "OCI-Filters-Applied": ("What the list was filtered by.", one_of("artifactType")),
    "WWW-Authenticate": ("How to say who is calling.", {"type": "string", "minLength": 1}),
    "Allow": ("The methods that there are.", STRING),
    "Retry-After": (
        "Seconds after which to ask again.",
        {"type": "string", "pattern": "^[0-9]+$"},
    ),
    "Content-Security-Policy": ("Nothing foreign runs here.", STRING),
    "X-Content-Type-Options": ("Nothing is guessed.", one_of("nosniff")),
    "Content-Disposition": ("That it is a file, and its name.", STRING),
    "Set-Cookie": ("What the browser is to keep.", STRING),
}
"""Headers of answers, with what they mean and their grammar."""

PATH_PARAMETERS: Final[Mapping[str, tuple[str, Schema]]] = {
    "name": ("The name of a repository; its slashes are written as they are.", NAME),
    "digest": ("A digest.", DIGEST),
    "reference": ("A tag or a digest.", REFERENCE),
    "session": ("The id of an upload session.", SESSION),
    "id": ("The id of an API key, or of a job.", {"type": "string", "minLength": 1}),
    "file": ("The name of a file, with its hash.", {"type": "string", "minLength": 1}),
}

N = Parameter("n", COUNT, "Entries of a page; more than 10,000 counts as that.")
LAST = Parameter("last", STRING, "The page begins behind this.")
AFTER = Parameter("after", STRING, "The page begins behind this entry. Take it from the `Link`.")
Q = Parameter("q", {"type": "string", "maxLength": 255}, "Only names that have this text in them.")
ORDER = Parameter("order", one_of("asc", "desc"), "Which way.")
KIND = Parameter("kind", one_of(*map(str, Role)), "Only what is this.")
PLATFORM = Parameter(
    "platform",
    {"type": "string", "maxLength": 128, "pattern": "^[!-.0-~]+/[!-.0-~]+(/[!-.0-~]+)?$"},
    "Only what is for this platform, as `linux/amd64`.",
)
IF_NONE_MATCH = Parameter("If-None-Match", STRING, "304 if this is the `ETag`.", "header")
CONTENT_RANGE = Parameter(
    "Content-Range",
    {"type": "string", "pattern": "^[0-9]{1,18}-[0-9]{1,18}$"},
    "The first and the last byte of the chunk.",
    "header",
)


def sort(*values: str) -> Parameter:
    """What a list can be sorted by."""
    return Parameter("sort", one_of(*values), "What to sort by.")
