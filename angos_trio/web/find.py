"""The page that finds: namespaces, tags and digests by a part of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from angos_trio.browse.finding import Found, Sought, find, find_pasted, parse_sought
from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.limits.lists import FILTER_CHARACTERS_MAX, FOUND_MAX
from angos_trio.records import Frozen
from angos_trio.registry.context import Registry
from angos_trio.web import headers
from angos_trio.web.around import show_page
from angos_trio.web.frame import Site
from angos_trio.web.places import manifest_path_of, path_of
from angos_trio.web.words import counted, short, size, visible

_DIGITS: Final = 20
"""Of a digest that is suggested: enough to mean one, and short enough to be read."""


class Hit(Frozen):
    """Something that was found: its namespace, what it is called there, where its page is, the
    words beside it, and the text that finds it again."""

    name: str
    label: str
    href: str
    suggestion: str
    digest: str = ""
    note: str = ""


class Finding:
    """Handler of the page."""

    def __init__(self, registry: Registry, site: Site) -> None:
        self._registry = registry
        self._site = site

    async def show(self, call: Call) -> Reply:
        """GET: what there is by `q`; what is exactly an image of this registry is gone to."""
        text = next(iter(reversed(call.query.all("q"))), "").strip()
        notices = []
        if len(text) > FILTER_CHARACTERS_MAX:
            notices.append(f"q is left out: it has more than {FILTER_CHARACTERS_MAX} characters.")
            text = ""
        if text and "no" not in call.query.all("jump"):
            pasted = await find_pasted(self._registry, call.caller, text)
            if pasted is not None:
                reference = pasted.reference
                name = pasted.name
                to = path_of(name) if reference is None else manifest_path_of(name, reference)
                return Reply(303, {"Location": to, **headers.PAGE})
        found = await find(self._registry, call.caller, text) if text else Found()
        groups = [(title, hits) for title, hits in _groups(found) if hits]
        values = {
            "title": f"{visible(text, 40)} · Find" if text else "Find",
            "crumbs": [("Repositories", "/"), ("Find", "")],
            "text": text,
            "said": _said(parse_sought(text), sum(len(hits) for _, hits in groups)),
            "groups": groups,
            "most": FOUND_MAX,
            "notices": notices,
        }
        return await show_page(self._site, call, "find.html", values)


def _said(sought: Sought, count: int) -> str:
    """How the text was understood, and what it came to."""
    if sought.digest is not None:
        what = f"digests that begin with {sought.digest}"
    elif sought.tag is not None:
        where = f"namespaces with {sought.name} in their names" if sought.name else "namespaces"
        what = (
            f"tags that begin with {sought.tag}, in {where}" if sought.tag else f"tags in {where}"
        )
    elif sought.name:
        what = f"namespaces with {sought.name} in their names"
    else:
        return "A part of a name, a name and the beginning of a tag, or that of a digest."
    return f"{counted(count, 'result')}: {visible(what)}."


def _groups(found: Found) -> Iterator[tuple[str, list[Hit]]]:
    yield (
        "Namespaces",
        [Hit(name, name, path_of(name), name) for name in found.namespaces],
    )
    yield (
        "Tags",
        [
            Hit(name, f"{name}:{tag}", manifest_path_of(name, tag), f"{name}:{tag}", digest)
            for name, tag, digest in found.tags
        ],
    )
    yield (
        "Manifests",
        [
            Hit(name, name, manifest_path_of(name, digest), digest[:_DIGITS], digest, kind)
            for name, digest, kind in found.manifests
        ],
    )
    yield (
        "Blobs",
        [
            Hit(name, name, path_of(name), f"{short(digest)}", digest, size(count))
            for name, digest, count in found.blobs
        ],
    )
