"""Registries on real disks, for the tests of this directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.crash.client import Client
from tests.crash.disks import BreakableDisk, Disk, NoMount, tmpfs
from tests.crash.model import Model
from tests.crash.process import Log, Place, start
from tests.crash.script import Script
from tests.running import RunningRegistry, free_port
from tests.skips import leave_out

MIB = 1 << 20
TMPFS_BYTES = 48 * MIB
EXT4_BYTES = 256 * MIB


class Station:
    """A place for a registry, the one that runs there, and a client of it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.client = Client(place.address)
        self.model = Model()
        self.log = Log(place.log_file)
        self.registry: RunningRegistry | None = None

    def start(self) -> None:
        """Start the registry; it must not run."""
        self.registry = start(self.place)

    def kill(self) -> None:
        """Kill it, if it runs."""
        self.client.close()
        if self.registry is not None:
            self.registry.kill()
            self.registry = None

    def script(self, mark: str = "script") -> Script:
        """A client's day in a namespace of that name."""
        return Script(self.client, self.model, f"crash/{mark}", mark, session_may_go=True)


@pytest.fixture
def open_station(tmp_path: Path) -> Iterator[Callable[..., Station]]:
    """Makes stations; at the end they are killed, and no log may tell of a crash."""
    stations: list[Station] = []

    def make(
        data_dir: Path, *, reserve: str = "0", ballast: str = "0", grace_secs: int = 86_400
    ) -> Station:
        config = tmp_path / f"config{len(stations)}.toml"
        config.write_text(
            f'[global]\nmin_free_space = "{reserve}"\ngc_grace_secs = {grace_secs}\n'
            f'[blob_store.fs]\nballast = "{ballast}"\n',
            encoding="utf-8",
        )
        log = tmp_path / f"registry{len(stations)}.log"
        station = Station(Place(data_dir, log, free_port(), config))
        stations.append(station)
        return station

    yield make
    for station in stations:
        station.kill()
    assert [line for station in stations for line in station.log.crash_lines()] == []


@pytest.fixture
def small_disk(own_mounts: None, tmp_path: Path) -> Iterator[Disk]:
    """48 MiB in memory; skips, and says why, where mounting is not allowed."""
    with ExitStack() as mounts:
        try:
            disk = mounts.enter_context(tmpfs(tmp_path / "disk", TMPFS_BYTES))
        except NoMount as error:
            leave_out(f"no file system can be mounted here: {error}")
        yield disk


@pytest.fixture
def breakable_disk(own_mounts: None, tmp_path: Path) -> Iterator[BreakableDisk]:
    """256 MiB of ext4; skips, and says why, where mounting is not allowed."""
    try:
        breakable = BreakableDisk(tmp_path, EXT4_BYTES)
    except NoMount as error:
        leave_out(f"no ext4 file system can be mounted here: {error}")
    yield breakable
    breakable.close()
