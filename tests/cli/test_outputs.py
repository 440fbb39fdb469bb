"""What commands do where standard output or standard error cannot be written, and where the system
refuses what nobody foresaw: a sentence, never a traceback."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import tarfile
from pathlib import Path

import pytest

from angos_trio.cli import main as command_line
from tests.appliance.layout import lay_out
from tests.certificates import Authority
from tests.cli.commands import SECS_MAX, ended
from tests.running import program
from tests.users import give_to_another, without_rights

pytestmark = pytest.mark.slow
ROOT = Authority("Lab root")
ISSUING = ROOT.intermediate("Lab issuing")


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    """With a server whose name does not resolve, so that there is something to be noted."""
    server = ISSUING.server("registry.invalid")
    return lay_out(tmp_path / "pki", ROOT, {"alice": ISSUING.client("alice")}, server)


def typed(words: list[str], streams: str) -> subprocess.CompletedProcess[bytes]:
    """A command with its streams led elsewhere."""
    line = f"unset PYTHONUNBUFFERED; {shlex.join([*program(), *words])} {streams}"
    return subprocess.run(["sh", "-c", line], capture_output=True, timeout=SECS_MAX, check=False)


def files(pki: Path, *more: str) -> list[str]:
    return ["client-config", "docker", "--client", "alice", "--pki", str(pki), *more]


@pytest.mark.parametrize(
    "words",
    [["config", "schema"], ["check"], ["doctor"], ["pki", "init", "--pki", "{}/new"], ["--help"]],
)
def test_output_that_is_full_is_a_sentence(words: list[str], tmp_path: Path) -> None:
    done = typed([each.format(tmp_path) for each in words], "> /dev/full")

    assert done.returncode == 1
    said = [line for line in done.stderr.decode().splitlines() if not line.startswith("warning")]
    assert said == ["angos-trio: standard output: the disk is full: make room and try again"]


def test_refusal_stays_the_only_line_where_the_output_is_full(tmp_path: Path) -> None:
    words = ["client-config", "docker", "--client", "a", "--pki", str(tmp_path)]
    done = typed(words, "> /dev/full")

    assert done.returncode == 1
    assert done.stderr.decode().startswith(f"angos-trio: {tmp_path}/ca.crt: there is no authority")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("form", ["text", "sh", "tar"])
def test_files_for_an_output_that_is_closed_are_refused(pki: Path, form: str) -> None:
    done = typed(files(pki, "--format", form), ">&-")

    assert done.returncode == 1
    last = done.stderr.decode().splitlines()[-1]
    assert last == "angos-trio: standard output is closed: give -o FILE"


@pytest.mark.parametrize("streams", ["2> /dev/full", "2>&-"])
def test_files_come_whole_where_no_note_can_be_told(pki: Path, streams: str) -> None:
    done = typed(files(pki, "--format", "tar"), streams)

    assert (done.returncode, done.stderr) == (0, b"")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        assert "etc/docker/certs.d/registry.invalid/ca.crt" in archive.getnames()
    assert b"note: " not in done.stdout


def refusal(*words: str, **options: object) -> str:
    """The one sentence of a command."""
    done = ended(*words, **options)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done
    return done.stderr.strip()


def test_place_that_is_closed_is_a_sentence(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    give_to_another(closed, 0o700)
    for words in (
        ("init", f"{closed}/new", "--hostname", "registry.lab"),
        ("self", "units", "--root", f"{closed}/tree"),
    ):
        said = refusal(*words, **without_rights())
        assert "no permission: run the command as root, or as the owner of" in said
        assert f"angos-trio: {closed}/" in said


def test_name_that_is_too_long_is_a_sentence(tmp_path: Path) -> None:
    said = refusal("init", str(tmp_path / ("x" * 300)), "--hostname", "registry.lab")
    assert said.endswith(": File name too long")


def test_file_in_the_place_of_a_directory_is_a_sentence_with_its_cure(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    said = refusal("init", str(file), "--hostname", "registry.lab")
    assert said == f"angos-trio: {file} is no directory: take another name"


def test_registry_that_an_error_ends_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> int:
        raise OSError(28, os.strerror(28), "/data/x")

    monkeypatch.setattr(command_line, "_serve", fails)
    with pytest.raises(OSError, match="No space left"):
        command_line.main(["serve"])
