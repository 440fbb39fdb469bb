"""A disk that turns read-only under a running registry, and one that loses its power."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.checks import (
    check_directory,
    check_facts,
    check_listings,
    check_uploads_directory,
)
from tests.crash.client import (
    MANIFEST_TYPE,
    Answer,
    blob_path,
    digest_of,
    manifest_path,
    uploads_path,
)
from tests.crash.conftest import Station
from tests.crash.disks import BreakableDisk, Disk
from tests.crash.model import Counts
from tests.crash.resume import Resumer
from tests.crash.run import load_and_end
from tests.crash.script import Script

pytestmark = pytest.mark.slow

OpenStation = Callable[..., Station]
POWER_CUTS = 6


def expect_facts(station: Station, script: Script) -> None:
    assert check_facts(station.place.address, station.model, script.keys()) == []


def test_disk_that_turns_read_only_refuses_writes_and_serves_reads(
    breakable_disk: BreakableDisk, open_station: OpenStation, tmp_path: Path
) -> None:
    station = open_station(breakable_disk.path / "data")
    station.start()
    script = station.script()
    script.prepare()
    client, namespace = station.client, script.namespace
    location = client.ask("POST", uploads_path(namespace)).headers["location"]
    assert client.ask("PATCH", location, script.spare.bytes()[:1000]).status == 202

    breakable_disk.disk.abort()

    for answer in refused_writes(script, location):
        assert (answer.status, answer.error_code) == (503, "UNAVAILABLE"), answer
    expect_facts(station, script)
    assert client.ask("GET", location).offset == 1000
    assert client.ask("GET", f"/v2/{namespace}/tags/list").status == 200
    assert client.ask("GET", "/v2/_catalog").status == 200
    assert client.ask("GET", "/healthz").status == 200

    station.kill()
    breakable_disk.mount_again()
    assert check_directory(station.place.data_dir, tmp_path) == []
    station.start()
    expect_facts(station, script)
    script.run()
    expect_facts(station, script)


def test_disk_that_turns_read_only_under_load_refuses_cleanly_and_serves_reads(
    breakable_disk: BreakableDisk, open_station: OpenStation, tmp_path: Path
) -> None:
    """Linux refuses a plain remount while files are open to write: this is what an error of the
    disk does. The file system stays read-only until it is mounted anew: the registry restarts."""
    station = open_station(breakable_disk.path / "data")
    station.start()
    script, model, rng = station.script(), station.model, random.Random("read-only")
    script.prepare()

    def abort() -> None:
        # As with the power: Linux answers a sync that is under way as if it had succeeded.
        model.believe(is_deaf=True)
        breakable_disk.disk.abort()

    address = station.place.address
    workers = load_and_end(address, model, rng, "load", abort, may_be_refused=True)

    assert [line for worker in workers for line in worker.wrong] == []
    refusals = [status for worker in workers for status in worker.refusals]
    assert sum(worker.counts.broken for worker in workers) <= len(refusals), "all have an answer"
    assert set(refusals) == {503}
    # Not the model's facts: what is in doubt is settled by what a new mount finds, and not before.
    body = station.client.ask("GET", manifest_path(script.namespace, "old")).body
    blob = station.client.ask("GET", blob_path(script.namespace, script.spare.digest)).body
    assert (body, blob) == (script.old, script.spare.bytes())
    answer = station.client.ask("POST", uploads_path("crash/late"))
    assert (answer.status, answer.error_code) == (503, "UNAVAILABLE")
    assert station.client.ask("GET", "/healthz").status == 200
    with pytest.raises(subprocess.CalledProcessError):
        breakable_disk.disk.remount_writable()

    station.client.close()
    assert station.registry is not None
    assert station.registry.stop() == 0
    model.believe(is_deaf=False)
    breakable_disk.mount_again()
    assert check_directory(station.place.data_dir, tmp_path) == []
    station.start()
    assert check_facts(station.place.address, model, model.keys()) == []
    script.run()
    expect_facts(station, script)


def refused_writes(script: Script, location: str) -> list[Answer]:
    """An answer to every kind of change; the open session stands at 1,000 bytes."""
    client, namespace, spare = script.client, script.namespace, script.spare
    manifest = {"Content-Type": MANIFEST_TYPE}
    requests: list[tuple[str, str, bytes, dict[str, str]]] = [
        ("POST", uploads_path(namespace), b"", {}),
        ("POST", f"{uploads_path(namespace)}?digest={script.config.digest}", b"x", {}),
        ("POST", f"{uploads_path('other')}?mount={spare.digest}&from={namespace}", b"", {}),
        ("PATCH", location, spare.bytes()[1000:], {"Content-Range": f"1000-{spare.size - 1}"}),
        ("PUT", f"{location}?digest={spare.digest}", spare.bytes()[1000:], {}),
        ("DELETE", manifest_path(namespace, "old"), b"", {}),
        ("DELETE", manifest_path(namespace, digest_of(script.old)), b"", {}),
        ("DELETE", blob_path(namespace, spare.digest), b"", {}),
        ("PUT", manifest_path(namespace, "new"), script.first, manifest),
        ("PUT", manifest_path(namespace, "older"), script.first, manifest),
    ]
    return [client.ask(*request) for request in requests]


def test_read_only_directory_is_refused_at_the_start_in_one_line(
    small_disk: Disk, open_station: OpenStation
) -> None:
    station = open_station(small_disk.path / "data")
    station.start()
    station.kill()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk.path)], check=True)

    done = subprocess.run(
        station.place.command(), capture_output=True, text=True, check=False, timeout=30
    )

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith(f"angos-trio: {small_disk.path}/data")


def test_nothing_acknowledged_is_lost_when_the_power_is_cut(
    breakable_disk: BreakableDisk, open_station: OpenStation, tmp_path: Path
) -> None:
    """What was not synced is gone; open uploads may be, too, but nothing that had its 201."""
    station = open_station(breakable_disk.path / "data")
    station.start()
    model, counts = station.model, Counts()
    rng = random.Random("power")

    def cut_power() -> None:
        # Linux answers a sync that is under way at this moment as if it had succeeded, so what is
        # acknowledged from here on proves nothing.
        model.believe(is_deaf=True)
        breakable_disk.disk.cut_power()

    for number in range(POWER_CUTS):
        address = station.place.address
        workers = load_and_end(address, model, rng, f"{number}", cut_power, may_be_refused=True)
        assert [line for worker in workers for line in worker.wrong] == []
        station.kill()
        model.believe(is_deaf=False)
        breakable_disk.mount_again()
        assert check_directory(station.place.data_dir, tmp_path) == []
        station.start()
        assert check_uploads_directory(station.place.data_dir) == []
        keys = model.keys()
        assert check_facts(station.place.address, model, keys) == []
        assert check_listings(station.place.address, model, {key[1] for key in keys}) == []
        resumer = Resumer(station.client, model, counts, is_lossy=True)
        assert resumer.resume_all(rng) == []
        for worker in workers:
            counts.add(worker.counts)
    assert min(counts.blobs, counts.manifests, counts.deletes, counts.broken) > 0
