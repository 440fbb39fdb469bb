"""`angos-trio prune`, and the pulls it asks about: beside a registry that runs, and without one."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.client import Client
from tests.cli.commands import said
from tests.factories import make_image
from tests.running import RunningRegistry, running_registry

pytestmark = pytest.mark.slow

RULES = """["image.tag == 'v1'", "image.pull_count > 20"]"""


def prune(config: Path, data_dir: Path, *words: str) -> str:
    return said(data_dir, "prune", *words, "-c", str(config))


@pytest.fixture(params=[1, 3], ids=["one process", "several"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "registry.toml"
    path.write_text(
        "[global]\nmin_free_space = 0\nprune_interval_secs = 86400\n"
        f"[global.retention_policy]\nrules = {RULES}\n"
        f"[server]\nworkers = {request.param}\n"
        "[blob_store.fs]\nballast = 0\n"
    )
    return path


@pytest.fixture
def registry(config: Path, tmp_path: Path) -> Iterator[RunningRegistry]:
    with running_registry(tmp_path / "data", arguments=["-c", str(config)]) as running:
        yield running


def test_command_tells_what_it_then_does_running_or_not(
    registry: RunningRegistry, config: Path
) -> None:
    with Client(registry.base_url) as client:
        client.push_manifest("app", make_image(), tags=["v1", "v2", "v3"])
    told = prune(config, registry.data_dir, "--dry-run")
    assert told.splitlines() == [
        "keep    app:v1  global.retention_policy.rules[0]",
        "delete  app:v2  no rule keeps it",
        "delete  app:v3  no rule keeps it",
        "would delete 2 tags and 0 manifests without a tag; keeps 1 and 0",
    ]
    *listed, summary = map(json.loads, prune(config, registry.data_dir, "--json").splitlines())
    assert [(each["tag"], each["keep"]) for each in listed] == [
        ("v1", True),
        ("v2", False),
        ("v3", False),
    ]
    assert (summary["summary"]["tags_deleted"], summary["summary"]["tags_kept"]) == (2, 1)
    with httpx.Client(base_url=registry.base_url, trust_env=False) as plain:
        assert plain.get("/v2/app/tags/list").json()["tags"] == ["v1"]
    assert '"event": "pruned"' in registry.log

    registry.stop()
    config.write_text(config.read_text().replace("'v1'", "'none'"))
    assert prune(config, registry.data_dir).splitlines() == [
        "delete  app:v1  no rule keeps it",
        "deleted 1 tags and 0 manifests without a tag; keeps 0 and 0",
    ]
    assert "would delete 0 tags" in prune(config, registry.data_dir, "--dry-run")


def test_pulls_of_all_processes_add_up_and_a_stop_loses_none(
    registry: RunningRegistry, config: Path
) -> None:
    image = make_image()
    with Client(registry.base_url) as client:
        client.push_manifest("app", image, "used")
        client.push_manifest("app", make_image(annotations={"a": "b"}), "unused")
    for _ in range(30):  # a connection each, so that every worker has some
        with Client(registry.base_url) as client:
            assert client.get("/v2/app/manifests/used").status_code == 200
            assert client.head("/v2/app/manifests/unused").status_code == 200
    assert registry.stop() == 0
    with sqlite3.connect(registry.data_dir / "stats.db") as rows:
        found = dict(rows.execute("SELECT reference, pull_count FROM pulls").fetchall())
    rows.close()
    assert found == {"used": 30, image.digest: 30}
    assert (
        prune(config, registry.data_dir).splitlines()[0] == "delete  app:unused  no rule keeps it"
    )


def test_registry_prunes_by_itself(tmp_path: Path) -> None:
    config = tmp_path / "registry.toml"
    config.write_text(
        "[global]\nmin_free_space = 0\nprune_interval_secs = 1\n[global.retention_policy]\n"
        "rules = ['image.pushed_at > now() - 2']\n[blob_store.fs]\nballast = 0\n"
        "[server]\nworkers = 2\n"
    )
    with (
        running_registry(tmp_path / "data", arguments=["-c", str(config)]) as running,
        Client(running.base_url) as client,
    ):
        client.push_manifest("app", make_image(), "v1")
        deadline = time.monotonic() + 15
        while client.get("/v2/app/manifests/v1").status_code == 200:
            assert time.monotonic() < deadline, running.log
            time.sleep(0.2)
        assert 'retention_deletions_total{kind="tag"} 1.0' in client.get("/metrics").text
