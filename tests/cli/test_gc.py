"""`angos-trio gc`, beside a registry that runs and without one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from angos_trio.cli.asking import size_of
from tests.api.client import Client
from tests.cli.commands import run_command, said, write_config
from tests.factories import make_blob, make_descriptor, make_image
from tests.running import RunningRegistry, running_registry

pytestmark = pytest.mark.slow

NOTHING = "gave back 0 bytes: 0 blobs, and in namespaces 0 manifests and 0 holds on blobs\n"


@pytest.fixture(params=[1, 3], ids=["one process", "several"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningRegistry]:
    config = write_config(tmp_path, workers=request.param, gc_grace_secs=20)
    with running_registry(tmp_path / "data", arguments=["-c", str(config)]) as running:
        yield running


def test_command_gives_space_back_running_or_not(registry: RunningRegistry) -> None:
    layer, lone = make_blob(), make_blob("x" * 2048)
    with Client(f"http://{registry.address}") as client:
        client.push_blob("app", layer)
        client.push_blob("app", lone)
        client.push_manifest("app", make_image(layers=[make_descriptor(layer)]), "v1")
    assert "kept for now: 1 (2.0 KiB) blobs" in said(registry.data_dir, "gc", "--dry-run")
    explained = said(registry.data_dir, "gc", "explain", lone.digest)
    assert explained.startswith(f"{lone.digest}: 2.0 KiB\n  app, blob: it was pushed")

    time.sleep(20.1)
    there = said(registry.data_dir, "gc")
    assert there.startswith(("gave back 2.0 KiB: 1 blobs", NOTHING)), "or the collector was first"
    with httpx.Client(base_url=f"http://{registry.address}", trust_env=False) as plain:
        assert plain.head(f"/v2/app/blobs/{lone.digest}").status_code == 404
        assert plain.get(f"/v2/app/blobs/{layer.digest}").content == layer.body
    refused = run_command(registry.data_dir, "gc", "explain", lone.digest)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "angos-trio: blob unknown to the repository\n"

    registry.stop()
    assert said(registry.data_dir, "gc") == NOTHING
    assert layer.digest in said(registry.data_dir, "gc", "explain", layer.digest)
    assert said(registry.data_dir, "gc", "explain", "app") == ""


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (3 * 1024**3 // 2, "1.5 GiB"),
        (5000 * 1024**4, "5000.0 TiB"),
    ],
)
def test_size_is_told_in_the_unit_that_fits(count: int, text: str) -> None:
    assert size_of(count) == text
