"""A browser without scripts: keeps cookies, and sends the forms that pages have."""

from __future__ import annotations

from typing import Any

import httpx

from tests.api.client import Client
from tests.web.pages import Element, page_of

LOGIN = "/_ui/login"


class Browser(Client):
    """Says with each form, as browsers do, whose page sends it."""

    @property
    def origin(self) -> str:
        return str(self.base_url).rstrip("/")

    def page(self, path: str, status: int = 200) -> Element:
        """A page, as its HTML says it is."""
        return page_of(self.get(path), status)

    def submit(self, form: Element, **fields: Any) -> httpx.Response:
        """What a form has, with what is typed into it."""
        hidden = {
            each.attributes["name"]: each.attributes["value"]
            for each in form.all("input", type="hidden")
        }
        return self.post(
            form.attributes["action"],
            data={**hidden, **fields},
            headers={"Origin": self.origin},
        )

    def sign_in(self, user: str, password: str, path: str = LOGIN) -> httpx.Response:
        """Type a user and a password into the form of a page that has it."""
        page = page_of(*self._with_form(path))
        return self.submit(form_of(page, "by-password"), user=user, password=password)

    def show_token(self, provider: str, token: str) -> httpx.Response:
        """Paste a token into the form."""
        page = page_of(*self._with_form(LOGIN))
        return self.submit(form_of(page, "by-token"), provider=provider, token=token)

    def sign_out(self) -> httpx.Response:
        """By the button of the header."""
        return self.submit(self.page("/").one("form", class_="sign-out"))

    def _with_form(self, path: str) -> tuple[httpx.Response, int]:
        answer = self.get(path)
        return answer, answer.status_code


def send(client: Client, path: str, **options: Any) -> httpx.Response:
    """Send a form that has no token yet; and once more, as the page offers that answers it."""
    origin = {"Origin": str(client.base_url).rstrip("/")}
    answer = client.post(path, headers=origin, **options)
    again = page_of(answer, 403).all("form", class_="again") if answer.status_code == 403 else []
    if not again:
        return answer
    data: dict[str, list[str]] = {}
    for each in again[0].all("input", type="hidden"):
        data.setdefault(each.attributes["name"], []).append(each.attributes["value"])
    kept = {name: value for name, value in options.items() if name not in ("data", "content")}
    return client.post(again[0].attributes["action"], data=data, headers=origin, **kept)


def form_of(page: Element, labelled_by: str) -> Element:
    """A form by what names it."""
    return page.one("form", **{"aria-labelledby": labelled_by})


def problem_of(answer: httpx.Response, status: int = 401) -> str:
    """What the page says is wrong."""
    return page_of(answer, status).one("p", role="alert").text


def who(page: Element) -> str:
    """Who the header says is looking; empty for nobody."""
    found = page.all("span", class_="who")
    return found[0].text if found else ""
