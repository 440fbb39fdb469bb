"""`make zipapp`: the one file for each machine, and what goes beside it."""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from archive import make_archive
from lock import locked_names
from sign import SignError, make_key, sign
from stage import StageError, make_wheel, stage
from targets import LOCK, ROOT, Wish, read_wish

OWN_KEY = ROOT / ".cache" / "signing.key"


def main() -> None:
    """Build everything, or change nothing in the folder of the results."""
    parser = argparse.ArgumentParser(prog="make zipapp", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where to (dist)")
    parser.add_argument("--machine", action="append", help="only this one; may be repeated")
    parser.add_argument("--signing-key", type=Path, help="Ed25519 in PEM; else one of the checkout")
    wanted = parser.parse_args()
    wish = read_wish()
    key = wanted.signing_key or OWN_KEY
    if key == OWN_KEY and not key.exists():
        make_key(key)
    wanted.out.mkdir(exist_ok=True)
    try:
        check_lock(wish)
        with tempfile.TemporaryDirectory(dir=wanted.out, prefix=".new-") as made:
            build(wish, wanted.machine or wish.machines, Path(made))
            sign(Path(made) / "SHA256SUMS", key)
            for path in sorted(Path(made).iterdir()):
                path.replace(wanted.out / path.name)
                print(f"{path.name}: {(wanted.out / path.name).stat().st_size:,} bytes")
    except (SignError, StageError) as error:
        raise SystemExit(f"make zipapp: {error}") from error


def check_lock(wish: Wish) -> None:
    """Refuse a lock that is not what the program needs now. Raises StageError."""
    wanted = locked_names(wish)
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    found = {line.partition(" ")[0] for line in lines if "==" in line}
    if found != wanted:
        differs = ", ".join(sorted(found ^ wanted))
        raise StageError(f"packaging/lock.txt is out of date ({differs}): run `make lock`")


def build(wish: Wish, machines: tuple[str, ...], out: Path) -> None:
    """Write the files, the list of parts and the sums. Raises StageError."""
    with tempfile.TemporaryDirectory(prefix="zipapp-") as folder:
        wheel = make_wheel(Path(folder))
        version = wheel.name.split("-")[1]
        for machine in machines:
            print(f"building for {machine}", flush=True)
            staged = Path(folder) / machine
            staged.mkdir()
            stage(wish, machine, staged, wheel)
            file = out / f"{wish.name}-{version}-{machine}.pyz"
            make_archive(wish, machine, version, staged, file)
    list_parts(out / f"{wish.name}-{version}.cdx.json")
    sums = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(out.iterdir())
    ]
    (out / "SHA256SUMS").write_text("".join(sums), encoding="ascii")


def list_parts(out: Path) -> None:
    """The distributions of the lock with their hashes, as CycloneDX."""
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible"]
    options = ["--pyproject", str(ROOT / "pyproject.toml"), "--of=JSON", f"--output-file={out}"]
    subprocess.run([*command, *options, str(LOCK)], check=True)


if __name__ == "__main__":
    main()
