"""Options of the command line over a configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.config.overrides import load_with_overrides, parse_listen
from angos_trio.errors import OperatorError
from tests.config.refusals import value_or_refusal
from tests.oci.strategies import QUICK, texts


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("localhost:65535", ("localhost", 65535)),
        ("example.test:080", ("example.test", 80)),
        ("[::1]:8000", ("::1", 8000)),
        ("[::]:8000", ("::", 8000)),
    ],
)
def test_address_is_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    assert parse_listen(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "8000",
        ":8000",
        "[]:8000",
        "localhost",
        "localhost:",
        "localhost:http",
        "localhost:-1",
        "localhost:+1",
        "localhost:1_0",
        "localhost:65536",
        "localhost:\u0661",
        "localhost:\u00b2",
        "localhost:80\n",
        "localhost: 80",
        "localhost:80/",
        "localhost:" + "1" * 5_000,
        "::1:8000",
        "::1",
        "[::1]",
        "[::1:8000",
        "http://localhost:8000",
    ],
)
def test_other_address_is_refused(text: str) -> None:
    with pytest.raises(OperatorError, match=r"^--listen: .* is not HOST:PORT$"):
        parse_listen(text)


def test_options_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "angos.toml"
    file.write_text('[server]\nport = 1\nstall_timeout = 7\n[blob_store.fs]\nroot_dir = "a"\n')
    config = load_with_overrides([str(file)], "[::1]:2", "b").config

    assert (config.server.bind_address, config.server.port) == ("::1", 2)
    assert config.server.stall_timeout == 7
    assert config.blob_store.fs.root_dir == "b"


def test_without_options_the_file_stands(tmp_path: Path) -> None:
    file = tmp_path / "angos.toml"
    file.write_text(
        '[server]\nport = 1\n[blob_store.fs]\nroot_dir = "a"\n[observability]\ntracing = 1\n'
    )
    parsed = load_with_overrides([str(file)], None, None)

    assert (parsed.config.server.port, parsed.config.blob_store.fs.root_dir) == (1, "a")
    assert len(parsed.remarks) == 1


def test_data_directory_of_the_command_line_stands_for_both_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "angos.toml"
    file.write_text('[blob_store.fs]\nroot_dir = "a"\n[metadata_store.fs]\nroot_dir = "a"\n')
    config = load_with_overrides([str(file)], None, "b").config

    assert config.blob_store.fs.root_dir == "b"
    assert config.metadata_store.fs.root_dir in (None, "b")


@pytest.mark.parametrize("data_dir", ["", "a\x00b"])
def test_impossible_data_directory_is_refused(data_dir: str) -> None:
    with pytest.raises(OperatorError, match="is not a directory"):
        load_with_overrides([], None, data_dir)


@QUICK
@given(st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True), st.integers(0, 65535))
def test_host_and_port_are_read_back(host: str, port: int) -> None:
    assert parse_listen(f"{host}:{port}") == (host, port)


@QUICK
@given(texts(st.sampled_from(["127.0.0.1:8000", "[::1]:8000", "localhost:0"])))
def test_any_text_is_an_address_or_an_operator_error(text: str) -> None:
    found = value_or_refusal(lambda: parse_listen(text))

    if not isinstance(found, OperatorError):
        host, port = found
        assert host
        assert 0 <= port <= 65535
