"""`angos-trio backup` as an operator has it: real processes, real disks, kills and load."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from angos_trio.errors import OperatorError
from angos_trio.net.control import Conversation
from tests.cli.commands import ended
from tests.crash.client import (
    MANIFEST_TYPE,
    Client,
    Content,
    blob_path,
    digest_of,
    manifest_of,
    manifest_path,
    uploads_path,
)
from tests.crash.conftest import small_disk
from tests.crash.disks import Disk
from tests.running import RunningRegistry, program, running_registry
from tests.soak.actor import Actor
from tests.soak.run import CONFIG, LEASE_SECS, PROMISE_SECS, UNTAGGED_SECS, Collections

__all__ = ["small_disk"]
pytestmark = pytest.mark.slow

SECS_MAX = 60.0
IN_MEMORY = Path("/dev/shm")
Ended = subprocess.CompletedProcess[str]


def backup(command: str, directory: Path, data_dir: Path | None = None) -> Ended:
    """A command, run to its end."""
    options = [] if data_dir is None else ["--data-dir", str(data_dir)]
    return ended("backup", command, str(directory), *options)


def done(command: str, directory: Path, data_dir: Path | None = None) -> str:
    """One that succeeds; the line that it prints."""
    ended = backup(command, directory, data_dir)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("\n") == 1
    return ended.stdout


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A directory on another file system than the data's."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY, prefix="angos-trio-backup-") as directory:
        assert os.stat(directory).st_dev != tmp_path.stat().st_dev
        yield Path(directory) / "backup"


def push(registry: RunningRegistry, seeds: range, size: int = 10_000) -> None:
    """An image for each seed, with a tag and two layers."""
    with Client(registry.address) as client:
        for seed in seeds:
            contents = [Content(f"{part} {seed}", size) for part in ("config", "one", "two")]
            for content in contents:
                path = f"{uploads_path('team/app')}?digest={content.digest}"
                assert client.ask("POST", path, content.bytes()).status == 201
            body = manifest_of([(each.digest, each.size) for each in contents], "")
            path = manifest_path("team/app", f"v{seed}")
            pushed = client.ask("PUT", path, body, {"Content-Type": MANIFEST_TYPE})
            assert pushed.status == 201


def manifests_of(data_dir: Path) -> list[tuple[Any, ...]]:
    return query(
        data_dir, "SELECT n.name, m.digest FROM manifests m JOIN namespaces n ON n.id = m.namespace"
    )


def query(data_dir: Path, text: str, *values: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(data_dir / "metadata.db")) as rows:
        return rows.execute(text, values).fetchall()


HELD = (
    "SELECT r.digest, 'blob' FROM manifest_references r JOIN namespaces n ON n.id = r.namespace "
    "JOIN namespace_blobs h ON h.namespace = n.id AND h.digest = r.digest "
    "JOIN blobs b ON b.digest = r.digest AND b.state = 'present' "
    "WHERE n.name = ? AND r.manifest = ?"
)


def pulled_whole(data_dir: Path) -> int:
    """Serve a restored directory and pull every manifest with all the blobs that its namespace
    holds; how many bodies there were."""
    tags = query(
        data_dir,
        "SELECT n.name || ' ' || t.name, t.digest FROM tags t JOIN namespaces n "
        "ON n.id = t.namespace",
    )
    manifests = manifests_of(data_dir)
    parts = {each: query(data_dir, HELD, *each) for each in manifests}
    pulled = 0
    with running_registry(data_dir) as registry, Client(registry.address) as client:
        wanted = [(manifest_path(*name.split(" ")), digest) for name, digest in tags]
        for (name, digest), blobs in parts.items():
            wanted.append((manifest_path(name, digest), digest))
            wanted += [(blob_path(name, blob), blob) for blob, _ in blobs]
        for path, digest in wanted:
            answer = client.ask("GET", path)
            assert answer.status == 200, (path, answer)
            assert digest_of(answer.body) == digest
            pulled += 1
    return pulled


def expect_files_of_rows(data_dir: Path) -> None:
    """Every present blob of the database has a file with the bytes that its digest says."""
    rows = query(data_dir, "SELECT digest, size FROM blobs WHERE state = 'present'")
    assert rows
    for digest, size in rows:
        algorithm, _, text = digest.partition(":")
        content = (data_dir / "blobs" / algorithm / text[:2] / text).read_bytes()
        assert len(content) == size
        assert hashlib.new(algorithm, content).hexdigest() == text


def copies_of_backups(data_dir: Path) -> list[Path]:
    """Copies of databases that a backup has made; the registry makes some of its own, in time."""
    return list((data_dir / "copies").glob("backup-*"))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", ["linked", "copied"])
def test_what_was_destroyed_is_restored_and_every_tag_pulls(
    tmp_path: Path, elsewhere: Path, workers: int, kind: str
) -> None:
    place = tmp_path / "backup" if kind == "linked" else elsewhere
    config, data_dir = tmp_path / "registry.toml", tmp_path / "data"
    config.write_text(f"[server]\nworkers = {workers}\n")
    with running_registry(data_dir, arguments=["-c", str(config)]) as registry:
        push(registry, range(5))
        assert f"15 {kind}" in done("create", place, data_dir)
        push(registry, range(5, 7))
        assert "15 kept" in done("create", place, data_dir)
        assert copies_of_backups(data_dir) == []
        before = sorted(manifests_of(data_dir))
        assert "collected" not in registry.log
    assert "21 kept" in done("create", place, data_dir)
    shutil.rmtree(data_dir)

    assert "0 databases and 0 blobs are damaged" in done("verify", place)
    assert "21 blobs" in done("restore", place, data_dir)
    expect_files_of_rows(data_dir)
    assert sorted(manifests_of(data_dir)) == before
    assert pulled_whole(data_dir) == 7 + 7 + 21
    for path in (data_dir / "format.json", data_dir / "metadata.db", place / "backup.json"):
        assert path.stat().st_mode & 0o037 == 0
    assert "is not empty" in backup("restore", place, data_dir).stderr


def test_backups_under_load_are_consistent(tmp_path: Path, elsewhere: Path) -> None:
    config, data_dir = tmp_path / "registry.toml", tmp_path / "data"
    config.write_text(CONFIG.format(lease=LEASE_SECS, untagged=UNTAGGED_SECS, allows="true"))
    places = {"linked": tmp_path / "backup", "copied": elsewhere}
    with running_registry(data_dir, arguments=["-c", str(config)]) as registry:
        actors = [
            Actor(number, registry.address, random.Random(f"backup/{number}"), PROMISE_SECS)
            for number in range(2)
        ]
        collections, over = Collections(data_dir), threading.Event()
        threads = [threading.Thread(target=actor.run, args=[over.is_set]) for actor in actors]
        with collections.going_on():
            for thread in threads:
                thread.start()
            try:
                time.sleep(LEASE_SECS + 2)
                for _ in range(2):
                    for place in places.values():
                        done("create", place, data_dir)
                        done("verify", place)
            finally:
                over.set()
                for thread in threads:
                    thread.join()
        assert [line for actor in actors for line in actor.wrong] + collections.wrong == []
        assert collections.gave["blobs"] > 0
    for kind, place in places.items():
        done("restore", place, tmp_path / kind)
        expect_files_of_rows(tmp_path / kind)
        assert pulled_whole(tmp_path / kind) > 50


def test_backup_that_is_killed_leaves_the_one_before_and_holds_nothing_up(
    tmp_path: Path, elsewhere: Path
) -> None:
    data_dir = tmp_path / "data"
    with running_registry(data_dir) as registry:
        push(registry, range(20), 200_000)
        begun_at = time.monotonic()
        done("create", elsewhere, data_dir)
        secs = time.monotonic() - begun_at
        killed = 0
        for number in range(8):
            push(registry, range(20 + 4 * number, 24 + 4 * number), 200_000)
            command = [*program(), "backup", "create", str(elsewhere), "--data-dir", str(data_dir)]
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            time.sleep(secs * (0.4 + number / 14))
            process.kill()
            killed += process.wait() == -signal.SIGKILL
            done("verify", elsewhere)
        assert killed > 3
        deadline = time.monotonic() + 60
        while copies_of_backups(data_dir):
            assert time.monotonic() < deadline, "the copy of a killed backup is still there"
            time.sleep(0.05)
        made = done("create", elsewhere, data_dir)
        assert f"{52 * 3} blobs" in made
        done("verify", elsewhere)
        assert os.listdir(elsewhere / "staging") == []
        assert len(list(elsewhere.glob("metadata-*"))) == 1


def test_steward_that_dies_is_noticed_by_whoever_makes_a_backup(tmp_path: Path) -> None:
    config, data_dir = tmp_path / "registry.toml", tmp_path / "data"
    config.write_text("[server]\nworkers = 2\n")
    with running_registry(data_dir, arguments=["-c", str(config)]) as registry:
        conversation = Conversation(str(data_dir / "control.sock"), "/v2/_ext/_backup", 10)
        while json.loads(conversation.exchange(b""))["state"] != "held":
            time.sleep(0.01)
        os.kill(steward_of(registry), signal.SIGKILL)
        with pytest.raises(OperatorError, match="went away"):
            say_again_and_again(conversation)
        conversation.close()
        assert "0 lost" in done("create", tmp_path / "backup", data_dir)
        assert copies_of_backups(data_dir) == []


def say_again_and_again(conversation: Conversation) -> None:
    for _ in range(100):
        conversation.exchange(b"")


def steward_of(registry: RunningRegistry) -> int:
    for line in registry.log.splitlines():
        told = json.loads(line)
        if told["event"] == "process.started" and told["process"] == "steward":
            return int(told["pid"])
    raise LookupError(registry.log)


def test_full_disk_of_a_backup_is_said_and_the_one_before_stays(
    tmp_path: Path, small_disk: Disk
) -> None:
    data_dir, place = tmp_path / "data", small_disk.path / "backup"
    with running_registry(data_dir) as registry:
        push(registry, range(2), 1_000_000)
        done("create", place, data_dir)
        record = (place / "backup.json").read_bytes()
        push(registry, range(2, 30), 1_000_000)
        ended = backup("create", place, data_dir)

        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1] == (
            f"angos-trio: {place}: no space is left; a backup that was there before is as it was"
        )
        assert (place / "backup.json").read_bytes() == record
        done("verify", place)

        done("create", tmp_path / "backup", data_dir)
    ended = backup("restore", tmp_path / "backup", small_disk.path / "target")
    assert ended.returncode == 1
    assert "bytes are needed" in ended.stderr
    assert not (small_disk.path / "target" / "format.json").exists()


def test_damage_is_told_and_ends_with_1(tmp_path: Path) -> None:
    data_dir, place = tmp_path / "data", tmp_path / "backup"
    with running_registry(data_dir) as registry:
        push(registry, range(1))
        done("create", place, data_dir)
    file = next(place.glob("blobs/*/*/*"))
    file.unlink()
    digest = f"sha256:{file.name}"
    for command, where in (("verify", None), ("restore", tmp_path / "target")):
        ended = backup(command, place, where)
        assert ended.returncode == 1
        assert ended.stderr == f"{digest}: no file\n"
    with running_registry(tmp_path / "target") as registry, Client(registry.address) as client:
        answer = client.ask("GET", blob_path("team/app", digest))
        assert (answer.status, answer.error_code) == (404, "BLOB_UNKNOWN")


@pytest.mark.parametrize("directory", ["data/backup", "data", "."])
def test_backup_and_data_are_not_in_each_other(tmp_path: Path, directory: str) -> None:
    with running_registry(tmp_path / "data"):
        ended = backup("create", tmp_path / directory, tmp_path / "data")
        assert ended.returncode == 1
        assert "cannot be in each other" in ended.stderr


def test_user_is_told_where_there_is_no_backup_and_no_registry(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ended = backup("verify", tmp_path / "empty")
    assert (ended.returncode, ended.stderr) == (
        1,
        f"angos-trio: {tmp_path}/empty: there is no backup\n",
    )
    ended = backup("create", tmp_path / "backup", tmp_path / "nothing")
    assert ended.returncode == 1
    assert "not a data directory of angos-trio" in ended.stderr
    assert not (tmp_path / "backup").exists()
