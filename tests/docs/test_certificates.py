"""The commands of docs/certificates.md do what the page says, one after the other."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import REPOSITORY, rows
from tests.docs.said import is_said, texts
from tests.running import program

PAGE = (REPOSITORY / "docs" / "certificates.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    ((?:angos-trio|openssl) .+)$", PAGE, re.MULTILINE)
ASKS = ("--p12", "--offline-root", "--root-key")
"""With these a password is asked for, and here it is in a file."""
SECS_MAX = 60.0


@pytest.mark.slow
def test_commands_of_the_page_run_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "stick").mkdir()
    pki = tmp_path / "pki"
    for command in COMMANDS:
        line = command.replace("/media/stick", f"{tmp_path}/stick")
        if " pki init" in line and pki.exists():
            pki = tmp_path / "other"
        words = shlex.split(line.replace("/etc/angos-trio/pki", str(tmp_path / "pki")))
        if words[0] == "angos-trio":
            words[:1] = program()
            words += ["--pki", str(pki)]
            words += ["--password-file", "password"] if set(ASKS) & set(words) else []
        done = subprocess.run(
            words, cwd=tmp_path, capture_output=True, text=True, timeout=SECS_MAX, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    assert len(COMMANDS) > 15
    assert sorted(path.name for path in (tmp_path / "for-bob").iterdir()) == [
        "bob.crt",
        "bob.key",
        "ca.crt",
    ]


def test_every_sentence_of_the_page_is_the_programs() -> None:
    said = texts()
    told = [*rows(PAGE, "It says", "What to do"), *rows(PAGE, "Message", "Cause and cure")]
    assert len(told) > 10
    for sentence, _ in told:
        assert is_said(sentence, said), sentence


def test_every_command_of_pki_is_on_the_page() -> None:
    shown = {command.split()[2] for command in COMMANDS if command.startswith("angos-trio pki")}
    assert shown == {"init", "server", "client", "renew", "revoke", "list", "crl", "doctor"}
