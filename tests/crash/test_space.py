"""A disk that pushes fill to the last byte: what is deleted there comes back, and pushes go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.crash.client import (
    MANIFEST_TYPE,
    Answer,
    Client,
    Content,
    ServerGone,
    blob_path,
    digest_of,
    manifest_of,
    manifest_path,
    uploads_path,
)
from tests.crash.conftest import MIB, Station
from tests.crash.disks import BLOCK_BYTES, Disk, NoMount, ext4, make_ext4, tmpfs
from tests.skips import leave_out

pytestmark = pytest.mark.slow

NAMESPACE = "crash/images"
PUSHERS = 4
LAYER_BYTES = 700_000
IMAGES_MIN = 24
"""Half of them have more bytes than the reserve, the ballast and a push together."""
SECS_MAX = 20.0
OpenStation = Callable[..., Station]


@pytest.fixture(params=["tmpfs", "ext4"])
def disk(request: pytest.FixtureRequest, own_mounts: None, tmp_path: Path) -> Iterator[Disk]:
    """32 MiB, in memory or in an image; skips, and says why, where mounting is not allowed."""
    with ExitStack() as mounts:
        try:
            if request.param == "tmpfs":
                yield mounts.enter_context(tmpfs(tmp_path / "disk", 32 * MIB))
                return
            image = tmp_path / "disk.img"
            make_ext4(image, 48 * MIB)
            yield mounts.enter_context(ext4(image, tmp_path / "disk"))
        except NoMount as error:
            leave_out(f"no file system can be mounted here: {error}")


@dataclass(frozen=True)
class Image:
    """One layer under one tag; its bytes are announced, or come in chunks of unknown length."""

    tag: str
    is_announced: bool

    @property
    def layer(self) -> Content:
        return Content(self.tag, LAYER_BYTES)

    @property
    def manifest(self) -> bytes:
        return manifest_of([(self.layer.digest, LAYER_BYTES)], self.tag)

    def push(self, client: Client) -> Answer:
        """The answer to the manifest, or the first that is a refusal."""
        content = self.layer.bytes()
        path = f"{uploads_path(NAMESPACE)}?digest={self.layer.digest}"
        parts = iter([content[at : at + 65_536] for at in range(0, LAYER_BYTES, 65_536)])
        answer = client.ask("POST", path, content if self.is_announced else parts)
        if answer.status != 201:
            return answer
        path = manifest_path(NAMESPACE, self.tag)
        return client.ask("PUT", path, self.manifest, {"Content-Type": MANIFEST_TYPE})

    def is_whole(self, client: Client) -> bool:
        """Whether all of it can be pulled."""
        return (
            client.ask("GET", manifest_path(NAMESPACE, self.tag)).body == self.manifest
            and client.ask("GET", blob_path(NAMESPACE, self.layer.digest)).body
            == self.layer.bytes()
        )


@dataclass
class Pushers:
    """Clients that push image after image until the disk refuses one."""

    address: str
    pushed: list[Image] = field(default_factory=list)
    refusals: list[Answer] = field(default_factory=list)

    def push_until_refused(self, fill: Callable[[], None]) -> None:
        """Let them all push; meanwhile something else fills the disk."""
        threads = [threading.Thread(target=self._push, args=(n,)) for n in range(PUSHERS)]
        for thread in threads:
            thread.start()
        while len(self.pushed) < IMAGES_MIN:
            time.sleep(0.01)
        fill()
        for thread in threads:
            thread.join(SECS_MAX)
            assert not thread.is_alive()

    def _push(self, pusher: int) -> None:
        with Client(self.address) as client:
            for number in range(1000):
                image = Image(f"image-{pusher}-{number}", is_announced=bool(number % 2))
                try:
                    answer = image.push(client)
                except ServerGone:  # a refusal that came before the end of a body may get lost
                    answer = image.push(client)
                if answer.status != 201:
                    self.refusals.append(answer)
                    return
                self.pushed.append(image)


def delete(client: Client, images: list[Image]) -> None:
    for image in images:
        path = manifest_path(NAMESPACE, digest_of(image.manifest))
        answer = client.ask("DELETE", path)
        assert answer.status == 202, answer


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECS_MAX
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.mark.parametrize("reserve_mib", [0, 4])
def test_disk_that_pushes_filled_gives_space_back_and_takes_pushes_again(
    disk: Disk, open_station: OpenStation, reserve_mib: int
) -> None:
    station = open_station(
        disk.path / "data", reserve=f"{reserve_mib}MiB", ballast="2MiB", grace_secs=1
    )
    station.start()
    client, pushers = station.client, Pushers(station.place.address)

    pushers.push_until_refused(disk.fill)
    disk.fill()

    assert {(answer.status, answer.error_code) for answer in pushers.refusals} == {
        (507, "UNAVAILABLE")
    }
    assert disk.free_bytes < BLOCK_BYTES
    assert all(image.is_whole(client) for image in pushers.pushed)
    for is_announced in (True, False):
        answer = Image("too-much", is_announced).push(client)
        assert (answer.status, answer.error_code) == (507, "UNAVAILABLE")
    if reserve_mib:
        assert client.ask("GET", "/readyz").status == 503
        assert b"storage_has_room 0.0" in client.ask("GET", "/metrics").body

    gone, kept = pushers.pushed[::2], pushers.pushed[1::2]
    delete(client, gone)
    wanted = len(gone) * LAYER_BYTES * 9 // 10
    wait_until(lambda: disk.free_bytes >= wanted, f"{disk.free_bytes} are free, not {wanted}")

    again = Image("again", is_announced=True)
    wait_until(lambda: again.push(client).status == 201, "no push goes on")
    assert all(image.is_whole(client) for image in [*kept, again])
    assert client.ask("GET", blob_path(NAMESPACE, gone[0].layer.digest)).status == 404
    assert "process.ended" not in station.place.log_file.read_text()
    if reserve_mib:
        wait_until(lambda: client.ask("GET", "/readyz").status == 200, "it is not ready again")
        log = station.place.log_file
        wait_until(lambda: "storage.has_room" in log.read_text(), "the log does not say it")
        assert log.read_text().count('"storage.full"') == 1
