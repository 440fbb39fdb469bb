"""A configuration of the original, as it is but for where its files are, starts and serves."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.certificates import Authority, client_context
from tests.config.test_angos_files import SUPPORTED
from tests.running import HOST, free_port, running_registry


@pytest.mark.slow
def test_configuration_of_the_original_starts_and_serves(tmp_path: Path) -> None:
    root = Authority("Root")
    root.server(HOST).write(tmp_path, "server")
    for name in ("client-ca", "login-ca", "asker-ca", "registry-ca"):
        (tmp_path / f"{name}.pem").write_bytes(root.pem)
    for name in ("login-client", "asker-client", "registry-client"):
        root.client(name).write(tmp_path, name)
    text = SUPPORTED.read_text(encoding="utf-8").replace("/etc/angos", str(tmp_path))
    configuration = tmp_path / "angos.toml"
    configuration.write_text(text.replace("/var/lib/angos", str(tmp_path / "data")))
    probe = f"{HOST}:{free_port()}"

    with (
        running_registry(
            arguments=["-c", str(configuration)],
            environment={"ANGOS_TRIO__SERVER__HEALTH__PORT": probe.rpartition(":")[2]},
            probe=probe,
        ) as registry,
        httpx.Client(verify=client_context(root.pem), trust_env=False) as client,
    ):
        answer = client.get(f"{registry.base_url}/v2/")

        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith(
            'Bearer realm="https://registry.example.test/token"'
        )
        assert client.get(f"{registry.base_url}/health").status_code == 200
