"""Templates to pages: everything that is put into one is escaped."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources

import jinja2

from angos_trio.http.reply import Reply
from angos_trio.oci.roles import Carried, names_of
from angos_trio.web import words
from angos_trio.web.assets import assets
from angos_trio.web.headers import page_headers
from angos_trio.web.places import manifest_path_of, path_of


@functools.cache
def environment() -> jinja2.Environment:
    """The templates, read once, also out of a zip file; each is compiled when it is first used."""
    folder = resources.files("angos_trio.web").joinpath("templates")
    found = {
        file.name: file.read_text(encoding="utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".html")
    }
    made = jinja2.Environment(
        loader=jinja2.DictLoader(found),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        {
            "carried": lambda flags: names_of(Carried(flags)),
            "counted": words.counted,
            "fingerprint": words.fingerprint,
            "manifest": manifest_path_of,
            "moment": words.moment,
            "number": words.number,
            "page": path_of,
            "person": words.person,
            "platforms": words.platforms_of,
            "short": words.short,
            "size": words.size,
            "span": words.span,
            "visible": words.visible,
        }
    )
    made.globals["asset"] = assets().path
    return made


def page(
    template: str, values: Mapping[str, object], *, status: int = 200, url: str | None = None
) -> Reply:
    """A page of a status, for a client that knows the registry by this address."""
    text = environment().get_template(template).render(values)
    headers = {"Content-Type": "text/html; charset=utf-8", **page_headers(url)}
    return Reply(status, headers, text.encode())
