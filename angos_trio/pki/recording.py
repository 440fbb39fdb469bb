"""What the journal says of a certificate; also of one that it has lost."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID

from angos_trio.clock import DAY_SECS
from angos_trio.errors import OperatorError
from angos_trio.pki.certificates import (
    CertificateError,
    read_bundle,
    reading,
    serial_text,
    value_of,
)
from angos_trio.pki.journal import Journal, Kind, Record
from angos_trio.pki.keeping import PkiDirectory
from angos_trio.pki.keys import fits, load_key
from angos_trio.records import replace


def record_of(
    name: str, kind: Kind, certificate: x509.Certificate, days: int | None = None
) -> Record:
    """What the journal says of a certificate; without names."""
    begin = int(certificate.not_valid_before_utc.timestamp())
    end = int(certificate.not_valid_after_utc.timestamp())
    asked = (end - begin) // DAY_SECS if days is None else days
    return Record(kind, name, serial_text(certificate.serial_number), begin, end, asked)


def server_command(directory: PkiDirectory, record: Record | None) -> str:
    """What gives the server another certificate, with the names of one before if that is known."""
    names = ("NAME",) if record is None else record.names
    return directory.command("server", *(word for name in names for word in ("--san", name)))


def standing_server(directory: PkiDirectory, journal: Journal) -> Record | None:
    """What the journal says of the certificate in the server's place, or would say if it came from
    no older backup. None where nothing of ours is there, or its key is not: others tell of that."""
    try:
        leaf = read_bundle(directory.server.read_bytes())[0]
        issuing = read_bundle(directory.issuing.read_bytes())[0]
        key = load_key(directory.server_key, directory.server_key.read_bytes())
        with reading():
            leaf.verify_directly_issued_by(issuing)
    except (OSError, OperatorError, CertificateError, InvalidSignature):
        return None
    names = _names_of(leaf)
    if not names or not fits(key, leaf):
        return None
    known = journal.with_serial(serial_text(leaf.serial_number))
    if known is not None:
        return known if known.kind == "server" and known.has_key else None
    return replace(record_of(names[0].split(":", 1)[1], "server", leaf), names=names)


def _names_of(leaf: x509.Certificate) -> tuple[str, ...]:
    """The names of a server, as `--san` takes them; none for what is no server's."""
    usage = value_of(leaf, x509.ExtendedKeyUsage)
    names = value_of(leaf, x509.SubjectAlternativeName)
    if usage is None or ExtendedKeyUsageOID.SERVER_AUTH not in usage or names is None:
        return ()
    return (
        *(f"DNS:{name}" for name in names.get_values_for_type(x509.DNSName)),
        *(f"IP:{address}" for address in names.get_values_for_type(x509.IPAddress)),
    )
