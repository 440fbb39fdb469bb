"""`self install`, `upgrade`, `rollback`, `prune`, `verify` in a tree that is no running system."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from angos_trio.appliance.archive import RECORD
from tests.guest.another import another_release
from tests.skips import leave_out
from tests.zipapp.installing import (
    LATER,
    being_made,
    done,
    installed,
    refusal,
    releases,
    run,
    switched,
    there,
    version,
)
from tests.zipapp.pythons import FITTING, pythons
from tests.zipapp.starting import (
    NOBODY,
    SECS_MAX,
    kill_all,
    mounted,
    reached,
    starting,
)

BROKEN, LAST = "0.9.2", "0.9.3"
SYSTEM_PATH = "/usr/bin:/bin"
"""Where no Python of a home directory is found, which a service would not see."""


@pytest.fixture
def tree(whole: Path, tmp_path: Path) -> Path:
    """The same for one test."""
    return shutil.copytree(whole, tmp_path / "tree", symlinks=True)


def open_ways(folder: Path) -> None:
    """Let other users through to a directory of the tests."""
    for each in (folder, *folder.parents):
        if each.stat().st_mode & 0o777 == 0o700:
            each.chmod(0o711)


def test_what_is_installed_runs_from_its_own_files(tree: Path, cache: Path) -> None:
    before = sorted(each.name for each in cache.iterdir())
    said = done(run(cache, installed(tree), "verify"))
    assert "every file is as it was built" in said
    assert sorted(each.name for each in cache.iterdir()) == before


def test_installing_again_changes_nothing(tree: Path, cache: Path, file: Path) -> None:
    before = sorted(tree.rglob("*"))
    done(run(cache, file, "install", "--root", tree))
    assert sorted(tree.rglob("*")) == before


def test_everybody_may_read_what_was_installed_whatever_the_umask(
    file: Path, cache: Path, tmp_path: Path
) -> None:
    before = os.umask(0o077)
    try:
        tmp_path.joinpath("tree").mkdir()
        done(run(cache, file, "install", "--root", tmp_path / "tree"))
    finally:
        os.umask(before)
    library = tmp_path / "tree/usr/lib/angos-trio"
    closed = [each for each in (library, *library.rglob("*")) if not each.stat().st_mode & 0o004]
    assert closed == [library / ".lock"]


def test_a_service_without_a_name_changes_nothing(file: Path, cache: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        leave_out("only root sets a service up")
    for words in ([], ["--hostname", "a b"]):
        said = refusal(
            run(cache, file, "install", "--systemd", "--root", tmp_path, *words, path=SYSTEM_PATH)
        )
        assert "--hostname" in said
        assert list(tmp_path.iterdir()) == []


SERVICE = ("install", "--systemd", "--hostname", "a.test")


def test_a_service_is_not_set_up_by_another_user(file: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        leave_out("only root can be another user")
    open_ways(tmp_path)
    tree, cache = tmp_path / "tree", tmp_path / "cache"
    for each in (tree, cache):
        each.mkdir()
        os.chown(each, NOBODY, NOBODY)
    said = refusal(run(cache, file, *SERVICE, "--root", tree, user=NOBODY, path=SYSTEM_PATH))
    assert said == "angos-trio: a service is set up by root: run this with sudo, or as root"
    assert list(tree.iterdir()) == []


def test_a_service_is_not_set_up_where_systemd_did_not_start_the_host(
    file: Path, cache: Path
) -> None:
    """Where it did, its directory is hidden, and nothing could be changed by mistake."""
    if os.geteuid() != 0:
        leave_out("only root can mount a file system")
    done(run(cache, file, "verify", path=SYSTEM_PATH))  # unpacked: nothing is to be written below
    hidden = 'mount -t tmpfs tmpfs /run && mount -o remount,bind,ro / && exec "$@"'
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", hidden, "sh", file, "self", *SERVICE],
        env={"PATH": f"{SYSTEM_PATH}:/usr/sbin:/sbin", "SHIV_ROOT": str(cache)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECS_MAX,
        check=False,
    )
    assert refusal(ended) == (
        "angos-trio: this host was not started by systemd: leave --systemd away, and start "
        "`angos-trio serve -c FILE` by what looks after services here"
    )


def test_a_service_is_not_set_up_with_a_python_that_it_would_not_see(
    file: Path, cache: Path, tmp_path: Path
) -> None:
    home = Path.home()
    if os.geteuid() != 0 or not home.is_relative_to("/root"):
        leave_out("only root sets a service up, and has its home below /root")
    with tempfile.TemporaryDirectory(dir=home) as folder:
        python = Path(folder) / "python3"
        shutil.copy(Path(next(iter(pythons(*FITTING).values()))).resolve(), python)
        path = f"{folder}:{SYSTEM_PATH}"
        said = refusal(run(cache, file, *SERVICE, "--root", tmp_path, path=path))
    assert said == (
        f"angos-trio: this Python is {python}, and a service does not see home directories: run "
        "this with a Python of the system, such as /usr/bin/python3"
    )
    assert list(tmp_path.iterdir()) == []


def test_compiled_modules_are_there_and_count(tree: Path) -> None:
    (sources,) = (tree / "usr/lib/angos-trio/current/files").glob("*/site-packages")
    compiled = list((sources / "angos_trio").rglob("*.pyc"))
    assert len(compiled) > 300
    before = {each: each.stat().st_mtime_ns for each in compiled}
    subprocess.run([installed(tree), "check"], check=True, capture_output=True, cwd=tree)
    assert {each: each.stat().st_mtime_ns for each in compiled} == before


def test_units_are_written_and_a_way_out_only_if_it_is_asked_for(tree: Path, cache: Path) -> None:
    units = tree / "etc/systemd/system"
    drop_in = units / "angos-trio.service.d" / "outbound.conf"
    done(run(cache, installed(tree), "units", "--root", tree))
    assert (units / "angos-trio.service").exists()
    assert not drop_in.exists()
    said = done(run(cache, installed(tree), "units", "--root", tree, "--outbound"))
    assert said == f"wrote {drop_in}\n"
    assert "PrivateNetwork=no" in drop_in.read_text()
    assert done(run(cache, installed(tree), "units", "--root", tree, "--outbound")) == ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--port", "8443"), "--port is for --systemd"),
        (("--hostname", "a.test"), "--hostname is for --systemd"),
        (("--systemd", "--port", "65536"), "65536 is no port"),
    ],
)
def test_options_that_do_not_fit_change_nothing(
    file: Path, cache: Path, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    assert sentence in refusal(run(cache, file, "install", "--root", tmp_path, *words))
    assert list(tmp_path.iterdir()) == []


def test_upgrade_and_rollback_switch_and_keep_both(tree: Path, cache: Path, later: Path) -> None:
    first = version(tree)
    said = done(run(cache, installed(tree), "upgrade", later, "--root", tree))
    assert f"upgraded to {LATER}" in said
    assert "there is no SHA256SUMS beside it" in said
    assert version(tree) == LATER
    assert f"back at {first}" in done(run(cache, installed(tree), "rollback", "--root", tree))
    assert version(tree) == first
    assert f"back at {LATER}" in done(run(cache, installed(tree), "rollback", "--root", tree))
    assert version(tree) == LATER
    for each in ("current", "previous"):
        release = tree / "usr/lib/angos-trio" / each
        done(run(cache, release.resolve() / "angos-trio", "verify"))


def test_prune_keeps_the_current_release_and_the_one_before(
    tree: Path, cache: Path, file: Path, later: Path, tmp_path: Path
) -> None:
    last = another_release(file, tmp_path / "last.pyz", LAST, {})
    done(run(cache, installed(tree), "upgrade", later, "--root", tree))
    done(run(cache, installed(tree), "upgrade", last, "--root", tree))
    assert len(releases(tree)) == 3
    assert "removed" in done(run(cache, installed(tree), "prune", "--root", tree))
    assert releases(tree) == [LATER, LAST]
    assert "nothing to remove" in done(run(cache, installed(tree), "prune", "--root", tree))
    assert version(tree) == LAST


def test_a_file_that_does_not_run_here_is_not_switched_to(
    tree: Path, cache: Path, file: Path, tmp_path: Path
) -> None:
    first = version(tree)
    broken = another_release(
        file, tmp_path / "broken.pyz", BROKEN, {"angos_trio/cli/main.py": b"raise ImportError\n"}
    )
    said = refusal(run(cache, installed(tree), "upgrade", broken, "--root", tree))
    assert "the new file does not run here, nothing was changed" in said
    assert version(tree) == first
    assert releases(tree) == [first]


BEFORE = {
    "copying": "releases/.new-*/angos-trio",
    "unpacking": "releases/.new-*/files/*.tmp/site-packages",
    "proving": "releases/.new-*/files/*/complete",
    "compiling": "releases/.new-*/files/*/site-packages/*/__pycache__/*.pyc",
    "syncing": f"releases/.new-*/{RECORD}",
}
PLACED = {"placed": f"releases/{LATER}-*", "switching": "previous"}
"""The new release is whole, and perhaps the current one by the time that the kill comes."""
QUICK = ("unpacking", "syncing", "switching", "switched")
"""Of two that are much alike one is enough for each day."""


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(moment, marks=[] if moment in QUICK else pytest.mark.slow)
        for moment in (*BEFORE, *PLACED, "switched")
    ],
)
def test_a_kill_at_any_moment_leaves_a_release_that_is_whole(
    tree: Path, cache: Path, later: Path, moment: str
) -> None:
    """What runs is the release before until the new one is whole, and then one of the two."""
    first, patterns = version(tree), BEFORE | PLACED
    words = ("self", "upgrade", later, "--root", tree)
    with starting(installed(tree), cache, *words) as upgrade:
        reached(there(tree, patterns[moment]) if moment in patterns else switched(tree), upgrade)
        kill_all(upgrade)
    assert bool(being_made(tree)) == (moment in BEFORE)
    may_run = {first} if moment in BEFORE else {first, LATER} if moment in PLACED else {LATER}
    assert version(tree) in may_run
    done(run(cache, installed(tree), "verify"))
    done(run(cache, installed(tree), "upgrade", later, "--root", tree))
    assert version(tree) == LATER
    done(run(cache, installed(tree), "verify"))
    assert releases(tree) == [first, LATER]


def test_a_changed_file_is_found_and_installing_anew_is_the_cure(
    tree: Path, cache: Path, file: Path
) -> None:
    (sources,) = (tree / "usr/lib/angos-trio/current/files").glob("*/site-packages")
    compiled = next((sources / "trio" / "__pycache__").glob("*.pyc"))
    compiled.write_bytes(compiled.read_bytes()[:-1] + b"x")
    ended = run(cache, installed(tree), "verify")
    assert ended.returncode == 3
    assert f"{compiled.name} was changed" in ended.stdout
    assert "self install" in ended.stdout
    done(run(cache, file, "install", "--root", tree))
    done(run(cache, installed(tree), "verify"))
    assert len(releases(tree)) == 1


def test_sums_and_signature_beside_the_file_are_looked_at(
    tree: Path, cache: Path, file: Path, tmp_path: Path
) -> None:
    key = file.with_name("angos-trio.pub")
    said = done(run(cache, installed(tree), "upgrade", file, "--public-key", key, "--root", tree))
    assert "its sum is right, and signed" in said
    sums = tmp_path / "SHA256SUMS"
    sums.write_text(f"{'0' * 64}  {file.name}\n")
    beside = tmp_path / file.name
    beside.symlink_to(file)
    said = refusal(run(cache, installed(tree), "upgrade", beside, "--root", tree))
    assert "copy it anew" in said
    (tmp_path / "SHA256SUMS.sig").write_bytes(file.with_name("SHA256SUMS.sig").read_bytes())
    said = refusal(
        run(cache, installed(tree), "upgrade", beside, "--public-key", key, "--root", tree)
    )
    assert "SHA256SUMS is not signed by this key" in said


def test_what_is_no_file_of_ours_is_refused(tree: Path, cache: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pyz"
    other.write_bytes(b"PK\x03\x04 and no more")
    said = refusal(run(cache, installed(tree), "upgrade", other, "--root", tree))
    assert "is no file of angos-trio, or it is cut off: copy it anew" in said
    said = refusal(run(cache, installed(tree), "upgrade", tmp_path / "none", "--root", tree))
    assert "No such file" in said


def test_no_room_is_told_before_anything_is_written(
    file: Path, cache: Path, tmp_path: Path
) -> None:
    with mounted(tmp_path / "small", "size=60m") as root:
        said = refusal(run(cache, file, "install", "--root", root))
        assert "make room" in said
        assert not list(root.glob("usr/lib/angos-trio/releases/*"))


def test_two_that_install_at_once_wait_for_each_other(tree: Path, cache: Path, later: Path) -> None:
    with (tree / "usr/lib/angos-trio/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = subprocess.Popen(
            [installed(tree), "self", "upgrade", later, "--root", tree],
            env={"PATH": os.environ["PATH"], "SHIV_ROOT": str(cache)},
            stdout=subprocess.DEVNULL,
        )
        time.sleep(2)
        assert waiting.poll() is None
    assert waiting.wait(SECS_MAX) == 0
    assert version(tree) == LATER


def test_nothing_to_go_back_to_is_said(tree: Path, cache: Path) -> None:
    said = refusal(run(cache, installed(tree), "rollback", "--root", tree))
    assert "there is no release before this one" in said


def test_a_command_of_another_kind_is_not_overwritten(
    file: Path, cache: Path, tmp_path: Path
) -> None:
    command = tmp_path / "usr" / "bin" / "angos-trio"
    command.parent.mkdir(parents=True)
    command.write_text("mine\n")
    said = refusal(run(cache, file, "install", "--root", tmp_path))
    assert "was not put there by `self install`: move it away first" in said
    assert command.read_text() == "mine\n"


def test_who_may_not_install_is_told_whose_it_is(tree: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        leave_out("only root can be another user")
    open_ways(tree)
    said = refusal(run(tmp_path, installed(tree), "rollback", "--root", tree, user=NOBODY))
    assert "no permission: run the command as root" in said


def test_sources_cannot_be_installed() -> None:
    ended = subprocess.run(
        [Path(__file__).parents[2] / ".venv" / "bin" / "angos-trio", "self", "install"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "only the one file that `make zipapp` builds can be installed" in refusal(ended)
