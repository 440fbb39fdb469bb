"""What `make zipapp` has built: its size, what lies beside it, and whether it is built alike
everywhere."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.zipapp.built import DIST, REPOSITORY, differing, one_file
from tests.zipapp.pythons import FITTING, pythons

BYTES_MAX = 40_000_000
BUILD_SECS_MAX = 900
IMPORTS = """
import importlib, pkgutil, sys
import angos_trio
names = [each.name for each in pkgutil.walk_packages(angos_trio.__path__, "angos_trio.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
import cel
assert cel.evaluate("1 + 1") == 2
assert angos_trio.__file__.startswith({root!r}), angos_trio.__file__
print(len(names))
"""


def test_a_file_of_other_sources_is_not_taken(tmp_path: Path) -> None:
    file = one_file()
    for name in ("angos_trio", "packaging"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    assert differing(file, tmp_path) == []
    (tmp_path / "angos_trio/errors.py").unlink()
    (tmp_path / "angos_trio/new.css").touch()
    for name in ("packaging/systemd/angos-trio.socket", "packaging/zipapp/launcher.py"):
        (tmp_path / name).write_text("changed")
    package = "site-packages/angos_trio"
    assert differing(file, tmp_path) == [
        "__main__.py",
        f"{package}/appliance/systemd/angos-trio.socket",
        f"{package}/errors.py",
        f"{package}/new.css",
    ]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_file_is_small(machine: str) -> None:
    size = one_file(machine).stat().st_size
    print(f"{machine}: {size / 1e6:.1f} MB")
    assert size < BYTES_MAX


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_compiled_modules_are_there_for_every_python_and_for_this_machine_only(
    machine: str,
) -> None:
    with zipfile.ZipFile(one_file(machine)) as archive:
        modules = [name for name in archive.namelist() if name.endswith(".so")]
        heads = {name: archive.read(name)[18] for name in modules}
    for version in FITTING:
        tag = "cpython-" + version.replace(".", "")
        assert any(tag in name for name in modules), version
    # e_machine of the ELF header: 62 is x86-64, 183 is AArch64.
    assert set(heads.values()) == {{"x86_64": 62, "aarch64": 183}[machine]}, heads


def test_every_module_is_imported_by_every_python(tmp_path: Path) -> None:
    found = pythons(*FITTING)
    assert found
    for version, python in found.items():
        program = IMPORTS.format(root=str(tmp_path / version))
        ended = subprocess.run(
            [python, str(one_file()), "-c", program],
            env={"PATH": os.defpath, "SHIV_ROOT": str(tmp_path / version), "SHIV_INTERPRETER": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        print(f"Python {version}: {ended.stdout.strip()} modules")


def test_the_sums_and_their_signature_are_right_for_openssl() -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=DIST, check=True)
    verify = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "angos-trio.pub"]
    files = ["-sigfile", "SHA256SUMS.sig", "-in", "SHA256SUMS"]
    subprocess.run([*verify, *files], cwd=DIST, check=True, capture_output=True)


def test_the_list_of_parts_has_every_distribution_of_the_file() -> None:
    (file,) = DIST.glob("*.cdx.json")
    listed = {
        (each["name"], each["version"]) for each in json.loads(file.read_bytes())["components"]
    }
    with zipfile.ZipFile(one_file()) as archive:
        inside = {
            name.split("/")[1].removesuffix(".dist-info").rpartition("-")
            for name in archive.namelist()
            if ".dist-info/" in name
        }
    found = {(name.lower().replace("_", "-"), version) for name, _, version in inside}
    assert found - listed == {("angos-trio", one_file().name.split("-")[2])}
    assert listed <= found


@pytest.mark.slow  # left out by QUICK
def test_builds_in_two_directories_are_identical(tmp_path: Path) -> None:
    """With another mask, another virtual environment, and another key, which only signs."""
    other = tmp_path / "elsewhere"
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True
    ).stdout
    for name in tracked.decode().split("\0"):
        source = REPOSITORY / name
        if name and source.exists():
            (other / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, other / name)
    machine = os.uname().machine
    subprocess.run(
        ["make", "--silent", "zipapp", f"MACHINE={machine}"],
        cwd=other,
        umask=0o077,
        timeout=BUILD_SECS_MAX,
        check=True,
    )
    (made,) = (other / "dist").glob(f"*-{machine}.pyz")
    own = one_file()
    digests = [hashlib.sha256(each.read_bytes()).hexdigest() for each in (own, made)]
    print(f"{own.name}: {digests[0]}")
    assert digests[0] == digests[1]
