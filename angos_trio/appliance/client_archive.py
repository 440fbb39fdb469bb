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
scratch=
wrote=
trap clean EXIT
# Not every shell cleans up after a signal by itself.
trap 'exit 1' HUP INT TERM PIPE
scratch=$(mktemp -d)

# same FILE OTHER: whether both hold the same text. A small host has no cmp.
same() {
    [ "$(cat "$1"; echo .)" = "$(cat "$2"; echo .)" ]
}

# keep PATH: what others may have written is left beside the new file, under a name that is free.
keep() {
    kept=$1.before
    number=1
    while [ -e "$kept" ] && ! same "$kept" "$1"; do
        number=$((number + 1))
        kept=$1.before.$number
    done
    [ -e "$kept" ] || cp -p "$1" "$kept"
    echo "kept what was there as $kept" >&2
}

# put MODE PATH [shared]: what comes in is to be the file, unless it is that already.
put() {
    for way in "$2" "$2.new"; do
        if [ -d "$way" ]; then
            echo "$way is a directory, and is to be a file: move it away" >&2
            exit 1
        fi
    done
    cat > "$scratch/new"
    if [ -f "$2" ] && same "$scratch/new" "$2"; then
        chmod "$1" "$2"
        rm -f "$2.new"
        return
    fi
    if [ "${3-}" ] && [ -f "$2" ]; then
        keep "$2"
    fi
    (umask 022; mkdir -p "$(dirname "$2")")
    install -m "$1" "$scratch/new" "$2.new"
}

# place PATH: the new one becomes the file.
place() {
    if [ -e "$1.new" ]; then
        mv -f "$1.new" "$1"
        wrote="${wrote}wrote $1
"
    fi
}
"""
_PLACING: Final = """\
# From here on all is done, whoever has left: some files without the others let nobody in.
trap '' HUP INT TERM PIPE"""


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
        lines += ["# Check:", *(f"#   {check}" for check in setup.checks)] if setup.checks else []
        lines.append("")
    return "\n".join(lines)


def _title(setup: ClientSetup, wanted: Wanted) -> str:
    return f"{setup.client}, for {wanted.address.authority} as {wanted.credentials.client}"


def _content(file: ClientFile, key_file: str) -> list[str]:
    if file.content is None:
        return [f"(the private key: copy {key_file} there, or ask with --with-key)"]
    return file.content.splitlines()


def as_script(setups: Sequence[ClientSetup], wanted: Wanted, key_file: str) -> str:
    """A script for sh that writes the files. It may run as often as one likes.

    All is written beside the files before the first of them is replaced, and what was done is told
    after the last: a certificate and a key that do not belong together let nobody in. `DESTDIR` in
    its environment is a directory that they are put below.
    """
    who = "whose they are" if wanted.is_user else "root"
    files = files_of(setups)
    brought = [file for file in files if file.content is not None]
    lines = [
        "#!/bin/sh",
        *(f"# {_title(setup, wanted)}" for setup in setups),
        f"# Run it as {who}. With DESTDIR it writes below another root.",
        "set -eu",
        "umask 077",
        "",
        *_cleaning(brought),
        _PUT,
    ]
    for file in brought:
        lines += _putting(file)
    for file in files:
        if file.content is None:
            lines += _missing(file, key_file)
    lines += [_PLACING, *(f"place {_quoted(file.path)}" for file in brought)]
    lines += ["printf '%s' \"$wrote\" || :", "cat <<'NOTES' || :", *_words(setups), "NOTES", ""]
    return "\n".join(lines)


def _cleaning(files: Sequence[ClientFile]) -> list[str]:
    left = (f"{_quoted(file.path)}.new" for file in files)
    return ["clean() {", '    rm -rf "$scratch"', *(f"    rm -f {each}" for each in left), "}"]


def _putting(file: ClientFile) -> list[str]:
    content = file.content or ""
    end = _END
    while end in content.splitlines():
        end += "-"
    shared = " shared" if file.is_shared else ""
    put = f"put {file.mode:04o} {_quoted(file.path)}{shared} <<'{end}'"
    return [put, content.rstrip("\n"), end, ""]


def _missing(file: ClientFile, key_file: str) -> list[str]:
    """The key must be brought where there is none, and where the certificate becomes another."""
    place = _quoted(file.path)
    certificate = _quoted(file.path.removesuffix(".key") + ".cert")
    copy = f"copy {key_file} there, mode {file.mode:04o}"
    missing = shlex.quote(f"is still missing: {copy}")
    other = shlex.quote(f"may not be the key of the new certificate beside it: {copy}")
    return [
        f"if [ ! -f {place} ]; then echo {place} {missing} >&2",
        f"elif [ -e {certificate}.new ]; then echo {place} {other} >&2; fi",
    ]


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
    # Names of hosts may be longer than the older format has room for.
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for file in files_of(setups):
            if file.content is None:
                continue
            content = file.content.encode()
            member = tarfile.TarInfo(file.path.removeprefix(HOME).lstrip("/"))
            member.size, member.mode, member.mtime = len(content), file.mode, modified_at
            member.uname = member.gname = "root"
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
