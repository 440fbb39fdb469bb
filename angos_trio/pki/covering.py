"""For whom a server's certificate stands."""

from __future__ import annotations

import ipaddress

from cryptography import x509

from angos_trio.errors import OperatorError
from angos_trio.pki.certificates import CertificateError, read_bundle
from angos_trio.pki.files import read_file
from angos_trio.records import Frozen


class Covered(Frozen):
    """The names and addresses of a certificate, and its term in epoch seconds."""

    names: tuple[str, ...]
    addresses: tuple[str, ...]
    not_before: int
    not_after: int

    def covers(self, host: str) -> bool:
        """Whether clients take it for this host (RFC 6125: a star is one label, the first)."""
        try:
            return str(ipaddress.ip_address(host)) in self.addresses
        except ValueError:
            pass
        wanted = host.lower().rstrip(".")
        above = wanted.partition(".")[2]
        return any(
            name == wanted or (name.startswith("*.") and above and name[2:] == above)
            for name in map(str.lower, self.names)
        )


def covered_by(key: str, path: str) -> Covered:
    """What the first certificate of a file that a key names stands for. Raises OperatorError."""
    try:
        first = read_bundle(read_file(key, path))[0]
    except CertificateError as error:
        raise OperatorError(f"{key}: {path}: no certificates in PEM: {error}") from error
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    try:
        found = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(found.get_values_for_type(x509.DNSName))
        addresses = tuple(map(str, found.get_values_for_type(x509.IPAddress)))
    except x509.ExtensionNotFound:
        pass
    begin, end = first.not_valid_before_utc, first.not_valid_after_utc
    return Covered(names, addresses, int(begin.timestamp()), int(end.timestamp()))
