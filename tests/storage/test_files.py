"""The verbs that change the disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from angos_trio.oci.digest import digest_of
from angos_trio.storage.ballast import Ballast
from angos_trio.storage.bodies import BodyCache
from angos_trio.storage.files import Files, is_disk_full
from tests.storage.support import KIB, MIB, ScriptedFiles, failing


@pytest.fixture
def files() -> Files:
    return Files()


class ShortWrites(Files):
    """A disk that fails after so many bytes of a file."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max

    def write_at(self, descriptor: int, content: bytes | memoryview, offset: int) -> None:
        room = max(0, self._bytes_max - offset)
        super().write_at(descriptor, content[:room], offset)
        if room < len(content):
            raise OSError(errno.ENOSPC, "No space left on device")


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_errors_of_a_full_disk_are_known(number: int) -> None:
    assert is_disk_full(OSError(number, "full"))


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.EACCES, None])
def test_other_errors_are_no_full_disk(number: int | None) -> None:
    assert not is_disk_full(OSError(number, "other"))


@pytest.mark.parametrize("offset", [0, 3, 100])
def test_content_is_written_at_its_offset(files: Files, tmp_path: Path, offset: int) -> None:
    descriptor = files.open_to_append(tmp_path / "file")
    files.write_at(descriptor, b"abc", offset)
    files.write_at(descriptor, memoryview(b""), offset)
    os.close(descriptor)

    assert (tmp_path / "file").read_bytes() == b"\0" * offset + b"abc"


def test_opening_to_append_keeps_what_is_there(files: Files, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"there")
    descriptor = files.open_to_append(tmp_path / "file")
    files.truncate(descriptor, 2)
    files.sync(descriptor)
    files.flush(descriptor)
    os.close(descriptor)

    assert (tmp_path / "file").read_bytes() == b"th"


def test_new_file_is_private_and_never_replaces_another(files: Files, tmp_path: Path) -> None:
    files.write_new(tmp_path / "file", b"first")

    assert mode_of(tmp_path / "file") == 0o600
    with pytest.raises(FileExistsError):
        files.write_new(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"


def test_new_file_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        ShortWrites(3).write_new(tmp_path / "file", b"content")

    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("sync", [False, True])
def test_replacing_is_all_or_nothing(tmp_path: Path, sync: bool) -> None:
    (tmp_path / "file").write_bytes(b"before")
    with pytest.raises(OSError, match="No space left"):
        ShortWrites(3).replace(tmp_path / "file", b"content", sync=sync)
    assert (tmp_path / "file").read_bytes() == b"before"

    Files().replace(tmp_path / "file", b"after", sync=sync)
    assert (tmp_path / "file").read_bytes() == b"after"
    assert os.listdir(tmp_path) == ["file"]


def test_replacing_syncs_the_file_before_its_name_and_the_directory_after(tmp_path: Path) -> None:
    files = ScriptedFiles()
    files.replace(tmp_path / "file", b"content", sync=True)
    assert files.met == ["replace", "write_at", "sync", "sync_directory"]

    files.met.clear()
    files.replace(tmp_path / "file", b"content", sync=False)
    assert files.met == ["replace", "write_at"]


def test_replacement_that_failed_leaves_no_second_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"before")
    with pytest.raises(OSError, match="No space left"):
        ShortWrites(3).replace(tmp_path / "file", b"content", sync=False)

    assert os.listdir(tmp_path) == ["file"]


def test_published_file_is_read_only_and_stands_over_what_was_there(
    files: Files, tmp_path: Path
) -> None:
    staged, target = tmp_path / "staged", tmp_path / "target"
    staged.write_bytes(b"new")
    target.write_bytes(b"old and damaged")
    target.chmod(0o440)
    files.publish(staged, target)

    assert target.read_bytes() == b"new"
    assert mode_of(target) == 0o440
    assert not staged.exists()


def test_reader_of_a_file_that_is_replaced_reads_on(files: Files, tmp_path: Path) -> None:
    staged, target = tmp_path / "staged", tmp_path / "target"
    staged.write_bytes(b"new")
    target.write_bytes(b"old")
    descriptor = files.open_to_read(target)
    files.publish(staged, target)

    assert os.pread(descriptor, 10, 0) == b"old"
    os.close(descriptor)


def test_links_are_not_followed(files: Files, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "file")

    with pytest.raises(OSError, match="symbolic link"):
        files.open_to_read(tmp_path / "link")
    assert files.regular_size(tmp_path / "link") is None
    files.remove(tmp_path / "link")
    assert (tmp_path / "file").exists()


