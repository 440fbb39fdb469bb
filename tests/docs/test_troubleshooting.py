"""The page by symptoms: its commands are run, and its sentences are what the program says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import ended, write_config
from tests.docs.pages import REPOSITORY, code, codes, read_pages, rows
from tests.running import running_registry

PAGE = "docs/troubleshooting.md"
_COMMAND = re.compile(r"^    (angos-trio .+)$", re.MULTILINE)
_OF_SQLITE = ("file is not a database", "malformed")
_OF_THE_SYSTEM = ("Address already in use", "Permission denied; ", "No such file or directory; ")


def _sources() -> str:
    """All that the program can say, without the breaks of its own lines."""
    launcher = REPOSITORY / "packaging" / "zipapp" / "launcher.py"
    paths = [launcher, *(REPOSITORY / "angos_trio").rglob("*.py")]
    texts = [path.read_text(encoding="utf-8") for path in paths]
    return re.sub(r'"\s+f?"', "", "\n".join(texts))


def _sentences() -> Iterator[str]:
    for row in rows(read_pages()[PAGE], "It says", "Cause", "What to do"):
        yield from codes(row[0]) or [code(row[0])]


def test_every_sentence_of_the_page_is_the_programs() -> None:
    sources = _sources()
    for sentence in _sentences():
        said = sentence
        for words in (*_OF_SQLITE, *_OF_THE_SYSTEM, "cannot be made: Permission denied"):
            said = said.replace(words, "")
        said = said.replace("Read-only file system; ", "").replace("$CREDENTIALS_DIRECTORY ", "")
        assert said in sources or "unknown key" in said, sentence


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
