"""The page by symptoms: its commands are run, and its sentences are what the program says."""

from __future__ import annotations

import errno
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import ended, write_config
from tests.docs.pages import REPOSITORY, code, codes, read_pages, rows
from tests.docs.said import FILLED, is_said, texts
from tests.running import running_registry

PAGE = "docs/troubleshooting.md"
_COMMAND = re.compile(r"^    (angos-trio .+)$", re.MULTILINE)
_BY_OTHERS = ("Address already in use", "file is not a database", "malformed")
"""Words of the system and of SQLite, which tests of such a start read."""
_REASONS = [os.strerror(each) for each in (errno.EACCES, errno.ENOENT, errno.EROFS)]


def _sentences() -> Iterator[str]:
    for row in rows(read_pages()[PAGE], "It says", "Cause", "What to do"):
        yield from codes(row[0]) or [code(row[0])]


def test_every_sentence_of_the_page_is_the_programs() -> None:
    said = texts()
    refusals = (REPOSITORY / "tests/cli/test_refusals.py").read_text(encoding="utf-8")
    for sentence in _sentences():
        if sentence in _BY_OTHERS:
            assert sentence in refusals, sentence
            continue
        wanted = sentence.replace("$CREDENTIALS_DIRECTORY", FILLED)
        for reason in _REASONS:
            wanted = wanted.replace(reason, "").removeprefix("; ")
        assert len(wanted) > 8, sentence
        assert is_said(wanted, said), sentence


@pytest.mark.slow
def test_commands_of_the_page_run_as_they_stand(tmp_path: Path) -> None:
    commands = _COMMAND.findall(read_pages()[PAGE])
    assert len(commands) == 5
    write_config(tmp_path, workers=1)
    with running_registry(
        tmp_path / "angos-data", arguments=["-c", str(tmp_path / "registry.toml")]
    ):
        for command in commands:
            _, *words = shlex.split(command)
            done = ended(*words, cwd=tmp_path)
            is_right = (0, 3) if words[0] == "doctor" else (0,)
            assert done.returncode in is_right, done
            assert done.stdout
