"""What the one file says on hosts that are not fit, and what stays of a start that was cut off.

The file is the one that `make zipapp` built; hosts are made unfit for real where that can be done.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.skips import leave_out
from tests.zipapp.built import REPOSITORY, one_file
from tests.zipapp.pythons import FITTING, pythons
from tests.zipapp.starting import (
    NOBODY,
    SECS_MAX,
    half_made,
    kill_all,
    mounted,
    names_in,
    reached,
    start,
    starting,
    unpacked_by,
)

OTHER = {"x86_64": "aarch64", "aarch64": "x86_64"}
OTHER_USER = 12_345
OTHER_HOST = """
import os, platform, runpy, sys, sysconfig
{answer}
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def refusal(ended: subprocess.CompletedProcess[str]) -> str:
    """The one sentence that it ended with."""
    assert ended.returncode == 1, ended
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert ended.stderr.startswith("angos-trio: ")
    return ended.stderr.strip()


def test_the_version_is_told_without_unpacking(file: Path, tmp_path: Path) -> None:
    ended = start(file, "--version", environment={"SHIV_ROOT": str(tmp_path / "root")})
    assert ended.stdout == f"angos-trio {file.name.split('-')[2]}\n"
    assert not (tmp_path / "root").exists()


def test_every_python_from_3_11_on_runs_it(file: Path, tmp_path: Path) -> None:
    found = pythons("3.11", "3.12", "3.13", "3.14")
    assert found
    print("run on", ", ".join(found))
    for version, python in found.items():
        ended = subprocess.run(
            [python, str(file), "check"],
            env={"PATH": "/usr/bin:/bin", "SHIV_ROOT": str(tmp_path / version)},
            capture_output=True,
            text=True,
            timeout=SECS_MAX,
            cwd=tmp_path,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.startswith("serves http://127.0.0.1:8000")


def test_a_python_that_is_too_old_is_told_of_in_a_sentence(file: Path, tmp_path: Path) -> None:
    found = pythons("2.7", "3.6", "3.8", "3.10")
    if not found:
        leave_out("there is no older Python on this machine")
    for version, python in found.items():
        ended = subprocess.run(
            [python, str(file), "check"],
            env={"PATH": str(tmp_path), "SHIV_ROOT": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=SECS_MAX,
            check=False,
        )
        said = refusal(ended)
        assert f"needs Python 3.11 to 3.14; this is Python {version}" in said
        assert "install one" in said


def test_an_old_python_gives_way_to_a_newer_one_on_the_path(file: Path, tmp_path: Path) -> None:
    old, new = pythons("2.7", "3.6", "3.8", "3.10"), pythons("3.11", "3.12", "3.13", "3.14")
    if not old:
        leave_out("there is no older Python on this machine")
    version, python = next(iter(new.items()))
    (tmp_path / f"python{version}").symlink_to(python)
    ended = subprocess.run(
        [next(iter(old.values())), str(file), "--version"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=SECS_MAX,
        check=False,
    )
    assert ended.stdout.startswith("angos-trio ")


def test_what_this_python_was_told_the_newer_one_is_told_too(tmp_path: Path) -> None:
    """The launcher alone, and a Python of the future that says how it was called."""
    archive, future = tmp_path / "angos-trio.pyz", tmp_path / "python3.99"
    with zipfile.ZipFile(archive, "w") as content:
        content.write(REPOSITORY / "packaging" / "zipapp" / "launcher.py", "__main__.py")
        content.writestr("about.json", '{"pythons": ["3.99"]}')
    future.write_text('#!/bin/sh\ncase "$*" in *version_info*) echo 3.99 ;; *) echo "$*" ;; esac\n')
    future.chmod(0o755)
    for options in ([], ["-I", "-B"]):
        ended = subprocess.run(
            [sys.executable, *options, str(archive), "check"],
            env={"PATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=SECS_MAX,
            check=False,
        )
        assert ended.stdout.split() == [*options, str(archive), "check"], ended.stderr


NO_OTHER = ", and no other is on PATH: install one"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            "platform.python_implementation = lambda: 'PyPy'",
            f"it needs Python 3.11 to 3.14; this is PyPy {{version}} ({{python}}){NO_OTHER}",
        ),
        (
            "sysconfig.get_config_var = {'Py_GIL_DISABLED': 1}.get",
            "it needs Python 3.11 to 3.14; this is a free-threaded Python {version} ({python})"
            f"{NO_OTHER}",
        ),
        (
            "os.confstr = int",  # which says ValueError of every name, as musl does of this one
            "this system has no glibc (Alpine and other musl systems): the file needs glibc 2.28 "
            "or newer",
        ),
        ("os.confstr = lambda name: 'glibc 2.17'", "glibc 2.17 is too old: the file needs 2.28"),
    ],
    ids=["PyPy", "free-threaded", "no glibc", "old glibc"],
)
def test_a_host_that_answers_so_is_told_of_before_anything_is_unpacked(
    file: Path, tmp_path: Path, answer: str, sentence: str
) -> None:
    """All is real but the one answer of the host, which this machine cannot give."""
    ended = subprocess.run(
        [sys.executable, "-c", OTHER_HOST.format(answer=answer), file, "check"],
        env={"PATH": str(tmp_path), "SHIV_ROOT": str(tmp_path / "root")},
        capture_output=True,
        text=True,
        timeout=SECS_MAX,
        check=False,
    )
    version = "{}.{}".format(*sys.version_info[:2])
    said = refusal(ended).removeprefix("angos-trio: ")
    assert said.startswith(sentence.format(version=version, python=sys.executable))
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_another_machine_says_which_one_to_take(tmp_path: Path) -> None:
    own = os.uname().machine
    said = refusal(start(one_file(OTHER[own]), "check", environment={"SHIV_ROOT": str(tmp_path)}))
    assert f"this machine is {own}: take the file whose name ends in {own}.pyz" in said


def test_a_cache_that_may_not_run_anything_is_named(file: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "m", "size=300m", "noexec") as folder:
        said = refusal(start(file, "check", environment={"SHIV_ROOT": str(folder)}))
    assert "mounted noexec" in said
    assert "set SHIV_ROOT to a directory elsewhere" in said


def test_a_cache_that_cannot_be_written_is_named(file: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "m", "ro") as folder:
        said = refusal(start(file, "check", environment={"SHIV_ROOT": str(folder)}))
    assert f"cannot unpack into {tmp_path / 'm'}" in said
    assert "Read-only file system" in said
    assert "set SHIV_ROOT to a directory that can be written" in said


def test_a_cache_without_room_keeps_nothing_of_it(file: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "m", "size=20m") as folder:
        said = refusal(start(file, "check", environment={"SHIV_ROOT": str(folder)}))
        assert [each.name for each in folder.iterdir()] == [".lock"]
    assert "No space left on device" in said
    assert "make room" in said


def test_a_user_without_a_home_is_told_what_to_set(file: Path) -> None:
    if os.geteuid() != 0:
        leave_out("only root can be another user")
    unknown = 54_321
    said = refusal(start(file, "check", environment={}, user=unknown))
    assert "no home directory" in said
    assert "SHIV_ROOT" in said


def test_a_home_that_cannot_be_written_is_named(file: Path) -> None:
    if os.geteuid() != 0:
        leave_out("only root can be another user")
    said = refusal(start(file, "check", environment={"HOME": "/nonexistent"}, user=NOBODY))
    assert "cannot unpack into /nonexistent" in said
    assert "SHIV_ROOT" in said


def test_files_that_another_user_unpacked_are_not_run(file: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        leave_out("only root can give files away")
    environment = {"SHIV_ROOT": str(tmp_path)}
    assert start(file, "check", environment=environment).returncode == 0
    (unpacked,) = [each for each in tmp_path.iterdir() if each.is_dir()]
    os.chown(unpacked, NOBODY, NOBODY)
    said = refusal(start(file, "check", environment=environment))
    assert "belongs to another user" in said


def shared(folder: Path, mode: int, owner: int = 0) -> Path:
    """A directory that others can write into."""
    if os.geteuid() != 0:
        leave_out("only root can be another user")
    folder.mkdir()
    for each in folder.parents:
        if each.stat().st_mode & 0o777 == 0o700:  # directories of the tests
            each.chmod(0o711)
    folder.chmod(mode)
    os.chown(folder, owner, owner)
    return folder


@pytest.mark.parametrize(("mode", "owner"), [(0o777, 0), (0o755, OTHER_USER), (0o775, OTHER_USER)])
def test_a_place_where_others_could_exchange_files_is_refused(
    file: Path, tmp_path: Path, mode: int, owner: int
) -> None:
    folder = shared(tmp_path / "shared", mode, owner)
    below = folder / "below"
    below.mkdir()
    os.chown(below, NOBODY, NOBODY)
    for root in (folder, below):
        said = refusal(start(file, "check", environment={"SHIV_ROOT": str(root)}, user=NOBODY))
        assert f"another user could change what is unpacked below {folder}" in said
    assert [each.name for each in folder.iterdir()] == ["below"]


def test_a_directory_beside_the_file_that_others_can_write_is_refused(
    file: Path, tmp_path: Path
) -> None:
    folder = shared(tmp_path / "shared", 0o1777)
    shutil.copy(file, folder / "angos-trio")
    shared(folder / "files", 0o777, OTHER_USER)
    said = refusal(start(folder / "angos-trio", "check", environment={}, user=NOBODY))
    assert "another user could change" in said


def test_what_others_put_into_a_sticky_directory_is_neither_used_nor_followed(
    file: Path, tmp_path: Path
) -> None:
    environment = {"SHIV_ROOT": str(shared(tmp_path / "sticky", 0o1777))}
    folder = Path(environment["SHIV_ROOT"])
    precious = tmp_path / "precious"
    precious.write_text("precious")
    os.chown(precious, NOBODY, NOBODY)
    (folder / ".lock").symlink_to(precious)
    assert "cannot unpack" in refusal(start(file, "check", environment=environment, user=NOBODY))
    assert precious.read_text() == "precious"
    (folder / ".lock").unlink()
    assert start(file, "check", environment=environment, user=NOBODY).returncode == 0
    (unpacked,) = [each for each in folder.iterdir() if each.is_dir()]
    shutil.rmtree(unpacked)
    made = folder / f"{unpacked.name}.tmp"
    made.mkdir()
    os.chown(made, OTHER_USER, OTHER_USER)
    made.chmod(0o777)
    assert "File exists" in refusal(start(file, "check", environment=environment, user=NOBODY))
    assert not any(made.iterdir())
    made.rmdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(file, elsewhere / "own")
    unpacked.symlink_to(elsewhere)
    os.chown(unpacked, OTHER_USER, OTHER_USER, follow_symlinks=False)
    ended = start(file, "check", environment=environment, user=NOBODY)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr


def test_what_is_unpacked_is_ours_alone_whatever_the_umask(file: Path, tmp_path: Path) -> None:
    for umask in (0o000, 0o077, 0o777):
        root = tmp_path / f"{umask:o}"
        command = f"umask {umask:o} && exec {file} check"
        ended = subprocess.run(
            ["sh", "-c", command],
            env={
                "PATH": os.environ["PATH"],
                "SHIV_ROOT": str(root),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            timeout=SECS_MAX,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        there = [root, *(each for each in root.rglob("*") if each.name != ".lock")]
        modes = {each.stat().st_mode & 0o777 for each in there}
        assert modes == {0o755, 0o644}


def test_a_cache_that_is_no_absolute_path_counts_for_nothing(file: Path, tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "XDG_CACHE_HOME": "relative"}
    assert start(file, "check", environment=environment).returncode == 0
    assert (tmp_path / ".cache" / "angos-trio").is_dir()


def test_an_empty_home_is_none(file: Path) -> None:
    if os.geteuid() != 0:
        leave_out("only root can be another user")
    said = refusal(start(file, "check", environment={"HOME": ""}, user=54_321))
    assert "no home directory" in said


def test_a_directory_that_was_removed_is_told_of(file: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    python = next(iter(pythons("3.11", "3.12", "3.13", "3.14").values()))
    ended = subprocess.run(
        ["sh", "-c", f'cd {gone} && rmdir {gone} && exec {python} "$@"', "sh", str(file), "check"],
        env={"PATH": "/usr/bin:/bin", "SHIV_ROOT": str(tmp_path / "root")},
        capture_output=True,
        text=True,
        timeout=SECS_MAX,
        check=False,
    )
    assert "the current directory cannot be read" in ended.stderr
    assert "Traceback" not in ended.stderr


def another_program(folder: Path) -> Path:
    """Modules that end whoever takes them for ours."""
    for name in ("angos_trio", "json", "trio"):
        (folder / name).mkdir(parents=True)
        end = f"raise SystemExit('this is {name} of {folder.name}')\n"
        (folder / name / "__init__.py").write_text(end)
    return folder


def profile(folder: Path, version: str, python: str) -> dict[str, str]:
    """The environment of a user who has other programs in PYTHONPATH, among the modules of their
    own, and where a line there puts it before all."""
    path, first = another_program(folder / "path"), another_program(folder / "first")
    own = another_program(folder / "base" / "lib" / f"python{version}" / "site-packages")
    (own / "first.pth").write_text(f"import sys; sys.path.insert(0, {str(first)!r})\n")
    library = Path(python).parents[1] / "lib" / f"python{version}"  # Python's, named once more
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{path}:{library}:{path / 'trio'}",
        "PYTHONUSERBASE": str(folder / "base"),
        "SHIV_ROOT": str(folder / "root"),
    }


def test_what_a_profile_puts_before_python_is_not_taken_for_the_program(
    file: Path, tmp_path: Path
) -> None:
    words: dict[tuple[str | Path, ...], str] = {
        ("-c", "import trio"): "this is trio of first",
        (file, "--version"): f"angos-trio {file.name.split('-')[2]}",
        (file, "check"): "serves http://127.0.0.1:",
        (file, "self", "verify"): "every file is as it was built",
    }
    for version, python in pythons(*FITTING).items():
        environment = profile(tmp_path / version, version, python)
        for command, wanted in words.items():
            ended = subprocess.run(
                [python, *command],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=SECS_MAX,
                cwd=tmp_path,
                check=False,
            )
            assert wanted in ended.stdout
            assert ended.returncode == ("-c" in command)


@pytest.mark.parametrize("shares", [(0,), (0.5,), (0.9,), (0, 0.3, 0.6, 0.9)], ids=str)
def test_a_kill_while_unpacking_leaves_nothing_that_is_taken_for_whole(
    file: Path, tmp_path: Path, shares: tuple[float, ...]
) -> None:
    """Killed when such a share of the files is there; each further start finds what the one before
    has left."""
    target = unpacked_by(file, tmp_path)
    made, names = half_made(target), names_in(file)
    for share in shares:
        with starting(file, tmp_path) as started:
            reached(made / names[int(share * len(names))], started)
            kill_all(started)
        assert made.exists()
        assert not (made / "complete").exists()
        assert not target.exists()
    ended = start(file, "self", "verify", environment={"SHIV_ROOT": str(tmp_path)})
    assert ended.returncode == 0, ended.stderr
    assert sorted(each.name for each in tmp_path.iterdir()) == [".lock", target.name]


def test_what_a_power_cut_left_half_written_is_unpacked_anew(file: Path, tmp_path: Path) -> None:
    environment = {"SHIV_ROOT": str(tmp_path)}
    assert start(file, "check", environment=environment).returncode == 0
    (unpacked,) = [each for each in tmp_path.iterdir() if each.is_dir()]
    # As shiv alone would leave it: the name is there, the content is not.
    (unpacked / "complete").unlink()
    (unpacked / "site-packages" / "angos_trio" / "cli" / "main.py").write_bytes(b"")
    assert start(file, "check", environment=environment).returncode == 0
    assert start(file, "self", "verify", environment=environment).returncode == 0


def test_two_first_starts_at_once_both_run(file: Path, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "SHIV_ROOT": str(tmp_path)}
    both = [
        subprocess.Popen([str(file), "check"], env=environment, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [each.wait(SECS_MAX) for each in both] == [0, 0]


def test_a_file_that_was_changed_on_the_way_is_not_unpacked(file: Path, tmp_path: Path) -> None:
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    changed = tmp_path / "changed.pyz"
    changed.write_bytes(content)
    changed.chmod(0o755)
    ended = start(changed, "check", environment={"SHIV_ROOT": str(tmp_path / "root")})
    said = refusal(ended)
    assert "is damaged" in said
    assert "copy the file anew" in said


@pytest.mark.parametrize("change", ["changed", "removed", "added"])
def test_self_verify_finds_what_was_done_to_unpacked_files(
    file: Path, tmp_path: Path, change: str
) -> None:
    environment = {"SHIV_ROOT": str(tmp_path)}
    assert start(file, "self", "verify", environment=environment).returncode == 0
    (unpacked,) = [each for each in tmp_path.iterdir() if each.is_dir()]
    module = unpacked / "site-packages" / "angos_trio" / "cli" / "main.py"
    if change == "changed":
        module.write_text(module.read_text().replace("registry", "register"))
    elif change == "removed":
        module.unlink()
    else:
        module = unpacked / "site-packages" / "planted.pth"
        module.write_text("import os\n")
    ended = start(file, "self", "verify", environment=environment)
    assert ended.returncode == 3
    assert str(module) in ended.stderr
    assert "remove" in ended.stderr


def test_a_program_that_was_damaged_says_so_in_the_place_of_a_traceback(
    file: Path, tmp_path: Path
) -> None:
    environment = {"SHIV_ROOT": str(tmp_path)}
    assert start(file, "check", environment=environment).returncode == 0
    (unpacked,) = [each for each in tmp_path.iterdir() if each.is_dir()]
    (unpacked / "site-packages" / "trio" / "__init__.py").write_bytes(b"\0" * 100)
    ended = start(file, "check", environment=environment)
    assert "Traceback" not in ended.stderr
    assert "of the unpacked files are damaged" in ended.stderr
