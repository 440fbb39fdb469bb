"""The directory of an authority: its files, its lock, and how a crash is mended.

A certificate takes its place in three steps, each synced: certificate and key wait beside their
places under names that end in `.next`, the journal tells of them, and then the key takes its place
and the certificate after it. Whoever holds the lock next finds what was cut off: what the journal
tells of is carried out, and anything else is dropped.

A certificate that cannot take its place leaves the pair before it as it was: the old key is kept
beside the new one, under a name that ends in `.before`, until both are in their places. The new
pair waits on, and holds up nobody but its own name.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from angos_trio.errors import OperatorError
from angos_trio.limits.certificates import PKI_DIRECTORY, PKI_LOCK_SECS
from angos_trio.pki import files
from angos_trio.pki.certificates import CertificateError, read_bundle, serial_text
from angos_trio.pki.files import (
    BEFORE,
    NEXT,
    PRIVATE_DIRECTORY_MODE,
    PRIVATE_MODE,
    PUBLIC_MODE,
    before_of,
    next_of,
    words_of,
)
from angos_trio.pki.journal import Journal, JournalError, Record, issued_line, parse_journal
from angos_trio.pki.naming import ISSUING, SERVER
from angos_trio.records import Frozen

PUBLIC_DIRECTORY_MODE: Final = 0o755
RESTART: Final = ".restart"
"""The end of the name of a file that stands for a restart that is owed."""


class PkiDirectory(Frozen):
    """The names of its files."""

    root: Path

    @property
    def ca(self) -> Path:
        """The root's certificate: what clients trust."""
        return self.root / "ca.crt"

    @property
    def issuing(self) -> Path:
        """The certificate of the authority below it, which issues."""
        return self.root / "issuing.crt"

    @property
    def clients_ca(self) -> Path:
        """What a registry checks clients against: the issuing authority, then the root."""
        return self.root / "clients-ca.crt"

    @property
    def crl(self) -> Path:
        """The revocation list."""
        return self.root / "clients.crl"

    @property
    def server(self) -> Path:
        """The server's certificate, followed by the issuing authority's."""
        return self.root / "server.crt"

    @property
    def journal(self) -> Path:
        """What was issued, renewed and revoked."""
        return self.root / "issued.jsonl"

    @property
    def private(self) -> Path:
        """Where keys are."""
        return self.root / "private"

    @property
    def root_key(self) -> Path:
        """The root's key; not there when it was taken away."""
        return self.private / "root.key"

    @property
    def issuing_key(self) -> Path:
        """The key of the authority that issues."""
        return self.private / "issuing.key"

    @property
    def server_key(self) -> Path:
        """The server's key."""
        return self.private / "server.key"

    def restart(self, unit: str) -> Path:
        """There while a unit of systemd has not been restarted since its certificate was renewed.

        Raises OperatorError for what is no unit.
        """
        if not unit.strip(".") or "/" in unit:
            raise OperatorError(f"--restart: {unit!a} is no unit of systemd")
        return self.private / f"{unit}{RESTART}"

    def command(self, *words: str) -> str:
        """What is to be typed for a command below `pki` that is about this directory."""
        root = os.path.abspath(self.root)
        option = () if root == PKI_DIRECTORY else ("--pki", root)
        return shlex.join(["angos-trio", "pki", *words, *option])

    def client(self, name: str) -> Path:
        """A client's certificate, followed by the issuing authority's."""
        return self.root / "clients" / f"{name}.crt"

    def client_key(self, name: str) -> Path:
        """A client's key."""
        return self.private / "clients" / f"{name}.key"

    def client_p12(self, name: str) -> Path:
        """A client's certificate and key in one file, under a password."""
        return self.private / "clients" / f"{name}.p12"

    @property
    def has_authority(self) -> bool:
        """Whether an authority is here. Its own certificate is the last file that `init` writes.

        Raises OSError when this user may not look.
        """
        try:
            self.issuing.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True


class Pair(Frozen):
    """A certificate with what follows it, and its key if it was made here, on their way to their
    places. `record` is what the journal is to say of it."""

    certificate: Path
    key: Path
    certificate_pem: bytes
    key_pem: bytes | None
    record: Record


@contextmanager
def failing_in_words(directory: PkiDirectory) -> Iterator[None]:
    """What the system refuses is an OperatorError that names the cause and the cure."""
    try:
        yield
    except TimeoutError:
        raise OperatorError(
            f"{directory.root}: another pki command has been working here for "
            f"{PKI_LOCK_SECS:.0f} s: try again when it has ended"
        ) from None
    except OSError as error:
        raise OperatorError(words_of(error)) from error


