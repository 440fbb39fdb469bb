"""Every command of docs/client-configuration.md runs here, or is one that the files come with.

Those are run as they are printed, against a registry with TLS, by `make e2e`, but for a few.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from angos_trio.appliance.client_address import RegistryAddress
from angos_trio.appliance.client_files import Credentials, Wanted, setups_for
from angos_trio.cli.main import main
from tests.docs.pages import REPOSITORY, examples, rows
from tests.e2e.clients.tls_clients import CLIENTS as BY_PROGRAM
from tests.e2e.run import SUITES
from tests.running import HOST, free_port, running_registry

PAGE = (REPOSITORY / "docs" / "client-configuration.md").read_text(encoding="utf-8")
SOURCE = (REPOSITORY / "angos_trio" / "appliance" / "handshake.py").read_text(encoding="utf-8")
EXAMPLES = examples(PAGE, "sh")
COMMAND = "angos-trio client-config "
TEST = f"{COMMAND}test "
NAME = "registry.lab"
CLIENTS = ("build-01", "node-1")
OVER_TLS = "-tls"
"""How names of the suites of `make e2e` end that run the commands of a client as printed."""
NOT_RUN: Final[Mapping[str, str]] = {
    "k3s": "neither Debian nor the Go module proxy has k3s",
    "rke2": "neither Debian nor the Go module proxy has RKE2",
    "crio": "neither Debian nor the Go module proxy has CRI-O; its files are those of podman",
    "buildkit": "docker buildx starts BuildKit from an image, and only Docker Hub has it",
}
"""Clients whose commands nobody runs, with the reason."""


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority of our own."""
    directory = tmp_path_factory.mktemp("authority") / "pki"
    for words in (["init"], ["server", "--san", NAME], *(["client", name] for name in CLIENTS)):
        assert main(["pki", *words, "--pki", str(directory)]) == 0
    return directory


@pytest.fixture(scope="module")
def port(pki: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where a registry of that authority listens."""
    listens, probe = free_port(), f"{HOST}:{free_port()}"
    files = {
        "server_certificate_bundle": "server.crt",
        "server_private_key": "private/server.key",
        "client_ca_bundle": "clients-ca.crt",
    }
    lines = [f"{key} = {json.dumps(str(pki / name))}" for key, name in files.items()]
    health = f"[server.health]\nport = {probe.rpartition(':')[2]}"
    configuration = tmp_path_factory.mktemp("registry") / "registry.toml"
    configuration.write_text("\n".join(["[server.tls]", *lines, health, ""]))
    with running_registry(
        address=f"{HOST}:{listens}", arguments=["-c", str(configuration)], probe=probe
    ):
        yield listens


def checks_of(program: str, *, is_user: bool) -> set[str]:
    """The commands that come with the files of a client."""
    wanted = Wanted(RegistryAddress(NAME), Credentials("a", "", ""), is_user=is_user)
    return {check for setup in setups_for(program, wanted) for check in setup.checks}


@pytest.mark.slow
@pytest.mark.parametrize("example", [each for each in EXAMPLES if TEST not in each])
def test_files_are_made_and_put_in_place_as_the_page_says(
    example: str, pki: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root, checks = tmp_path / "root", set[str]()
    root.mkdir()
    for line in example.splitlines():
        words = shlex.split(line)
        if line.startswith(COMMAND):
            assert main([*words[1:], "--pki", str(pki)]) == 0
            checks = checks_of(words[2], is_user="--user" in words)
        elif words[0] in ("tar", "sh"):
            words = [str(root) if word == "/" else word for word in words]
            told = {**os.environ, "DESTDIR": str(root), "HOME": "/home/somebody"}
            subprocess.run(words, env=told, check=True, capture_output=True, timeout=60)
            assert [path for path in root.rglob("client.key") if path.stat().st_size]
        else:
            assert line in checks


@pytest.mark.slow
def test_test_lets_the_client_in(pki: Path, port: int) -> None:
    lines = [line for each in EXAMPLES for line in each.splitlines() if line.startswith(TEST)]

    assert lines
    for line in lines:
        place = ["--pki", str(pki), "--host", f"{NAME}:{port}", "--address", HOST]
        assert main([*shlex.split(line)[1:], *place]) == 0


def test_every_client_has_its_section() -> None:
    made = {line.split()[2] for each in EXAMPLES for line in each.splitlines() if COMMAND in line}

    assert made >= set(client_names()) | {"all", "test"}


def client_names() -> list[str]:
    """Every client there is."""
    wanted = Wanted(RegistryAddress(NAME), Credentials("a", "", ""))
    return [setup.client for setup in setups_for("all", wanted)]


def test_the_page_prints_every_command_that_shows_whether_the_files_work() -> None:
    shown = list(printed())

    assert {client for client, _, _ in shown} == set(client_names())
    for client, is_user, commands in shown:
        assert commands == checks_of(client, is_user=is_user)


def printed() -> Iterator[tuple[str, bool, set[str]]]:
    """Of each example that ends in such commands: the client, whether its files are a user's, and
    the commands."""
    for example in EXAMPLES:
        lines = [shlex.split(line) for line in example.splitlines()]
        commands = {
            line
            for line, words in zip(example.splitlines(), lines, strict=True)
            if words[0] not in ("angos-trio", "tar", "sh")
        }
        if commands:
            yield lines[0][2], "--user" in lines[0], commands


def test_each_of_them_is_run_by_the_suites_or_is_named_with_the_reason() -> None:
    programs = [suite.client for suite in SUITES if suite.client.endswith(OVER_TLS)]
    run = {BY_PROGRAM.get(name, name) for name in (p.removesuffix(OVER_TLS) for p in programs)}

    assert not run & NOT_RUN.keys()
    assert run | NOT_RUN.keys() == set(client_names())


def test_sentences_of_the_page_are_those_of_the_command() -> None:
    joined = " ".join(SOURCE.replace('"', " ").replace(" f ", " ").split())
    for cell, _ in rows(PAGE, "It says", "Why"):
        for phrase in cell.replace("NAME", "{who}").replace("10 s", "").split(", "):
            assert phrase.strip() in joined, phrase
