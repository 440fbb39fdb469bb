"""Commands beside a service: what systemd hands to it, they do not have, and do not need."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import ended, run_command
from tests.running import running_registry

pytestmark = pytest.mark.slow
SECS_MAX = 60.0
CONFIG = """
[server.tls]
server_certificate_bundle = "$CREDENTIALS_DIRECTORY/server.crt"
server_private_key = "$CREDENTIALS_DIRECTORY/server.key"
[auth.identity.alice]
username = "alice"
password_file = "$CREDENTIALS_DIRECTORY/alice"
[blob_store.fs]
ballast = 0
[global]
min_free_space = 0
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return path


@pytest.mark.parametrize("runs", [False, True])
def test_commands_work_without_the_credentials_of_the_service(
    tmp_path: Path, config: Path, *, runs: bool
) -> None:
    data = tmp_path / "data"
    commands = [
        ["gc", "-c", str(config)],
        ["scrub", "-c", str(config)],
        ["prune", "-c", str(config)],
        ["read-only", "status", "-c", str(config)],
        ["backup", "create", str(tmp_path / "backup"), "-c", str(config)],
    ]
    with running_registry(data) as registry:
        if not runs:
            registry.stop()
        for command in commands:
            ended = run_command(data, *command)
            assert (ended.returncode, ended.stderr) == (0, ""), (command, ended)


def test_key_is_made_for_a_user_whose_password_is_a_credential(
    tmp_path: Path, config: Path
) -> None:
    data = tmp_path / "data"
    with running_registry(data):
        pass
    words = ("token", "create", "--as", "alice", "--name", "ci", "-c", str(config))
    ended = run_command(data, *words)

    assert ended.returncode == 0, ended
    assert "of alice" in ended.stderr


@pytest.mark.parametrize("command", ["serve", "check"])
def test_what_serves_says_which_credential_it_lacks(config: Path, command: str) -> None:
    done = ended(command, "-c", str(config))

    assert done.returncode == 1
    assert "$CREDENTIALS_DIRECTORY is not set; systemd sets it" in done.stderr
