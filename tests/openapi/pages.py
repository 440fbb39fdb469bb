"""What each path of the web interface takes and answers, by method and path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.openapi.parts import (
    AFTER,
    DIGEST,
    FORM,
    HTML,
    ORDER,
    STRING,
    Answer,
    Body,
    Described,
    Parameter,
    Q,
    json_answer,
    one_of,
    record,
)

_GUARDED: Final = ("Content-Security-Policy", "X-Content-Type-Options", "Cache-Control")
_ROWS: Final = Parameter("n", one_of("25", "50", "100", "250"), "Rows of a page.")
_SORT: Final = Parameter("sort", STRING, "As the heads of the columns link to.")
_OF_LISTS: Final = (Q, _SORT, ORDER, _ROWS, AFTER)
SAME: Final[Mapping[str, str]] = {"/{repository}": "/{name}", "/{unknown}": "/{name}"}
"""Templates that are one path in OpenAPI, which tells parameters apart by nothing but their place:
what stands there decides, and the description has one operation for all."""


def page(about: str, *takes: Parameter) -> Described:
    """A page, which refuses nothing of its query but what cannot be decoded."""
    return Described(about, {200: Answer("The page.", {HTML: STRING}, _GUARDED)}, takes)


_HOME: Final = page("Repositories.", *_OF_LISTS)
_ASSETS: Final = ("text/css", "text/javascript", "image/svg+xml")
PAGES: Final[Mapping[str, Described]] = {
    "GET /": _HOME,
    "GET /_ui/browse": _HOME,
    "GET /{name}": page(
        "The page of a repository or a namespace, or of what is below a name. 404 is a page too.",
        *_OF_LISTS,
        Parameter("view", one_of("tags", "tree", "below"), "What of it."),
        Parameter("show", one_of("all"), "Also tags that are named after a digest."),
        Parameter("open", DIGEST, "A manifest whose parts are shown.", is_repeated=True),
    ),
    "GET /{name}:{reference}": page(
        "The page of a manifest, by its tag; `/{name}@{digest}` by its digest, "
        "`/{name}:{tag}@{digest}` by both."
    ),
    "GET /{name}/": Described(
        "An address with an empty segment.",
        {308: Answer("The one without.", headers=("Location", *_GUARDED))},
    ),
    "GET /_ui/config": Described(
        "The name of the registry.",
        {200: json_answer("It.", record(name=STRING), *_GUARDED)},
    ),
    "GET /_ui/static/{file}": Described(
        "Style, scripts and the icon.",
        {
            200: Answer(
                "A file, for a year.",
                dict.fromkeys(_ASSETS, STRING),
                ("Cache-Control", "X-Content-Type-Options"),
            )
        },
    ),
    "POST /_ui/theme": Described(
        "Keep a theme in a cookie.",
        {303: Answer("Back to `next`.", headers=("Location", "Set-Cookie"))},
        body=Body({FORM: record({"theme": STRING, "next": STRING})}),
    ),
}
