"""Power that goes while the one file unpacks or installs itself: an ext4 file system forgets what
was not synced, and nothing half written may be taken for whole afterwards."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from angos_trio.appliance.archive import RECORD
from tests.crash.disks import BreakableDisk, NoMount
from tests.skips import leave_out
from tests.zipapp.installing import (
    LATER,
    being_made,
    done,
    installed,
    releases,
    run,
    switched,
    there,
    version,
)
from tests.zipapp.starting import (
    SECS_MAX,
    half_made,
    kill_all,
    names_in,
    reached,
    start,
    starting,
    unpacked_by,
)

DISK_BYTES = 1 << 30


@pytest.fixture
def breakable(own_mounts: None, tmp_path: Path) -> Iterator[BreakableDisk]:
    """A disk with room for two releases; its file takes only what is written."""
    try:
        made = BreakableDisk(tmp_path, DISK_BYTES)
    except NoMount as error:
        leave_out(f"no ext4 file system can be mounted here: {error}")
    yield made
    made.close()


def changed(file: Path, target: Path) -> list[str]:
    """Unpacked files that are not what was built."""
    with zipfile.ZipFile(file) as archive:
        lines = archive.read("files.sha256").decode().splitlines()
    sums = [line.split("  ", 1) for line in lines]
    return [
        name
        for digest, name in sums
        if not (target / name).is_file()
        or hashlib.sha256((target / name).read_bytes()).hexdigest() != digest
    ]


@pytest.mark.parametrize("moment", ["half of it", "syncing", "named"])
def test_what_was_being_unpacked_when_the_power_went_is_whole_or_made_anew(
    file: Path, breakable: BreakableDisk, moment: str
) -> None:
    root = breakable.path / "root"
    target, names = unpacked_by(file, root), names_in(file)
    made = half_made(target)
    moments = {"half of it": made / names[len(names) // 2], "syncing": made / "complete"}
    with starting(file, root) as started:
        reached(moments.get(moment, target), started)
        breakable.disk.cut_power()
        kill_all(started)
    breakable.mount_again()
    assert not target.exists() or changed(file, target) == []
    ended = start(file, "self", "verify", environment={"SHIV_ROOT": str(root)})
    assert ended.returncode == 0, ended.stderr
    assert changed(file, target) == []
    assert sorted(each.name for each in root.iterdir()) == [".lock", target.name]


def test_what_was_unpacked_once_outlives_the_power(file: Path, breakable: BreakableDisk) -> None:
    root = breakable.path / "root"
    environment = {"SHIV_ROOT": str(root)}
    assert start(file, "check", environment=environment).returncode == 0
    breakable.disk.cut_power()
    breakable.mount_again()
    target = unpacked_by(file, root)
    assert changed(file, target) == []
    before = target.stat().st_ino
    for words in ("check",), ("self", "verify"):
        ended = start(file, *words, environment=environment)
        assert ended.returncode == 0, ended.stderr
    assert target.stat().st_ino == before


@pytest.mark.slow  # left out by QUICK
@pytest.mark.parametrize("moment", ["syncing", "placed", "switched", "ended"])
def test_power_that_goes_in_an_upgrade_leaves_a_release_that_is_whole(
    file: Path, later: Path, whole: Path, cache: Path, breakable: BreakableDisk, moment: str
) -> None:
    """What was told to be upgraded is; else it is the one or the other, as when it is killed."""
    tree = shutil.copytree(whole, breakable.path / "tree", symlinks=True)
    breakable.mount_again()  # all of it is on the disk now
    first = version(tree)
    moments = {
        "syncing": there(tree, f"releases/.new-*/{RECORD}"),
        "placed": there(tree, f"releases/{LATER}-*"),
        "switched": switched(tree),
    }
    words = ("self", "upgrade", later, "--root", tree)
    with starting(installed(tree), cache, *words) as upgrade:
        if moment == "ended":
            assert upgrade.wait(SECS_MAX) == 0
        else:
            reached(moments[moment], upgrade)
        breakable.disk.cut_power()
        kill_all(upgrade)
    breakable.mount_again()
    assert version(tree) in ({LATER} if moment == "ended" else {first, LATER})
    done(run(cache, installed(tree), "verify"))
    done(run(cache, installed(tree), "upgrade", later, "--root", tree))
    assert version(tree) == LATER
    done(run(cache, installed(tree), "verify"))
    assert being_made(tree) == []
    assert releases(tree) == [first, LATER]


@pytest.mark.slow  # left out by QUICK
def test_what_was_installed_outlives_the_power(
    file: Path, cache: Path, breakable: BreakableDisk
) -> None:
    tree = breakable.path / "tree"
    tree.mkdir()
    done(run(cache, file, "install", "--root", tree))
    breakable.disk.cut_power()
    breakable.mount_again()
    assert version(tree) == file.name.split("-")[2]
    done(run(cache, installed(tree), "verify"))
