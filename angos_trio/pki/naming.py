"""What may stand in our certificates: names of clients and groups, hosts and addresses. Pure."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote

from cryptography import x509

from angos_trio.errors import OperatorError
from angos_trio.limits.certificates import (
    ALTERNATIVE_NAMES_MAX,
    GROUPS_MAX,
    NAME_BYTES_MAX,
)

SERVER: Final = "server"
ISSUING: Final = "issuing"
ROOT: Final = "root"
RESERVED: Final = (SERVER, ISSUING, ROOT)
"""Words that stand for something else where a name is asked for."""
CLIENT_URI: Final = "registry://client/"
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_HOST_CHARACTERS_MAX: Final = 253


def client_name(text: str) -> str:
    """The name of a client: of its files too, so that no character may lead elsewhere.

    Raises OperatorError.
    """
    name = _readable("the name of a client", text)
    if "/" in name or "\\" in name:
        raise OperatorError(
            f"{name!a}: the name of a client is the name of files too: no / and no \\ in it"
        )
    if name[0] in ".-":
        raise OperatorError(f"{name!a}: the name of a client does not begin with {name[0]}")
    if name.casefold() in RESERVED:
        raise OperatorError(f"{name!a}: this word stands for something else; take another name")
    return name


def group_names(texts: Sequence[str]) -> tuple[str, ...]:
    """The groups of a client, each once. Raises OperatorError."""
    found = tuple(dict.fromkeys(_readable("a group", text) for text in texts))
    if len(found) > GROUPS_MAX:
        raise OperatorError(f"--group: {len(found)} groups, and {GROUPS_MAX} are the most")
    return found


def authority_name(text: str) -> str:
    """The name of an authority, to which a word is added. Raises OperatorError."""
    name = _readable("the name of an authority", text)
    longest = NAME_BYTES_MAX - len(f" {ISSUING}")
    if len(name.encode()) > longest:
        raise OperatorError(f"--name: {name!a} is longer than {longest} bytes in UTF-8")
    return name


def _readable(what: str, text: str) -> str:
    name = unicodedata.normalize("NFC", text)
    if not name.strip():
        raise OperatorError(f"{what} is empty")
    if not name.isprintable():
        raise OperatorError(f"{name!a}: {what} has a character that cannot be printed")
    if len(name.encode()) > NAME_BYTES_MAX:
        raise OperatorError(f"{name!a}: {what} has at most {NAME_BYTES_MAX} bytes in UTF-8")
    if name != name.strip():
        raise OperatorError(f"{name!a}: {what} has a space at its begin or end")
    return name


def client_uri(name: str) -> str:
    """The name of a client as an address, which stands in its certificate."""
    return CLIENT_URI + quote(name, safe="")


def server_names(texts: Iterable[str]) -> tuple[str, ...]:
    """Hosts and addresses as `DNS:registry.lab` and `IP:10.0.0.5`, each once; the kind may be left
    out. Raises OperatorError."""
    found = tuple(dict.fromkeys(map(_server_name, texts)))
    if not found:
        raise OperatorError(
            "a server's certificate needs a name: --san registry.lab, or --san IP:10.0.0.5"
        )
    if len(found) > ALTERNATIVE_NAMES_MAX:
        raise OperatorError(f"--san: {len(found)} names, and {ALTERNATIVE_NAMES_MAX} are the most")
    return found


def _server_name(text: str) -> str:
    kind, colon, value = text.partition(":")
    match kind.upper() if colon else "":
        case "DNS":
            return f"DNS:{_host(text, value)}"
        case "IP":
            address = _address(value)
            if address is None:
                raise OperatorError(f"--san: {text!a}: this is no address, such as IP:10.0.0.5")
            return f"IP:{address}"
        case _:
            address = _address(text)
            return f"DNS:{_host(text, text)}" if address is None else f"IP:{address}"


def _address(text: str) -> str | None:
    """An address in its usual spelling; None for what is none, or has a zone."""
    try:
        found = ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    return None if getattr(found, "scope_id", None) else str(found)


def _host(shown: str, text: str) -> str:
    """A name of a host in small letters; the first label may be `*`."""
    host = text.lower()
    labels = host.removeprefix("*.").split(".")
    problem = None
    if "/" in host or ":" in host:
        problem = "only the name of a host, without a scheme, a port or a path"
    elif not host.isascii():
        problem = "write the name as it stands in the DNS, with xn--"
    elif len(host) > _HOST_CHARACTERS_MAX:
        problem = f"longer than {_HOST_CHARACTERS_MAX} characters"
    elif not all(map(_LABEL.fullmatch, labels)) or (host.startswith("*.") and len(labels) < 2):
        problem = "this is no name of a host, such as DNS:registry.lab"
    elif labels[-1].isdigit():
        problem = "this is neither a name of a host nor a whole address"
    if problem is not None:
        raise OperatorError(f"--san: {shown!a}: {problem}")
    return host


def general_names(names: Iterable[str]) -> list[x509.GeneralName]:
    """Names as `DNS:…`, `IP:…` and `URI:…`, in the form of a certificate."""
    return [_general_name(*name.split(":", 1)) for name in names]


def _general_name(kind: str, value: str) -> x509.GeneralName:
    if kind == "IP":
        return x509.IPAddress(ipaddress.ip_address(value))
    return x509.DNSName(value) if kind == "DNS" else x509.UniformResourceIdentifier(value)
