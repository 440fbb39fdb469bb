"""Our own authority: making it, and issuing certificates to the server and to clients.

    place = PkiDirectory(Path("/etc/angos-trio/pki"))
    create_authority(place, Founding("registry.lab"), now)
    issue_server(place, ServerWish(("registry.lab", "10.0.0.5")), now)
    issue_client(place, ClientWish("alice", groups=("team",)), now)

Each function takes the directory's lock, does all of it or nothing, and raises OperatorError with
a sentence that names the cause and the cure.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography import x509

from angos_trio.clock import iso
from angos_trio.errors import OperatorError
from angos_trio.limits.certificates import (
    AUTHORITY_YEARS,
    AUTHORITY_YEARS_MAX,
    BROWSER_DAYS_MAX,
    CLIENT_DAYS,
    LEAF_DAYS_MAX,
    LIST_DAYS,
    SERVER_DAYS,
)
from angos_trio.pki import files
from angos_trio.pki.certificates import CertificateError, read_bundle
from angos_trio.pki.files import PRIVATE_MODE, PUBLIC_MODE, words_of
from angos_trio.pki.journal import Listed, Record, issued_line, listed_line
from angos_trio.pki.keeping import (
    Pair,
    PkiDirectory,
    alone_in_new,
    cut_torn,
    failing_in_words,
    put_pair,
    read_journal,
    require_nothing_lost,
    tell,
)
from angos_trio.pki.keys import check_password, fits, load_key, requested_key
from angos_trio.pki.naming import (
    ISSUING,
    ROOT,
    SERVER,
    authority_name,
    client_name,
    client_uri,
    group_names,
    server_names,
)
from angos_trio.pki.opening import Authority, opened, require_alive, require_clock
from angos_trio.pki.profiles import (
    Leaf,
    Life,
    PrivateKey,
    PublicKey,
    Signer,
    key_pem,
    life_of,
    make_issuing,
    make_leaf,
    make_list,
    make_root,
    name_of,
    new_key,
    pem_of,
    pkcs12_of,
)
from angos_trio.pki.recording import record_of
from angos_trio.records import Frozen, field, replace

_YEAR_DAYS = 365

__all__ = [
    "ClientWish",
    "Founded",
    "Founding",
    "Issued",
    "PkiDirectory",
    "ServerWish",
    "create_authority",
    "issue_client",
    "issue_server",
    "stale_files",
]


class Founding(Frozen):
    """What `init` was told. The root's key is encrypted with the password, if there is one;
    `offline_root` is where it goes in the place of the directory, to be taken away."""

    name: str
    years: int = AUTHORITY_YEARS
    password: bytes | None = None
    offline_root: Path | None = None


class Founded(Frozen):
    """A new authority: where the root's key is, and when root and issuing authority end."""

    root_key: Path
    is_encrypted: bool
    root_ends: int
    issuing_ends: int


class ServerWish(Frozen):
    """A certificate for hosts and addresses; `request` has the key in the place of a new one."""

    names: tuple[str, ...]
    days: int = SERVER_DAYS
    request: Path | None = None


class ClientWish(Frozen):
    """A certificate for a client. With `p12_password` there is a PKCS#12 file besides."""

    name: str
    groups: tuple[str, ...] = ()
    days: int = CLIENT_DAYS
    request: Path | None = None
    p12_password: bytes | None = None


class Issued(Frozen):
    """A new certificate, where it and its parts are, and what the operator should know of it.

    `certificate` is None for one that is not kept here; `pem` is what it would hold. `bag` is what
    a client needs, by the names of files.
    """

    record: Record
    pem: bytes
    certificate: Path | None
    key: Path | None = None
    p12: Path | None = None
    remarks: tuple[str, ...] = ()
    bag: Mapping[str, bytes] = field(default_factory=dict)


def create_authority(directory: PkiDirectory, founding: Founding, now: int) -> Founded:
    """Make a root, an authority below it that issues, and an empty revocation list."""
    require_clock(now)
    name = authority_name(founding.name)
    if not 1 <= founding.years <= AUTHORITY_YEARS_MAX:
        raise OperatorError(f"--years: from 1 to {AUTHORITY_YEARS_MAX}, and not {founding.years}")
    check_password(founding.password)
    with failing_in_words(directory):
        _require_apart(directory, founding.offline_root)
    with failing_in_words(directory):
        _require_none(directory)
    with alone_in_new(directory):
        _require_none(directory)
        cut_torn(directory, read_journal(directory))
        return _found(directory, replace(founding, name=name), now)


def _require_apart(directory: PkiDirectory, offline_root: Path | None) -> None:
    if offline_root is None:
        return
    if offline_root.resolve().is_relative_to(directory.root.resolve()):
        raise OperatorError(
            f"--offline-root: {offline_root} is in {directory.root}: name a file on a medium that "
            "is taken away"
        )
    if not offline_root.resolve().parent.is_dir():
        raise OperatorError(f"--offline-root: {offline_root.resolve().parent} is no directory")


