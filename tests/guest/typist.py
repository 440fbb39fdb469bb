"""Somebody who follows a page in a guest: types its commands, writes its files, in its order."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from angos_trio.clock import iso
from tests.docs.pages import fences, headings, section
from tests.guest.guest import Ended, Guest

CONFIGURATION = "/etc/angos-trio/config.toml"
RELOAD = "systemctl reload angos-trio"
_TABLE = re.compile(r"^(?=\[)", re.MULTILINE)
_MACHINE = "x86_64"
"""On the pages."""


@dataclass
class Typist:
    """A page that is followed, section by section.

    `instead`: a line of the page, what is typed in its place, and why. `codes`: lines that end with
    another code than 0. `followed`: headings of sections that were followed.
    """

    guest: Guest
    page: str
    instead: dict[str, tuple[str, str]] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    folder: str = "/root"
    followed: list[str] = field(default_factory=list)

    def follow(self, heading: str) -> str:
        """Everything below a heading; what its commands have printed."""
        self.followed.append(heading)
        return "".join(self._follow(section(self.page, heading)))

    def _follow(self, text: str) -> Iterator[str]:
        for language, content in fences(text):
            if language == "ini":
                self._write_unit(content)
            elif language == "toml":
                self._configure(content)
            elif language == "sh":
                for line in content.splitlines():
                    yield self.type(line).output

    def type(self, line: str) -> Ended:
        """One line; it must end with the code that is expected of it, and a reload must count."""
        typed, _ = self.instead.get(line, (line, ""))
        typed = typed.replace(_MACHINE, os.uname().machine)
        begun = int(time.time())
        ended = self.guest.try_(f"cd {self.folder} && {typed}")
        print(f"$ {typed}\n{ended.output}", end="")
        assert ended.code == self.codes.get(line, 0), ended
        if typed == RELOAD:
            self._expect_reloaded(begun)
        return ended

    def _expect_reloaded(self, begun: int) -> None:
        """systemd says nothing of a reload that was refused; the line of status does."""
        said = self.guest.run("systemctl show --value --property=StatusText angos-trio")
        found = re.search(r"; reloaded at (\S+Z)", said)
        assert found is not None, said
        assert found[1] >= str(iso(begun)), said
        assert "refused" not in said, said

    def _write_unit(self, content: str) -> None:
        name = content.partition("\n")[0].removeprefix("# ")
        assert name.startswith("/etc/systemd/system/"), content
        self.guest.write(name, content)

    def _configure(self, content: str) -> None:
        """Tables of the page are put in the place of those of the same name."""
        found = self.guest.run("cat", CONFIGURATION)
        for table in filter(None, _TABLE.split(content)):
            name = re.escape(table.partition("\n")[0])
            found = re.sub(rf"^{name}\n(?:(?!\[).*\n)*", "", found, flags=re.MULTILINE)
            found += f"\n{table}"
        self.guest.write(CONFIGURATION, found)

    def sections(self) -> list[str]:
        """Headings that have commands below them."""
        return [
            each
            for each in headings(self.page)
            if any(language == "sh" for language, _ in fences(section(self.page, each)))
        ]

    def lines(self) -> set[str]:
        """Every command of the page."""
        return {
            line
            for language, content in fences(self.page)
            if language == "sh"
            for line in content.splitlines()
        }

    def left(self) -> list[str]:
        """Sections that were not followed, and lines that are not on the page any more."""
        unknown = (self.instead.keys() | self.codes.keys()) - self.lines()
        return [*(each for each in self.sections() if each not in self.followed), *unknown]
