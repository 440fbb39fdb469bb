"""Files of clients as they are handed on: to be read, as a script, or as an archive. Pure."""

from __future__ import annotations

import io
import shlex
import tarfile
from collections.abc import Iterator, Sequence
from typing import Final

from angos_trio.appliance.client_files import HOME, ClientFile, ClientSetup, Wanted, files_of

_END: Final = "END-OF-FILE"
_PUT: Final = """\
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# put MODE PATH: what comes in becomes the file, unless it is that already.
put() {
    cat > "$scratch/new"
    if [ -f "$2" ] && cmp -s "$scratch/new" "$2"; then
        chmod "$1" "$2"
        return
    fi
    (umask 022; mkdir -p "$(dirname "$2")")
    install -m "$1" "$scratch/new" "$2.new"
    mv -f "$2.new" "$2"
    echo "wrote $2"
}

# keep PATH: a file that others may have written something into is left beside the new one.
keep() {
    cat > "$scratch/next"
    if [ -f "$1" ] && ! cmp -s "$scratch/next" "$1"; then
        cp -p "$1" "$1.before"
        echo "kept what was there as $1.before" >&2
    fi
}
"""


def as_text(setups: Sequence[ClientSetup], wanted: Wanted, key_file: str) -> str:
    """Every file once, with its path and mode; `key_file` is where the private key is."""
    lines, told = [], set[str]()
    for setup in setups:
        lines += [f"# {_title(setup, wanted)}", ""]
        for file in setup.files:
            content = ["(as above)"] if file.path in told else _content(file, key_file)
            lines += [f"## {file.path} (mode {file.mode:04o})", "", *content, ""]
            told.add(file.path)
        lines += [f"# {note}" for note in setup.notes]
        lines += ["# Check:", *(f"#   {check}" for check in setup.checks), ""]
    return "\n".join(lines)


def _title(setup: ClientSetup, wanted: Wanted) -> str:
    return f"{setup.client}, for {wanted.address.authority} as {wanted.credentials.client}"


def _content(file: ClientFile, key_file: str) -> list[str]:
    if file.content is None:
        return [f"(the private key: copy {key_file} there, or ask with --with-key)"]
    return file.content.splitlines()


def as_script(setups: Sequence[ClientSetup], wanted: Wanted, key_file: str) -> str:
    """A script for sh that writes the files. It may run as often as one likes.

    `DESTDIR` in its environment is a directory that they are put below.
    """
    who = "whose they are" if wanted.is_user else "root"
    lines = [
        "#!/bin/sh",
        *(f"# {_title(setup, wanted)}" for setup in setups),
        f"# Run it as {who}. With DESTDIR it writes below another root.",
        "set -eu",
        "umask 077",
        "",
        _PUT,
    ]
    files = files_of(setups)
    for file in files:
        lines += _putting(file)
    for file in files:
        if file.content is None:
            lines += _missing(file, key_file)
    lines += ["cat <<'NOTES'", *_words(setups), "NOTES", ""]
    return "\n".join(lines)


def _putting(file: ClientFile) -> list[str]:
    if file.content is None:
        return []
    end = _END
    while end in file.content.splitlines():
        end += "-"
    here = [f"<<'{end}'", file.content.rstrip("\n"), end]
    place = _quoted(file.path)
    lines = []
    if file.is_shared:
        lines += [f"keep {place} {here[0]}", *here[1:]]
    return [*lines, f"put {file.mode:04o} {place} {here[0]}", *here[1:], ""]


def _missing(file: ClientFile, key_file: str) -> list[str]:
    place = _quoted(file.path)
    words = shlex.quote(f"is still missing: copy {key_file} there, mode {file.mode:04o}")
    return [f"[ -f {place} ] || echo {place} {words} >&2"]


def _quoted(path: str) -> str:
    below_home = path.removeprefix(HOME)
    if below_home != path:
        return '"${DESTDIR-}$HOME"' + shlex.quote(below_home)
    return '"${DESTDIR-}"' + shlex.quote(path)


def _words(setups: Sequence[ClientSetup]) -> Iterator[str]:
    for setup in setups:
        yield f"{setup.client}:"
        yield from (f"  {note}" for note in setup.notes)
        yield from (f"  check: {check}" for check in setup.checks)


def as_archive(setups: Sequence[ClientSetup], modified_at: int) -> bytes:
    """An archive that unpacks at `/`, or at a user's home, of files that root owns.

    The same files make the same bytes. A private key that is not to be handed out is left out, and
    so are directories: unpacking changes none that is there.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for file in files_of(setups):
            if file.content is None:
                continue
            content = file.content.encode()
            member = tarfile.TarInfo(file.path.removeprefix(HOME).lstrip("/"))
            member.size, member.mode, member.mtime = len(content), file.mode, modified_at
            member.uname = member.gname = "root"
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
