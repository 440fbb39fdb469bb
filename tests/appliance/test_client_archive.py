"""What is handed on of the files of clients: text, a script that runs, an archive."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from angos_trio.appliance.client_address import RegistryAddress
from angos_trio.appliance.client_archive import as_archive, as_script, as_text
from angos_trio.appliance.client_files import (
    ClientFile,
    ClientSetup,
    Credentials,
    Mirror,
    Mirrors,
    Wanted,
    files_of,
    setups_for,
)
from angos_trio.records import replace
from tests.skips import leave_out

KEY_FILE = "private/clients/build-01.key"
SHOWN = Credentials("build-01", "the authority\n", "the certificate\n", "the key\n")
WANTED = Wanted(RegistryAddress("registry.lab"), SHOWN, Mirrors((Mirror("quay.io", "quay.io"),)))
WITHOUT_KEY = replace(WANTED, credentials=replace(SHOWN, key=None))
CA = "etc/docker/certs.d/registry.lab/ca.crt"


def run(
    script: str, root: Path, *, shell: str = "sh", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script below a root."""
    return subprocess.run(
        [str(shutil.which(shell)), "-s"],
        input=script,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "DESTDIR": str(root), **environment},
    )


def script_of(program: str, wanted: Wanted = WANTED) -> str:
    """The script of a client."""
    return as_script(setups_for(program, wanted), wanted, KEY_FILE)


def below(root: Path) -> dict[str, tuple[int, str]]:
    """What a script wrote: path to mode and content."""
    return {
        f"/{path.relative_to(root)}": (path.stat().st_mode & 0o7777, path.read_text())
        for path in root.rglob("*")
        if path.is_file()
    }


def test_text_has_each_file_with_its_path_and_mode() -> None:
    text = as_text(setups_for("docker", WANTED), WANTED, KEY_FILE)

    folder = "/etc/docker/certs.d/registry.lab"
    assert text.startswith("# docker, for registry.lab as build-01\n")
    assert f"\n## {folder}/ca.crt (mode 0644)\n\nthe authority\n" in text
    assert f"\n## {folder}/client.key (mode 0600)\n\nthe key\n" in text
    assert "\n#   docker pull registry.lab/hello\n" in text


def test_text_of_all_has_the_content_of_a_file_once() -> None:
    text = as_text(setups_for("all", WANTED), WANTED, KEY_FILE)

    ca = "## /etc/containers/certs.d/registry.lab/ca.crt (mode 0644)\n\n"
    assert text.count(f"{ca}the authority\n") == 1
    assert text.count(f"{ca}(as above)\n") == 3


def test_text_without_the_key_says_where_it_comes_from() -> None:
    text = as_text(setups_for("docker", WITHOUT_KEY), WITHOUT_KEY, KEY_FILE)

    assert f"(the private key: copy {KEY_FILE} there, or ask with --with-key)" in text
    assert "the key\n" not in text


@pytest.mark.slow
def test_script_writes_the_files_with_their_modes(tmp_path: Path) -> None:
    ended = run(script_of("all"), tmp_path)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert below(tmp_path) == {
        file.path: (file.mode, file.content) for file in files_of(setups_for("all", WANTED))
    }
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "etc").rglob("*/")} == {0o755}
    assert "  check: docker pull registry.lab/hello\n" in ended.stdout


