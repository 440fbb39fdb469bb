"""Configuration files."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import pytest

from angos_trio.config.model import Config
from angos_trio.config.sources import load
from angos_trio.errors import OperatorError
from angos_trio.limits.processes import CONFIG_FILE_BYTES_MAX


def file_of(directory: Path, content: bytes, name: str = "angos.toml") -> str:
    path = directory / name
    path.write_bytes(content)
    return str(path)


def test_no_file_gives_the_defaults() -> None:
    assert load([]).config == Config()


def test_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load([file_of(tmp_path, b"")]).config == Config()


def test_later_file_wins(tmp_path: Path) -> None:
    first = file_of(tmp_path, b"[server]\nport = 1\nstall_timeout = 7", "first.toml")
    second = file_of(tmp_path, b"[server]\nport = 2", "second.toml")

    assert load([first, second]).config.server.port == 2
    assert load([second, first]).config.server.port == 1
    assert load([first, second]).config.server.stall_timeout == 7


def test_symbolic_link_is_followed(tmp_path: Path) -> None:
    link = tmp_path / "link.toml"
    link.symlink_to(file_of(tmp_path, b"[server]\nport = 1"))

    assert load([str(link)]).config.server.port == 1


@pytest.mark.parametrize(
    "content",
    [b"\xff", b"a = '\xed\xa0\x80'", "port = 1".encode("utf-16"), b"a = 'caf\xe9'"],
)
def test_file_that_is_not_utf_8_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = file_of(tmp_path, content)
    with pytest.raises(OperatorError) as caught:
        load([path])

    assert str(caught.value) == f"{path}: not UTF-8"


def test_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    path = str(tmp_path / "missing.toml")
    with pytest.raises(OperatorError) as caught:
        load([path])

    assert str(caught.value) == f"{path}: No such file or directory; correct the name, or make it"


def test_directory_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(OperatorError) as caught:
        load([str(tmp_path)])

    assert str(caught.value) == f"{tmp_path}: Is a directory; a file is wanted: correct the name"


def test_error_names_the_file_that_has_it(tmp_path: Path) -> None:
    good, bad = file_of(tmp_path, b"", "good.toml"), file_of(tmp_path, b"[", "bad.toml")
    with pytest.raises(OperatorError, match=r"bad\.toml: "):
        load([good, bad])


def test_largest_file_is_read_and_a_larger_one_refused(tmp_path: Path) -> None:
    largest = file_of(tmp_path, b"#" * CONFIG_FILE_BYTES_MAX, "largest.toml")
    larger = file_of(tmp_path, b"#" * (CONFIG_FILE_BYTES_MAX + 1), "larger.toml")

    assert load([largest]).config == Config()
    with pytest.raises(OperatorError, match="larger than"):
        load([larger])


def test_endless_file_is_read_no_further_than_its_bound(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    written: list[int] = []
    writer = Thread(target=write_much, args=(pipe, written))
    writer.start()
    with pytest.raises(OperatorError, match="larger than"):
        load([str(pipe)])
    writer.join()

    assert sum(written) < 2 * CONFIG_FILE_BYTES_MAX


def test_pipe_is_read_once_only(tmp_path: Path) -> None:
    reads, writes = os.pipe()
    os.write(writes, b"[server]\nport = 5001\n")
    os.close(writes)
    try:
        assert load([f"/dev/fd/{reads}"]).config.server.port == 5001
        with pytest.raises(OperatorError, match=f"/dev/fd/{reads} can be read once only"):
            load([f"/dev/fd/{reads}"], is_again=True)
    finally:
        os.close(reads)

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OperatorError, match="can be read once only"):
        load([str(pipe)], is_again=True)


def test_regular_file_is_read_again_and_another_refused_as_before(tmp_path: Path) -> None:
    path = file_of(tmp_path, b"[server]\nport = 5001\n")
    assert load([path], is_again=True).config == load([path]).config
    with pytest.raises(OperatorError, match="directory"):
        load([str(tmp_path)], is_again=True)


def write_much(pipe: Path, written: list[int]) -> None:
    """Write until nobody reads any more, or far more than anybody should have read."""
    descriptor = os.open(pipe, os.O_WRONLY)
    try:
        while sum(written) < 8 * CONFIG_FILE_BYTES_MAX:
            written.append(os.write(descriptor, b"#" * 65_536))
    except BrokenPipeError:
        pass
    finally:
        os.close(descriptor)
