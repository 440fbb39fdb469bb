"""An HTTP client that knows the paths, and what every answer must look like."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import httpx

from tests.factories import Content, Document, make_blob
from tests.openapi.declared import undeclared

TIMEOUT_SECS = 10.0
ANY_DETAIL = object()
"""Some detail must be there, whatever it says."""


class Client(httpx.Client):
    """Speaks to one registry. Every status must be one that the description of the API has."""

    def __init__(self, url: str, verify: ssl.SSLContext | bool = True) -> None:
        super().__init__(
            base_url=url,
            timeout=TIMEOUT_SECS,
            trust_env=False,
            verify=verify,
            event_hooks={"response": [_expect_declared]},
        )

    def push_blob(self, name: str, content: Content | None = None) -> Content:
        """Push a blob in one request; without content a blob of its own."""
        content = content or make_blob()
        answer = self.post(
            f"/v2/{name}/blobs/uploads/", params={"digest": content.digest}, content=content.body
        )
        assert answer.status_code == 201, answer.text
        return content

    def open_upload(self, name: str, **parameters: str) -> str:
        """Open an upload session; returns its location."""
        answer = self.post(f"/v2/{name}/blobs/uploads/", params=parameters)
        assert answer.status_code == 202, answer.text
        return answer.headers["Location"]

    def finish(
        self, location: str, content: Content, body: bytes | Iterator[bytes] = b"", **headers: str
    ) -> httpx.Response:
        """The PUT that ends an upload session."""
        return self.put(location, params={"digest": content.digest}, content=body, headers=headers)

    def push_manifest(
        self,
        name: str,
        document: Document,
        reference: str | None = None,
        *,
        tags: Iterable[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """PUT a manifest, by its digest if no reference is given."""
        return self.put(
            f"/v2/{name}/manifests/{reference or document.digest}",
            params=[("tag", tag) for tag in tags],
            content=document.body,
            headers={"Content-Type": document.media_type} if headers is None else headers,
        )

    def stored(
        self, name: str, document: Document, reference: str | None = None, **more: Any
    ) -> Document:
        """As `push_manifest`, for a push that must succeed."""
        answer = self.push_manifest(name, document, reference, **more)
        assert answer.status_code == 201, answer.text
        return document

    def pull(self, name: str, reference: str, program: str | bytes = "skopeo/1.9") -> None:
        """As a program of this name pulls a manifest."""
        named = program.encode() if isinstance(program, str) else program
        answer = self.get(f"/v2/{name}/manifests/{reference}", headers={b"User-Agent": named})
        assert answer.status_code == 200, answer.text

    def tags(self, name: str) -> list[str]:
        """The first page of a repository's tags."""
        answer = self.get(f"/v2/{name}/tags/list")
        assert answer.status_code == 200, answer.text
        tags: list[str] = answer.json()["tags"]
        return tags


def _expect_declared(answer: httpx.Response) -> None:
    request = answer.request
    path = request.url.raw_path.partition(b"?")[0]
    problem = undeclared(request.method, path, answer.status_code)
    assert problem is None, problem


def next_page(answer: httpx.Response) -> str | None:
    """The relative URL of the `Link` to the next page."""
    link: str | None = answer.headers.get("Link")
    if link is None:
        return None
    assert link.startswith("</v2/"), link
    assert link.endswith('>; rel="next"'), link
    return link[1:].partition(">")[0]


def expect_error(
    answer: httpx.Response, status: int, code: str, detail: object = ANY_DETAIL
) -> None:
    """The answer is one error of the specification's shape, with this status, code and detail."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    document = answer.json()
    assert list(document) == ["errors"]
    (entry,) = document["errors"]
    assert entry["code"] == code
    assert entry["message"]
    assert set(entry) <= {"code", "message", "detail"}
    if status >= 500:
        assert entry["detail"] == {"request_id": answer.headers["X-Request-Id"]}
    elif detail is ANY_DETAIL:
        assert entry.get("detail"), "detail is filled"
    else:
        assert entry.get("detail") == detail
