"""The disk is really full: clean refusals, reads and deletes work, uploads go on afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.checks import check_directory, check_facts
from tests.crash.client import (
    MANIFEST_TYPE,
    Answer,
    Content,
    blob_path,
    manifest_of,
    manifest_path,
    uploads_path,
)
from tests.crash.conftest import MIB, Station
from tests.crash.disks import Disk
from tests.crash.script import Refused, Script

pytestmark = pytest.mark.slow

LARGE = Content("large", 8 * MIB)
LEFT_BYTES = 3 * MIB
OpenStation = Callable[..., Station]


def expect_full(answer: Answer) -> None:
    assert (answer.status, answer.error_code) == (507, "UNAVAILABLE"), answer


def expect_facts(station: Station, script: Script) -> None:
    assert check_facts(station.place.address, station.model, script.keys()) == []


def files_in_uploads(station: Station) -> list[str]:
    return sorted(path.name for path in (station.place.data_dir / "uploads").iterdir())


@pytest.fixture
def station(small_disk: Disk, open_station: OpenStation) -> tuple[Station, Script, Disk]:
    """A registry without a reserve, with something in it."""
    station = open_station(small_disk.path / "data", ballast="1MiB")
    station.start()
    script = station.script()
    script.prepare()
    return station, script, small_disk


def test_upload_that_fills_the_disk_is_refused_and_goes_on_after_space_is_made(
    station: tuple[Station, Script, Disk],
) -> None:
    registry, script, disk = station
    client, content = registry.client, LARGE.bytes()
    location = client.ask("POST", uploads_path(script.namespace)).headers["location"]
    disk.fill(leaving=LEFT_BYTES)

    expect_full(client.ask("PATCH", location, content))

    status = client.ask("GET", location)
    assert status.status == 204
    assert status.offset <= LEFT_BYTES
    expect_facts(registry, script)
    script.delete_older()
    expect_full(client.ask("PATCH", location, content[status.offset :]))

    disk.make_room()
    offset = client.ask("GET", location).offset
    finish = client.ask("PUT", f"{location}?digest={LARGE.digest}", content[offset:])
    assert finish.status == 201, finish
    assert client.ask("GET", blob_path(script.namespace, LARGE.digest)).body == content
    expect_facts(registry, script)
    assert files_in_uploads(registry) == []


def test_push_in_one_request_that_fills_the_disk_leaves_nothing(
    station: tuple[Station, Script, Disk],
) -> None:
    registry, script, disk = station
    disk.fill(leaving=LEFT_BYTES)
    free_bytes = disk.free_bytes
    path = f"{uploads_path(script.namespace)}?digest={LARGE.digest}"

    expect_full(registry.client.ask("POST", path, LARGE.bytes()))

    assert files_in_uploads(registry) == []
    assert disk.free_bytes >= free_bytes - MIB
    assert registry.client.ask("GET", blob_path(script.namespace, LARGE.digest)).status == 404
    disk.make_room()
    assert registry.client.ask("POST", path, LARGE.bytes()).status == 201


def test_sessions_that_are_opened_on_a_full_disk_take_nothing(
    station: tuple[Station, Script, Disk],
) -> None:
    """Without a reserve some are opened: their records are in files that have served before."""
    registry, script, disk = station
    disk.fill()

    answers = [registry.client.ask("POST", uploads_path(script.namespace)) for _ in range(70)]

    expect_full(answers[-1])
    opened = [answer.headers["location"] for answer in answers if answer.status == 202]
    for answer in answers[len(opened) :]:
        expect_full(answer)
    for location in opened:
        expect_full(registry.client.ask("PATCH", location, b"x"))
        assert registry.client.ask("DELETE", location).status == 204
    assert files_in_uploads(registry) == []
    expect_facts(registry, script)


def test_session_is_not_opened_below_the_reserve(
    small_disk: Disk, open_station: OpenStation
) -> None:
    station = open_station(small_disk.path / "data", reserve="1MiB")
    station.start()
    script = station.script()
    script.prepare()
    small_disk.fill()

    expect_full(station.client.ask("POST", uploads_path(script.namespace)))
    assert files_in_uploads(station) == []


def push_manifest(station: Station, tag: str, size: int) -> Answer:
    """A manifest of about so many bytes that names nothing held."""
    body = manifest_of([(Content("absent", 1).digest, 1)], tag + "x" * size)
    path = manifest_path("crash/many", tag)
    return station.client.ask("PUT", path, body, {"Content-Type": MANIFEST_TYPE})


def push_until_refused(station: Station, size: int) -> Answer:
    """Manifests, each under a tag of its own; the last one is not there."""
    for number in range(1000):
        answer = push_manifest(station, f"n{number}-{size}", size)
        if answer.status != 201:
            path = manifest_path("crash/many", f"n{number}-{size}")
            assert station.client.ask("GET", path).status == 404
            return answer
    raise AssertionError("the disk never became full")


@pytest.mark.parametrize("left_bytes", [0, MIB, 20 * MIB])
def test_commit_on_a_full_disk_is_refused_and_costs_no_restart(
    station: tuple[Station, Script, Disk], left_bytes: int
) -> None:
    registry, script, disk = station
    disk.fill(leaving=left_bytes)

    expect_full(push_until_refused(registry, 200_000))

    expect_facts(registry, script)
    listed = registry.client.ask("GET", f"/v2/{script.namespace}/tags/list")
    assert listed.status == 200
    disk.make_room()
    script.run()
    expect_facts(registry, script)
    registry.kill()
    assert check_directory(registry.place.data_dir, disk.path) == []
    registry.start()
    expect_facts(registry, script)


def test_index_of_the_log_that_cannot_grow_costs_no_restart(
    station: tuple[Station, Script, Disk],
) -> None:
    """SQLite's -shm file grows by 32 KiB at 4,062 pages of the log, and may then find no room."""
    registry, script, disk = station
    log = registry.place.data_dir / "metadata.db-wal"
    number = 0
    while (left := 4_062 - log.stat().st_size // 4_120) > 20:
        assert push_manifest(registry, f"l{number}", 200_000 if left > 100 else 1_000).status == 201
        number += 1
    disk.fill(leaving=100_000)
    (registry.place.data_dir / "ballast").unlink()
    disk.fill(leaving=100_000)

    expect_full(push_until_refused(registry, 1_000))

    expect_facts(registry, script)
    disk.make_room()
    script.run()
    expect_facts(registry, script)


def test_deletes_are_committed_on_a_full_disk_because_the_ballast_is_given_up(
    small_disk: Disk, open_station: OpenStation
) -> None:
    station = open_station(small_disk.path / "data", ballast="1MiB")
    station.start()
    scripts = [station.script(f"script{number}") for number in range(10)]
    for script in scripts:
        script.prepare()
    small_disk.fill()

    for script in scripts:
        script.delete_older()

    for script in scripts:
        expect_facts(station, script)


def test_disk_below_the_reserve_takes_nothing_in_but_reads_and_deletes(
    small_disk: Disk, open_station: OpenStation
) -> None:
    station = open_station(small_disk.path / "data", reserve="20MiB")
    station.start()
    script = station.script()
    script.prepare()
    location = station.client.ask("POST", uploads_path(script.namespace)).headers["location"]
    small_disk.fill(leaving=19 * MIB)
    spare = script.spare

    expect_full(station.client.ask("POST", uploads_path(script.namespace)))
    expect_full(station.client.ask("PATCH", location, spare.bytes()))
    expect_full(station.client.ask("PUT", f"{location}?digest={spare.digest}", spare.bytes()))
    with pytest.raises(Refused, match="507"):
        script.run()

    assert station.client.ask("GET", location).offset == 0
    assert station.client.ask("GET", "/readyz").status == 503
    assert station.client.ask("GET", "/healthz").status == 200
    script.delete_older()
    expect_facts(station, script)
    assert station.client.ask("DELETE", location).status == 204
    small_disk.make_room()
    script.run()
    expect_facts(station, script)


def push_without_end(station: Station) -> None:
    for number in range(100):
        station.script(f"more{number}").prepare()


def test_registry_starts_on_a_full_disk_to_read_and_delete(
    small_disk: Disk, open_station: OpenStation, tmp_path: Path
) -> None:
    station = open_station(small_disk.path / "data", ballast="1MiB")
    station.start()
    script = station.script()
    script.prepare()
    station.kill()
    assert check_directory(station.place.data_dir, tmp_path) == []
    small_disk.fill()

    station.start()

    expect_facts(station, script)
    script.delete_older()
    with pytest.raises(Refused, match="507"):
        push_without_end(station)
    small_disk.make_room()
    script.run()
    expect_facts(station, script)
