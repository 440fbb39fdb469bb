"""Requests that name what is there, so that operations succeed: what is deleted, ended or used up
is made anew for each."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

import httpx

from angos_trio.web.assets import assets
from tests.factories import Document, make_blob, make_image
from tests.openapi.parts import BYTES, FORM, JSON
from tests.web.content import REPOSITORIES, Filler, fill

NAMES: Final = ("library/nginx", "single", "charts/hello", "library/tools/git/all-of-it")
USER, PASSWORD = "admin", "correct horse"
FILES: Final = "scratch/files"
"""Where things are made that are used up."""
TOLD: Final = "scratch/told"
"""A namespace of which a webhook is told that nobody listens at."""
JOBS: Final = 40
"""Made at once."""
SECS_MAX: Final = 10.0


@dataclass(frozen=True)
class Given:
    """What a request has instead of what would be generated."""

    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    media_type: str | None = None


@dataclass
class Known:
    """What is in a registry that `Filler` filled."""

    filler: Filler
    operator: httpx.Client
    manifest: Document = field(default_factory=make_image)
    blob: str = ""
    turn: Callable[[], int] = field(default_factory=lambda: itertools.count().__next__)

    def fill(self) -> None:
        """Put it there."""
        fill(self.filler)
        self.manifest = self.filler.image("single", "known")
        layers = json.loads(self.manifest.body)["layers"]
        self.blob = layers[0]["digest"]

    def given(self, key: str) -> Given:
        """For an operation, now this and now that."""
        some = GIVEN.get(key.replace("HEAD ", "GET ", 1), _by_name)(self)
        return some[self.turn() % len(some)]

    def session(self) -> str:
        """A new one of `FILES`."""
        return self.filler.open_upload(FILES).rpartition("/")[2]

    def image(self) -> Document:
        """A new one, with a tag."""
        return self.filler.image(FILES, "gone")

    def job(self) -> str:
        """The number of a job that waits."""
        deadline = time.monotonic() + SECS_MAX
        while time.monotonic() < deadline:
            found = self.operator.get("/v2/_ext/_jobs").json()["jobs"]
            if found:
                return str(found[-1]["id"])
            for _ in range(JOBS):
                self.filler.push_blob(TOLD)
            time.sleep(0.5)
        raise AssertionError("there is no job")

    def key(self) -> str:
        """The id of a new API key."""
        wanted = {
            "name": f"key-{self.turn()}",
            "as": USER,
            "expires_in_secs": 600,
            "repositories": [],
            "actions": [],
        }
        answer = self.operator.post("/v2/_ext/_keys", json=wanted)
        assert answer.status_code == 201, answer.text
        found: str = answer.json()["id"]
        return found


Some = Sequence[Given]


def _by_name(known: Known) -> Some:
    return [Given({"name": name}) for name in NAMES]


def _nothing(known: Known) -> Some:
    return [Given()]


def _json(document: object) -> dict[str, Any]:
    return {"body": json.dumps(document).encode(), "media_type": JSON}


def _repository(known: Known) -> Some:
    return [Given({"name": name}) for name in (*REPOSITORIES, "single")]


def _get_blob(known: Known) -> Some:
    path = {"name": "single", "digest": known.blob}
    return [
        Given(path, headers={"If-None-Match": '"other"', "If-Range": f'"{known.blob}"'}),
        Given(path, headers={"Range": "bytes=1-3", "If-None-Match": ""}),
        Given(path, headers={"If-None-Match": f'"{known.blob}"'}),
        Given(path, headers={"Range": "bytes=99999999-", "If-None-Match": ""}),
    ]


def _delete_blob(known: Known) -> Some:
    digest = known.filler.push_blob(FILES).digest
    return [Given({"name": FILES, "digest": digest})]


def _start(known: Known) -> Some:
    blob, path = make_blob(), {"name": FILES}
    return [
        Given(path, {"digest": blob.digest}, body=blob.body, media_type=BYTES),
        Given(path, {"mount": known.blob, "from": "single"}, body=b""),
        Given(path),
    ]


def _in_session(known: Known) -> Some:
    path = {"name": FILES, "session": known.session()}
    return [Given(path, body=b"x" * 10, media_type=BYTES, headers={"Content-Range": "0-9"})]


def _finish(known: Known) -> Some:
    blob, path = make_blob(), {"name": FILES, "session": known.session()}
    window = {"Content-Range": f"0-{blob.size - 1}"}
    return [Given(path, {"digest": blob.digest}, window, blob.body, BYTES)]


def _get_manifest(known: Known) -> Some:
    digest = known.manifest.digest
    return [
        Given({"name": "single", "reference": "known"}),
        Given({"name": "library/nginx", "reference": "latest"}),
        Given({"name": "charts/hello", "reference": "0.1.0"}),
        Given({"name": "single", "reference": digest}, headers={"If-None-Match": f'"{digest}"'}),
    ]


def _put_manifest(known: Known) -> Some:
    image, kind = make_image(subject=_descriptor(known.manifest)), known.manifest.media_type
    return [
        Given({"name": FILES, "reference": "new"}, {}, {}, image.body, kind),
        Given(
            {"name": FILES, "reference": image.digest}, {"tag": ["a", "b"]}, {}, image.body, kind
        ),
    ]


def _descriptor(document: Document) -> dict[str, object]:
    return {"mediaType": document.media_type, "digest": document.digest, "size": document.size}


def _delete_manifest(known: Known) -> Some:
    digest = known.image().digest
    return [Given({"name": FILES, "reference": each}) for each in ("gone", digest)]


def _referrers(known: Known) -> Some:
    return [Given({"name": FILES, "digest": known.manifest.digest})]


def _history(known: Known) -> Some:
    return [Given({"name": "single"}, {"tag": "known"})]


def _pulls(known: Known) -> Some:
    references = ("gone", known.image().digest)
    return [Given({"name": FILES}, {"reference": each}) for each in references]


def _impact(known: Known) -> Some:
    return [Given({"name": "single"}, {"ref": ["known", known.manifest.digest, "absent"]})]


def _delete(known: Known) -> Some:
    known.image()
    token = known.filler.get(f"/v2/_ext/{FILES}/_impact", params={"ref": "gone"}).json()["token"]
    return [Given({"name": FILES}, **_json({"references": ["gone"], "token": token}))]


def _gc(known: Known) -> Some:
    return [
        Given(query={"digest": known.blob}),
        Given(query={"namespace": "single"}),
        Given(query={"only": "run"}),
        Given(query={"only": ""}),
    ]


def _find(known: Known) -> Some:
    return [Given(query={"q": each}) for each in ("nginx", "nginx:1.2", known.blob[:20])]


def _token(known: Known) -> Some:
    form = f"grant_type=password&username={USER}&password={PASSWORD.replace(' ', '+')}"
    return [Given(body=form.encode(), media_type=FORM)]


def _new_key(known: Known) -> Some:
    wanted = {"as": USER, "expires_in_secs": None, "repositories": ["team/**"], "actions": []}
    return [Given(**_json({"name": f"made-{known.turn()}", **wanted}))]


def _sent(known: Known, path: str, fields: Mapping[str, Any]) -> Given:
    """A form as a browser sends it: with the token of one of our pages, and the cookie of that."""
    client = known.filler
    origin = {"Origin": str(client.base_url).rstrip("/")}
    # It is answered with a page that has both.
    answer = client.post(path, data={"x": "y"}, headers=origin)
    (token,) = set(re.findall(r'name="form_token" value="([^"]+)"', answer.text)) or {""}
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    body = urlencode({**fields, "form_token": token}, doseq=True).encode()
    return Given(headers={"Cookie": cookies, **origin}, body=body, media_type=FORM)


def _sends(path: str, **fields: Any) -> Callable[[Known], Some]:
    return lambda known: [_sent(known, path, fields)]


def _look_at_delete(known: Known) -> Some:
    return [Given(query={"ns": "single", "ref": ["known", known.manifest.digest]})]


def _delete_on_page(known: Known) -> Some:
    known.image()
    page = known.filler.get("/_ui/delete", params={"ns": FILES, "ref": "gone"}).text
    (token,) = re.findall(r'name="token" value="([^"]+)"', page)
    return [_sent(known, "/_ui/delete", {"ns": FILES, "ref": "gone", "token": token})]


def _cancel(known: Known) -> Some:
    return [_sent(known, "/_ui/uploads", {"upload": f"{FILES}/{known.session()}"})]


def _point(known: Known) -> Some:
    before, now = (known.filler.image(FILES, "moved", kib=size) for size in (1, 2))
    fields = {"ns": FILES, "tag": "moved", "digest": before.digest, "current": now.digest}
    return [_sent(known, "/_ui/point", fields)]


def _events(known: Known) -> Some:
    return [Given(query={"after": "0", "follow": "false"}), Given(query={"follow": "true"})]


def _decide(path: str, known: Known) -> Some:
    return [_sent(known, path, {"job": known.job()})]


GIVEN: Final[Mapping[str, Callable[[Known], Some]]] = {
    "GET /v2/{name}/blobs/{digest}": _get_blob,
    "DELETE /v2/{name}/blobs/{digest}": _delete_blob,
    "POST /v2/{name}/blobs/uploads/": _start,
    "GET /v2/{name}/blobs/uploads/{session}": _in_session,
    "PATCH /v2/{name}/blobs/uploads/{session}": _in_session,
    "PUT /v2/{name}/blobs/uploads/{session}": _finish,
    "DELETE /v2/{name}/blobs/uploads/{session}": _in_session,
    "GET /v2/{name}/manifests/{reference}": _get_manifest,
    "PUT /v2/{name}/manifests/{reference}": _put_manifest,
    "DELETE /v2/{name}/manifests/{reference}": _delete_manifest,
    "GET /v2/{name}/referrers/{digest}": _referrers,
    "GET /v2/_ext/{name}/_namespaces": _repository,
    "GET /v2/_ext/{name}/_manifest/{reference}": _get_manifest,
    "GET /v2/_ext/{name}/_tag_history": _history,
    "GET /v2/_ext/{name}/_pulls": _pulls,
    "GET /v2/_ext/{name}/_impact": _impact,
    "POST /v2/_ext/{name}/_delete": _delete,
    "GET /v2/_ext/_find": _find,
    "GET /v2/_ext/_events": _events,
    "GET /v2/_ext/_gc": _gc,
    "GET /v2/_ext/_prune": lambda known: [Given(query={"plan": ""})],
    "POST /v2/_ext/_gc": lambda known: [Given(**_json({"dry_run": True}))],
    "POST /v2/_ext/_scrub": lambda known: [Given(**_json({"dry_run": True, "rate": 0}))],
    "POST /v2/_ext/_prune": lambda known: [Given(**_json({"dry_run": True}))],
    "POST /token": _token,
    "POST /v2/_ext/_keys": _new_key,
    "DELETE /v2/_ext/_jobs/{id}": lambda known: [Given({"id": known.job()})],
    "POST /v2/_ext/_jobs/{id}/retry": lambda known: [Given({"id": known.job()})],
    "DELETE /v2/_ext/_keys/{id}": lambda known: [Given({"id": known.key()})],
    "PUT /v2/_ext/_read_only": lambda known: [Given(**_json({"read_only": False}))],
    "GET /_ui/find": _find,
    "GET /_ui/delete": _look_at_delete,
    "POST /_ui/delete": _delete_on_page,
    "POST /_ui/uploads": _cancel,
    "POST /_ui/point": _point,
    "POST /_ui/login": _sends("/_ui/login", user=USER, password=PASSWORD),
    "POST /_ui/logout": _sends("/_ui/logout"),
    **{
        f"POST /_ui/health/jobs/{verb}": partial(_decide, f"/_ui/health/jobs/{verb}")
        for verb in ("retry", "delete")
    },
    **{
        f"POST /_ui/health/{kind}": _sends(f"/_ui/health/{kind}", mode="dry")
        for kind in ("gc", "scrub", "prune")
    },
    "GET /_ui/static/{file}": lambda known: [Given({"file": each}) for each in assets().by_name],
    "GET /{name}": lambda known: [*_repository(known), *_by_name(known)],
    "GET /{name}:{reference}": _get_manifest,
}