@contextmanager
def alone_in(directory: PkiDirectory) -> Iterator[None]:
    """Hold the lock of a directory; what is missing of it is made. Raises OperatorError."""
    with failing_in_words(directory):
        for path, mode in _folders(directory):
            files.make_directory(path, mode)
        with files.locked(_lock(directory), PKI_LOCK_SECS):
            yield


@contextmanager
def alone_in_new(directory: PkiDirectory) -> Iterator[None]:
    """The same; what was made of it for nothing goes again. Raises OperatorError."""
    with failing_in_words(directory):
        wanted = [*reversed(directory.root.parents), *(path for path, _ in _folders(directory))]
        new = [path for path in wanted if not path.exists()]
    try:
        with alone_in(directory):
            try:
                yield
            except BaseException:
                if directory.private in new and not directory.has_authority:
                    files.remove(_lock(directory))
                raise
    except BaseException:
        with suppress(OSError):
            _take_away([] if directory.has_authority else new)
        raise


def _take_away(folders: Sequence[Path]) -> None:
    for path in reversed(folders):
        if path.exists():
            path.rmdir()


def _lock(directory: PkiDirectory) -> Path:
    return directory.private / ".lock"


def _folders(directory: PkiDirectory) -> tuple[tuple[Path, int], ...]:
    """All directories, each with its mode, those above others first."""
    return (
        (directory.root, PUBLIC_DIRECTORY_MODE),
        (directory.client("").parent, PUBLIC_DIRECTORY_MODE),
        (directory.private, PRIVATE_DIRECTORY_MODE),
        (directory.client_key("").parent, PRIVATE_DIRECTORY_MODE),
    )


def require_authority(directory: PkiDirectory) -> None:
    """Raises OperatorError when there is none."""
    with failing_in_words(directory):
        if directory.has_authority:
            return
        require_nothing_lost(directory)
        init = directory.command("init")
        if directory.issuing_key.exists():
            raise OperatorError(
                f"{directory.issuing} is missing: bring it back from a backup; or, if pki init was "
                f"cut off here, run it again: {init}"
            )
        raise OperatorError(
            f"{directory.root}: there is no authority here: make one with {init}, or name its "
            "directory with --pki"
        )


def require_nothing_lost(directory: PkiDirectory) -> None:
    """Refuse where certificates were issued, and only that of the authority is gone. Raises
    OperatorError and OSError."""
    has_issued = any(each.kind in ("server", "client") for each in read_journal(directory).records)
    has_clients = directory.issuing_key.exists() and any(directory.client("").parent.glob("*.crt"))
    if directory.has_authority or not (has_issued or has_clients):
        return
    cure = ""
    if directory.clients_ca.exists():
        words = ["openssl", "x509", "-in", str(directory.clients_ca)]
        words += ["-out", str(directory.issuing)]
        cure = f", or take it from where it stands first: {shlex.join(words)}"
    raise OperatorError(f"{directory.issuing} is missing: bring it back from a backup{cure}")


def read_journal(directory: PkiDirectory) -> Journal:
    """What the authority did so far. Needs no lock. Raises OperatorError."""
    path = directory.journal
    with failing_in_words(directory):
        content = path.read_bytes() if path.exists() else b""
    try:
        return parse_journal(content)
    except JournalError as error:
        raise OperatorError(
            f"{path}: {error}: bring the file back from a backup, or take the line out and revoke "
            "by serial number what it told of"
        ) from None


def tell(directory: PkiDirectory, line: bytes) -> None:
    """Write a line into the journal, for good. Raises OSError."""
    files.append(directory.journal, line)


def put_pair(directory: PkiDirectory, pair: Pair, at: int) -> None:
    """Put a certificate and its key into their places, whatever happens meanwhile. An old key of
    another certificate goes. Raises OperatorError and OSError."""
    require_settled(directory, pair.certificate)
    try:
        if pair.key_pem is not None:
            files.stage(pair.key, pair.key_pem, PRIVATE_MODE)
        files.stage(pair.certificate, pair.certificate_pem, PUBLIC_MODE)
        tell(directory, issued_line(pair.record, at))
    except OSError as error:
        for path in (pair.key, pair.certificate):
            with suppress(OSError):
                files.remove(next_of(path))
        raise OperatorError(f"{words_of(error)}; nothing was issued") from error
    try:
        _finish(pair.certificate, pair.key, keeps_key=pair.record.has_key)
    except OSError as error:
        raise OperatorError(_not_in_place(pair.certificate, error)) from error


def _not_in_place(certificate: Path, error: OSError) -> str:
    return (
        f"{words_of(error)}; the new certificate was issued and waits in {next_of(certificate)}: "
        "the next pki command puts it in its place"
    )


