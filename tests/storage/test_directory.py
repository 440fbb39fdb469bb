"""The data directory: made once, of one format, and one instance's."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from angos_trio.errors import OperatorError
from angos_trio.oci.digest import digest_of
from angos_trio.storage.directory import (
    DataDirectory,
    prepare,
    take_instance_lock,
    try_instance_lock,
)
from tests.skips import leave_out
from tests.storage.support import (
    ScriptedFiles,
    failing,
    opened,
    published,
    publishing,
    run,
    staged_blob,
)

pytestmark = pytest.mark.slow
NOBODY, NAMELESS = 65_534, 54_321


def open_once(fresh_root: Path, files: ScriptedFiles | None = None) -> None:
    async def test() -> None:
        async with opened(fresh_root, files):
            pass

    run(test)


def test_new_directory_has_everything_that_publishing_needs(fresh_root: Path) -> None:
    open_once(fresh_root)

    for algorithm in ("sha256", "sha512"):
        found = sorted(os.listdir(fresh_root / "blobs" / algorithm))
        assert found == [f"{number:02x}" for number in range(256)]
    assert {"uploads", "trash", "quarantine", "metadata.db", "format.json"} <= set(
        os.listdir(fresh_root)
    )


def test_new_directory_is_synced_before_its_format_is_written(fresh_root: Path) -> None:
    """What has a format file is whole; what has none is prepared again."""
    files = ScriptedFiles()
    open_once(fresh_root, files)

    written = files.met.index("replace")
    assert "make_directory" not in files.met[written:]
    assert files.met[:written].count("sync_directory") == 3


def test_data_is_not_for_everybody_even_where_the_operator_made_the_directory(
    fresh_root: Path,
) -> None:
    fresh_root.mkdir(parents=True, exist_ok=True)
    fresh_root.chmod(0o755)
    open_once(fresh_root)

    found = {path.name: path.stat().st_mode & 0o007 for path in fresh_root.iterdir()}
    assert {name for name, mode in found.items() if mode} == set()


@pytest.mark.parametrize("made", [0, 1, 5, 300, 514])
def test_preparation_that_was_cut_short_is_completed(fresh_root: Path, made: int) -> None:
    files = ScriptedFiles(make_directory=failing(errno.ENOSPC, after=made))
    with pytest.raises(OperatorError, match="No space left"):
        open_once(fresh_root, files)
    assert not (fresh_root / "format.json").exists()

    open_once(fresh_root)
    assert len(os.listdir(fresh_root / "blobs" / "sha512")) == 256


def test_instance_id_stays(fresh_root: Path) -> None:
    open_once(fresh_root)
    first = json.loads((fresh_root / "format.json").read_bytes())
    open_once(fresh_root)

    assert json.loads((fresh_root / "format.json").read_bytes()) == first
    assert first["format"] == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"format": 2, "instance": "x"}', "written in format 2; this version reads format 1"),
        (b'{"instance": "x"}', "not a format file"),
        (b"", "not a format file"),
        (b"[1]", "not a format file"),
        (b"\xff\xfe\x00", "not a format file"),
        (b"null", "not a format file"),
    ],
)
def test_other_format_is_refused(fresh_root: Path, content: bytes, message: str) -> None:
    open_once(fresh_root)
    (fresh_root / "format.json").write_bytes(content)

    with pytest.raises(OperatorError, match=message):
        open_once(fresh_root)


def test_second_instance_is_refused_until_the_first_has_closed(fresh_root: Path) -> None:
    async def test() -> None:
        async with opened(fresh_root):
            with pytest.raises(OperatorError, match="another angos-trio serves this directory"):
                async with opened(fresh_root):
                    pass
        async with opened(fresh_root):
            pass

    run(test)


def test_instance_that_could_not_open_gives_the_lock_back(fresh_root: Path) -> None:
    with pytest.raises(OperatorError):
        open_once(fresh_root, ScriptedFiles(make_directory=failing(errno.EIO)))

    os.close(take_instance_lock(DataDirectory(fresh_root)))


def test_place_that_is_a_file_is_refused_in_a_line(fresh_root: Path) -> None:
    fresh_root.parent.mkdir(exist_ok=True)
    fresh_root.write_text("a file")

    with pytest.raises(OperatorError, match=r"File exists|Not a directory"):
        open_once(fresh_root)


def test_lost_blob_directory_costs_the_push_that_needs_it(fresh_root: Path) -> None:
    """They are made at initialisation and never at a push; a lost one is a refusal, no crash."""

    async def test() -> None:
        async with opened(fresh_root) as storage:
            staged = await staged_blob(storage, b"content")
            os.rmdir(fresh_root / "blobs" / "sha256" / digest_of(b"content").hex[:2])
            with pytest.raises(Exception, match="UNAVAILABLE 503"):
                await storage.write(publishing(staged))
            other = await staged_blob(storage, b"other content")
            await storage.write(publishing(other))
        assert published(fresh_root) == [other.digest]

    run(test)


def test_preparing_twice_changes_nothing(fresh_root: Path) -> None:
    directory, files = DataDirectory(fresh_root), ScriptedFiles()
    prepare(directory, files)
    files.met.clear()
    prepare(directory, files)

    assert files.met == []


def test_command_takes_the_lock_only_where_nobody_holds_it(fresh_root: Path) -> None:
    directory = DataDirectory(fresh_root)
    open_once(fresh_root)

    lock = try_instance_lock(directory)
    assert lock is not None
    assert try_instance_lock(directory) is None
    os.close(lock)
    lock = try_instance_lock(directory)
    assert lock is not None
    os.close(lock)


def test_command_makes_no_data_directory(fresh_root: Path) -> None:
    for made in (False, True):
        if made:
            fresh_root.mkdir(parents=True)
        with pytest.raises(OperatorError, match="not a data directory of angos-trio"):
            try_instance_lock(DataDirectory(fresh_root))
        assert fresh_root.exists() is made
    assert list(fresh_root.iterdir()) == []


def given_away(fresh_root: Path, owner: int) -> DataDirectory:
    """A data directory of another user."""
    if os.geteuid() != 0:
        leave_out("only root can give files away")
    open_once(fresh_root)
    for path in (fresh_root, fresh_root / "format.json"):
        os.chown(path, owner, owner)
    return DataDirectory(fresh_root)


def test_command_of_another_user_changes_nothing(fresh_root: Path) -> None:
    directory = given_away(fresh_root, NOBODY)

    with pytest.raises(OperatorError, match=r"the user nobody.*runuser -u nobody -- angos-trio"):
        try_instance_lock(directory)

    (fresh_root / "instance.lock").unlink()
    with pytest.raises(OperatorError, match=r"instance\.lock: No such file"):
        try_instance_lock(directory)
    assert not (fresh_root / "instance.lock").exists(), "the owner could not open it"


def test_user_without_a_name_is_told_of_by_number(fresh_root: Path) -> None:
    directory = given_away(fresh_root, NAMELESS)

    with pytest.raises(OperatorError, match=rf"number {NAMELESS}.*run this command as that user$"):
        try_instance_lock(directory)


@pytest.mark.parametrize("is_empty", [False, True])
def test_root_leaves_nothing_in_the_directory_of_another_user(
    fresh_root: Path, *, is_empty: bool
) -> None:
    """What root makes there the user of the registry cannot open, and its next start fails."""
    directory = given_away(fresh_root, NOBODY)
    (fresh_root / "instance.lock").unlink()
    if is_empty:
        (fresh_root / "format.json").unlink()
    before = sorted(fresh_root.iterdir())

    with pytest.raises(OperatorError, match=r"belongs to the user nobody.*runuser -u nobody"):
        take_instance_lock(directory)
    assert sorted(fresh_root.iterdir()) == before


def test_directory_that_can_only_be_read_is_for_a_registry_that_runs(fresh_root: Path) -> None:
    """As in a unit that may write elsewhere only: the lock is looked at, and nothing is written."""
    if os.geteuid() != 0:
        leave_out("only root can mount")
    directory = DataDirectory(fresh_root)
    open_once(fresh_root)
    # In a mount namespace of its own, so that nothing of it is left.
    script = (
        "import sys; from pathlib import Path; from angos_trio.errors import OperatorError\n"
        "from angos_trio.storage.directory import DataDirectory, try_instance_lock\n"
        "try: print(try_instance_lock(DataDirectory(Path(sys.argv[1]))))\n"
        "except OperatorError as error: print(error)\n"
    )
    mounted = f"mount --bind {fresh_root} {fresh_root} && mount -o remount,bind,ro {fresh_root}"
    command = ["unshare", "-m", "sh", "-c", f'{mounted} && exec "$@"', "sh"]
    python = [sys.executable, "-c", script, str(fresh_root)]

    def said() -> str:
        ended = subprocess.run([*command, *python], capture_output=True, text=True, check=False)
        if "mount" in ended.stderr or "unshare" in ended.stderr:
            leave_out(f"nothing can be mounted here: {ended.stderr.strip()}")
        return ended.stdout

    assert "can only be read here, and no registry runs there; start the registry" in said()
    lock = try_instance_lock(directory)
    assert lock is not None
    assert said() == "None\n"
    os.close(lock)
