"""Small files that serve again, and what they must not carry from one to the next."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from angos_trio.limits.storage import SPARE_FILES_MAX
from angos_trio.storage.spares import Spares
from tests.storage.support import ScriptedFiles, failing


@pytest.fixture
def files() -> ScriptedFiles:
    return ScriptedFiles()


@pytest.fixture
def spares(files: ScriptedFiles, tmp_path: Path) -> Spares:
    (tmp_path / "kept").mkdir()
    return Spares(files, tmp_path / "kept" / "me")


def test_file_serves_again_with_another_content(
    spares: Spares, files: ScriptedFiles, tmp_path: Path
) -> None:
    path = tmp_path / "record"
    spares.write_new(str(path), b"a long content")
    made = path.stat().st_ino
    spares.give_back(str(path))
    assert not path.exists()

    spares.write_new(str(path), b"short")

    assert path.read_bytes() == b"short"
    assert path.stat().st_ino == made
    assert files.count("write_new") == 1
    assert files.count("remove") == 0


def test_only_so_many_are_kept(spares: Spares, files: ScriptedFiles, tmp_path: Path) -> None:
    paths = [str(tmp_path / str(number)) for number in range(SPARE_FILES_MAX + 3)]
    for path in paths:
        spares.write_new(path, b"x")
    for path in paths:
        spares.give_back(path)
    assert len(os.listdir(tmp_path / "kept")) == SPARE_FILES_MAX
    assert files.count("remove") == 3

    spares.close()
    assert os.listdir(tmp_path / "kept") == []


def test_what_is_gone_already_is_given_back_without_a_word(spares: Spares, tmp_path: Path) -> None:
    spares.give_back(str(tmp_path / "nothing"))
    spares.write_new(str(tmp_path / "record"), b"x")


def test_what_cannot_be_kept_is_removed(
    spares: Spares, files: ScriptedFiles, tmp_path: Path
) -> None:
    spares.write_new(str(tmp_path / "record"), b"x")
    files.at["move"] = failing(errno.ENOSPC)

    spares.give_back(str(tmp_path / "record"))

    assert os.listdir(tmp_path) == ["kept"]


@pytest.mark.parametrize("verb", ["write_over", "write_at", "move"])
def test_disk_that_refuses_leaves_nothing_half_written(
    spares: Spares, files: ScriptedFiles, tmp_path: Path, verb: str
) -> None:
    path = str(tmp_path / "record")
    spares.write_new(path, b"first")
    spares.give_back(path)
    files.at[verb] = failing(errno.ENOSPC, times=1)

    with pytest.raises(OSError, match="No space"):
        spares.write_new(path, b"second")

    assert os.listdir(tmp_path) == ["kept"]
    assert os.listdir(tmp_path / "kept") == []
    spares.write_new(path, b"second")
    assert Path(path).read_bytes() == b"second"
