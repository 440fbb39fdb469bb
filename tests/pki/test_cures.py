"""A command that a sentence names can be typed as it stands, and is about the same authority."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from angos_trio.errors import OperatorError
from angos_trio.limits.certificates import PKI_DIRECTORY
from angos_trio.pki.inspecting import inspect
from angos_trio.pki.keeping import PkiDirectory, require_authority
from angos_trio.pki.renewing import RootKey, command_for, due_of, renew, renew_issuing
from angos_trio.pki.revoking import revoke
from tests.pki.authorities import DAY_SECS, NOW, admit, found, serve
from tests.pki.test_authority import request_file

NAME = "a b"
COMMAND = re.compile(r"angos-trio pki (?:[^';:,(]|:(?! )|'[^']*')+")


def made(folder: Path) -> PkiDirectory:
    directory = found(folder / "the lab")
    serve(directory, "registry.lab", "10.0.0.5")
    admit(directory, NAME, groups=("the team",))
    return directory


def refused(work: Callable[[], object]) -> list[str]:
    with pytest.raises(OperatorError) as caught:
        work()
    return [str(caught.value)]


def revoked(directory: PkiDirectory, name: str) -> list[str]:
    revoke(directory, name, "unspecified", NOW)
    return refused(lambda: renew(directory, name, NOW))


def damaged(directory: PkiDirectory) -> list[str]:
    directory.server.write_bytes(b"x")
    return list(admit(directory, "bob").remarks)


def found_in(directory: PkiDirectory, now: int) -> list[str]:
    return [str(finding) for _, finding in inspect(directory, now)]


def left(directory: PkiDirectory) -> list[str]:
    directory.server.with_name("server.crt.next").touch()
    directory.crl.unlink()
    return found_in(directory, NOW)


# What is said, and the words of the commands in it, without the directory.
SAID: dict[str, tuple[Callable[[PkiDirectory], list[str]], list[str]]] = {
    "older": (lambda it: list(admit(it, NAME, groups=("the team",)).remarks), ["revoke"]),
    "another": (lambda it: refused(lambda: found(it.root.parent)), ["list"]),
    "no name": (lambda it: refused(lambda: revoke(it, "x", "unspecified", NOW)), ["list"]),
    "no serial": (lambda it: refused(lambda: revoke(it, "a" * 8, "unspecified", NOW)), ["list"]),
    "nobody": (lambda it: refused(lambda: renew(it, "x y", NOW)), ["client", "x y"]),
    "revoked client": (
        lambda it: revoked(it, NAME),
        ["client", NAME, "--group", "the team"],
    ),
    "revoked server": (
        lambda it: revoked(it, "server"),
        ["server", "--san", "DNS:registry.lab", "--san", "IP:10.0.0.5"],
    ),
    "damaged server": (
        damaged,
        ["server", "--san", "DNS:registry.lab", "--san", "IP:10.0.0.5"],
    ),
    "ending": (lambda it: list(due_of(it, NOW + 1800 * DAY_SECS).warnings), ["renew", "issuing"]),
    "ended": (
        lambda it: refused(lambda: admit(it, "bob", NOW + 1900 * DAY_SECS)),
        ["renew", "issuing"],
    ),
    "doctor on the list": (lambda it: found_in(it, NOW + 31 * DAY_SECS), ["crl"]),
    "doctor on the server": (lambda it: found_in(it, NOW + 300 * DAY_SECS), ["renew", "server"]),
    "doctor on what is left": (left, ["renew", "--all-due"]),
    "doctor on a lost list": (left, ["crl"]),
}


@pytest.mark.parametrize("name", SAID)
def test_command_is_about_the_same_authority(tmp_path: Path, name: str) -> None:
    directory = made(tmp_path)
    work, wanted = SAID[name]
    commands = [
        shlex.split(command) for text in work(directory) for command in COMMAND.findall(text)
    ]
    for words in commands:
        assert f"{directory.root}" in words, words
    assert any(words[2 : 2 + len(wanted)] == wanted for words in commands), commands


def test_command_that_renews_says_all_that_the_one_before_said(tmp_path: Path) -> None:
    directory = made(tmp_path)
    assert shlex.split(command_for(directory, admit(directory, NAME).record))[2:4] == [
        "renew",
        NAME,
    ]
    issued = admit(directory, "hsm", groups=("a b",), days=9, request=request_file(tmp_path))
    assert shlex.split(command_for(directory, issued.record))[2:] == [
        *("client", "hsm", "--csr", "FILE", "--group", "a b", "--days", "9"),
        *("--pki", str(directory.root)),
    ]


def test_directory_that_needs_no_word_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PkiDirectory(Path(PKI_DIRECTORY)).command("list") == "angos-trio pki list"
    monkeypatch.chdir(tmp_path)
    assert PkiDirectory(Path("x")).command("list") == f"angos-trio pki list --pki {tmp_path}/x"


def test_without_an_authority_the_command_that_makes_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=rf"pki init --pki {tmp_path}/pki, or name its"):
        require_authority(PkiDirectory(tmp_path / "pki"))


def test_life_that_is_cut_short_names_its_cure(tmp_path: Path) -> None:
    directory = found(tmp_path, years=1)
    issued = admit(directory, "alice", days=500)
    assert any(f"pki renew issuing --pki {directory.root}" in each for each in issued.remarks)
    renew_issuing(directory, RootKey(), NOW)