@pytest.mark.slow
def test_script_that_runs_again_writes_nothing(tmp_path: Path) -> None:
    run(script_of("all"), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    ended = run(script_of("all"), tmp_path)

    assert ended.returncode == 0
    assert "wrote" not in ended.stdout
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_script_sets_the_mode_of_a_file_that_is_there(tmp_path: Path) -> None:
    run(script_of("docker"), tmp_path)
    key = tmp_path / "etc/docker/certs.d/registry.lab/client.key"
    key.chmod(0o644)

    run(script_of("docker"), tmp_path)

    assert key.stat().st_mode & 0o777 == 0o600


def test_script_keeps_what_others_wrote_into_a_shared_file(tmp_path: Path) -> None:
    file = tmp_path / "etc/rancher/k3s/registries.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("configs: {}\n")

    ended = run(script_of("k3s"), tmp_path)

    assert file.read_text().startswith("mirrors:\n")
    assert (file.parent / "registries.yaml.before").read_text() == "configs: {}\n"
    assert f"kept what was there as {file}.before" in ended.stderr


def test_script_never_overwrites_what_it_kept(tmp_path: Path) -> None:
    file = tmp_path / "etc/rancher/k3s/registries.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("configs: {}\n")
    for mirrors in (Mirrors(), WANTED.mirrors, Mirrors(is_every=True), Mirrors()):
        run(script_of("k3s", replace(WANTED, mirrors=mirrors)), tmp_path)

    def kept(end: str) -> str:
        return (file.parent / f"registries.yaml.before{end}").read_text()

    assert kept("") == "configs: {}\n"
    assert "quay.io" not in kept(".2")
    assert "quay.io" in kept(".3")
    assert '"*"' in kept(".4")


def test_script_knows_what_is_the_same_on_a_host_without_cmp(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "cat", "chmod", "cp", "dirname", "install", "mkdir", "mktemp", "mv", "rm"):
        (tools / name).symlink_to(str(shutil.which(name)))
    root = tmp_path / "root"
    assert run(script_of("k3s"), root, PATH=str(tools)).returncode == 0

    again = run(script_of("k3s"), root, PATH=str(tools))

    assert (again.returncode, again.stderr) == (0, "")
    assert "wrote" not in again.stdout


def test_script_replaces_nothing_where_it_cannot_write_all(tmp_path: Path) -> None:
    run(script_of("docker"), tmp_path / "root")
    before = below(tmp_path / "root")
    tools = tmp_path / "tools"
    tools.mkdir()
    full = tools / "install"  # a disk that is full when it is the key's turn
    full.write_text(
        f'#!/bin/sh\n[ "$4" = "${{4%.key.new}}" ] && exec {shutil.which("install")} "$@"\nexit 1\n'
    )
    full.chmod(0o755)
    other = replace(SHOWN, certificate="another certificate\n", key="another key\n")
    script = script_of("docker", replace(WANTED, credentials=other))

    ended = run(script, tmp_path / "root", PATH=f"{tools}:{os.environ['PATH']}")

    assert ended.returncode != 0
    assert below(tmp_path / "root") == before


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_script_that_is_ended_by_a_signal_leaves_no_key_behind(tmp_path: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        leave_out(f"there is no {shell}")
    scratch, root = tmp_path / "scratch", tmp_path / "root"
    scratch.mkdir()
    for signal in ("TERM", "PIPE"):
        script = script_of("docker").replace("\ntrap '' ", f"\nkill -{signal} $$\ntrap '' ", 1)

        ended = run(script, root, shell=shell, TMPDIR=str(scratch))

        assert ended.returncode != 0
        assert list(scratch.iterdir()) == []
        assert below(root) == {}


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
@pytest.mark.parametrize("stream", [">/dev/full", ">&-", "| true", "after a signal"])
def test_script_replaces_all_of_the_files_whoever_has_left(
    tmp_path: Path, shell: str, stream: str
) -> None:
    if shutil.which(shell) is None:
        leave_out(f"there is no {shell}")
    renewed = replace(SHOWN, certificate="another certificate\n", key="another key\n")
    script = script_of("docker", replace(WANTED, credentials=renewed))
    run(script_of("docker"), tmp_path / "root")
    if stream == "after a signal":
        first, place, rest = script.rpartition("\nplace ")
        script, stream = f"{first}\nkill -HUP $$\nkill -TERM $$\nkill -INT $$\n{place}{rest}", ""
    file = tmp_path / "script"
    file.write_text(f"sleep 0.2\n{script}" if stream == "| true" else script)

    ended = run(f"set -e; {shell} {file} {stream}\n", tmp_path / "root", shell=shell)

    assert ended.returncode == 0
    folder = tmp_path / "root/etc/docker/certs.d/registry.lab"
    assert {each.name: each.read_text() for each in folder.iterdir()} == {
        "ca.crt": renewed.ca,
        "client.cert": renewed.certificate,
        "client.key": renewed.key,
    }


@pytest.mark.parametrize("name", ["client.key", "client.key.new"])
def test_script_replaces_nothing_where_a_directory_is_in_the_way(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "etc/docker/certs.d/registry.lab"
    (folder / name).mkdir(parents=True)

    ended = run(script_of("docker"), tmp_path)

    assert ended.returncode == 1
    assert f"{folder / name} is a directory, and is to be a file: move it away" in ended.stderr
    assert below(tmp_path) == {}
    assert [each.name for each in folder.iterdir()] == [name]


def test_script_without_the_key_tells_of_a_certificate_that_an_old_key_may_not_fit(
    tmp_path: Path,
) -> None:
    run(script_of("docker"), tmp_path)
    renewed = replace(SHOWN, certificate="another certificate\n", key=None)

    ended = run(script_of("docker", replace(WANTED, credentials=renewed)), tmp_path)

    key = tmp_path / "etc/docker/certs.d/registry.lab/client.key"
    assert ended.stderr == (
        f"{key} may not be the key of the new certificate beside it: copy {KEY_FILE} there, mode "
        "0600\n"
    )


def test_script_without_the_key_leaves_one_that_is_there_and_misses_one_that_is_not(
    tmp_path: Path,
) -> None:
    ended = run(script_of("docker", WITHOUT_KEY), tmp_path)

    key = tmp_path / "etc/docker/certs.d/registry.lab/client.key"
    assert ended.returncode == 0
    assert ended.stderr == f"{key} is still missing: copy {KEY_FILE} there, mode 0600\n"
    key.write_text("brought\n")
    assert run(script_of("docker", WITHOUT_KEY), tmp_path).stderr == ""
    assert key.read_text() == "brought\n"


def test_script_of_a_user_writes_below_their_home(tmp_path: Path) -> None:
    wanted = replace(WANTED, is_user=True)

    ended = run(script_of("podman", wanted), Path(), DESTDIR="", HOME=str(tmp_path))

    assert ended.returncode == 0
    assert (tmp_path / ".config/containers/certs.d/registry.lab/ca.crt").is_file()


def test_script_ends_at_the_first_failure_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("no directory")

    ended = run(script_of("docker"), tmp_path)

    assert ended.returncode != 0
    assert list(tmp_path.iterdir()) == [tmp_path / "etc"]


@pytest.mark.parametrize("content", ["END-OF-FILE\n", "$(touch x) `touch y` $HOME \\ 'q'\n"])
def test_script_writes_any_content_and_any_path_as_it_is(tmp_path: Path, content: str) -> None:
    file = ClientFile("/a b/$(touch z)/it's", 0o640, content)
    setups = [ClientSetup("docker", (file,), ())]

    ended = run(as_script(setups, WANTED, KEY_FILE), tmp_path)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert below(tmp_path) == {file.path: (0o640, content)}


def test_archive_unpacks_to_the_files(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(as_archive(setups_for("all", WANTED), 1))) as archive:
        members = archive.getmembers()
        archive.extractall(tmp_path, filter="fully_trusted")

    assert below(tmp_path) == {
        file.path: (file.mode, file.content) for file in files_of(setups_for("all", WANTED))
    }
    assert {(each.uid, each.gid, each.uname, each.mtime) for each in members} == {(0, 0, "root", 1)}
    assert CA in {each.name for each in members}


def test_archive_of_the_same_files_has_the_same_bytes() -> None:
    assert as_archive(setups_for("all", WANTED), 1) == as_archive(setups_for("all", WANTED), 1)


def test_archive_takes_a_host_whose_name_is_as_long_as_that_of_a_file(tmp_path: Path) -> None:
    longest = ".".join(["a" * 63] * 4)[:240]
    setups = setups_for("all", replace(WANTED, address=RegistryAddress(longest, 65_535)))
    content = as_archive(setups, 1)
    subprocess.run(["tar", "-x", "-C", tmp_path], input=content, check=True)

    assert below(tmp_path).keys() == {file.path for file in files_of(setups)}
    assert as_archive(setups, 1) == content


def test_archive_without_the_key_has_none() -> None:
    archive = as_archive(setups_for("all", WITHOUT_KEY), 1)

    assert b"client.key\0" not in archive
    assert b"the key" not in archive


def test_archive_of_a_user_is_relative_to_their_home() -> None:
    wanted = replace(WANTED, is_user=True)
    with tarfile.open(fileobj=io.BytesIO(as_archive(setups_for("docker", wanted), 1))) as archive:
        assert ".config/docker/certs.d/registry.lab/ca.crt" in archive.getnames()
