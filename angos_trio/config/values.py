"""Values inside a configuration: sizes, patterns, names, addresses, keys. Errors name the key's
path and never show what may be a secret."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from angos_trio.config.model import SIZE_PATTERN, Secret
from angos_trio.config.paths import KeyRefused, one_line, quoted
from angos_trio.limits.processes import TOKEN_KEY_BYTES_MIN
from angos_trio.oci.codes import OciError
from angos_trio.oci.names import RepositoryName

SIZE_MAX: Final = 2**63 - 1
_SIZE = re.compile(SIZE_PATTERN, re.ASCII)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[!#-\[\]^_`a-z{|}~]+", re.ASCII)
_PLACE = re.compile(r"(?:.*@)?(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{1,5})?", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_TOKEN_KEY_HINT: Final = f"write base64 of {TOKEN_KEY_BYTES_MIN} random bytes or more"
_UNITS: Final[dict[str, int]] = {
    **{name: 1024**power for power, name in enumerate(("B", "KiB", "MiB", "GiB", "TiB"))},
    **{name: 1000**power for power, name in enumerate(("KB", "MB", "GB", "TB"), start=1)},
}


def parse_size(value: int | str, path: str) -> int:
    """Bytes of a size. Raises KeyRefused that names the key."""
    if isinstance(value, int):
        size = value
    else:
        match = _SIZE.fullmatch(value)
        if match is None:
            raise KeyRefused(path, f'{quoted(value)} is no size; write for example "5MiB"')
        size = int(match[1]) * _UNITS[match[2] or "B"]
    if not 0 <= size <= SIZE_MAX:
        raise KeyRefused(path, f"a size is between 0 and {SIZE_MAX} bytes")
    return size


def compile_exclusions(patterns: Iterable[str], path: str) -> tuple[re.Pattern[str], ...]:
    """Regular expressions, for tags or for namespaces. Raises KeyRefused that names the key."""
    compiled: list[re.Pattern[str]] = []
    for pattern in patterns:
        try:
            compiled.append(re.compile(pattern))
        except (re.error, OverflowError, RecursionError) as error:
            why = f"{quoted(pattern)} is no regular expression: {one_line(str(error))}"
            raise KeyRefused(path, why) from None
    return tuple(compiled)


def check_repository(name: str) -> None:
    """Refuse a table for a repository that no namespace could belong to."""
    try:
        RepositoryName(name)
    except OciError:
        raise KeyRefused(f"repository.{quoted(name)}", "not a repository name") from None


def check_directory(text: str, path: str) -> None:
    """Refuse what is no name of a directory."""
    if not text or "\x00" in text:
        raise KeyRefused(path, f"{quoted(text)} is not a directory")


def parse_url(text: str, path: str, schemes: tuple[str, ...] = ("https", "http")) -> SplitResult:
    """An absolute URL without credentials and fragment. Raises KeyRefused, which does not show it:
    a path or a query may hold a secret."""
    if not _URL.fullmatch(text):
        raise KeyRefused(path, f"must be a URL that begins with {' or '.join(schemes)}")
    try:
        url = urlsplit(text)
        is_place = _is_place(url.netloc) and url.port != 0
    except ValueError:
        is_place = False
    if not is_place:
        raise KeyRefused(path, "the URL does not name a host and a port that could be")
    if url.scheme not in schemes:
        raise KeyRefused(path, f"the URL must begin with {' or '.join(schemes)}")
    if "@" in url.netloc:
        raise KeyRefused(path, "credentials do not stand in a URL")
    if "#" in text:
        raise KeyRefused(path, "a fragment (#) means nothing here")
    return url


def _is_place(netloc: str) -> bool:
    """Whether a host stands there. Raises ValueError for an address that is none."""
    match = _PLACE.fullmatch(netloc)
    if match is None:
        return False
    if match[1] is not None:
        return ipaddress.IPv6Address(match[1]) is not None
    labels = match[2].removesuffix(".").split(".")
    return all(_LABEL.fullmatch(label) for label in labels)


def check_host(text: str, path: str) -> None:
    """Refuse what is no host, with a port or without."""
    try:
        is_host = "@" not in text and _is_place(text)
    except ValueError:
        is_host = False
    if not is_host:
        raise KeyRefused(path, f"{quoted(text)} is not the name of a host")


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is one of this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_networks(
    texts: Iterable[str], path: str
) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """IP addresses and networks in CIDR notation; bits of the host count for nothing.

    Raises KeyRefused that names the key.
    """
    networks = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            why = f"{quoted(text)} is neither an IP address nor a network such as 192.0.2.0/24"
            raise KeyRefused(path, why) from None
    return tuple(networks)


def decode_token_key(text: str, path: str) -> bytes:
    """The key of registry tokens: base64 (RFC 4648, section 4) of enough bytes.

    Raises KeyRefused.
    """
    try:
        key = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise KeyRefused(path, f"is not base64; {_TOKEN_KEY_HINT}") from None
    if len(key) < TOKEN_KEY_BYTES_MIN:
        raise KeyRefused(path, f"is {len(key)} bytes and too short; {_TOKEN_KEY_HINT}")
    return key


def check_header_name(name: str, path: str) -> None:
    """Refuse what is no name of a header field (RFC 9110, section 5.1)."""
    if not _HEADER_NAME.fullmatch(name):
        raise KeyRefused(path, f"{quoted(name)} is not the name of a header")


def check_name(name: str, path: str, characters_max: int) -> None:
    """Refuse a name that could not be told from another in a log, or would break its line."""
    if not name or name != name.strip() or not name.isprintable():
        why = f"{quoted(name)} is no name: empty, or with spaces around it or controls in it"
        raise KeyRefused(path, why)
    if len(name) > characters_max:
        raise KeyRefused(path, f"a name has at most {characters_max} characters")


def check_user(name: str, path: str, characters_max: int) -> None:
    """Refuse what could not be a user of Basic authentication (RFC 7617, section 2)."""
    check_name(name, path, characters_max)
    if ":" in name:
        raise KeyRefused(path, f"{quoted(name)} has a colon, which ends the name of a user")


def decode_secret(kind: type[Any], value: object) -> object:
    """msgspec's `dec_hook`: text to a secret."""
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError(f"{kind.__name__} is text")  # without the value, which may be a secret


def encode_secret(value: object) -> str:
    """msgspec's `enc_hook`: a secret to text, for another process of the instance only."""
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} is no value of a configuration")