def _require_none(directory: PkiDirectory) -> None:
    require_nothing_lost(directory)
    if directory.has_authority:
        raise OperatorError(
            f"{directory.root}: there is an authority here already: {directory.command('list')} "
            "shows what it issued; for another one name an empty directory with --pki"
        )
    if directory.ca.exists() and not directory.issuing_key.exists():
        raise OperatorError(
            f"{directory.ca} is there and was not made here, and is not written over: name an "
            "empty directory with --pki, or move it away"
        )


def _found(directory: PkiDirectory, founding: Founding, now: int) -> Founded:
    root_key, issuing_key = new_key(), new_key()
    root_life = life_of(now, founding.years * _YEAR_DAYS)
    root = Signer(make_root(f"{founding.name} {ROOT}", root_key, root_life), root_key)
    life = life_of(now, issuing_days(founding.years * _YEAR_DAYS), root)
    subject = name_of(f"{founding.name} {ISSUING}")
    certificate = make_issuing(subject, issuing_key.public_key(), life, root)
    issuing = Signer(certificate, issuing_key)
    listed = Listed(1, life_of(now, LIST_DAYS).not_after, LIST_DAYS)
    crl = make_list([], life_of(now, LIST_DAYS), listed.number, issuing)
    kept = founding.offline_root or directory.root_key
    written: list[Path] = []
    try:
        if founding.offline_root is None:
            _write(written, kept, key_pem(root_key, founding.password), PRIVATE_MODE)
        else:
            _write_offline(written, kept, key_pem(root_key, founding.password))
        _write(written, directory.issuing_key, key_pem(issuing_key), PRIVATE_MODE)
        _write(written, directory.ca, pem_of(root.certificate), PUBLIC_MODE)
        _write(written, directory.clients_ca, pem_of(certificate, root.certificate), PUBLIC_MODE)
        _write(written, directory.crl, crl, PUBLIC_MODE)
        if not directory.journal.exists():
            written.append(directory.journal)
        tell(directory, issued_line(record_of(ROOT, "root", root.certificate), now))
        tell(directory, issued_line(record_of(ISSUING, "issuing", certificate), now))
        tell(directory, listed_line(listed, now))
        _write(written, directory.issuing, pem_of(certificate), PUBLIC_MODE)
    except BaseException:
        for path in written:
            with contextlib.suppress(OSError):
                files.remove(path)
        raise
    return Founded(kept, founding.password is not None, root_life.not_after, life.not_after)


