"""What a tag pointed to, and the form that points it there again."""

from __future__ import annotations

from typing import Final

from angos_trio.browse.tag_history import Pointing, current_of, history_of, may_point, point
from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.identity import Action, Target
from angos_trio.oci.codes import Code, OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.storage.metadata.tags import Change
from angos_trio.web import headers
from angos_trio.web.around import show_page
from angos_trio.web.forms import Form
from angos_trio.web.frame import Site
from angos_trio.web.places import manifest_path_of, path_of
from angos_trio.web.words import short

PATH: Final = "/_ui/point"
SHOWN_MAX: Final = 20
"""Changes that the page of a tag shows."""


class History(Frozen):
    """The part of a tag's page: `may_point` says whether the caller may move it back, `is_fixed`
    that it is immutable."""

    changes: list[Change]
    more: int
    current: str
    may_point: bool
    is_fixed: bool

    def offers(self, change: Change) -> bool:
        """Whether the tag can be pointed to what it was then."""
        is_other = change.digest is not None and change.digest != self.current
        return self.may_point and is_other and change.is_held


async def history_for(registry: Registry, call: Call, tag: Tag, current: str) -> History | None:
    """The history of a tag, for who may see it."""
    may_see = await call.caller.may(Action.GET_TAG_HISTORY, Target(call.name))
    if not may_see.allowed:
        return None
    changes = await history_of(registry, call.name, tag)
    is_fixed = registry.tag_rules.rule_for(call.name).protects(tag)
    is_ours = registry.takes_pushes(call.name)
    may = is_ours and not is_fixed and (await may_point(call.caller, call.name, tag)).allowed
    return History(changes[:SHOWN_MAX], len(changes[SHOWN_MAX:]), current, may, is_fixed)


class Points:
    """Handler of the form."""

    def __init__(self, registry: Registry, site: Site) -> None:
        self._registry = registry
        self._site = site

    async def point(self, call: Call, form: Form) -> Reply:
        """POST: point a tag to what it pointed to before, as a push of that manifest would."""
        await self._registry.require_changeable()
        wanted = Pointing(
            RepositoryName(form.one("ns")), Tag(form.one("tag")), Digest(form.one("digest"))
        )
        decision = await may_point(call.caller, wanted.name, wanted.tag)
        if not decision.allowed:
            raise call.refuse(Action.PUT_MANIFEST, decision)
        current = await current_of(self._registry, wanted.name, wanted.tag)
        if (current or "") != form.one("current"):
            moved = "it was moved since you looked" if current else "it was deleted meanwhile"
            return await self._refuse(call, wanted, f"{moved}.", 409)
        if self._registry.tag_rules.rule_for(wanted.name).protects(wanted.tag) and current:
            return await self._refuse(call, wanted, f"{_WORDS[Code.TAG_IMMUTABLE]}.", 409)
        changes = await history_of(self._registry, wanted.name, wanted.tag)
        if wanted.digest not in {change.digest for change in changes}:
            return await self._refuse(call, wanted, "the tag never pointed there.", 409)
        try:
            await point(self._registry, call.caller, wanted)
        except OciError as error:
            if error.status >= 500:
                raise
            message = _WORDS.get(error.code, error.message)
            return await self._refuse(call, wanted, f"{message}.", error.status)
        location = manifest_path_of(wanted.name, wanted.tag)
        return Reply(303, {"Location": location, **headers.PAGE})

    async def _refuse(self, call: Call, wanted: Pointing, why: str, status: int) -> Reply:
        heading = f"{wanted.tag} was not moved"
        values = {
            "title": f"{heading} · {wanted.name}",
            "crumbs": [
                ("Repositories", "/"),
                (str(wanted.name), path_of(wanted.name)),
                ("Not moved", ""),
            ],
            "heading": heading,
            "verb": "",
            "done": [],
            "failed": [(f"{wanted.tag} → {short(wanted.digest)}", why[:1].upper() + why[1:])],
            "restored": [],
            "links": [
                ("Look at the tag", manifest_path_of(wanted.name, wanted.tag)),
                (f"Back to {wanted.name}", path_of(wanted.name)),
            ],
        }
        return await show_page(self._site, call, "outcome.html", values, status)


_WORDS: Final = {
    Code.TAG_IMMUTABLE: "the tag is immutable",
    Code.MANIFEST_UNKNOWN: "the manifest is not here any more",
    Code.MANIFEST_BLOB_UNKNOWN: "something that the manifest names is not here any more",
}
