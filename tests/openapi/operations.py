"""What each operation of the API takes and answers, by method and path. Its errors stand in
`docs/api.md`, from where `document` takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from angos_trio.oci.media_types import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from tests.openapi.parts import (
    AFTER,
    BOOLEAN,
    BYTES,
    CONTENT_RANGE,
    COUNT,
    DIGEST,
    FORM,
    IF_NONE_MATCH,
    JSON,
    KIND,
    LAST,
    LINES,
    NAME,
    ORDER,
    PLATFORM,
    REFERENCE,
    STRING,
    TAG,
    TEXT,
    Answer,
    Body,
    Described,
    N,
    Parameter,
    Q,
    Schema,
    array,
    json_answer,
    one_of,
    or_null,
    record,
    schema,
    sort,
)

Operations = Mapping[str, Described]

_SECS_MAX: Final = 2**53
_OBJECT: Final[Schema] = {"type": "object"}
_MANIFESTS: Final = dict.fromkeys((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST), _OBJECT)
_BLOB: Final[dict[str, Schema]] = {BYTES: {}}
_OF_BLOB: Final = ("Docker-Content-Digest", "ETag", "Accept-Ranges")
_OF_SESSION: Final = ("Location", "Docker-Upload-UUID", "Range")
_CREATED: Final = Answer("The blob is there.", headers=("Location", "Docker-Content-Digest"))
_IS_HELD: Final = Answer("What the client has is still the same.", headers=("ETag",))
_LIST_HEADERS: Final = ("Link?", "ETag?", "Cache-Control?")
_DIGEST: Final = Parameter("digest", DIGEST, "The digest of the whole content.")
_PAGE: Final = (N, LAST)
_RANGE: Final = Parameter("Range", STRING, "The part that is wanted.", "header")


def _list(about: str, key: str, entry: str, *takes: Parameter) -> Described:
    """A list of the extension API."""
    answer = json_answer(about, record(**{key: array(schema(entry))}), *_LIST_HEADERS)
    return Described(about, {200: answer, 304: _IS_HELD}, (N, AFTER, *takes, IF_NONE_MATCH))


def _run(about: str, **options: dict[str, object]) -> Described:
    """A run that somebody asks for."""
    return Described(
        about,
        {202: json_answer("It begins.", record(run=schema("Run")))},
        body=Body({JSON: record(options)}),
    )


def _session(about: str, status: int, *takes: Parameter, has_body: bool = False) -> Described:
    """What is done to an upload session."""
    body = Body({BYTES: {}}) if has_body else None
    headers = _OF_SESSION if status != 204 or "GET" in about else ()
    return Described(about, {status: Answer("Where it stands.", headers=headers)}, takes, body)


OCI: Final[Operations] = {
    **dict.fromkeys(
        ("GET /v2/", "GET /v2"),
        Described(
            "The specification is spoken here.",
            {200: json_answer("It is.", {"type": "object"}, "Docker-Distribution-API-Version")},
        ),
    ),
    "GET /v2/_catalog": Described(
        "Namespaces that hold a manifest.",
        {200: json_answer("A page.", record(repositories=array(NAME)), "Link?")},
        (*_PAGE, Parameter("behind", COUNT, "For the `Link`.")),
    ),
    "HEAD /v2/{name}/blobs/{digest}": Described(
        "Whether a blob is held; it is then kept for the client.",
        {200: Answer("It is.", headers=_OF_BLOB), 304: _IS_HELD},
        (IF_NONE_MATCH,),
    ),
    "GET /v2/{name}/blobs/{digest}": Described(
        "A blob, or a part of it.",
        {
            200: Answer("All of it.", _BLOB, _OF_BLOB),
            206: Answer("A part.", _BLOB, (*_OF_BLOB, "Content-Range")),
            304: _IS_HELD,
        },
        (IF_NONE_MATCH, _RANGE, Parameter("If-Range", STRING, "An `ETag`.", "header")),
    ),
    "DELETE /v2/{name}/blobs/{digest}": Described(
        "End the namespace's hold on a blob.", {202: Answer("It has ended.")}
    ),
    "POST /v2/{name}/blobs/uploads/": Described(
        "Open an upload session, take a whole blob, or mount one.",
        {201: _CREATED, 202: Answer("A session is open.", headers=_OF_SESSION)},
        (
            _DIGEST,
            Parameter("mount", DIGEST, "A digest that another namespace holds."),
            Parameter("from", NAME, "The namespace to mount from."),
            Parameter("digest-algorithm", one_of("sha256", "sha512"), "What to hash with."),
        ),
        Body({BYTES: {}}),
    ),
    "GET /v2/{name}/blobs/uploads/{session}": Described(
        "How far an upload is.", {204: Answer("So far.", headers=_OF_SESSION)}
    ),
    "PATCH /v2/{name}/blobs/uploads/{session}": Described(
        "Append a chunk.",
        {202: Answer("It is kept.", headers=_OF_SESSION)},
        (CONTENT_RANGE,),
        Body({BYTES: {}}),
    ),
    "PUT /v2/{name}/blobs/uploads/{session}": Described(
        "End an upload, with a last chunk or without.",
        {201: _CREATED},
        (
            Parameter("digest", DIGEST, "The digest of the whole content.", is_required=True),
            CONTENT_RANGE,
        ),
        Body({BYTES: {}}),
    ),
    "DELETE /v2/{name}/blobs/uploads/{session}": Described(
        "Drop an upload.", {204: Answer("It is gone.")}
    ),
    "GET /v2/{name}/manifests/{reference}": Described(
        "A manifest, as it was pushed.",
        {
            200: Answer("It.", _MANIFESTS, ("Docker-Content-Digest", "ETag")),
            304: _IS_HELD,
        },
        (IF_NONE_MATCH,),
    ),
    "PUT /v2/{name}/manifests/{reference}": Described(
        "Push a manifest.",
        {
            201: Answer(
                "It is stored.",
                headers=("Location", "Docker-Content-Digest", "OCI-Subject?", "OCI-Tag?"),
            )
        },
        (Parameter("tag", TAG, "Beside a digest: a tag to set.", is_repeated=True),),
        Body(_MANIFESTS, is_required=True),
    ),
    "DELETE /v2/{name}/manifests/{reference}": Described(
        "Delete a tag, or a manifest with its tags.", {202: Answer("It is gone.")}
    ),
    "GET /v2/{name}/tags/list": Described(
        "The tags of a namespace.",
        {200: json_answer("A page.", record(name=NAME, tags=array(TAG)), "Link?")},
        _PAGE,
    ),
    "GET /v2/{name}/referrers/{digest}": Described(
        "The manifests whose subject is a digest.",
        {
            200: Answer(
                "An image index of them.",
                {OCI_INDEX: schema("ReferrersIndex")},
                ("Link?", "OCI-Filters-Applied?"),
            )
        },
        (Parameter("artifactType", STRING, "Only those of this type."), LAST),
    ),
}

EXTENSION: Final[Operations] = {
    "GET /v2/_ext/_repositories": _list(
        "Repositories.", "repositories", "Repository",
        Q, sort("name", "namespaces", "tags", "size", "pushed"), ORDER,
    ),
    "GET /v2/_ext/{name}/_namespaces": Described(
        "The namespaces of a repository.",
        {
            200: json_answer(
                "They and the repository.",
                record(repository=schema("Repository"), namespaces=array(schema("Namespace"))),
                *_LIST_HEADERS,
            ),
            304: _IS_HELD,
        },
        (N, AFTER, Q, sort("name", "manifests", "tags", "size", "pushed"), ORDER, IF_NONE_MATCH),
    ),
    "GET /v2/_ext/{name}/_revisions": _list(
        "The manifests of a namespace.", "revisions", "Revision",
        Q, sort("digest"), ORDER, KIND, PLATFORM,
        Parameter("state", one_of("untagged"), "Only what nothing names, the newest first."),
    ),
    "GET /v2/_ext/{name}/_tags": _list(
        "The tags of a namespace.", "tags", "Tag",
        Q, sort("name", "pushed", "size"), ORDER, KIND, PLATFORM,
        Parameter("state", one_of("tagged", "signed", "unsigned"), "Only those; `tagged` is all."),
    ),
    "GET /v2/_ext/{name}/_uploads": _list(
        "The upload sessions of a namespace.", "uploads", "Upload"
    ),
    "GET /v2/_ext/{name}/_manifest/{reference}": Described(
        "Everything about one manifest.",
        {200: json_answer("It.", schema("Manifest"), "Cache-Control")},
    ),
    "GET /v2/_ext/{name}/_tag_history": Described(
        "What a tag pointed to, the latest first.",
        {200: json_answer("It.", record(tag=TAG, history=array(schema("TagChange"), 100)))},
        (Parameter("tag", TAG, "The tag.", is_required=True),),
    ),
    "GET /v2/_ext/{name}/_pulls": Described(
        "Who pulled a manifest lately, and how often it was pulled each day.",
        {200: json_answer("It.", schema("Pulls"), "Cache-Control")},
        (Parameter("reference", REFERENCE, "A tag, or a digest.", is_required=True),),
    ),
    "GET /v2/_ext/_find": Described(
        "Namespaces, tags and digests by a part of a name.",
        {200: json_answer("What was found.", schema("Found"), "Cache-Control")},
        (
            Parameter(
                "q",
                {"type": "string", "minLength": 1, "maxLength": 255},
                "A part of a name, `name:tag`, or the beginning of a digest.",
                is_required=True,
            ),
        ),
    ),
    "GET /v2/_ext/_activity": Described(
        "What happened, the latest first.",
        {
            200: json_answer(
                "A page.", record(activity=array(schema("Activity"))), "Link?", "Cache-Control"
            )
        },
        (
            N,
            Parameter("before", COUNT, "Only what is older than this event."),
            Parameter("since", COUNT, "Only what is not older, in seconds since 1970."),
            Parameter("namespace", STRING, "Only of this namespace."),
            Parameter("actor", STRING, "Only by them."),
            Parameter("kind", STRING, "Only what begins so, as `tag.`."),
        ),
    ),
    "GET /v2/_ext/_storage": Described(
        "What the disk holds.", {200: json_answer("Sums.", schema("Storage"), "Cache-Control")}
    ),
    "GET /v2/_ext/_health": Described(
        "How the registry is.", {200: json_answer("So.", schema("Health"), "Cache-Control")}
    ),
    "GET /v2/_ext/_me": Described(
        "Who is calling, and what they may.",
        {200: json_answer("They.", schema("Me"), "Cache-Control")},
        (Parameter("repository", STRING, "May they there? Else in all that are configured."),),
    ),
    "GET /v2/_ext/{name}/_impact": Described(
        "What a delete would take with it.",
        {200: json_answer("It.", schema("Impact"))},
        (
            Parameter(
                "ref", REFERENCE, "A tag or a digest.", is_required=True, is_repeated=True
            ),
        ),
    ),
    "POST /v2/_ext/{name}/_delete": Described(
        "Delete tags and digests, if the same would go as when `_impact` was asked.",
        {200: json_answer("What went and what did not.", schema("Deleted"))},
        body=Body(
            {
                JSON: record(
                    references={**array(REFERENCE, 1000), "minItems": 1}, token=STRING
                )
            },
            is_required=True,
        ),
    ),
    "GET /v2/_ext/_events": Described(
        "What happens, as lines, or over a WebSocket when the request is its handshake.",
        {
            101: Answer("A WebSocket: each message is what a line is."),
            200: Answer("Lines.", {LINES: schema("EventLine")}, ("Cache-Control",)),
        },
        (
            Parameter("after", COUNT, "Begin behind this event."),
            Parameter("follow", one_of("true", "false"), "Go on with what happens."),
            Parameter("namespace", NAME, "Only of this namespace."),
        ),
    ),
}  # fmt: skip

HOUSEKEEPING: Final[Operations] = {
    "GET /v2/_ext/_gc": Described(
        "What a collection would give back, and what keeps what.",
        {
            200: json_answer(
                "All of it; the run alone; of a namespace; of a digest.",
                {
                    "anyOf": [
                        schema(name)
                        for name in ("Collection", "RunOnly", "KeptOfNamespace", "Holders")
                    ]
                },
            )
        },
        (
            Parameter("digest", DIGEST, "Who holds this."),
            Parameter("namespace", NAME, "What this keeps."),
            Parameter("only", one_of("run"), "The last run alone."),
        ),
    ),
    "POST /v2/_ext/_gc": _run("Begin a collection.", dry_run=BOOLEAN, now=BOOLEAN),
    "GET /v2/_ext/_scrub": Described(
        "How the last scrub went.",
        {
            200: json_answer(
                "So.",
                record(
                    scrub_interval_secs=or_null(COUNT),
                    scheduled_ended_at=or_null(COUNT),
                    run=or_null(schema("Run")),
                ),
            )
        },
    ),
    "POST /v2/_ext/_scrub": _run(
        "Begin a scrub.",
        dry_run=BOOLEAN,
        rate={"type": ["integer", "null"], "minimum": 0, "maximum": 2**63 - 1},
    ),
    "GET /v2/_ext/_prune": Described(
        "The last run of retention, or verdicts of its plan.",
        {
            200: json_answer(
                "It, or a page of them.", {"anyOf": [schema("RunOnly"), schema("Verdicts")]}
            )
        },
        (
            Parameter("plan", STRING, "The plan of the last run."),
            Parameter("from", {**COUNT, "maximum": 10**15 - 1}, "The `next` of the page before."),
        ),
    ),
    "POST /v2/_ext/_prune": _run("Begin a run of retention.", dry_run=BOOLEAN),
    "GET /v2/_ext/_jobs": Described(
        "Jobs that wait, or that have failed, in the order of their numbers.",
        {200: json_answer("A page.", schema("Jobs"), "Link?", "Cache-Control")},
        (
            Parameter("n", COUNT, "Entries of a page; more than 100 counts as that."),
            Parameter("last", {**COUNT, "maximum": 10**15 - 1}, "The page begins behind it."),
            Parameter("state", one_of("waiting", "failed"), "Which."),
            Parameter("queue", STRING, "Only of this queue."),
        ),
    ),
    "POST /v2/_ext/_jobs/{id}/retry": Described("Try a job now.", {202: Answer("It is due.")}),
    "DELETE /v2/_ext/_jobs/{id}": Described("Never do a job.", {204: Answer("It is gone.")}),
}

_TOKEN: Final = json_answer("A token.", schema("Token"), "Cache-Control")
_NOT_THERE: Final = {404: "`NAME_UNKNOWN`: There is no `[auth.token_service]`."}
ELSE: Final[Operations] = {
    "GET /token": Described("A token for who is calling.", {200: _TOKEN}, more=_NOT_THERE),
    "POST /token": Described(
        "A token for a user and a password.",
        {200: _TOKEN},
        body=Body(
            {FORM: record(grant_type=one_of("password"), username=STRING, password=STRING)},
            is_required=True,
        ),
        more=_NOT_THERE,
    ),
    **dict.fromkeys(
        ("GET /health", "GET /healthz"),
        Described(
            "Whether the process answers.",
            {200: json_answer("It does.", record(status=one_of("ok")))},
        ),
    ),
    "GET /readyz": Described(
        "Whether changes can be committed.",
        {
            200: json_answer("They can.", schema("Readiness")),
            503: json_answer("They cannot.", schema("Readiness")),
        },
    ),
    "GET /metrics": Described(
        "Metrics, in the text format of Prometheus.", {200: Answer("They.", {TEXT: STRING})}
    ),
}

_GLOBS: Final = array(STRING, 32)
OPERATOR: Final[Operations] = {
    "POST /v2/_ext/_backup": Described(
        "Hold the collection up while a backup is made.",
        {200: Answer("A line for each that comes.", {LINES: {"type": "object"}})},
        body=Body({TEXT: STRING}),
    ),
    "GET /v2/_ext/_keys": Described(
        "API keys.",
        {200: json_answer("A page.", record(keys=array(schema("Key"), 1000)), "Link?")},
        _PAGE,
    ),
    "POST /v2/_ext/_keys": Described(
        "Make an API key.",
        {
            201: json_answer(
                "It; no other answer has its text.",
                schema("NewKey"),
                *("Location", "Cache-Control"),
            )
        },
        body=Body(
            {
                JSON: record(
                    **{
                        "name": STRING,
                        "as": STRING,
                        "expires_in_secs": {
                            "type": ["integer", "null"],
                            "minimum": 1,
                            "maximum": _SECS_MAX,
                        },
                        "repositories": _GLOBS,
                        "actions": array(STRING),
                    }
                )
            },
            is_required=True,
        ),
    ),
    "DELETE /v2/_ext/_keys/{id}": Described("End an API key.", {204: Answer("It has ended.")}),
    "GET /v2/_ext/_read_only": Described(
        "Whether the registry is read-only.", {200: json_answer("So.", schema("ReadOnly"))}
    ),
    "PUT /v2/_ext/_read_only": Described(
        "Make it read-only, or let it be changed again.",
        {200: json_answer("So it is now.", schema("ReadOnly"))},
        body=Body({JSON: record(read_only=BOOLEAN)}, is_required=True),
    ),
}

BY_GROUP: Final[Mapping[str, Operations]] = {
    "OCI distribution": OCI,
    "Extension": EXTENSION,
    "Housekeeping": HOUSEKEEPING,
    "Tokens and probes": ELSE,
    "Operator": OPERATOR,
}
