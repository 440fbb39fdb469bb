"""`angos-trio init`: everything that a registry needs, in one directory."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
import tomllib
from pathlib import Path

import argon2
import pytest

from angos_trio.pki.files import locked
from tests.running import HOST, free_port, program, running_registry

pytestmark = pytest.mark.slow
SECS_MAX = 60
POLL_SECS = 0.02


def init(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program(), "init", str(directory), *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECS_MAX,
        check=False,
    )


def refusal(ended: subprocess.CompletedProcess[str]) -> str:
    assert ended.returncode == 1, ended
    assert ended.stderr.count("\n") == 1, ended.stderr
    return ended.stderr.strip()


def test_what_it_made_serves_and_the_commands_that_it_prints_work(tmp_path: Path) -> None:
    port = free_port()
    made = init(tmp_path / "registry", "--hostname", HOST, "--port", str(port))
    assert made.returncode == 0, made.stderr
    commands = [line.strip() for line in made.stdout.partition("\nNext:\n")[2].splitlines()]
    assert [line.split()[:2] for line in commands] == [
        ["angos-trio", "serve"],
        ["curl", "--cacert"],
        ["angos-trio", "client-config"],
    ]
    config = tmp_path / "registry" / "config.toml"
    assert commands[0] == f"angos-trio serve -c {config}"
    probes = free_port()
    beside = tmp_path / "probes.toml"
    beside.write_text(f"[server.health]\nport = {probes}\n")
    with running_registry(
        tmp_path / "registry" / "data",
        address=f"{HOST}:{port}",
        arguments=["-c", str(config), "-c", str(beside)],
        probe=f"{HOST}:{probes}",
    ):
        asked = subprocess.run(
            [*commands[1].split(), "-sS", "--write-out", "%{http_code}"],
            capture_output=True,
            text=True,
            timeout=SECS_MAX,
            check=True,
        )
        assert asked.stdout == "{}200"
        password = re.search(r"user admin has the password (\S+)", made.stdout)
        assert password is not None
        ca = tmp_path / "registry" / "pki" / "ca.crt"
        url = f"https://{HOST}:{port}/v2/_catalog"
        for credential, status in ((password[1], "200"), ("wrong", "401")):
            options = ["--cacert", str(ca), "--user", f"admin:{credential}"]
            answer = subprocess.run(
                ["curl", "-sS", *options, "-o", "/dev/null", "-w", "%{http_code}", url],
                capture_output=True,
                text=True,
                timeout=SECS_MAX,
                check=True,
            )
            assert answer.stdout == status
    printed = subprocess.run(
        [*program(), *commands[2].split()[1:]], capture_output=True, text=True, check=True
    )
    assert f"{HOST}:{port}" in printed.stdout


def test_secrets_are_for_their_owner_only(tmp_path: Path) -> None:
    made = init(tmp_path / "registry", "--hostname", "registry.lab")
    root = tmp_path / "registry"
    assert (root / "config.toml").stat().st_mode & 0o777 == 0o600
    keys = list(root.rglob("*.key"))
    assert len(keys) >= 4
    assert {each.stat().st_mode & 0o777 for each in keys} == {0o600}
    password = re.search(r"the password (\S+)", made.stdout)
    assert password is not None
    for each in root.rglob("*"):
        assert not each.is_file() or password[1].encode() not in each.read_bytes(), each


def test_a_directory_that_has_a_configuration_stays_as_it_is(tmp_path: Path) -> None:
    assert init(tmp_path, "--hostname", "registry.lab").returncode == 0
    before = {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()}
    said = refusal(init(tmp_path, "--hostname", "other.lab"))
    assert "nothing was changed; take another directory" in said
    assert {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()} == before


def test_of_two_at_once_one_makes_it_and_its_password_is_the_one_that_works(tmp_path: Path) -> None:
    command = [*program(), "init", str(tmp_path), "--hostname", "registry.lab"]
    with locked(tmp_path / ".lock", SECS_MAX):
        both = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        for each in both:
            wait_until_open(each, tmp_path / ".lock")
    told = [each.communicate(timeout=SECS_MAX) for each in both]
    assert sorted(each.returncode for each in both) == [0, 1]
    won = [each.returncode for each in both].index(0)
    assert "is there: nothing was changed" in told[1 - won][1]
    assert "password" not in told[1 - won][0]
    assert is_password(tmp_path, told[won][0])


def wait_until_open(process: subprocess.Popen[str], file: Path) -> None:
    """Return when a process has a file open. Fails when it ends without."""
    ends_at = time.monotonic() + SECS_MAX
    while str(file) not in open_files(process.pid):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < ends_at
        time.sleep(POLL_SECS)


def open_files(pid: int) -> list[str]:
    """Of a process, as far as it can be seen."""
    found = []
    for each in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            found.append(os.readlink(each))
        except OSError:
            continue
    return found


def is_password(root: Path, printed: str) -> bool:
    """Whether the password that was printed is that of the configuration."""
    password = re.search(r"user admin has the password (\S+)", printed)
    assert password is not None
    config = tomllib.loads((root / "config.toml").read_text())
    return argon2.PasswordHasher().verify(
        config["auth"]["identity"]["admin"]["password"], password[1]
    )


def test_what_was_cut_off_is_finished_by_the_same_command(tmp_path: Path) -> None:
    assert init(tmp_path, "--hostname", "registry.lab").returncode == 0
    (tmp_path / "config.toml").unlink()
    ca = (tmp_path / "pki" / "ca.crt").read_bytes()
    again = init(tmp_path, "--hostname", "registry.lab")
    assert again.returncode == 0
    assert (tmp_path / "pki" / "ca.crt").read_bytes() == ca
    assert f"\nmade a configuration: {tmp_path}/config.toml" in again.stdout
    assert "made an authority" not in again.stdout


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        ("> /dev/full", "No space left on device"),
        (">&-", "it is closed"),
        ("| true", "Broken pipe"),
    ],
)
def test_a_password_that_cannot_be_shown_leaves_no_configuration(
    tmp_path: Path, stream: str, why: str
) -> None:
    typed = shlex.join([*program(), "init", str(tmp_path), "--hostname", "registry.lab"])
    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {typed} {stream}"],
        capture_output=True,
        text=True,
        timeout=SECS_MAX,
        check=False,
    )
    said = refusal(ended)
    assert f"password cannot be shown on standard output ({why}): no configuration was" in said
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith("config")] == []
    assert is_password(tmp_path, init(tmp_path, "--hostname", "registry.lab").stdout)


@pytest.mark.parametrize(
    "hostname", ["", "two words", "a\nb", 'quo"te', "../up", "x" * 300, "*", "a_b$(id)"]
)
def test_a_name_that_is_none_makes_nothing(tmp_path: Path, hostname: str) -> None:
    said = refusal(init(tmp_path / "registry", "--hostname", hostname))
    assert said.startswith("angos-trio: --hostname: ")
    assert not (tmp_path / "registry").exists()


def test_a_directory_may_have_any_name(tmp_path: Path) -> None:
    odd = tmp_path / 'a "quoted" name, \\ and spaces'
    assert init(odd, "--hostname", "::1").returncode == 0
    said = subprocess.run(
        [*program(), "check", "-c", odd / "config.toml"], capture_output=True, text=True, check=True
    )
    assert "stores in" in said.stdout


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert str(file) in refusal(init(file / "registry", "--hostname", "registry.lab"))


def test_the_configuration_is_one_that_check_understands(tmp_path: Path) -> None:
    assert init(tmp_path, "--hostname", "registry.lab").returncode == 0
    said = subprocess.run(
        [*program(), "check", "-c", tmp_path / "config.toml"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "https://0.0.0.0:8443" in said.stdout
    assert "clients may show a certificate; 1 revocation lists are looked at" in said.stdout
    assert said.stderr == ""