def issuing_days(root_days: int) -> int:
    """The life of an issuing authority: half of its root's, so that it is renewed once, and a year
    at least."""
    return max(_YEAR_DAYS, root_days // 2)


def _write(written: list[Path], path: Path, content: bytes, mode: int) -> None:
    written.append(path)
    files.replace(path, content, mode)


def _write_offline(written: list[Path], path: Path, content: bytes) -> None:
    try:
        files.write_new(path, content)
    except FileExistsError:
        raise OperatorError(
            f"--offline-root: {path} is there already, and a key is not written over: name "
            "another file, or remove it if it is of no worth"
        ) from None
    written.append(path)


def issue_server(directory: PkiDirectory, wish: ServerWish, now: int) -> Issued:
    """A certificate for the server, in the place of the one before. With a request it is for a
    key elsewhere, and is not kept here."""
    names, requested = server_names(wish.names), _requested(wish.request)
    with opened(directory, now) as authority:
        return give_server(authority, replace(wish, names=names), now, requested)


def give_server(
    authority: Authority, wish: ServerWish, now: int, requested: PublicKey | None = None
) -> Issued:
    """The same for an opened authority; the names are in order, and the request is read."""
    common_name = wish.names[0].split(":", 1)[1]
    leaf = Leaf(common_name, wish.names, (), is_server=True)
    directory = authority.directory
    before = authority.journal.latest().get(SERVER)
    made = _make(authority, leaf, wish.days, requested, now)
    remarks = [*authority.remarks, *made.remarks]
    if wish.days > BROWSER_DAYS_MAX:
        remarks.append(f"browsers may refuse a server's certificate for over {BROWSER_DAYS_MAX} d")
    record = replace(
        record_of(common_name, "server", made.certificate, wish.days),
        names=wish.names,
        has_key=made.key_pem is not None,
        replaces=None if before is None or made.key_pem is None else before.serial,
    )
    if made.key_pem is None:
        tell(directory, issued_line(record, now))
        return Issued(record, made.pem, None, remarks=tuple(remarks))
    pair = Pair(directory.server, directory.server_key, made.pem, made.key_pem, record)
    put_pair(directory, pair, now)
    return Issued(record, made.pem, directory.server, directory.server_key, remarks=tuple(remarks))


def issue_client(directory: PkiDirectory, wish: ClientWish, now: int) -> Issued:
    """A certificate for a client. One of that name before it is renewed by it, and stays good
    until its end, or until it is revoked."""
    wish = replace(wish, name=client_name(wish.name), groups=group_names(wish.groups))
    if wish.request is not None and wish.p12_password is not None:
        raise OperatorError("--p12 needs the key, and with --csr only the client has it")
    check_password(wish.p12_password)
    requested = _requested(wish.request)
    with opened(directory, now) as authority:
        return give_client(authority, wish, now, requested)


def give_client(
    authority: Authority, wish: ClientWish, now: int, requested: PublicKey | None = None
) -> Issued:
    """The same for an opened authority; the names are in order, and the request is read."""
    directory, name = authority.directory, wish.name
    names = (f"URI:{client_uri(name)}",)
    leaf = Leaf(name, names, wish.groups, is_server=False)
    before = authority.journal.latest().get(name)
    made = _make(authority, leaf, wish.days, requested, now)
    record = replace(
        record_of(name, "client", made.certificate, wish.days),
        names=names,
        groups=wish.groups,
        has_key=made.key_pem is not None,
        replaces=None if before is None else before.serial,
    )
    remarks = [*authority.remarks, *made.remarks, *_on_replaced(authority, before, now)]
    if before is not None and set(before.groups) != set(wish.groups):
        remarks.append(f"its groups were {_words(before.groups)}, and are {_words(wish.groups)}")
    p12 = directory.client_p12(name)
    key = directory.client_key(name)
    put_pair(directory, Pair(directory.client(name), key, made.pem, made.key_pem, record), now)
    bag = {directory.ca.name: pem_of(authority.root), directory.client(name).name: made.pem}
    if made.key_pem is not None:
        bag[key.name] = made.key_pem
    if wish.p12_password is not None and made.key is not None:
        above = (authority.issuing.certificate, authority.root)
        content = pkcs12_of(name, made.key, made.certificate, above, wish.p12_password)
        _put_p12(p12, content, directory.client(name))
        bag[p12.name] = content
    elif p12.exists():
        files.remove(p12)
        remarks.append(f"{p12} had the certificate before, and is removed")
    return Issued(
        record,
        made.pem,
        directory.client(name),
        key if record.has_key else None,
        p12 if wish.p12_password is not None else None,
        tuple(remarks),
        bag,
    )


def stale_files(target: Path, name: str, bag: Mapping[str, bytes]) -> list[Path]:
    """What lies in another directory under the names of a client's files, and is of a certificate
    there that is replaced. Another key stays: the client made it. Raises OSError."""
    key, p12 = target / f"{name}.key", target / f"{name}.p12"
    found = [] if p12.name in bag or not p12.exists() else [p12]
    if key.name in bag or not key.exists():
        return found
    try:
        held = load_key(key, key.read_bytes())
        before = read_bundle((target / f"{name}.crt").read_bytes())[0]
    except (OperatorError, CertificateError, FileNotFoundError):
        return found
    is_stale = fits(held, before) and not fits(held, read_bundle(bag[f"{name}.crt"])[0])
    return [*found, key] if is_stale else found


def _put_p12(path: Path, content: bytes, certificate: Path) -> None:
    try:
        files.replace(path, content, PRIVATE_MODE)
    except OSError as error:
        raise OperatorError(
            f"{words_of(error)}; the certificate was issued, and is in {certificate}"
        ) from error


def _on_replaced(authority: Authority, before: Record | None, now: int) -> list[str]:
    if before is None:
        return []
    if before.serial in authority.journal.revoked:
        return [f"{before.name} had a certificate ({before.serial}) that is revoked"]
    if before.not_after < now:
        return [f"this renews {before.name}: the certificate before ended {iso(before.not_after)}"]
    command = authority.directory.command("revoke", before.serial)
    return [
        f"this renews {before.name}: the certificate before ({before.serial}) stays good until "
        f"{iso(before.not_after)}, unless it is revoked: {command}"
    ]


def _words(groups: Sequence[str]) -> str:
    return ", ".join(groups) or "none"


class _Made(Frozen):
    certificate: x509.Certificate
    pem: bytes
    key: PrivateKey | None
    key_pem: bytes | None
    remarks: tuple[str, ...]


def _requested(path: Path | None) -> PublicKey | None:
    """The key of a request. Others must not wait for where it comes from, so it needs no lock."""
    return None if path is None else requested_key(path, files.read_file("--csr", str(path)))


def _make(
    authority: Authority, leaf: Leaf, days: int, requested: PublicKey | None, now: int
) -> _Made:
    """The certificate with the issuing authority's after it, and its key if it is made here."""
    require_alive(authority, now)
    if not 1 <= days <= LEAF_DAYS_MAX:
        raise OperatorError(f"--days: from 1 to {LEAF_DAYS_MAX}, and not {days}")
    life = life_of(now, days, authority.issuing)
    key, public = None, requested
    if public is None:
        key = new_key()
        public = key.public_key()
    certificate = make_leaf(leaf, public, life, authority.issuing)
    return _Made(
        certificate,
        pem_of(certificate, authority.issuing.certificate),
        key,
        None if key is None else key_pem(key),
        _on_life(authority.directory, life),
    )


def _on_life(directory: PkiDirectory, life: Life) -> tuple[str, ...]:
    if not life.is_shortened:
        return ()
    return (
        f"it ends with the issuing authority, at {iso(life.not_after)}, and not as late as was "
        f"asked: {directory.command('renew', ISSUING)}",
    )
