"""A page as its HTML says it is, by the parser of the standard library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

import httpx

VOID = frozenset({"br", "img", "input", "link", "meta", "rect", "path", "circle"})


@dataclass
class Element:
    """An element with its attributes and what is in it."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)

    def walk(self) -> Iterator[Element]:
        """This one and all in it, in the order of the page."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def all(self, tag: str, **wanted: str) -> list[Element]:
        """Those of a tag, with these attributes; `class_` is one of its classes."""
        name = wanted.pop("class_", None)
        return [
            element
            for element in self.walk()
            if element.tag == tag
            and (name is None or name in element.attributes.get("class", "").split())
            and all(element.attributes.get(key) == value for key, value in wanted.items())
        ]

    def one(self, tag: str, **wanted: str) -> Element:
        """The only one."""
        (found,) = self.all(tag, **wanted)
        return found

    @property
    def text(self) -> str:
        """What is read, with single spaces."""
        return " ".join(" ".join(self._texts()).split())

    def _texts(self) -> Iterator[str]:
        for child in self.children:
            if isinstance(child, Element):
                yield from child._texts()
            else:
                yield child

    @property
    def hrefs(self) -> list[str]:
        """The addresses of the links in it."""
        return [link.attributes["href"] for link in self.all("a")]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("#page")
        self.open = [self.root]
        self.problems: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {key: value or "" for key, value in attrs})
        if len(element.attributes) != len(attrs):
            self.problems.append(f"{tag} has an attribute twice")
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if self.open[-1].tag != tag:
            self.problems.append(f"{tag} ends within {self.open[-1].tag}")
            return
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def page_of(answer: httpx.Response, status: int = 200) -> Element:
    """The page of an answer; what is opened in it is closed in it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    return parsed(answer.text)


def parsed(text: str) -> Element:
    """A page by its HTML."""
    parser = _Parser()
    parser.feed(text)
    parser.close()
    assert parser.problems == []
    assert parser.open == [parser.root], [element.tag for element in parser.open]
    return parser.root


def rows_of(page: Element) -> list[list[str]]:
    """The texts of the cells of the first table's rows."""
    table = page.all("table")[0]
    body = table.one("tbody")
    return [
        [cell.text for cell in row.children if isinstance(cell, Element)] for row in body.all("tr")
    ]


def names_of(page: Element) -> list[str]:
    """What stands first in each row."""
    return [cells[0] for cells in rows_of(page)]
