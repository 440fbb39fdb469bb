"""What a new registry begins with: for names of all kinds, and beside what is there already."""

from __future__ import annotations

import json
import shutil
import time
from functools import partial
from pathlib import Path

import pytest

from angos_trio.appliance.client_address import parse_address
from angos_trio.cli.first_steps import Place, authority_of, begin, check_wish
from angos_trio.config.sources import load
from angos_trio.errors import OperatorError
from angos_trio.pki.authority import PkiDirectory
from angos_trio.pki.inspecting import inspect
from tests.pki.authorities import admit, certificates, files_below, found, serve
from tests.pki.test_keeping import killed_at

pytestmark = pytest.mark.slow


def place_in(root: Path) -> Place:
    return Place(root / "config.toml", root / "pki", root / "data", 8443, is_alone=True)


def begun(root: Path, hostname: str | None) -> None:
    place = place_in(root)
    begin(place, check_wish(place, hostname), 0o600)


@pytest.mark.parametrize(
    ("hostname", "url"),
    [
        ("Registry.LAB", "https://registry.lab:8443"),
        ("10.0.0.5", "https://10.0.0.5:8443"),
        ("fd00::5", "https://[fd00::5]:8443"),
        ("[FD00:0::5]", "https://[fd00::5]:8443"),
        ("my_host.lab", "https://my_host.lab:8443"),
        (f"{'a' * 63}.{'b' * 63}.lab", f"https://{'a' * 63}.{'b' * 63}.lab:8443"),
    ],
)
def test_every_name_of_a_host_comes_through(tmp_path: Path, hostname: str, url: str) -> None:
    begun(tmp_path, hostname)
    server = load([str(tmp_path / "config.toml")]).config.server
    assert server.external_url == url
    assert server.bind_address == ("::" if "[" in url else "0.0.0.0")
    assert parse_address(url.removeprefix("https://"), "--host").url == url


@pytest.mark.parametrize(
    "hostname",
    [
        "a b",
        "a\nb",
        'a"b',
        "../x",
        "*.lab",
        "",
        "registry.lab:8443",
        "$(id)",
        "bücher.lab",
        "a" * 64,
    ],
)
def test_what_is_no_name_is_refused_before_anything_is_made(tmp_path: Path, hostname: str) -> None:
    with pytest.raises(OperatorError, match=r"\A--hostname: ") as refused:
        begun(tmp_path, hostname)
    assert "--san" not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_without_a_name_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"ca\.crt is not there yet: say --hostname NAME"):
        begun(tmp_path, None)
    assert list(tmp_path.iterdir()) == []


def test_the_second_time_nothing_changes_and_another_name_is_refused(tmp_path: Path) -> None:
    begun(tmp_path, "registry.lab")
    before = files_below(tmp_path)
    begun(tmp_path, None)
    begun(tmp_path, "REGISTRY.lab")
    with pytest.raises(OperatorError, match=r"is for DNS:registry\.lab: leave --hostname away, or"):
        begun(tmp_path, "other.lab")
    assert files_below(tmp_path) == before


def test_an_authority_that_was_cut_off_is_made_by_the_same_command(tmp_path: Path) -> None:
    found(tmp_path)
    (tmp_path / "pki" / "issuing.crt").unlink()  # the last that is written
    begun(tmp_path, "registry.lab")
    issuing = certificates(tmp_path / "pki" / "issuing.crt")[0]
    assert certificates(tmp_path / "pki" / "server.crt")[0].issuer == issuing.subject


def test_a_kill_at_any_step_is_mended_by_the_same_command(tmp_path: Path) -> None:
    step = 0
    while True:
        root = tmp_path / str(step)
        root.mkdir()
        if not killed_at(step, root, partial(begun, root, "registry.lab")):
            break
        begun(root, "registry.lab")
        assert inspect(PkiDirectory(root / "pki"), int(time.time())) == []
        assert load([str(root / "config.toml")]).config.server.tls is not None
        step += 1
    assert step > 20


def test_certificates_from_elsewhere_are_left_alone(tmp_path: Path) -> None:
    elsewhere = found(tmp_path / "elsewhere")
    serve(elsewhere)
    admit(elsewhere, "alice")
    pki = tmp_path / "here" / "pki"
    (pki / "private").mkdir(parents=True)
    for name in ("ca.crt", "server.crt", "private/server.key"):
        shutil.copy(elsewhere.root / name, pki / name)
    with pytest.raises(OperatorError, match=r"clients-ca\.crt is not there: write the authorities"):
        begun(tmp_path / "here", "registry.lab")
    shutil.copy(elsewhere.clients_ca, pki / "clients-ca.crt")
    before = files_below(pki)
    begun(tmp_path / "here", "registry.lab")
    assert files_below(pki) == before
    assert load([str(tmp_path / "here" / "config.toml")]).config.server.tls is not None


def test_in_a_tree_the_configuration_says_paths_of_the_system_to_be(tmp_path: Path) -> None:
    pki = tmp_path / "etc" / "angos-trio" / "pki"
    configuration, data = tmp_path / "etc" / "angos-trio" / "config.toml", Path("/var/lib/x")
    place = Place(configuration, pki, data, 443, is_alone=False, tree=tmp_path)
    made = begin(place, check_wish(place, "registry.lab"), 0o600)
    text = configuration.read_text()
    assert str(tmp_path) not in text
    assert 'client_crl = ["/etc/angos-trio/pki/clients.crl"]' in text
    assert 'external_url = "https://registry.lab"' in text
    assert made.password is not None
    assert made.password not in json.dumps({k: str(v) for k, v in files_below(tmp_path).items()})


def test_a_name_with_a_port_is_written_as_urls_have_it() -> None:
    assert authority_of("DNS:registry.lab", 443) == "registry.lab"
    assert authority_of("IP:10.0.0.5", 8443) == "10.0.0.5:8443"
    assert authority_of("IP:fd00::5", 443) == "[fd00::5]"
    assert authority_of("IP:fd00::5", 8443) == "[fd00::5]:8443"
