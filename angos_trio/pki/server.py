"""The server's side of TLS: its files, read and checked as one, and read again when they change."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from angos_trio.clock import epoch_seconds
from angos_trio.errors import OperatorError
from angos_trio.pki.certificates import CertificateError, is_authority, read_bundle, value_of
from angos_trio.pki.files import FileState, read_file, states_of
from angos_trio.pki.revocation import Revocations, SignedList, read_lists, revocations_of
from angos_trio.records import Frozen, replace

CERTIFICATE_KEY: Final = "server.tls.server_certificate_bundle"
PRIVATE_KEY_KEY: Final = "server.tls.server_private_key"
CLIENT_CA_KEY: Final = "server.tls.client_ca_bundle"
CRL_KEY: Final = "server.tls.client_crl"
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"
"""Of TLS 1.2; those of 1.3 are all of this kind. The level refuses RSA below 2048 bits and SHA-1,
whatever the host's OpenSSL is set to."""
PROTOCOLS: Final = ("http/1.1",)
_MISMATCHES: Final = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


class TlsFiles(Frozen):
    """`[server.tls]`: names of files, and what is made of them."""

    certificate: str
    private_key: str
    client_ca: str | None = None
    client_auth: Literal["optional", "required"] = "optional"
    client_crls: tuple[str, ...] = ()
    crl_stale: Literal["warn", "deny"] = "warn"

    @property
    def paths(self) -> tuple[str, ...]:
        """All of them."""
        ca = () if self.client_ca is None else (self.client_ca,)
        return (self.certificate, self.private_key, *ca, *self.client_crls)


def check_tls(files: TlsFiles) -> None:
    """Refuse what is half filled in; looks at no file. Raises OperatorError."""
    if files.client_ca is not None:
        return
    if files.client_auth == "required":
        raise OperatorError(
            f'server.tls.client_auth: "required" needs {CLIENT_CA_KEY}: without it no client '
            "certificate can be checked"
        )
    if files.client_crls:
        raise OperatorError(f"{CRL_KEY}: needs {CLIENT_CA_KEY}, whose certificates it revokes")


