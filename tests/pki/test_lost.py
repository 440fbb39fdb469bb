"""What is lost of an authority is named, with its cure, and nothing is made over the rest."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from angos_trio.errors import OperatorError
from angos_trio.pki.inspecting import inspect
from angos_trio.pki.keeping import PkiDirectory
from angos_trio.pki.renewing import RootKey, due_of, renew_issuing
from tests.pki.authorities import NOW, admit, files_below, found, serve


def lose_issuing(folder: Path, *, also_journal: bool = False) -> PkiDirectory:
    directory = found(folder)
    serve(directory)
    admit(directory, "alice")
    directory.issuing.unlink()
    if also_journal:
        directory.journal.unlink()
    return directory


@pytest.mark.parametrize("also_journal", [False, True])
def test_certificate_of_the_authority_that_is_lost_is_named(
    tmp_path: Path, also_journal: bool
) -> None:
    directory = lose_issuing(tmp_path, also_journal=also_journal)
    before = files_below(directory.root)
    for work in (
        lambda: inspect(directory, NOW),
        lambda: due_of(directory, NOW),
        lambda: renew_issuing(directory, RootKey(), NOW),
        lambda: admit(directory, "bob"),
        lambda: found(tmp_path),
    ):
        with pytest.raises(OperatorError, match=r"issuing.crt is missing: bring it back from a"):
            work()
    assert files_below(directory.root) == before


def test_command_that_brings_it_back_does(tmp_path: Path) -> None:
    directory = lose_issuing(tmp_path)
    with pytest.raises(OperatorError) as caught:
        admit(directory, "bob")
    command = str(caught.value).rpartition(": ")[2]
    assert command.startswith("openssl x509 ")
    subprocess.run(command.split(), check=True, capture_output=True)
    admit(directory, "bob")
    assert inspect(directory, NOW) == []


def test_authority_that_has_issued_nothing_may_be_one_that_was_cut_off(tmp_path: Path) -> None:
    directory = found(tmp_path)
    directory.issuing.unlink()
    with pytest.raises(OperatorError, match="or, if pki init was cut off here, run it again"):
        admit(directory, "bob")
    found(tmp_path)
    admit(directory, "bob")