def test_descriptors_are_not_inherited(files: Files, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for opened in (files.open_to_read(tmp_path / "file"), files.open_to_append(tmp_path / "file")):
        assert not os.get_inheritable(opened)
        os.close(opened)


def test_removing_what_is_gone_is_fine(files: Files, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    files.remove(tmp_path / "file")
    files.remove(tmp_path / "file")

    assert os.listdir(tmp_path) == []


def test_size_is_that_of_a_regular_file_only(files: Files, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")

    assert files.regular_size(tmp_path / "file") == 5
    assert files.regular_size(tmp_path) is None
    assert files.regular_size(tmp_path / "absent") is None


def test_free_space_is_what_an_unprivileged_process_has(files: Files, tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)

    assert files.free_bytes(tmp_path) == pytest.approx(found.f_bavail * found.f_frsize, rel=0.1)


def test_allocated_space_is_really_taken(files: Files, tmp_path: Path) -> None:
    files.allocate(tmp_path / "file", MIB)

    found = (tmp_path / "file").stat()
    assert found.st_size == MIB
    assert found.st_blocks * 512 >= MIB


def test_allocation_that_fails_leaves_nothing(files: Files, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"No space left|File too large"):
        files.allocate(tmp_path / "file", 1 << 62)

    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("size", "reserve", "expected"),
    [
        (0, 0, True),
        (MIB, 0, True),
        (MIB, 1 << 60, False),
        (1 << 60, 0, False),
    ],
)
def test_ballast_is_taken_only_where_the_reserve_stays_free(
    files: Files, tmp_path: Path, size: int, reserve: int, expected: bool
) -> None:
    ballast = Ballast(files, tmp_path / "ballast", size)

    assert ballast.restore(reserve) is expected
    assert (tmp_path / "ballast").exists() is (expected and size > 0)


def test_ballast_is_given_up_and_taken_again(files: Files, tmp_path: Path) -> None:
    ballast = Ballast(files, tmp_path / "ballast", 64 * KIB)
    assert ballast.restore(0)
    ballast.release()
    ballast.release()
    assert os.listdir(tmp_path) == []

    assert ballast.restore(0)
    assert (tmp_path / "ballast").stat().st_size == 64 * KIB


def test_ballast_of_another_size_is_made_to_measure(files: Files, tmp_path: Path) -> None:
    for size in (KIB, 128 * KIB, 64 * KIB):
        assert Ballast(files, tmp_path / "ballast", size).restore(0)
        assert (tmp_path / "ballast").stat().st_size == size


@pytest.mark.parametrize("verb", ["allocate", "free_bytes", "regular_size"])
def test_ballast_that_cannot_be_taken_is_no_error(tmp_path: Path, verb: str) -> None:
    files = ScriptedFiles(**{verb: failing(errno.EIO)})

    assert Ballast(files, tmp_path / "ballast", KIB).restore(0) is False


def test_ballast_that_cannot_be_given_up_is_no_error(tmp_path: Path) -> None:
    files = ScriptedFiles(remove=failing(errno.EROFS))

    Ballast(files, tmp_path / "ballast", KIB).release()


def cached(cache: BodyCache, *bodies: bytes) -> list[bool]:
    return [cache.get(digest_of(body)) is not None for body in bodies]


def put(cache: BodyCache, *bodies: bytes) -> None:
    for body in bodies:
        cache.put(digest_of(body), body)


A, B, C, D, E = (letter * 25 for letter in (b"a", b"b", b"c", b"d", b"e"))


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        (lambda cache: put(cache, A, B, C, D), [True, True, True, True, False]),
        (lambda cache: put(cache, A, B, C, D, E), [False, True, True, True, True]),
        (lambda cache: put(cache, A, B, A, C, D), [True, True, True, True, False]),
        (
            lambda cache: (put(cache, A, B, C, D), cache.get(digest_of(A)), put(cache, E)),
            [True, False, True, True, True],
        ),
    ],
)
def test_body_cache_drops_what_was_used_longest_ago(
    use: Callable[[BodyCache], object], expected: list[bool]
) -> None:
    cache = BodyCache(bytes_max=100)
    use(cache)

    assert cached(cache, A, B, C, D, E) == expected


def test_large_body_is_not_kept(tmp_path: Path) -> None:
    cache = BodyCache(bytes_max=100)
    put(cache, b"x" * 26, b"y" * 25)

    assert cached(cache, b"x" * 26, b"y" * 25) == [False, True]
