"""The file itself: shiv's archive, with our launcher before it, the same bytes from everywhere."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

from targets import Wish

_SHEBANG = b"#!/usr/bin/env python3\n"
_LAUNCHER = Path(__file__).with_name("launcher.py")
_DATE = (1980, 1, 1, 0, 0, 0)
"""The first that a ZIP archive knows: when something was built is nobody's business."""
_MODE = 0o100644 << 16


def make_archive(wish: Wish, machine: str, version: str, staged: Path, out: Path) -> None:
    """Write the file for a machine from its staged `site-packages`."""
    made = staged / "shiv.pyz"
    command = [
        sys.executable,
        "-m",
        "shiv",
        f"--entry-point={wish.entry_point}",
        "--reproducible",
        "--uncompressed",
    ]
    options = [f"--site-packages={staged / 'site-packages'}", f"--output-file={made}"]
    subprocess.run([*command, *options], check=True)
    with zipfile.ZipFile(made) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries["__main__.py"] = _LAUNCHER.read_bytes()
    build = json.loads(entries["environment.json"])["build_id"]
    entries["about.json"] = _about(wish, machine, version, build)
    entries["files.sha256"] = _hashes(entries)
    _write(entries, out)


def _about(wish: Wish, machine: str, version: str, build: str) -> bytes:
    about = {
        "build": build,
        "glibc": wish.glibc,
        "machine": machine,
        "pythons": wish.pythons,
        "version": version,
    }
    return json.dumps(about, sort_keys=True).encode("ascii")


def _hashes(entries: dict[str, bytes]) -> bytes:
    """What is unpacked, as sha256sum(1) writes it."""
    lines = [
        f"{hashlib.sha256(body).hexdigest()}  {name}\n"
        for name, body in sorted(entries.items())
        if name.startswith("site-packages/")
    ]
    return "".join(lines).encode()


def _write(entries: dict[str, bytes], out: Path) -> None:
    """In the order of names, with one date and mode: what differs between hosts is left out."""
    made = out.with_suffix(".tmp")
    with made.open("wb") as file:
        file.write(_SHEBANG)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            # The launcher and what it reads come first: a start reads little of the file.
            for name in sorted(entries, key=lambda each: (each.startswith("site-packages/"), each)):
                entry = zipfile.ZipInfo(name, _DATE)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = _MODE
                archive.writestr(entry, entries[name], compresslevel=9)
    made.chmod(0o755)
    made.replace(out)
