"""What each path of the web interface takes and answers, by method and path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from angos_trio.records import replace
from tests.openapi.parts import (
    AFTER,
    BYTES,
    COUNT,
    DIGEST,
    FORM,
    HTML,
    IF_NONE_MATCH,
    KIND,
    LINES,
    NAME,
    ORDER,
    PLATFORM,
    REFERENCE,
    STRING,
    TAG,
    Answer,
    Body,
    Described,
    Parameter,
    Q,
    Schema,
    array,
    json_answer,
    one_of,
    record,
)

_GUARDED: Final = ("Content-Security-Policy", "X-Content-Type-Options", "Cache-Control")
_PAGE: Final = Answer("The page.", {HTML: STRING}, (*_GUARDED, "Set-Cookie?"))
_BACK: Final = Answer("Back to a page.", headers=("Location", *_GUARDED, "Set-Cookie?"))
_NO_FORM: Final[Mapping[int, str]] = {
    400: "`UNSUPPORTED`: The form cannot be read, or names what cannot be.",
    413: "`SIZE_INVALID`: The form is too large.",
    415: "`UNSUPPORTED`: It is no form.",
}
_NOT_DONE: Final[Mapping[int, str]] = {
    **_NO_FORM,
    409: "`DENIED`: Nothing was done: it has changed since somebody looked, or is immutable.",
}
_ROWS: Final = Parameter("n", one_of("25", "50", "100", "250"), "Rows of a page.")
_SORT: Final = Parameter("sort", STRING, "As the heads of the columns link to.")
_OF_LISTS: Final = (Q, _SORT, ORDER, _ROWS, AFTER)
SAME: Final[Mapping[str, str]] = {"/{repository}": "/{name}", "/{unknown}": "/{name}"}
"""Templates that are one path in OpenAPI, which tells parameters apart by nothing but their place:
what stands there decides, and the description has one operation for all."""


def page(about: str, *takes: Parameter) -> Described:
    """A page, which refuses nothing of its query but what cannot be decoded."""
    return Described(about, {200: _PAGE}, takes)


def form(
    about: str, *answers: tuple[int, Answer], more: Mapping[int, str] = _NO_FORM, **fields: Schema
) -> Described:
    """A form. Without a token of one of our pages it is 403, whoever sends it."""
    body = Body({FORM: record({"form_token": STRING, **fields})})
    return Described(about, dict(answers), body=body, more=more)


_HOME: Final = page("Repositories.", *_OF_LISTS)
_NEXT: Final = Parameter("next", STRING, "Where to go then.")
_CHOSEN: Final = (
    KIND,
    PLATFORM,
    Parameter(
        "state",
        one_of("tagged", "signed", "unsigned", "untagged"),
        "Only those; `untagged` are manifests, in place of tags.",
    ),
)
_TAKEN: Final = (
    Parameter("ns", NAME, "The namespace.", is_required=True),
    Parameter("ref", REFERENCE, "A tag or a digest.", is_repeated=True),
    Parameter("all", one_of("1"), "All that the list with this filter shows, in place of `ref`."),
    Parameter("show", one_of("all"), "Also tags that are named after a digest."),
    *_CHOSEN,
    Parameter("seen", COUNT, "How many matched when they were chosen."),
    Parameter("from", one_of("page"), "From the page of the tag."),
    Q,
)
_SINCE: Final = Parameter("since", one_of("1h", "24h", "7d"), "How far back.")
_FILTER: Final = (
    *(Parameter(name, STRING, "Only of this.") for name in ("namespace", "actor", "kind")),
    _SINCE,
    Parameter("before", COUNT, "Where the page begins: from the link to the next."),
)
_ASSETS: Final = ("text/css", "text/javascript", "image/svg+xml")
PAGES: Final[Mapping[str, Described]] = {
    "GET /": _HOME,
    "GET /_ui/browse": _HOME,
    "GET /{name}": Described(
        "The page of a repository or a namespace, or of what is below a name. 404 is a page too.",
        {
            200: Answer("The page.", {HTML: STRING}, (*_GUARDED, "Set-Cookie?", "ETag?")),
            304: Answer("The page that the client has is up to date.", {}, (*_GUARDED, "ETag")),
        },
        (
            *_OF_LISTS,
            Parameter("view", one_of("tags", "tree", "below", "folders"), "What of it."),
            Parameter("show", one_of("all"), "Also tags that are named after a digest."),
            *_CHOSEN,
            Parameter("open", DIGEST, "A manifest whose parts are shown.", is_repeated=True),
            IF_NONE_MATCH,
        ),
    ),
    "GET /{name}:{reference}": Described(
        "The page of a manifest, by its tag; `/{name}@{digest}` by its digest, "
        "`/{name}:{tag}@{digest}` by both.",
        {
            200: Answer(
                "The page, or the bytes of the manifest as a file.",
                {HTML: STRING, BYTES: {}},
                (*_GUARDED, "Set-Cookie?", "Content-Disposition?"),
            )
        },
        (
            Parameter(
                "tab", one_of("layers", "config", "attached", "pulls", "json"), "What of it."
            ),
            Parameter("show", one_of("bytes"), "With `tab=json`: the bytes, to be kept."),
            Parameter("deleted", TAG, "A tag that was deleted on the way here."),
            AFTER,
        ),
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
    "GET /_ui/activity": page("What was changed in the last 30 days.", *_FILTER),
    "GET /_ui/activity.ndjson": Described(
        "The same filter as lines of JSON.",
        {200: Answer("A line for each; and one about more.", {LINES: {"type": "object"}})},
        _FILTER,
    ),
    "GET /_ui/storage": page("What the disk holds."),
    "GET /_ui/health": page(
        "How the registry is, and what its housekeeping came to.",
        Parameter("kept", one_of("all"), "Also what is kept without a reference."),
        Parameter("busy", STRING, "What goes on already."),
    ),
    **{
        f"POST /_ui/health/{kind}": form(
            "Ask for a run; a dry one without `mode=run`.", (303, _BACK), mode=STRING
        )
        for kind in ("gc", "scrub", "prune")
    },
    **{
        f"POST /_ui/health/jobs/{verb}": form(
            about,
            (303, _BACK),
            more={**_NO_FORM, 404: "`NAME_UNKNOWN`: There is no such job, or not for the caller."},
            job=STRING,
        )
        for verb, about in (("retry", "Try a job now."), ("delete", "Never do a job."))
    },
    "GET /_ui/find": Described(
        "What there is by a part of a name.",
        {200: _PAGE, 303: Answer("The one page that it names.", {}, ("Location", *_GUARDED))},
        (Q, Parameter("jump", one_of("no"), "Do not go to the page that it names.")),
    ),
    "GET /_ui/help": page("How to push and pull here."),
    "GET /_ui/login": replace(
        page("The forms that sign in.", _NEXT),
        more={400: "`NAME_INVALID`: The query cannot be read, or has too many fields."},
    ),
    "POST /_ui/login": form(
        "Sign in.",
        (303, _BACK),
        more={
            **_NO_FORM,
            401: "`UNAUTHORIZED`: What was typed is wrong.",
            429: "`TOOMANYREQUESTS`: Too many attempts have failed.",
            503: "`UNAVAILABLE`: The identity provider cannot be asked for its keys.",
        },
        user=STRING,
        password=STRING,
        provider=STRING,
        token=STRING,
        next=STRING,
    ),
    "GET /_ui/logout": page("What was ended, and what cannot be ended here."),
    "POST /_ui/logout": form("End the session of the browser.", (303, _BACK)),
    "GET /_ui/me": page("Who looks, and what they may do."),
    "GET /_ui/delete": Described(
        "What deleting these would take with it.",
        {200: _PAGE},
        _TAKEN,
        more={
            400: "`NAME_INVALID`, `TAG_INVALID`, `DIGEST_INVALID`: What it names cannot be.",
            415: "`UNSUPPORTED`: A digest's algorithm is neither sha256 nor sha512.",
        },
    ),
    "POST /_ui/delete": form(
        "Delete what was looked at.",
        (200, _PAGE),
        (303, _BACK),
        more=_NOT_DONE,
        ns=STRING,
        ref=array(STRING),
        token=STRING,
        typed=STRING,
    ),
    "GET /_ui/uploads": page("Uploads in progress in all namespaces.", _ROWS, AFTER),
    "POST /_ui/uploads": form(
        "Cancel uploads.", (200, _PAGE), more=_NOT_DONE, upload=array(STRING), next=STRING
    ),
    "POST /_ui/point": form(
        "Point a tag to what it pointed to before.",
        (303, _BACK),
        more=_NOT_DONE,
        ns=STRING,
        tag=STRING,
        digest=STRING,
        current=STRING,
    ),
    "POST /_ui/settings": Described(
        "Keep the theme, how times are told, and whether there are keys, in cookies.",
        {303: Answer("Back to `next`.", headers=("Location", "Set-Cookie?"))},
        body=Body(
            {FORM: record({**dict.fromkeys(("theme", "times", "keys"), STRING), "next": STRING})}
        ),
        more=_NO_FORM,
    ),
}
