"""The configuration that a new registry begins with: small, commented, and to be changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from angos_trio.records import Frozen

ADMINISTRATOR: Final = "admin"
"""The first user, and the name of the first client certificate."""

_SYSTEMD = """\
# systemd listens (angos-trio.socket) and hands its socket over: another port is a matter of
# `angos-trio self install --systemd --port PORT`, and of the address here.
[server]
external_url = {url}
"""
_ALONE = """\
[server]
bind_address = {address}
port = {port}
external_url = {url}
"""
_REST = """
# Files of `angos-trio pki`. The registry takes new ones by itself.
[server.tls]
server_certificate_bundle = {certificate}
server_private_key = {key}
client_ca_bundle = {clients_ca}
client_crl = [{lists}]
# "required" turns away at the door whoever has no certificate; passwords and the web interface
# then need one too.
client_auth = "optional"

[blob_store.fs]
root_dir = {data}

# Who may do what: without a policy, whoever shows a certificate of ours or the password of a user
# below may do everything, and nobody else anything. For finer rules, add a policy such as
#
#   [global.access_policy]
#   default = "deny"
#   rules = [
#     "identity.username == '{administrator}'",
#     "identity.certificate != null && '{administrator}' in identity.certificate.common_names",
#     "request.action in ['get-api-version', 'get-manifest', 'get-blob', 'list-tags']",
#   ]
#
# whose last rule lets everybody pull. `angos-trio policy test` says what it comes to.
[auth.identity.{administrator}]
username = {user}
password = {password_hash}
"""


class FirstFacts(Frozen):
    """What the first configuration is made of. `port` is where the registry listens by itself; None
    where systemd does it and hands certificate and key over as credentials. `has_list`: there is a
    revocation list. `is_ipv6`: clients know the host by such an address."""

    url: str
    port: int | None
    pki: Path
    data: Path
    password_hash: str
    has_list: bool = True
    is_ipv6: bool = False


def configuration_of(facts: FirstFacts) -> str:
    """The text of the first configuration, TOML."""
    if facts.port is None:
        head = _SYSTEMD
        certificate, key = "$CREDENTIALS_DIRECTORY/server.crt", "$CREDENTIALS_DIRECTORY/server.key"
    else:
        head = _ALONE
        certificate, key = f"{facts.pki}/server.crt", f"{facts.pki}/private/server.key"
    address = _quoted("::" if facts.is_ipv6 else "0.0.0.0")
    return head.format(url=_quoted(facts.url), port=facts.port, address=address) + _REST.format(
        certificate=_quoted(certificate),
        key=_quoted(key),
        clients_ca=_quoted(f"{facts.pki}/clients-ca.crt"),
        lists=_quoted(f"{facts.pki}/clients.crl") if facts.has_list else "",
        data=_quoted(str(facts.data)),
        administrator=ADMINISTRATOR,
        user=_quoted(ADMINISTRATOR),
        password_hash=_quoted(facts.password_hash),
    )


def _quoted(text: str) -> str:
    """A string as TOML has it: the escapes of JSON are among its own."""
    return json.dumps(text, ensure_ascii=False)
