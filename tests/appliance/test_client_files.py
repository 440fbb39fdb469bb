"""Files of clients: where they are, what they say, and that it can be read by what they are."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.appliance.client_address import RegistryAddress, is_host_name, parse_address
from angos_trio.appliance.client_files import (
    CLIENTS,
    WELL_KNOWN,
    ClientSetup,
    Credentials,
    Mirror,
    Mirrors,
    Wanted,
    files_of,
    setups_for,
)
from angos_trio.errors import OperatorError
from angos_trio.pki.naming import server_names

ADDRESS = RegistryAddress("registry.lab")
SHOWN = Credentials("build-01", "the authority\n", "the certificate\n", "the key\n")
HUB = Mirror("docker.io", "docker.io")
QUAY = Mirror("quay.io", "red/hat")
NO_MIRRORS = Mirrors()
TWO = Mirrors((HUB, QUAY))
CERTIFICATES = {"ca.crt": 0o644, "client.cert": 0o644, "client.key": 0o600}
DIRECTORIES = {
    "docker": "/etc/docker/certs.d/{0}",
    "podman": "/etc/containers/certs.d/{0}",
    "skopeo": "/etc/containers/certs.d/{0}",
    "buildah": "/etc/containers/certs.d/{0}",
    "crio": "/etc/containers/certs.d/{0}",
    "containerd": "/etc/containerd/certs.d/{0}",
    "k3s": "/etc/rancher/k3s/pki",
    "rke2": "/etc/rancher/rke2/pki",
    "buildkit": "/etc/registry-client",
    "oras": "/etc/registry-client",
    "helm": "/etc/registry-client",
    "curl": "/etc/registry-client",
}


def setup(program: str, mirrors: Mirrors = NO_MIRRORS, **more: Any) -> ClientSetup:
    """What one client gets."""
    told = {"address": ADDRESS, "credentials": SHOWN, "mirrors": mirrors, **more}
    [found] = setups_for(program, Wanted(**told))
    return found


def contents(found: ClientSetup) -> dict[str, str]:
    """Path to content."""
    return {file.path: file.content or "" for file in found.files}


def toml_of(found: ClientSetup, path: str) -> dict[str, Any]:
    """A file that must be TOML."""
    return tomllib.loads(contents(found)[path])


def yaml_of(found: ClientSetup, path: str) -> dict[str, Any]:
    """A file that must be YAML of this form: keys of two levels, in JSON the second with its
    values."""
    document: dict[str, Any] = {}
    table: dict[str, Any] = {}
    for line in contents(found)[path].splitlines():
        if line.startswith("  "):
            table.update(json.loads(f"{{{line}}}"))
        else:
            table = document[line.removesuffix(":")] = {}
    return document


def test_every_client_is_in_the_table_of_directories() -> None:
    assert DIRECTORIES.keys() == CLIENTS.keys()


@pytest.mark.parametrize("port", [443, 5443])
@pytest.mark.parametrize("program", CLIENTS)
def test_certificates_have_their_names_modes_and_directory(program: str, port: int) -> None:
    found = setup(program, address=RegistryAddress("registry.lab", port))
    name = "registry.lab" if port == 443 else "registry.lab:5443"
    folder = DIRECTORIES[program].format(name)

    modes = {file.path: file.mode for file in found.files}
    assert {path: mode for path, mode in modes.items() if path.startswith(f"{folder}/c")} == {
        f"{folder}/{file}": mode for file, mode in CERTIFICATES.items()
    }
    assert contents(found)[f"{folder}/ca.crt"] == SHOWN.ca
    assert contents(found)[f"{folder}/client.cert"] == SHOWN.certificate
    assert contents(found)[f"{folder}/client.key"] == SHOWN.key
    assert all(name in check or "/buildkitd.toml" in check for check in found.checks)
    assert ":443" not in json.dumps([*contents(found), *contents(found).values(), *found.checks])


@pytest.mark.parametrize(
    ("program", "folder"),
    [
        ("docker", "~/.config/docker/certs.d/registry.lab"),
        ("podman", "~/.config/containers/certs.d/registry.lab"),
        ("curl", "~/.config/registry-client"),
    ],
)
def test_files_of_a_user_are_below_their_home(program: str, folder: str) -> None:
    assert {file.path for file in setup(program, is_user=True).files} == {
        f"{folder}/{name}" for name in CERTIFICATES
    }


def test_registries_of_a_user_are_below_their_home_too() -> None:
    found = setup("podman", TWO, is_user=True)

    assert "~/.config/containers/registries.conf.d/50-registry.lab.conf" in contents(found)


def test_client_of_the_host_has_no_files_of_a_user() -> None:
    with pytest.raises(OperatorError, match="--user: containerd has no files of a user; docker"):
        setup("containerd", is_user=True)


def test_all_leaves_the_clients_of_the_host_out_for_a_user() -> None:
    found = setups_for("all", Wanted(ADDRESS, SHOWN, is_user=True))

    assert {each.client for each in found} == {
        *("docker", "podman", "skopeo", "buildah", "oras", "helm", "curl")
    }


def test_all_has_each_file_once() -> None:
    files = files_of(setups_for("all", Wanted(ADDRESS, SHOWN, TWO)))

    paths = [file.path for file in files]
    assert paths == sorted(set(paths))
    assert len(paths) == 3 * 6 + len(
        ["registries.conf.d", "hosts.toml", "docker.io", "quay.io", "k3s", "rke2", "buildkitd"]
    )


def test_hosts_of_containerd_say_it_at_the_root_and_in_the_table() -> None:
    folder = "/etc/containerd/certs.d/registry.lab"
    shown = {
        "ca": f"{folder}/ca.crt",
        "client": [[f"{folder}/client.cert", f"{folder}/client.key"]],
    }

    assert toml_of(setup("containerd"), f"{folder}/hosts.toml") == {
        "server": "https://registry.lab",
        **shown,
        "host": {
            "https://registry.lab": {"capabilities": ["pull", "resolve", "push"], **shown},
        },
    }


def test_containerd_has_a_file_for_each_registry_and_says_its_name_itself() -> None:
    setup_ = setup("containerd", TWO)
    found = toml_of(setup_, "/etc/containerd/certs.d/quay.io/hosts.toml")

    assert found["server"] == "https://quay.io"
    assert "ca" not in found
    assert found["host"].keys() == {"https://registry.lab"}
    table = found["host"]["https://registry.lab"]
    assert table["capabilities"] == ["pull", "resolve"]
    assert table["ca"] == "/etc/containerd/certs.d/registry.lab/ca.crt"
    assert 'Here, [repository."red/hat"] needs namespace = "quay.io".' in setup_.notes
    hub = toml_of(setup_, "/etc/containerd/certs.d/docker.io/hosts.toml")
    assert hub["server"] == "https://registry-1.docker.io"


@pytest.mark.parametrize("name", ["quay.io", "_default"])
def test_strict_containerd_asks_nobody_else(name: str) -> None:
    strict = Mirrors((QUAY,), is_every=True, is_strict=True)
    found = toml_of(setup("containerd", strict), f"/etc/containerd/certs.d/{name}/hosts.toml")

    assert found["server"] == "https://registry.lab"
    for shown in ("ca", "client"):
        assert found[shown] == found["host"]["https://registry.lab"][shown]


def test_every_registry_is_one_file_of_containerd_that_names_no_server() -> None:
    found = setup("containerd", Mirrors(is_every=True))

    every = toml_of(found, "/etc/containerd/certs.d/_default/hosts.toml")
    assert every.keys() == {"host"}
    assert len(found.files) == 5


@pytest.mark.parametrize("program", ["podman", "skopeo", "buildah", "crio"])
def test_registries_conf_has_a_mirror_for_each(program: str) -> None:
    path = "/etc/containers/registries.conf.d/50-registry.lab.conf"

    assert toml_of(setup(program, TWO), path) == {
        "registry": [
            {
                "prefix": "docker.io",
                "location": "docker.io",
                "mirror": [{"location": "registry.lab/docker.io"}],
            },
            {
                "prefix": "quay.io",
                "location": "quay.io",
                "mirror": [{"location": "registry.lab/red/hat"}],
            },
        ]
    }


def test_strict_registries_conf_rewrites_and_has_no_way_back() -> None:
    path = "/etc/containers/registries.conf.d/50-registry.lab.conf"
    found = toml_of(setup("podman", Mirrors((QUAY,), is_strict=True)), path)

    assert found == {"registry": [{"prefix": "quay.io", "location": "registry.lab/red/hat"}]}


def test_every_registry_is_the_well_known_ones_where_each_must_be_named() -> None:
    found = setup("podman", Mirrors(is_every=True))

    path = "/etc/containers/registries.conf.d/50-registry.lab.conf"
    assert [each["prefix"] for each in toml_of(found, path)["registry"]] == list(WELL_KNOWN)
    assert any("Name others with --mirror" in note for note in found.notes)


def test_every_registry_is_meant_beside_those_that_are_named() -> None:
    told = Mirrors((QUAY,), is_every=True).told

    assert told == (QUAY, *(Mirror(name, name) for name in WELL_KNOWN if name != "quay.io"))
    [note] = setup("buildah", Mirrors((QUAY,), is_every=True)).notes
    assert "these are quay.io, docker.io, ghcr.io, registry.k8s.io. Name others" in note


@pytest.mark.parametrize("program", ["k3s", "rke2"])
def test_registries_yaml_names_the_host_as_mirror_and_as_what_is_asked(program: str) -> None:
    found = setup(program, Mirrors((QUAY,), is_every=True, is_strict=True))
    document = yaml_of(found, f"/etc/rancher/{program}/registries.yaml")

    endpoint = ["https://registry.lab"]
    assert document["mirrors"] == {
        "registry.lab": {"endpoint": endpoint},
        "quay.io": {"endpoint": endpoint},
        "*": {"endpoint": endpoint},
    }
    folder = f"/etc/rancher/{program}/pki"
    assert document["configs"] == {
        "registry.lab": {
            "tls": {
                "ca_file": f"{folder}/ca.crt",
                "cert_file": f"{folder}/client.cert",
                "key_file": f"{folder}/client.key",
            }
        }
    }
    assert any("--disable-default-registry-endpoint" in note for note in found.notes)


def test_buildkitd_toml_has_the_pair_and_the_mirrors() -> None:
    assert toml_of(setup("buildkit", TWO), "/etc/registry-client/buildkitd.toml") == {
        "registry": {
            "registry.lab": {
                "ca": ["/etc/registry-client/ca.crt"],
                "keypair": [
                    {
                        "key": "/etc/registry-client/client.key",
                        "cert": "/etc/registry-client/client.cert",
                    }
                ],
            },
            "docker.io": {"mirrors": ["registry.lab"]},
            "quay.io": {"mirrors": ["registry.lab"]},
        }
    }


def test_docker_is_told_what_to_put_into_its_own_file() -> None:
    found = setup("docker", Mirrors((HUB, QUAY), is_strict=True))

    assert len(found.files) == 3
    assert '{"registry-mirrors": ["https://registry.lab"]} into /etc/docker/daemon.json' in (
        " ".join(found.notes)
    )
    assert "registry.lab/red/hat/NAME" in " ".join(found.notes)
    assert "only a closed way out stops it" in " ".join(found.notes)


@pytest.mark.parametrize(
    ("text", "authority", "is_loopback"),
    [
        ("registry.lab", "registry.lab", False),
        ("Registry.LAB:443", "registry.lab", False),
        ("registry.lab:5443", "registry.lab:5443", False),
        ("127.0.0.1:5443", "127.0.0.1:5443", True),
        ("localhost", "localhost", True),
        ("[::1]:5443", "[::1]:5443", True),
        ("[fd00::1]", "[fd00::1]", False),
        ("my_host.lab:5443", "my_host.lab:5443", False),
        ("_a._b", "_a._b", False),
    ],
)
def test_address_is_read_as_clients_write_it(text: str, authority: str, is_loopback: bool) -> None:
    address = parse_address(text, "--host")

    assert (address.authority, address.is_loopback) == (authority, is_loopback)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":443", "a b", "registry.lab:", "registry.lab:0", "registry.lab:65536", "a:b"),
        *("https://registry.lab", "registry.lab/x", "::1", "[::1", "[a]:1", "-a.lab", "a..b"),
        *("[::1]443", "a\nb", "x" * 254, "registry.lab:٤٤٣", "x" * 64, "10.0.0.256", "1.2.3.4.5"),
        *("010.0.0.1:80", "registry.1", "\N{KELVIN SIGN}.lab"),
    ],
)
def test_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(OperatorError, match=r"--host: .* is not like registry\.lab"):
        parse_address(text, "--host")


def test_address_of_ipv6_without_brackets_is_told_how_it_is_written() -> None:
    with pytest.raises(OperatorError, match=r"'fd00::5' is not like .*: write \[fd00::5\]$"):
        parse_address("fd00::5", "--host")


LABELS = st.text("aZ09_-.*Kſ\n", min_size=1, max_size=8)


@given(st.one_of(LABELS, st.lists(LABELS, max_size=5).map(".".join)))
def test_name_is_one_for_clients_if_the_server_can_have_it(text: str) -> None:
    try:
        (name,) = server_names((text,))
    except OperatorError:
        assert not is_host_name(text)
    else:
        assert is_host_name(text) == ("*" not in name)


@pytest.mark.parametrize(
    ("host", "without"),
    [
        ("registry.lab", set[str]()),
        ("10.0.0.5", set[str]()),
        ("fd00::5", {"podman", "crio", "skopeo", "buildah"}),
        ("my_host.lab", set(CLIENTS) - {"oras", "helm", "curl"}),
    ],
)
def test_check_that_cannot_work_is_left_out_and_the_reason_told(
    host: str, without: set[str]
) -> None:
    found = setups_for("all", Wanted(RegistryAddress(host), SHOWN))

    assert {each.client for each in found if not each.checks} == without
    told = {
        each.client for each in found if any("no name of an image" in note for note in each.notes)
    }
    assert told == without


def test_program_that_knows_no_mirrors_says_so() -> None:
    assert setup("curl", TWO).notes == ("curl knows no mirrors.",)
