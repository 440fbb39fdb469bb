"""`/v2/{name}/tags/list`, `/v2/_catalog` and `/v2/{name}/referrers/{digest}`"""

from __future__ import annotations

from angos_trio.api.context import Runtime
from angos_trio.http.call import Call
from angos_trio.http.reply import Reply, json_reply
from angos_trio.limits.requests import PAGE_ENTRIES_DEFAULT, PAGE_ENTRIES_MAX
from angos_trio.oci.codes import Code
from angos_trio.oci.digest import Digest
from angos_trio.oci.media_types import OCI_INDEX
from angos_trio.oci.pagination import Page, next_link, parse_number
from angos_trio.oci.referrers import parse_artifact_type, render_index
from angos_trio.registry import listing
from angos_trio.registry.listing import Listing


class Listings:
    """Handlers of the three paths."""

    def __init__(self, runtime: Runtime) -> None:
        self._registry = runtime.registry
        self._puller = runtime.puller

    async def tags(self, call: Call) -> Reply:
        """GET: a page of tags."""
        page = call.query.page(PAGE_ENTRIES_DEFAULT, PAGE_ENTRIES_MAX)
        found = await listing.list_tags(self._registry, call.name, page)
        path = f"/v2/{call.name}/tags/list"
        document = {"name": call.name, "tags": found.names}
        return json_reply(200, document, _link(path, found, page))

    async def catalog(self, call: Call) -> Reply:
        """GET: a page of namespaces that hold something."""
        page = call.query.page(PAGE_ENTRIES_DEFAULT, PAGE_ENTRIES_MAX)
        behind = call.query.one("behind", Code.PAGINATION_NUMBER_INVALID)
        found = await listing.list_catalog(
            self._registry, call.caller, page, None if behind is None else parse_number(behind)
        )
        document = {"repositories": found.names}
        return json_reply(200, document, _link("/v2/_catalog", found, page))

    async def referrers(self, call: Call) -> Reply:
        """GET: a page of manifests that name a subject, as an image index."""
        subject = Digest(call.values["digest"])
        wanted = call.query.one("artifactType", Code.MANIFEST_INVALID)
        artifact_type = None if wanted is None else parse_artifact_type(wanted)
        after = call.query.one("last", Code.DIGEST_INVALID) or ""
        elsewhere = await self._puller(call.name).referrers(call.name, subject)
        page = await listing.list_referrers(
            self._registry, call.name, subject, artifact_type, after, elsewhere
        )
        headers = {"Content-Type": OCI_INDEX}
        parameters: dict[str, str] = {}
        if artifact_type is not None:
            headers["OCI-Filters-Applied"] = "artifactType"
            parameters["artifactType"] = artifact_type
        if page.has_more:
            parameters["last"] = page.referrers[-1].digest
            headers["Link"] = next_link(f"/v2/{call.name}/referrers/{subject}", parameters)
        return Reply(200, headers, render_index(page.referrers))


def _link(path: str, found: Listing, page: Page) -> dict[str, str]:
    if found.next_after is None:
        return {}
    parameters = {"n": str(page.size), "last": found.next_after}
    if found.next_behind is not None:
        parameters["behind"] = str(found.next_behind)
    return {"Link": next_link(path, parameters)}
