"""Uploads in progress, of all namespaces; and the form that cancels some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from angos_trio.browse.cursors import cursor_of, parse_cursor
from angos_trio.browse.uploads import UploadPage, list_all_uploads
from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.identity import Action, Decision, Target
from angos_trio.limits.lists import UPLOADS_CANCELLED_MAX
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.names import RepositoryName, SessionId
from angos_trio.registry.context import Registry
from angos_trio.registry.push_blob import cancel_upload
from angos_trio.telemetry.log import logger
from angos_trio.web.around import show_page
from angos_trio.web.asking import Asked, Choices, asked_of, first_page
from angos_trio.web.forms import Form
from angos_trio.web.frame import Site, own_path
from angos_trio.web.lists import Counts, list_view
from angos_trio.web.words import counted

PATH: Final = "/_ui/uploads"
_CHOICES: Final = Choices(("started",))
_FIRST: Final = (-1, "")
_Session = tuple[RepositoryName, SessionId]
_audit = logger("audit")


class Uploads:
    """Handlers of the path."""

    def __init__(self, registry: Registry, site: Site) -> None:
        self._registry = registry
        self._site = site

    async def show(self, call: Call) -> Reply:
        """GET: those that the caller sees, the oldest first."""
        asked = asked_of(PATH, call.query, _CHOICES)
        try:
            page = await self._page(call, asked)
        except OciError as error:
            asked = first_page(asked, error)
            page = await self._page(call, asked)
        count = len(page.uploads)
        next_after = None if page.next_after is None else cursor_of(*page.next_after)
        stale = sum(upload.is_stale for upload in page.uploads)
        cancellable = {
            upload.session
            for upload in page.uploads
            if call.caller.could(Action.CANCEL_UPLOAD, _target(upload.namespace, upload.session))
        }
        values = {
            "title": "Uploads in progress",
            "crumbs": [("Repositories", "/"), ("Uploads", "")],
            "list": list_view(asked, (), Counts(count, count, "upload"), next_after),
            "uploads": page.uploads,
            "cancellable": cancellable,
            "answer": _answer(count, stale, is_whole=not (asked.after or next_after)),
            "path": PATH,
            "notices": asked.notices,
        }
        return await show_page(self._site, call, "uploads.html", values)

    async def _page(self, call: Call, asked: Asked) -> UploadPage:
        after = parse_cursor(asked.after) if asked.after else _FIRST
        return await list_all_uploads(self._registry, call.caller, after, asked.size)

    async def cancel(self, call: Call, form: Form) -> Reply:
        """POST: drop sessions; whoever brings bytes for one finds it unknown."""
        await self._registry.require_changeable()
        chosen = _chosen(form.all("upload"))
        allowed, denied, refusal = await self._sort_out(call, chosen)
        if not allowed:
            raise call.refuse(Action.CANCEL_UPLOAD, refusal)
        done: list[str] = []
        failed = [(str(session), "denied") for _, session in denied]
        for name, session in allowed:
            try:
                await cancel_upload(self._registry, name, session)
                done.append(str(session))
            except OciError as error:
                failed.append((str(session), error.message))
        identity = call.caller.identity
        _audit.info(
            "uploads.cancelled",
            request_id=call.request_id,
            address=identity.address,
            identity=identity.owner,
            cancelled=done,
            failed_count=len(failed),
        )
        heading = f"{counted(len(done), 'upload')} cancelled" if done else "Nothing was cancelled"
        values = {
            "title": heading,
            "crumbs": [("Repositories", "/"), ("Uploads", PATH), ("Cancelled", "")],
            "heading": heading,
            "verb": "Cancelled",
            "done": done,
            "failed": failed,
            "restored": [],
            "links": [("Back", own_path(form.one("next") or PATH))],
        }
        return await show_page(self._site, call, "outcome.html", values, 200 if done else 409)

    async def _sort_out(
        self, call: Call, chosen: list[_Session]
    ) -> tuple[list[_Session], list[_Session], Decision]:
        """Which of these the caller may cancel and which not; nothing is looked up."""
        allowed: list[_Session] = []
        denied: list[_Session] = []
        refusal = Decision(False, "no upload")
        for name, session in chosen:
            decision = await call.caller.may(Action.CANCEL_UPLOAD, _target(name, session))
            (allowed if decision.allowed else denied).append((name, session))
            refusal = refusal if decision.allowed else decision
        return allowed, denied, refusal


def _chosen(texts: Sequence[str]) -> list[_Session]:
    """Sessions as a form names them: `namespace/uuid`. Raises NAME_INVALID (400), and
    BLOB_UPLOAD_UNKNOWN (404) for what is no id."""
    if not 0 < len(texts) <= UPLOADS_CANCELLED_MAX:
        raise OciError(Code.NAME_INVALID, message="choose the uploads to cancel, not too many")
    parted = [text.rpartition("/") for text in dict.fromkeys(texts)]
    return [(RepositoryName(name), SessionId(session)) for name, _, session in parted]


def _target(name: RepositoryName, session: SessionId) -> Target:
    """As for a DELETE of the session."""
    return Target(name, {"uuid": str(session), "session_id": str(session)})


def _answer(count: int, stale: int, *, is_whole: bool) -> str:
    shown = f"{counted(count, 'upload')}{'' if is_whole else ' on this page'}"
    if not stale:
        return f"{shown}." if count else "Nothing is being uploaded."
    return f"{shown}; nothing came to {stale} of them for an hour or more."
