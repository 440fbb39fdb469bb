"""Commands that are shown run as they are pasted."""

from __future__ import annotations

import shlex

import pytest

from angos_trio.web.recipes import Address, Recipe, pull_command, recipes_for

PLAIN = Address.of("http://127.0.0.1:8000")
LAB = Address.of("http://registry.lab:8000")
SECURE = Address.of("https://registry.example.test")


def commands(recipes: list[Recipe]) -> dict[str, str]:
    return {recipe.client: recipe.commands for recipe in recipes}


@pytest.mark.parametrize("address", [PLAIN, LAB, SECURE])
@pytest.mark.parametrize("needs_login", [True, False])
def test_every_line_is_a_command_with_this_host(address: Address, needs_login: bool) -> None:
    for recipe in recipes_for(address, "team/app", needs_login=needs_login, is_whole=False):
        lines = recipe.commands.splitlines()
        assert all(shlex.split(line) for line in lines)
        assert address.host in lines[-1]
        assert "[" not in recipe.commands
        has_login = any("login" in line or "--user" in line for line in lines)
        assert has_login == needs_login


def test_clients_are_told_that_there_is_no_tls_and_nothing_where_there_is() -> None:
    plain = commands(recipes_for(LAB, "a", needs_login=False, is_whole=False))
    secure = commands(recipes_for(SECURE, "a", needs_login=False, is_whole=False))

    assert "--tls-verify=false" in plain["podman"]
    assert "--dest-tls-verify=false" in plain["skopeo"]
    assert all("--plain-http" in plain[client] for client in ("containerd", "oras", "helm"))
    assert not any("tls-verify" in text or "plain-http" in text for text in secure.values())


def test_docker_is_told_of_a_host_without_tls_that_is_not_this_one() -> None:
    notes = [
        recipes_for(address, "a", needs_login=False, is_whole=False)[0].note
        for address in (PLAIN, LAB, SECURE)
    ]

    assert notes[0] == notes[2] == ""
    assert '{"insecure-registries": ["registry.lab:8000"]}' in notes[1]


def test_whole_name_is_the_name_of_the_image() -> None:
    found = commands(recipes_for(SECURE, "team/app", needs_login=False, is_whole=True))

    assert found["docker"].endswith("docker push registry.example.test/team/app:3.20")


@pytest.mark.parametrize(
    ("role", "tag", "command"),
    [
        ("image", "1", "docker pull registry.example.test/a/b:1"),
        ("index", "1", "docker pull registry.example.test/a/b:1"),
        ("", "1", "docker pull registry.example.test/a/b:1"),
        ("chart", "1_2", "helm pull oci://registry.example.test/a/b --version 1+2"),
        ("artifact", "1", "oras pull registry.example.test/a/b:1"),
        ("sbom", "1", "oras pull registry.example.test/a/b:1"),
    ],
)
def test_what_is_pulled_is_pulled_by_its_client(role: str, tag: str, command: str) -> None:
    assert pull_command(SECURE, "a/b", tag, role) == command
