"""What a call trusts and shows: contexts for TLS, built once from files that the operator named."""

from __future__ import annotations

import ssl

from angos_trio.errors import OperatorError
from angos_trio.records import Frozen


class Names(Frozen):
    """What the operator calls the files; `where` is both of the last two, if not by their names."""

    bundle: str
    certificate: str
    key: str
    where: str = ""


def client_tls(
    key: str,
    *,
    server_ca_bundle: str | None = None,
    client_certificate_bundle: str | None = None,
    client_private_key: str | None = None,
) -> ssl.SSLContext:
    """As `context_of`; `key` is the table of the configuration that the paths stand in."""
    names = Names(
        f"{key}.server_ca_bundle",
        f"{key}.client_certificate_bundle",
        f"{key}.client_private_key",
        f"{key}: client_certificate_bundle and client_private_key",
    )
    return context_of(names, server_ca_bundle, client_certificate_bundle, client_private_key)


def context_of(
    names: Names, bundle: str | None, certificate: str | None, key: str | None
) -> ssl.SSLContext:
    """A context that verifies servers by the bundle, or by the store of the system, and shows the
    client certificate if there is one.

    Raises OperatorError, which names the file that cannot be used.
    """
    if (certificate is None) != (key is None):
        both = names.where or f"{names.certificate} and {names.key}"
        raise OperatorError(f"{both} go together; one is missing")
    try:
        context = ssl.create_default_context(cafile=bundle)
    except (OSError, ValueError) as error:
        raise OperatorError(f"{names.bundle}: {_why(error)}") from None
    if certificate is not None:
        try:
            # Without a password given, OpenSSL would ask for one at the terminal.
            context.load_cert_chain(certificate, key, password="")
        except (OSError, ValueError) as error:
            raise OperatorError(f"{names.certificate}, {names.key}: {_why(error)}") from None
    return context


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not usable ({(error.reason or 'not PEM').lower().replace('_', ' ')})"
    return f"cannot be read ({error.strerror if isinstance(error, OSError) else error})"