def _finish(certificate: Path, key: Path, *, keeps_key: bool) -> None:
    """Put what waits into its place, the key first. Where the certificate cannot take it, the key
    before comes back, and both wait on. Sound wherever it is cut off, and when it is done again."""
    if next_of(key).exists():
        if key.exists() and not before_of(key).exists():
            files.link(key, before_of(key))
        files.put_in_place(key)
        files.remove(next_of(key))  # two names of one file are not made one by a rename
    elif key.exists() and not keeps_key:
        files.move(key, before_of(key))
    try:
        files.put_in_place(certificate)
    except OSError:
        if next_of(certificate).exists():
            _put_back(key, keeps_key=keeps_key)
        raise
    files.remove(before_of(key))


def _put_back(key: Path, *, keeps_key: bool) -> None:
    if not before_of(key).exists():
        return
    if keeps_key:
        files.link(key, next_of(key))
    files.move(before_of(key), key)


def mend(directory: PkiDirectory) -> list[str]:
    """Carry out or drop what a command that was cut off has left; a sentence for each. What cannot
    be is a sentence too, so that nobody else waits for it. Needs the lock. Raises OSError and
    OperatorError."""
    journal = read_journal(directory)
    told = cut_torn(directory, journal)
    for place in _waiting(directory):
        try:
            told += _mend_pair(journal, place)
        except OSError as error:
            told.append(_held_up(place, error))
    strays = [directory.ca, directory.crl, directory.clients_ca]
    strays += [
        path.with_suffix("") for path in directory.client_p12("").parent.glob(f"*.p12{NEXT}")
    ]
    for path in strays:
        try:
            files.remove(next_of(path))
        except OSError as error:
            told.append(words_of(error))
    return told


def _held_up(place: _Place, error: OSError) -> str:
    return f"what a command before wanted with {place.certificate} waits still: {words_of(error)}"


def require_settled(directory: PkiDirectory, certificate: Path) -> None:
    """Refuse to go on with a certificate for which another one waits that cannot take its place.
    Raises OperatorError."""
    for place in _waiting(directory):
        if place.certificate != certificate:
            continue
        try:
            _mend_pair(read_journal(directory), place)
        except OSError as error:
            raise OperatorError(_held_up(place, error)) from error


def cut_torn(directory: PkiDirectory, journal: Journal) -> list[str]:
    """Take a last line away that has no end, before another one is written after it; a sentence if
    there was one. Needs the lock. Raises OSError."""
    if not directory.journal.exists() or directory.journal.stat().st_size <= journal.whole_bytes:
        return []
    files.cut(directory.journal, journal.whole_bytes)
    return [
        f"the last line of {directory.journal} was cut off while it was written: it told of "
        "nothing yet, and is gone"
    ]


class _Place(Frozen):
    """Where the newest certificate of a name belongs, and its key."""

    name: str
    certificate: Path
    key: Path


def _waiting(directory: PkiDirectory) -> list[_Place]:
    """Places for which something waits."""
    folders = directory.client("").parent, directory.client_key("").parent
    ends = f"*{NEXT}", f"*.key{BEFORE}"
    waiting = [path for folder in folders for end in ends for path in sorted(folder.glob(end))]
    names = dict.fromkeys(path.with_suffix("").stem for path in waiting)
    places = [
        *(_Place(name, directory.client(name), directory.client_key(name)) for name in names),
        _Place(SERVER, directory.server, directory.server_key),
        _Place(ISSUING, directory.issuing, directory.issuing_key),
    ]
    return [
        place
        for place in places
        if any(
            path.exists()
            for path in (next_of(place.certificate), next_of(place.key), before_of(place.key))
        )
    ]


def _mend_pair(journal: Journal, place: _Place) -> list[str]:
    """Carry it out or drop it; a sentence, or none where it was done but for the old key."""
    record = _newest_of(journal, place.name)
    waits = next_of(place.certificate).exists()
    if not waits and not next_of(place.key).exists():
        files.remove(before_of(place.key))
        return []
    if record is None or record.serial != _serial_in(next_of(place.certificate)):
        if waits and before_of(place.key).exists():
            files.move(before_of(place.key), place.key)
        files.remove(next_of(place.key))
        files.remove(next_of(place.certificate))
        return [f"a command before was cut off: {place.certificate} is what it was before it"]
    _finish(place.certificate, place.key, keeps_key=record.has_key)
    return [f"a command before was cut off: what it wanted with {place.certificate} is done now"]


def _newest_of(journal: Journal, name: str) -> Record | None:
    if name == ISSUING:
        return next((each for each in reversed(journal.records) if each.kind == ISSUING), None)
    return journal.latest().get(name)


def _serial_in(path: Path) -> str | None:
    """The serial number of the first certificate of a file, if both are there."""
    try:
        return serial_text(read_bundle(path.read_bytes())[0].serial_number)
    except (FileNotFoundError, CertificateError):
        return None
