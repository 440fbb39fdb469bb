"""The lock of the one file: every distribution at one version, with the hashes of its wheels.

Versions are those of `constraints.txt`, which are installed; hashes are what the index says of the
wheels for each target.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from targets import LOCK, Target, Wish, read_wish

_HEAD = "# Made by `make lock`: what the one file is built from, and the hashes of the wheels.\n"


def closure(wish: Wish, target: Target) -> set[str]:
    """The names of all distributions that the program needs there, but those that are left out.

    Raises PackageNotFoundError for one that is needed on the target and not installed here.
    """
    found: set[str] = set()
    left = [wish.name]
    while left:
        name = left.pop()
        for line in metadata.requires(name) or ():
            needed = Requirement(line)
            marker = needed.marker
            if marker is not None and not marker.evaluate({**target.environment, "extra": ""}):
                continue
            below = canonicalize_name(needed.name)
            if below not in found and below not in wish.leave_out:
                found.add(below)
                left.append(below)
    return found


def locked_names(wish: Wish) -> set[str]:
    """`name==version` of all that the lock is to have."""
    targets = [target for machine in wish.machines for target in wish.targets(machine)]
    names = set().union(*(closure(wish, target) for target in targets))
    return {f"{name}=={metadata.version(name)}" for name in names}


def hashes_of(target: Target, names: set[str]) -> dict[str, set[str]]:
    """The SHA-256 of the wheel of each distribution for a target, as the index says."""
    pinned = [f"{name}=={metadata.version(name)}" for name in sorted(names)]
    report = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--dry-run", "--ignore-installed", "--no-deps", "--target=unused", "--report=-"),
            *target.pip_options,
            *pinned,
        ],
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    return {
        canonicalize_name(each["metadata"]["name"]): {
            each["download_info"]["archive_info"]["hashes"]["sha256"]
        }
        for each in json.loads(report)["install"]
    }


def main() -> None:
    """Write `packaging/lock.txt` anew."""
    wish = read_wish()
    all_hashes: dict[str, set[str]] = {}
    for machine in wish.machines:
        for target in wish.targets(machine):
            names = closure(wish, target)
            found = hashes_of(target, names)
            if set(found) != names:
                raise SystemExit(f"no wheel for {target}: {sorted(names - set(found))}")
            for name, hashes in found.items():
                all_hashes.setdefault(name, set()).update(hashes)
    lines = [
        f"{name}=={metadata.version(name)}"
        + "".join(f" \\\n    --hash=sha256:{each}" for each in sorted(hashes))
        for name, hashes in sorted(all_hashes.items())
    ]
    LOCK.write_text(_HEAD + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
