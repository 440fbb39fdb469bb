"""`angos-trio scrub`, beside a registry that runs and without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from angos_trio.cli.scrub import summary
from tests.api.client import Client
from tests.cli.commands import run_command, write_config
from tests.factories import make_blob
from tests.running import RunningRegistry, running_registry


def scrub(data_dir: Path, *words: str) -> tuple[int, str, str]:
    ended = run_command(data_dir, "scrub", *words)
    return ended.returncode, ended.stdout, ended.stderr


@pytest.fixture(params=[1, 3], ids=["one process", "several"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningRegistry]:
    config = write_config(tmp_path, workers=request.param)
    with running_registry(tmp_path / "data", arguments=["-c", str(config)]) as running:
        yield running


@pytest.mark.slow
def test_command_finds_and_mends_running_or_not(registry: RunningRegistry) -> None:
    blob = make_blob("scrubbed")
    with Client(registry.base_url) as client:
        client.push_blob("app", blob)
        hexadecimal = blob.digest.partition(":")[2]
        path = registry.data_dir / "blobs/sha256" / hexadecimal[:2] / hexadecimal
        path.chmod(0o640)
        path.write_bytes(b"Scrubbed")

        code, said, problem = scrub(registry.data_dir, "--dry-run", "--rate", "100MiB/s")
        assert (code, problem) == (3, "")
        assert said.startswith("looked at 1 blobs (8 bytes), 0 manifests and ")
        assert said.endswith("; found 1: blob_corrupt=1\n")
        assert path.read_bytes() == b"Scrubbed"

        code, said, problem = scrub(registry.data_dir)
        assert (code, problem) == (3, "")
        assert said.endswith("; found and saw to 1: blob_corrupt=1\n")
        assert client.get(f"/v2/app/blobs/{blob.digest}").status_code == 404
        assert 'scrub_findings_total{kind="blob_corrupt"} 1.0' in client.get("/metrics").text

        code, said, problem = scrub(registry.data_dir)
        assert (code, problem) == (0, "")
        client.push_blob("app", blob)
        assert client.get(f"/v2/app/blobs/{blob.digest}").content == blob.body
    registry.stop()
    code, said, problem = scrub(registry.data_dir)
    assert (code, problem) == (0, "")
    assert said.endswith("; found nothing wrong\n")


def test_what_could_not_be_looked_at_is_told() -> None:
    outcome = {"blobs": 2, "bytes": 2048, "manifests": 1, "files": 515, "failed": 1, "findings": {}}
    assert summary(outcome, dry_run=False) == (
        "looked at 2 blobs (2.0 KiB), 1 manifests and 515 files; found nothing wrong; "
        "could not look at 1"
    )


@pytest.mark.slow
def test_bad_rate_and_no_registry_are_refused(tmp_path: Path) -> None:
    assert scrub(tmp_path, "--rate", "fast")[0] == 1
    code, said, problem = scrub(tmp_path)
    assert (code, said) == (1, "")
    assert "not a data directory" in problem
