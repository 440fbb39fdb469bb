"""The page that says how: keys, addresses, commands, and what clients must be told."""

from __future__ import annotations

from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.web.around import show_page
from angos_trio.web.frame import Site
from angos_trio.web.pages import EXAMPLE
from angos_trio.web.recipes import client_files, pull_recipes, recipes_for


class Help:
    """Handler of the page."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def show(self, call: Call) -> Reply:
        """GET: the page, with the name by which the client reaches the registry."""
        address = self._site.address_of(call.request)
        values: dict[str, object] = {
            "title": "Help",
            "crumbs": [("Repositories", "/"), ("Help", "")],
            "push": [],
            "pull": [],
            "files": [],
            "is_plain": address is not None and address.is_plain,
        }
        if address is not None:
            name = f"{EXAMPLE}/alpine"
            login = self._site.needs_login
            values["push"] = recipes_for(address, EXAMPLE, needs_login=login, is_whole=False)
            values["pull"] = pull_recipes(address, name, "3.20", None, "image")
            values["files"] = client_files(address)
        return await show_page(self._site, call, "help.html", values)
