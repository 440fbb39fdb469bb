"""`angos-trio doctor` as an operator runs it."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from angos_trio.cli.doctor import INSTALLED_CONFIG, Subject, is_local, places_of, refused
from angos_trio.config.model import Config
from angos_trio.errors import OperatorError
from angos_trio.records import replace
from tests.certificates import DAY_SECS, Authority
from tests.cli.commands import SECS_MAX, ended, write_config
from tests.clock.wrong import WrongClock
from tests.running import HOST, program, running_registry
from tests.users import give_to_another, without_rights

pytestmark = pytest.mark.slow


def doctor(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    done = ended("doctor", *words, **options)
    assert done.stderr == ""
    return done


def findings(*words: str, **options: Any) -> dict[str, list[dict[str, str]]]:
    """What was found, by check; each with a cure where it is wanted."""
    by_check: dict[str, list[dict[str, str]]] = {}
    ended = doctor("--json", *words, **options)
    for found in map(json.loads, ended.stdout.splitlines()):
        assert found.keys() == {"check", "level", "saw", "do"}
        assert found["do"] or found["level"] in ("ok", "note")
        assert "the check itself failed" not in found["saw"]
        by_check.setdefault(found["check"], []).append(found)
    is_bad = any(each["level"] == "bad" for found in by_check.values() for each in found)
    assert ended.returncode == (3 if is_bad else 0)
    return by_check


def said(found: dict[str, list[dict[str, str]]], check: str, level: str) -> str:
    return " | ".join(each["saw"] for each in found.get(check, []) if each["level"] == level)


def with_tls(folder: Path, *, name: str, server_name: str, ends_secs: int) -> Path:
    authority = Authority()
    certificate, key = authority.server(server_name, ends_secs=ends_secs).write(folder, "server")
    config = folder / "registry.toml"
    config.write_text(
        f'[server]\nport = 8443\nexternal_url = "https://{name}"\n'
        f'[server.tls]\nserver_certificate_bundle = "{certificate}"\n'
        f'server_private_key = "{key}"\n'
    )
    return config


def test_host_before_an_installation_is_told_what_is_missing_and_not_that_it_is_ill(
    tmp_path: Path,
) -> None:
    found = findings("--data-dir", str(tmp_path / "data"))

    assert "is not there yet" in said(found, "disk", "note")
    assert "no registry is in" in said(found, "registry", "note")
    for check in ("python", "machine", "kernel", "configuration", "registry", "units"):
        assert said(found, check, "bad") == said(found, check, "warn") == "", check
    assert not (tmp_path / "data").exists()
    assert list(tmp_path.iterdir()) == []


def test_lines_are_for_people_without_json(tmp_path: Path) -> None:
    lines = doctor("--data-dir", str(tmp_path)).stdout.splitlines()

    assert lines[0].startswith("ok    python        cpython 3.")
    for line, cure in itertools.pairwise(lines):
        if line.startswith(("warn", "bad")):
            assert cure.strip().startswith("→ ")


@pytest.mark.parametrize("command", [["doctor"], ["config", "schema"]])
def test_reader_that_leaves_is_no_traceback(command: list[str]) -> None:
    running = subprocess.Popen(
        [*program(), *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    running.stdout.close()
    _, told = running.communicate(timeout=SECS_MAX)

    assert (running.returncode, told) == (141, "")


@pytest.mark.parametrize("workers", [1, 2])
def test_running_registry_is_seen_asked_and_left_as_it_is(tmp_path: Path, workers: int) -> None:
    config, data = write_config(tmp_path, workers=workers), tmp_path / "data"
    with running_registry(data, arguments=["-c", str(config)]) as registry:
        port = registry.address.rpartition(":")[2]
        config.write_text(config.read_text().replace("[server]", f"[server]\nport = {port}"))
        found = findings("-c", str(config), "--data-dir", str(data))
        assert list(data.glob(".doctor*")) == []
        assert f"a registry runs on {data}" in said(found, "registry", "ok")
        assert "it says that it is ready" in said(found, "registry", "ok")
        assert "which is ours" in said(found, "ports", "ok")
        assert registry.stop() == 0
    assert "no registry runs on" in said(
        findings("-c", str(config), "--data-dir", str(data)), "registry", "note"
    )


def test_port_of_somebody_else_is_named_with_who_has_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = tmp_path / "registry.toml"
        config.write_text(f"[server]\nport = {port}\n")
        found = findings("-c", str(config), "--data-dir", str(tmp_path / "data"))

    told = said(found, "ports", "bad")
    assert f"{HOST} port {port} is taken by " in told
    assert f"(process {os.getpid()}" in told


def test_certificate_is_looked_at_with_its_key_names_and_term(tmp_path: Path) -> None:
    config = with_tls(
        tmp_path, name="registry.example.test", server_name="localhost", ends_secs=9 * DAY_SECS - 60
    )
    found = findings("-c", str(config), "--data-dir", str(tmp_path / "data"))
    told = said(found, "certificates", "warn")
    assert "ends in 8 days" in told
    assert "stands for localhost, not for registry.example.test" in told
    assert "registry.example.test has no address here" in said(found, "names", "warn")

    (tmp_path / "server.key").chmod(0o644)
    config = with_tls(tmp_path, name="localhost", server_name="localhost", ends_secs=-60)
    (tmp_path / "server.key").chmod(0o644)
    found = findings("-c", str(config), "--data-dir", str(tmp_path / "data"))
    told = said(found, "certificates", "bad")
    assert "expired on" in told
    assert "has mode 0644" in told
    assert "docker reads no certificates for a loopback address" in said(found, "names", "note")

    Authority().server("localhost").write(tmp_path, "other")
    (tmp_path / "other.key").rename(tmp_path / "server.key")
    found = findings("-c", str(config), "--data-dir", str(tmp_path / "data"))
    assert "not the key of the first certificate" in said(found, "certificates", "bad")


def test_wrong_configuration_is_a_line_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    config = tmp_path / "registry.toml"
    config.write_text("[server]\nprot = 1\n")
    found = findings("-c", str(config), "--data-dir", str(tmp_path / "data"))

    assert "server.prot" in said(found, "configuration", "bad")
    assert said(found, "python", "ok")
    assert "no registry is in" in said(found, "registry", "note")
    for check in ("names", "certificates", "ports"):
        assert [each["saw"] for each in found[check]] == [
            "not known: the configuration could not be read"
        ]


def test_configuration_whose_secret_is_not_there_is_read_all_the_same(tmp_path: Path) -> None:
    config = with_tls(tmp_path, name="localhost", server_name="localhost", ends_secs=90 * DAY_SECS)
    more = tmp_path / "more.toml"
    more.write_text(f'[auth.identity.a]\nusername = "a"\npassword_file = "{tmp_path}/nowhere"\n')
    found = findings("-c", str(config), "-c", str(more), "--data-dir", str(tmp_path / "data"))

    assert "password_file" in said(found, "configuration", "bad")
    assert "good until" in said(found, "certificates", "ok")


def test_key_that_the_user_who_serves_may_not_read_is_told_of(tmp_path: Path) -> None:
    config, data = tmp_path / "registry.toml", tmp_path / "data"
    with running_registry(data):
        pass
    give_to_another(data, 0o750)
    with_tls(tmp_path, name="localhost", server_name="localhost", ends_secs=90 * DAY_SECS)
    found = findings("-c", str(config), "--data-dir", str(data))

    assert "cannot" in said(found, "permissions", "bad")
    assert str(tmp_path / "server.key") in said(found, "permissions", "bad")


def refusal(cause: Exception) -> OperatorError:
    """As the configuration makes one of a file that systemd hands over."""
    try:
        try:
            raise cause
        except type(cause):
            raise OperatorError("/run/credentials/angos-trio.service/x: not good") from None
    except OperatorError as error:
        return error


@pytest.mark.parametrize(
    ("cause", "is_running", "level"),
    [
        (FileNotFoundError(), False, "note"),
        (PermissionError(), True, "note"),
        (FileNotFoundError(), True, "bad"),
        (ValueError(), True, "bad"),
    ],
)
def test_what_systemd_hands_over_is_forgiven_only_where_it_cannot_be_seen(
    cause: Exception, is_running: bool, level: str
) -> None:
    assert refused(refusal(cause), is_running=is_running).level == level


def test_registry_is_local_where_clients_come_and_not_where_probes_do() -> None:
    installed = Subject(Config(), (INSTALLED_CONFIG,), ())
    everywhere = [("::", 443)]

    assert places_of(installed, everywhere) == everywhere
    assert not is_local(installed, places_of(installed, everywhere))
    own = places_of(installed, [])
    assert [host for host, _ in own] == [HOST]
    assert is_local(installed, own)
    assert places_of(replace(installed, is_known=False), []) == []


def test_what_is_in_a_closed_directory_counts_as_there(tmp_path: Path) -> None:
    closed = tmp_path / "credentials"
    closed.mkdir()
    give_to_another(closed, 0o700)
    script = (
        "import sys; from angos_trio.appliance.doctor_handed import is_there; "
        "print(is_there(sys.argv[1]))"
    )
    command = [sys.executable, "-c", script, str(closed / "server.key")]
    told = subprocess.run(command, capture_output=True, text=True, check=True, **without_rights())

    assert told.stdout == "True\n"


def test_other_things_in_the_directory_are_told_of(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    found = findings("--data-dir", str(tmp_path))
    assert "holds something, and no registry" in said(found, "registry", "warn")

    (tmp_path / "format.json").write_text('{"format": 99, "instance": "x"}')
    found = findings("--data-dir", str(tmp_path))
    assert "written in format 99" in said(found, "registry", "bad")


def test_ordinary_user_is_told_what_they_may_not_see(tmp_path: Path) -> None:
    data = tmp_path / "data"
    config = write_config(tmp_path, workers=1)
    nobody = without_rights()
    with running_registry(data, arguments=["-c", str(config)]) as registry:
        give_to_another(data, 0o700)
        give_to_another(config, 0o600)
        found = findings("-c", str(config), "--data-dir", str(data), **nobody)
        assert "Permission denied" in said(found, "configuration", "note")
        for check in ("names", "certificates", "ports"):
            assert "not known: the conf" in said(found, check, "note")

        config.chmod(0o644)
        found = findings("-c", str(config), "--data-dir", str(data), **nobody)
        assert "cannot be seen by this user" in said(found, "registry", "note")
        assert "could not be measured" in said(found, "disk", "note")
        assert registry.process.poll() is None


def test_clock_in_1970_is_bad_and_the_data_directory_says_when_it_was(tmp_path: Path) -> None:
    data, wrong = tmp_path / "data", WrongClock(tmp_path / "clock")
    with running_registry(data):
        pass
    environment = {**os.environ, **wrong.environment}
    wrong.set(7)
    found = findings("--data-dir", str(data), env=environment)
    assert "it is 1970-01-01T00:00:" in said(found, "clock", "bad")

    wrong.shift(-3 * DAY_SECS)
    found = findings("--data-dir", str(data), env=environment)
    assert "the clock is behind, or was ahead then" in said(found, "clock", "bad")


def test_names_are_those_of_the_certificate_where_no_other_is_configured(tmp_path: Path) -> None:
    config = with_tls(tmp_path, name="x", server_name="localhost", ends_secs=90 * DAY_SECS)
    config.write_text(config.read_text().replace('external_url = "https://x"', ""))
    found = findings("-c", str(config), "--data-dir", str(tmp_path / "data"))
    assert "localhost is " in said(found, "names", "note")