class ServerTls(Frozen):
    """What the files came to. `not_after` is when the server's certificate ends, in epoch seconds.

    `revocations` are to be asked about each client certificate, at each request; None when clients
    are not asked for one. `authorities` are those that client certificates and lists come from.
    `remarks` are for the operator, a sentence each.
    """

    files: TlsFiles
    states: tuple[FileState, ...]
    context: ssl.SSLContext
    revocations: Revocations | None
    not_after: int
    authorities: tuple[x509.Certificate, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def list_states(self) -> tuple[FileState, ...]:
        """The states of the revocation lists among those of all files."""
        return self.states[len(self.states) - len(self.files.client_crls) :]


def load_server_tls(files: TlsFiles) -> ServerTls:
    """Read and check everything; blocks. Raises OperatorError, which names the key."""
    check_tls(files)
    states = states_of(files.paths)  # before the content: what changes meanwhile is seen later
    now = epoch_seconds()
    context = _bare_context()
    chain = _certificates(CERTIFICATE_KEY, files.certificate)
    _load_pair(context, files)
    remarks = _remarks_on(CERTIFICATE_KEY, chain, now) + _remarks_on_purpose(chain[0])
    revocations, authorities = None, []
    if files.client_ca is not None:
        authorities = _authorities(files.client_ca)
        remarks += _remarks_on(CLIENT_CA_KEY, authorities, now)
        _ask_for_certificates(context, authorities, files)
        revocations = _revocations(files, authorities)
        remarks += [
            f"{CRL_KEY}: the list of {each.issuer} is out of date"
            for each in revocations.stale(now)
        ]
    not_after = int(chain[0].not_valid_after_utc.timestamp())
    return ServerTls(
        files, states, context, revocations, not_after, tuple(authorities), tuple(remarks)
    )


def _bare_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= (
        ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    )
    # A client that ends its side without a word of it still gets its answer, as without TLS.
    context.options |= getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    context.set_alpn_protocols(list(PROTOCOLS))
    return context


def _ask_for_certificates(
    context: ssl.SSLContext, authorities: Sequence[x509.Certificate], files: TlsFiles
) -> None:
    """A client's certificate must come from one of these authorities, root or not.

    No session is kept, because resuming one skips the checks. A certificate that is shown and not
    good ends the handshake in the optional mode too.
    """
    context.load_verify_locations(
        cadata=b"".join(each.public_bytes(Encoding.DER) for each in authorities)
    )
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    required = files.client_auth == "required"
    context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def _certificates(key: str, path: str) -> list[x509.Certificate]:
    try:
        return read_bundle(read_file(key, path))
    except CertificateError as error:
        raise OperatorError(f"{key}: {path}: no certificates in PEM: {error}") from error


def _authorities(path: str) -> list[x509.Certificate]:
    found = _certificates(CLIENT_CA_KEY, path)
    for each in found:
        if not is_authority(each):
            name = each.subject.rfc4514_string()
            raise OperatorError(f"{CLIENT_CA_KEY}: {path}: {name} is no authority")
    return found


def _load_pair(context: ssl.SSLContext, files: TlsFiles) -> None:
    """The certificate was read before; OpenSSL reads it again, and the key, which nobody else does.

    Its errors say little, and nothing of them is repeated: they may be about the key.
    """
    read_file(PRIVATE_KEY_KEY, files.private_key)

    def ask() -> str:
        raise OperatorError(
            f"{PRIVATE_KEY_KEY}: {files.private_key}: it is encrypted, and nobody is there to "
            "type its password; openssl pkey takes it away"
        )

    try:
        context.load_cert_chain(files.certificate, files.private_key, ask)
    except ssl.SSLError as error:
        raise OperatorError(_pair_problem(error, files)) from None
    except OSError as error:
        raise OperatorError(f"{CERTIFICATE_KEY}: {error.strerror}") from error


def _pair_problem(error: ssl.SSLError, files: TlsFiles) -> str:
    if not error.reason:
        return f"{PRIVATE_KEY_KEY}: {files.private_key}: no private key in PEM"
    if error.reason in _MISMATCHES:
        return (
            f"{PRIVATE_KEY_KEY}: {files.private_key}: it is not the key of the first "
            f"certificate in {files.certificate}; put two there that belong together"
        )
    words = error.reason.lower().replace("_", " ")
    return f"{CERTIFICATE_KEY}: {files.certificate}: OpenSSL refuses it: {words}"


def _revocations(files: TlsFiles, authorities: Sequence[x509.Certificate]) -> Revocations:
    lists: list[SignedList] = []
    for path in files.client_crls:
        content = read_file(CRL_KEY, path)
        try:
            lists += read_lists(content, authorities)
        except CertificateError as error:
            raise OperatorError(f"{CRL_KEY}: {path}: {error}") from error
    denies_stale = files.crl_stale == "deny"
    return revocations_of(lists, denies_stale=denies_stale, authorities=authorities)


def _remarks_on(key: str, certificates: Sequence[x509.Certificate], now: int) -> list[str]:
    """A certificate that is out of its time: a clock may be wrong, so it is no error."""
    remarks = []
    for each in certificates:
        name, end = each.subject.rfc4514_string(), each.not_valid_after_utc
        if end.timestamp() < now:
            remarks.append(
                f"{key}: the certificate of {name!r} expired on {end:%Y-%m-%d %H:%M} UTC: renew "
                "it, or set the clock of this host if that is wrong"
            )
        elif each.not_valid_before_utc > datetime.fromtimestamp(now, UTC):
            begin = each.not_valid_before_utc
            remarks.append(
                f"{key}: the certificate of {name!r} is valid from {begin:%Y-%m-%d %H:%M} UTC only"
                ": is the clock of this host right?"
            )
    return remarks


def _remarks_on_purpose(certificate: x509.Certificate) -> list[str]:
    """One that is made for clients can be shown, and no client takes it."""
    usage = value_of(certificate, x509.ExtendedKeyUsage)
    if usage is None or ExtendedKeyUsageOID.SERVER_AUTH in usage:
        return []
    if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage:
        return []
    name = certificate.subject.rfc4514_string()
    return [
        f"{CERTIFICATE_KEY}: the certificate of {name!r} is not made for a server: no client takes "
        "it; issue one that is (extended key usage: serverAuth)"
    ]


class LiveTls:
    """What new handshakes use and requests ask, while the files may change.

    Its functions block and may be called from threads. `problem` is why the last new files were
    not taken; None when `current` is what the files say.
    """

    def __init__(self, tls: ServerTls) -> None:
        self.current = tls
        self.problem: str | None = None
        self._seen = tls.states
        self._lists_seen = tls.list_states
        self._lock = threading.Lock()

    def swap(self, tls: ServerTls) -> None:
        """From now on this counts; what is connected stays connected."""
        with self._lock:
            self._take(tls)

    def reload(self) -> str | None:
        """Read the files anew, beside the old; they count if they are good. Returns the problem."""
        with self._lock:
            try:
                self._take(load_server_tls(self.current.files))
            except OperatorError as error:
                self.problem = str(error)
            return self.problem

    def look(self) -> bool:
        """Reload when the files differ from those that count and nobody is writing them any more.

        Whether something came of it: new files count, or there is another problem than before.
        """
        before = self.current, self.problem
        seen, self._seen = self._seen, states_of(self.current.files.paths)
        if self._seen == seen and (self._seen != self.current.states or self.problem):
            self.reload()
        return (self.current, self.problem) != before

    def are_lists_new(self) -> bool:
        """Whether a revocation list is another than those that were read: a stat(2) for each."""
        return self._lists_seen != states_of(self.current.files.client_crls)

    def take_lists(self) -> None:
        """Let new revocation lists count from now on, before all files are looked at again.

        Only lists that are good, with one for each that counts: a file that is still being written,
        or that belongs to new authorities, waits for `look`, which tells of problems too.
        """
        with self._lock:
            current = self.current
            states = states_of(current.files.client_crls)
            if states == self._lists_seen or current.revocations is None:
                return
            try:
                found = _revocations(current.files, current.authorities)
            except OperatorError:
                found = None
            if found is not None and found.has_all_of(current.revocations):
                self.current = replace(current, revocations=found)
            self._lists_seen = states

    def _take(self, tls: ServerTls) -> None:
        self.current, self.problem, self._seen = tls, None, tls.states
        self._lists_seen = tls.list_states
