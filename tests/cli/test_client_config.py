"""`angos-trio client-config` as an operator types it: what it hands out, warns of and refuses."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from angos_trio.appliance.client_files import CLIENTS
from angos_trio.cli.client_config_arguments import PROGRAMS
from angos_trio.cli.main import main
from tests.appliance.layout import lay_out
from tests.certificates import DAY_SECS, FOR_SERVERS, Authority
from tests.cli.commands import ended
from tests.running import program
from tests.users import give_to_another, without_rights

ROOT = Authority("Lab root")
ISSUING = ROOT.intermediate("Lab issuing")
FOLDER = "/etc/docker/certs.d/registry.lab"
SECS_MAX = 60
UNKNOWN_HOST = "registry.invalid"
"""Which no server of names knows (RFC 6761)."""


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    """With a server that has a name which resolves, and two clients."""
    clients = {name: ISSUING.client(name) for name in ("build-01", "k8s")}
    server = ISSUING.server("*.wild.lab", "registry.lab", "localhost", "10.0.0.5")
    return lay_out(tmp_path / "pki", ROOT, clients, server)


def words(pki: Path, *more: str) -> list[str]:
    """The command of a client whose host resolves, and what is added."""
    return ["client-config", *more, "--pki", str(pki)]


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, and both outputs."""
    code = main(arguments)
    out, err = capsys.readouterr()
    return code, out, err


def test_arguments_know_every_client() -> None:
    assert (*CLIENTS, "all") == PROGRAMS


