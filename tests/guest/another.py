"""Another release of the one file, made from it: a version to upgrade to, or one that is broken."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path


def another_release(file: Path, target: Path, version: str, changes: Mapping[str, bytes]) -> Path:
    """Write a file that differs in its version and in the files of `changes`, by their paths below
    `site-packages`; it is sound in itself."""
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    head = file.read_bytes().partition(b"\n")[0] + b"\n"
    own = "site-packages/angos_trio/__init__.py"
    about = json.loads(entries["about.json"])
    entries[own] = entries[own].replace(about["version"].encode(), version.encode())
    for name, body in changes.items():
        entries[f"site-packages/{name}"] = body
    listed = {name: body for name, body in entries.items() if name.startswith("site-packages/")}
    sums = {name: hashlib.sha256(body).hexdigest() for name, body in sorted(listed.items())}
    lines = "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()
    build = hashlib.sha256(lines).hexdigest()
    environment = {**json.loads(entries["environment.json"]), "build_id": build}
    entries["environment.json"] = json.dumps(environment).encode()
    entries["about.json"] = json.dumps({**about, "build": build, "version": version}).encode()
    entries["files.sha256"] = lines
    with target.open("wb") as written:
        written.write(head)
        with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
            for name, body in entries.items():
                archive.writestr(name, body)
    target.chmod(0o755)
    return target
