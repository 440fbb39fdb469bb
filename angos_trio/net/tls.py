"""What a call trusts and shows: contexts for TLS, built once from files that the operator named."""

from __future__ import annotations

import ssl

from angos_trio.errors import OperatorError


def client_tls(
    key: str,
    *,
    server_ca_bundle: str | None = None,
    client_certificate_bundle: str | None = None,
    client_private_key: str | None = None,
) -> ssl.SSLContext:
    """A context that verifies servers by the bundle, or by the store of the system, and shows the
    client certificate if there is one.

    `key` is the table of the configuration that the paths stand in. Raises OperatorError, which
    names the key of the file that cannot be used.
    """
    if (client_certificate_bundle is None) != (client_private_key is None):
        raise OperatorError(
            f"{key}: client_certificate_bundle and client_private_key go together; one is missing"
        )
    try:
        context = ssl.create_default_context(cafile=server_ca_bundle)
    except (OSError, ValueError) as error:
        raise OperatorError(f"{key}.server_ca_bundle: {_why(error)}") from None
    if client_certificate_bundle is not None:
        try:
            # Without a password given, OpenSSL would ask for one at the terminal.
            context.load_cert_chain(client_certificate_bundle, client_private_key, password="")
        except (OSError, ValueError) as error:
            raise OperatorError(
                f"{key}.client_certificate_bundle, {key}.client_private_key: {_why(error)}"
            ) from None
    return context


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not usable ({(error.reason or 'not PEM').lower().replace('_', ' ')})"
    return f"cannot be read ({error.strerror if isinstance(error, OSError) else error})"
