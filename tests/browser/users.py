"""Somebody at a browser of their own: a home, with a store of certificates as Chromium reads it.

What they type, and what the administrator of their machine writes, is what docs/certificates.md
says.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.browser.browsing import chromium_by
from tests.docs.pages import examples
from tests.e2e.machine import REPOSITORY, NotRunnable, Sandbox, require
from tests.skips import leave_out

PASSWORD: Final = "secret"
"""Protects PKCS#12 files."""
_PAGE: Final = (REPOSITORY / "docs/certificates.md").read_text(encoding="utf-8")
_TYPED: Final = re.findall(r"^    ((?:mkdir|certutil|pk12util) .+)$", _PAGE, re.MULTILINE)
_URL, _ISSUER = "https://registry.lab", "angos-trio lab issuing"
"""Of the page's policy."""
_SETTINGS: Final = Path("/etc/chromium")
"""Debian's place for what the administrator of a machine wants of the browser."""


@dataclass(frozen=True)
class User:
    """Keeps all that the programs of libnss3-tools and Chromium write below `root`."""

    root: Path

    def __post_init__(self) -> None:
        shutil.copytree(_SETTINGS, self._settings)
        try:
            for program in ("certutil", "pk12util"):
                require(program)
            self._sandbox.probe()
        except NotRunnable as error:
            leave_out(f"{error}: make browser installs what it needs, as root")
        make_folder, make_store, _, _ = _TYPED
        self._type(make_folder)
        self._type(make_store)

    @property
    def _sandbox(self) -> Sandbox:
        return Sandbox(self.root / "sandbox", mounts={str(_SETTINGS): self._settings})

    @property
    def _settings(self) -> Path:
        return self.root / "settings"

    def _type(self, line: str) -> None:
        self._sandbox.run("sh", "-c", line, directory=self.root)

    def trust(self, ca: Path) -> None:
        """Let an authority say who a server is."""
        shutil.copy(ca, self.root / "ca.crt")
        self._type(_TYPED[2])

    def take(self, p12: Path) -> None:
        """Import a certificate and its key."""
        shutil.copy(p12, self.root / "carol.p12")
        self._type(f"{_TYPED[3]} -W {PASSWORD}")

    def show_by_itself(self, issuer: str, *urls: str) -> None:
        """Let the browser choose a certificate of this issuer for these addresses, and not ask."""
        (shown,) = examples(_PAGE, "json")
        key, (choice,) = next(iter(json.loads(shown).items()))
        choices = [choice.replace(_URL, url).replace(_ISSUER, issuer) for url in urls]
        policy = self._settings / "policies/managed/certificates.json"
        policy.parent.mkdir(parents=True, exist_ok=True)
        policy.write_text(json.dumps({key: choices}))

    @contextmanager
    def chromium(self, kind: Any) -> Iterator[Any]:
        """Their browser."""
        program = self.root / "chromium"
        wrapped = shlex.join(self._sandbox.wrapped(require("chromium")))
        program.write_text(f'#!/bin/sh\nexec {wrapped} "$@"\n')
        program.chmod(0o755)
        with chromium_by(kind, program=program, environment=self._sandbox.variables()) as found:
            yield found