def test_text_has_the_certificates_and_not_the_key(
    pki: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = said(capsys, *words(pki, "docker", "--client", "build-01"))

    assert code == 0
    assert f"## {FOLDER}/client.cert (mode 0644)\n\n-----BEGIN CERTIFICATE-----" in out
    assert out.count("BEGIN CERTIFICATE") == 3
    assert "PRIVATE KEY" not in out
    assert f"copy {pki}/private/clients/build-01.key there" in out


def test_key_is_handed_out_when_it_is_asked_for(
    pki: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = said(capsys, *words(pki, "curl", "--client", "build-01", "--with-key"))

    assert code == 0
    assert (pki / "private/clients/build-01.key").read_text() in out


def test_archive_goes_into_a_private_file_and_has_the_key_only_when_asked(
    pki: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "files.tar"
    arguments = words(pki, "podman", "--client", "build-01", "--format", "tar", "-o", str(file))

    for more, count in (((), 2), (("--with-key",), 3)):
        code, out, err = said(capsys, *arguments, *more)

        assert (code, out) == (0, "")
        assert ("note: the private key is not in it: copy" in err) == (not more)
        assert file.stat().st_mode & 0o777 == 0o600
        with tarfile.open(file) as archive:
            assert len(archive.getnames()) == count
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_archive_says_which_files_of_others_it_replaces(
    pki: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = words(pki, "all", "--client", "k8s", "--format", "tar", "-o", str(tmp_path / "t"))
    _, _, err = said(capsys, *arguments)

    for file in ("rancher/k3s/registries.yaml", "registry-client/buildkitd.toml"):
        assert f"note: unpacking replaces /etc/{file}, where others may have written" in err
    assert "ca.crt, where" not in err


@pytest.mark.parametrize(
    "name", ["../../../etc/cron.d/x", "a.lab\ntouch /pwned", "a.lab\x1b[2m", "fe80::1%/../x"]
)
def test_name_of_a_foreign_certificate_that_is_no_host_goes_into_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    pki = lay_out(tmp_path / "pki", ROOT, {"a": ISSUING.client("a")}, ISSUING.server(name))
    code, out, err = said(capsys, *words(pki, "docker", "--client", "a", "--format", "sh"))

    assert (code, out) == (1, "")
    assert err == (
        f"angos-trio: {pki}/server.crt: it is for {name!a}, which can be no host; give --host\n"
    )
    _, _, err = said(capsys, *words(pki, "docker", "--client", "a", "--host", "localhost"))
    assert name not in err or name.isprintable()


def test_file_in_a_place_that_is_closed_is_a_sentence(pki: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    give_to_another(closed, 0o700)
    arguments = words(pki, "docker", "--client", "k8s", "-o", str(closed / "x"))
    done = ended(*arguments, **without_rights())

    assert done.stderr.splitlines()[-1] == (
        f"angos-trio: -o {closed}/x: cannot be written (Permission denied)"
    )


def test_script_with_a_key_goes_into_a_private_file(pki: Path, tmp_path: Path) -> None:
    file = tmp_path / "files.sh"
    arguments = words(pki, "docker", "--client", "k8s", "--format", "sh", "-o", str(file))

    assert main([*arguments]) == 0
    assert file.stat().st_mode & 0o777 == 0o644
    assert main([*arguments, "--with-key"]) == 0
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_archive_is_written_to_a_pipe(pki: Path) -> None:
    arguments = words(pki, "all", "--client", "build-01", "--format", "tar", "--host", "localhost")

    ended = subprocess.run(
        [*program(), *arguments], capture_output=True, timeout=SECS_MAX, check=False
    )

    assert ended.returncode == 0
    with tarfile.open(fileobj=io.BytesIO(ended.stdout)) as archive:
        assert "etc/docker/certs.d/localhost/ca.crt" in archive.getnames()


class Terminal(io.StringIO):
    """Where somebody looks."""

    def isatty(self) -> bool:
        return True


def test_archive_is_refused_at_a_terminal(
    pki: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout", Terminal())

    assert main(words(pki, "docker", "--client", "k8s", "--format", "tar")) == 1
    assert "a tar is nothing for a terminal: give -o FILE" in capsys.readouterr().err


def test_port_stands_in_directories_unless_it_is_443(
    pki: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = words(pki, "containerd", "--client", "k8s")
    _, with_port, _ = said(capsys, *arguments, "--host", "registry.lab:5443")
    _, without, _ = said(capsys, *arguments, "--host", "registry.lab:443")

    assert "/etc/containerd/certs.d/registry.lab:5443/hosts.toml" in with_port
    assert "/etc/containerd/certs.d/registry.lab/hosts.toml" in without


def test_client_that_cannot_name_an_image_here_is_warned_of(
    pki: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = words(pki, "all", "--client", "k8s")
    _, out, err = said(capsys, *arguments, "--host", "[fd00::5]:5443")

    assert "warning: podman, crio, skopeo, buildah: no name of an image may begin with an" in err
    assert "skopeo list-tags" not in out
    assert "no name of an image" not in said(capsys, *arguments, "--host", "registry.lab")[2]


def test_mirrors_of_another_repository_are_named(
    pki: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirrors = ("--mirror", "docker.io,quay.io=partner/quay", "--strict-airgap")
    _, out, _ = said(capsys, *words(pki, "podman", "--client", "k8s", *mirrors))

    assert 'location = "registry.lab/docker.io"' in out
    assert 'location = "registry.lab/partner/quay"' in out
    assert "[[registry.mirror]]" not in out


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--mirror", "a b"), "--mirror: 'a b' is not like registry.lab or registry.lab:5443"),
        (("--mirror", "quay.io,quay.io"), "--mirror: quay.io stands there twice"),
        (("--mirror", "registry.lab"), "--mirror: registry.lab is the registry itself"),
        (("--mirror", "a.lab:5000"), "write REGISTRY=REPOSITORY"),
        (("--mirror", "quay.io=UPPER"), "'UPPER' can be the name of no repository"),
        (("--strict-airgap",), "--strict-airgap is about --mirror; say which registries"),
        (("--host", "https://registry.lab"), "--host: 'https://registry.lab' is not like"),
        (("--host", "[fe80::1%eth0]"), "--host: '[fe80::1%eth0]' is not like"),
        (("--host", "[::1]:"), "--host: '[::1]:' is not like"),
        (("--address", "10.0.0.5"), "--address is for client-config test"),
        (("--client", "biuld-01"), "there is no client 'biuld-01' in {0}/clients; did you mean"),
        (("--client", "x"), "there is no client 'x' in {0}/clients; there are build-01, k8s"),
        (("--client", "../../etc/passwd"), "there is no client '../../etc/passwd'"),
        (("-o", "/nowhere/file"), "-o /nowhere/file: cannot be written (No such file"),
        (("-o", "/dev/null"), "-o /dev/null: this is no file; give another name"),
        (("--pki", "/nowhere"), "/nowhere/ca.crt: there is no authority here: make one with"),
    ],
)
def test_refusal_is_a_sentence(
    pki: Path, more: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = words(pki, "docker", "--client", "build-01")
    code, out, err = said(capsys, *first, *more)

    assert (code, out) == (1, "")
    assert sentence.format(pki) in err
    assert err.startswith("angos-trio: ") or "\nangos-trio: " in err


def test_client_must_be_named(pki: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, *words(pki, "docker"))[2] == (
        "angos-trio: --client NAME is missing: whose certificate is shown\n"
    )


def test_name_is_taken_as_pki_client_has_written_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "Zo\N{LATIN SMALL LETTER E WITH DIAERESIS}"
    pki = lay_out(tmp_path / "pki", ROOT, {name: ISSUING.client(name)}, ISSUING.server("a.lab"))
    apart = "Zoe\N{COMBINING DIAERESIS}"

    assert said(capsys, *words(pki, "docker", "--client", apart, "--with-key"))[0] == 0


def test_first_client_is_still_to_be_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pki = lay_out(tmp_path / "pki", ROOT, {})

    assert (
        "make one with angos-trio pki client NAME"
        in said(capsys, *words(pki, "docker", "--client", "a"))[2]
    )


def test_key_that_was_made_elsewhere_cannot_be_handed_out(
    pki: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pki / "private/clients/k8s.key").unlink()

    code, _, err = said(capsys, *words(pki, "docker", "--client", "k8s", "--with-key"))

    assert code == 1
    assert "private/clients/k8s.key: the private key of k8s is not here" in err


def test_server_that_is_not_there_is_named_by_hand(
    pki: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pki / "server.crt").unlink()
    arguments = words(pki, "docker", "--client", "k8s")

    assert "there is no certificate of a server" in said(capsys, *arguments)[2]
    assert said(capsys, *arguments, "--host", "registry.lab")[0] == 0


def test_file_that_is_no_certificate_is_named(
    pki: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pki / "clients/k8s.crt").write_text("none")

    assert (
        f"{pki}/clients/k8s.crt: no certificates in PEM"
        in said(capsys, *words(pki, "docker", "--client", "k8s"))[2]
    )


def warned(capsys: pytest.CaptureFixture[str], tmp_path: Path, *more: str, **of_client: Any) -> str:
    """What is warned of, of a client that says this."""
    client = ISSUING.client("a", **of_client)
    server = ISSUING.server("localhost", "127.0.0.1")
    pki = lay_out(tmp_path / "pki", ROOT, {"a": client}, server)
    arguments = words(pki, "docker", "--client", "a", *more)
    code, _, err = said(capsys, *arguments)
    assert code == 0
    return err


def test_good_files_come_without_a_warning_but_for_docker_on_loopback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    err = warned(capsys, tmp_path, ends_secs=90 * DAY_SECS)
    lines = [line for line in err.splitlines() if "server's certificate ends" not in line]

    assert [line.split(":")[0] for line in lines] == ["warning"]
    assert "docker takes localhost for one without TLS" in lines[0]


def test_host_that_the_certificate_is_not_for_is_warned_of_and_one_unknown_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    err = warned(capsys, tmp_path, "--host", UNKNOWN_HOST)

    assert (
        f"is not for {UNKNOWN_HOST}: clients will refuse it; it is for localhost, 127.0.0.1" in err
    )
    assert f"note: the name {UNKNOWN_HOST} does not resolve on this host" in err


@pytest.mark.parametrize(
    ("of_client", "sentence"),
    [
        ({"ends_secs": 29 * DAY_SECS}, "the client's certificate ends on 20"),
        ({"ends_secs": -1}, "the client's certificate expired on 20"),
        ({"begins_secs": DAY_SECS, "ends_secs": 90 * DAY_SECS}, "is this host's clock right?"),
        ({"purposes": (FOR_SERVERS,)}, "is not for clients (no clientAuth)"),
    ],
)
def test_certificate_that_does_not_serve_for_long_is_warned_of(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    of_client: dict[str, Any],
    sentence: str,
) -> None:
    assert sentence in warned(capsys, tmp_path, **of_client)
