"""The registry as clients name it, and the directories that they look it up in. Pure."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Final

from angos_trio.errors import OperatorError
from angos_trio.records import Frozen

HTTPS_PORT: Final = 443
CONTAINERD: Final = "/etc/containerd/certs.d"
"""Where containerd looks, if its `config_path` says so."""
_DOCKER: Final = "/etc/docker/certs.d"
_CONTAINERS: Final = "/etc/containers/certs.d"
_CONTAINERS_IMAGES: Final = frozenset({"podman", "crio", "skopeo", "buildah"})
_IMAGES: Final = _CONTAINERS_IMAGES | {"docker", "containerd", "k3s", "rke2", "buildkit"}
"""Clients that read names of images as docker does: an underscore is in no host. Measured with
podman, skopeo, buildah and docker; the others are said to read them alike, and were not tried."""
_DOCKER_HUB: Final = "https://registry-1.docker.io"
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII | re.IGNORECASE)
_NAME_CHARS_MAX: Final = 253
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)


class RegistryAddress(Frozen):
    """A host, a name or an address without brackets, and its port."""

    host: str
    port: int = HTTPS_PORT

    @property
    def authority(self) -> str:
        """As it stands in names of images and directories: port 443 is left out."""
        return self._host if self.port == HTTPS_PORT else self.place

    @property
    def place(self) -> str:
        """With its port, for people."""
        return f"{self._host}:{self.port}"

    @property
    def _host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"https://{self.authority}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is this host's own and nobody else's."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(text: str, option: str) -> RegistryAddress:
    """HOST, HOST:PORT or [IPv6]:PORT. Raises OperatorError, which names the option."""
    host, port = text, ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
        # A zone of an address (%) is a matter of one host, and may be any text.
        is_address = ":" in host and "%" not in host and _is_ip(host)
        is_good = is_address and bool(bracket) and (not rest or (rest[0] == ":" and bool(port)))
    else:
        host, colon, port = text.partition(":")
        is_good = is_host_name(host) and (bool(port) or not colon)
    if not is_good or (port and (_PORT.fullmatch(port) is None or not 0 < int(port) < 65_536)):
        hint = f": write [{text}]" if ":" in text and "%" not in text and _is_ip(text) else ""
        raise OperatorError(
            f"{option}: {text!a} is not like registry.lab or registry.lab:5443{hint}"
        )
    return RegistryAddress(host.lower(), int(port or HTTPS_PORT))


def address_of(host: str, option: str) -> RegistryAddress:
    """The registry at port 443 of a host, which is a name or an address without brackets. Raises
    OperatorError."""
    return parse_address(f"[{host}]" if ":" in host else host, option)


def is_host_name(text: str) -> bool:
    """Whether it can be the name of a host, as `pki server` takes it, or an IPv4 address."""
    labels = text.split(".")
    is_name = len(text) <= _NAME_CHARS_MAX and all(map(_LABEL.fullmatch, labels))
    return is_name and (not labels[-1].isdigit() or _is_ip(text))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def unnamed_by(client: str, address: RegistryAddress) -> str | None:
    """Why this client cannot name an image that is here; None where it can."""
    if "_" in address.host and client in _IMAGES:
        return "no name of an image may have an underscore in its host: give this one another, too"
    if ":" in address.host and client in _CONTAINERS_IMAGES:
        return "no name of an image may begin with an address of IPv6: give this host a name, too"
    return None


def docker_directory(authority: str) -> str:
    """Where docker looks for what to trust and to show."""
    return f"{_DOCKER}/{authority}"


def containers_directory(authority: str) -> str:
    """The same of podman, buildah, skopeo and CRI-O."""
    return f"{_CONTAINERS}/{authority}"


def containerd_directory(authority: str) -> str:
    """The same of containerd, with a `hosts.toml` in it."""
    return f"{CONTAINERD}/{authority}"


def upstream_url(upstream: str) -> str:
    """Where a registry really is."""
    return _DOCKER_HUB if upstream == "docker.io" else f"https://{upstream}"


class HostsToml(Frozen):
    """A `hosts.toml`: whom containerd asks, and what it is to trust and to show there.

    `folder` holds ca.crt, and client.cert and client.key where a certificate is shown. `server` is
    who is asked after it; None is the registry that the image is of. What stands in the table of
    one is not taken for the other (measured), so `is_ours` says whether the server is to have it
    too.
    """

    asked: str
    folder: str
    server: str | None
    is_ours: bool
    shows_certificate: bool = True
    can_push: bool = False

    def text(self) -> str:
        """The file."""
        ways = ["pull", "resolve", *(["push"] if self.can_push else [])]
        lines = [] if self.server is None else [f"server = {toml(self.server)}"]
        if self.is_ours:
            lines += self._shown()
        lines += [f"[host.{toml(self.asked)}]", f"  capabilities = {toml(ways)}"]
        lines += [f"  {line}" for line in self._shown()]
        if not self.is_ours:
            # Known from containerd 2.1 on, and left alone by older ones.
            lines.append('  dial_timeout = "2s"')
        return "\n".join([*lines, ""])

    def _shown(self) -> list[str]:
        lines = [f"ca = {toml(f'{self.folder}/ca.crt')}"]
        if self.shows_certificate:
            # A list of pairs: a flat one would be two files with a certificate and a key each.
            pair = [f"{self.folder}/client.cert", f"{self.folder}/client.key"]
            lines.append(f"client = {toml([pair])}")
        return lines


def toml(value: object) -> str:
    """Text and lists of it, in ASCII: what JSON writes is TOML too."""
    return json.dumps(value)
