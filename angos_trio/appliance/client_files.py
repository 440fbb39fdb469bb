"""What each client reads to speak to this registry: its files, and how to see that they work. Pure.

The names of files and directories, and what stands in them, were measured with each client where
the pages of the docs say so; a port of 443 stands in no name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from angos_trio.appliance.client_address import (
    CONTAINERD,
    HostsToml,
    RegistryAddress,
    containerd_directory,
    containers_directory,
    docker_directory,
    toml,
    unnamed_by,
    upstream_url,
)
from angos_trio.errors import OperatorError
from angos_trio.records import Frozen, replace

FILE_MODE: Final = 0o644
KEY_MODE: Final = 0o600
HOME: Final = "~"
"""What paths of a user's own begin with."""
WELL_KNOWN: Final = ("docker.io", "ghcr.io", "quay.io", "registry.k8s.io")
"""Registries that `all` stands for where a client cannot be told of every one."""
_TOOLS: Final = "/etc/registry-client"
_IMAGE: Final = "hello"
"""In commands: an image that is there."""


class Mirror(Frozen):
    """A registry that is to be asked for here, and the repository that stands for it."""

    upstream: str
    repository: str


class Mirrors(Frozen):
    """What is to be pulled from here in the place of other registries.

    `is_every`: all that a client can be told of. `is_strict`: the other registry is never asked.
    """

    named: tuple[Mirror, ...] = ()
    is_every: bool = False
    is_strict: bool = False

    def __bool__(self) -> bool:
        return self.is_every or bool(self.named)

    @property
    def told(self) -> tuple[Mirror, ...]:
        """One by one, for clients that know no other way."""
        named = {mirror.upstream for mirror in self.named}
        more = [name for name in WELL_KNOWN if self.is_every and name not in named]
        return (*self.named, *(Mirror(name, name) for name in more))


class Credentials(Frozen):
    """In PEM: whom to trust, and what the client shows. Without the key, somebody brings it."""

    client: str
    ca: str
    certificate: str
    key: str | None = None


class Wanted(Frozen):
    """What the files are to say. `is_user`: they are one user's, below their home."""

    address: RegistryAddress
    credentials: Credentials
    mirrors: Mirrors = Mirrors()
    is_user: bool = False


class ClientFile(Frozen):
    """A file of a client. `content` of None is the private key, which is brought by other ways.

    `is_shared`: others may have written something into it already.
    """

    path: str
    mode: int
    content: str | None
    is_shared: bool = False


class ClientSetup(Frozen):
    """All of one client: `notes` are what else must be done, `checks` are commands."""

    client: str
    files: tuple[ClientFile, ...]
    checks: tuple[str, ...]
    notes: tuple[str, ...] = ()


def setups_for(program: str, wanted: Wanted) -> list[ClientSetup]:
    """Of a client, or of all. Raises OperatorError for one that has no files of a user."""
    if program == "all":
        names = [name for name in CLIENTS if not wanted.is_user or name not in _OF_HOST]
        return [_setup(name, wanted) for name in names]
    if wanted.is_user and program in _OF_HOST:
        each = ", ".join(name for name in CLIENTS if name not in _OF_HOST)
        raise OperatorError(f"--user: {program} has no files of a user; {each} have")
    return [_setup(program, wanted)]


def _setup(program: str, wanted: Wanted) -> ClientSetup:
    """Without a check that cannot work, and with the reason."""
    setup, problem = CLIENTS[program](wanted), unnamed_by(program, wanted.address)
    if problem is None:
        return setup
    return replace(setup, checks=(), notes=(f"{problem}.", *setup.notes))


def files_of(setups: Sequence[ClientSetup]) -> list[ClientFile]:
    """Each file once, in the order of their paths."""
    by_path = {file.path: file for setup in setups for file in setup.files}
    return [by_path[path] for path in sorted(by_path)]


def _certificates(folder: str, wanted: Wanted) -> tuple[ClientFile, ...]:
    """The three files, whose ends say what they are: `.crt` whom to trust, `.cert` what to show."""
    shown = wanted.credentials
    return (
        ClientFile(f"{folder}/ca.crt", FILE_MODE, shown.ca),
        ClientFile(f"{folder}/client.cert", FILE_MODE, shown.certificate),
        ClientFile(f"{folder}/client.key", KEY_MODE, shown.key),
    )


def _own(folder: str, place: str, wanted: Wanted) -> str:
    """A directory of the host, or the one of a user in its place."""
    return f"{HOME}/.config/{place}" if wanted.is_user else folder


def _docker(wanted: Wanted) -> ClientSetup:
    name = wanted.address.authority
    folder = _own(docker_directory(name), f"docker/certs.d/{name}", wanted)
    return ClientSetup(
        "docker",
        _certificates(folder, wanted),
        (f"docker pull {name}/{_IMAGE}",),
        ("docker reads them with each request; nothing is to be restarted.", *_hub(wanted)),
    )


def _hub(wanted: Wanted) -> list[str]:
    """What docker can be told of mirrors: that of Docker Hub, without a path before the name."""
    if not wanted.mirrors:
        return []
    notes, name = [], wanted.address.authority
    told = {mirror.upstream: mirror.repository for mirror in wanted.mirrors.told}
    if "docker.io" in told:
        file = _own("/etc/docker/daemon.json", "docker/daemon.json", wanted)
        setting = json.dumps({"registry-mirrors": [wanted.address.url]})
        notes += [
            f"For Docker Hub, put {setting} into {file}, and restart docker. It asks for bare "
            f'names: the registry needs [repository."library"], with the upstream '
            f"{upstream_url('docker.io')}/library.",
        ]
    for upstream, repository in told.items():
        if upstream != "docker.io":
            notes.append(f"What is of {upstream} is pulled by its path: {name}/{repository}/NAME.")
    if wanted.mirrors.is_strict:
        notes.append(
            "docker goes on to Docker Hub where a mirror fails; only a closed way out stops it."
        )
    return notes


def _containers(client: str, check: Callable[[str], str], *notes: str) -> _Maker:
    def make(wanted: Wanted) -> ClientSetup:
        name = wanted.address.authority
        folder = _own(containers_directory(name), f"containers/certs.d/{name}", wanted)
        files = _certificates(folder, wanted)
        if wanted.mirrors:
            below = f"registries.conf.d/50-{name}.conf"
            path = _own(f"/etc/containers/{below}", f"containers/{below}", wanted)
            files += (ClientFile(path, FILE_MODE, _registries_conf(wanted)),)
        return ClientSetup(client, files, (check(name),), (*notes, *_one_by_one(wanted)))

    return make


def _one_by_one(wanted: Wanted) -> list[str]:
    if not wanted.mirrors.is_every:
        return []
    told = ", ".join(mirror.upstream for mirror in wanted.mirrors.told)
    return [
        f"A registry must be named for this client; these are {told}. Name others with --mirror."
    ]


def _registries_conf(wanted: Wanted) -> str:
    """containers-registries.conf(5). To rewrite the location leaves no way to the registry."""
    blocks = []
    for mirror in wanted.mirrors.told:
        here = f"{wanted.address.authority}/{mirror.repository}"
        place = here if wanted.mirrors.is_strict else mirror.upstream
        lines = [
            "[[registry]]",
            f"prefix = {toml(mirror.upstream)}",
            f"location = {toml(place)}",
        ]
        if not wanted.mirrors.is_strict:
            lines += ["[[registry.mirror]]", f"location = {toml(here)}"]
        blocks.append("\n".join([*lines, ""]))
    return "\n".join(blocks)


def _containerd(wanted: Wanted) -> ClientSetup:
    address, mirrors = wanted.address, wanted.mirrors
    folder = containerd_directory(address.authority)
    own = HostsToml(address.url, folder, server=address.url, is_ours=True, can_push=True)
    files = [*_certificates(folder, wanted), _hosts(address.authority, own)]
    for mirror in mirrors.named:
        server = address.url if mirrors.is_strict else upstream_url(mirror.upstream)
        hosts = HostsToml(address.url, folder, server, is_ours=mirrors.is_strict)
        files.append(_hosts(mirror.upstream, hosts))
    if mirrors.is_every:
        server_of_all = address.url if mirrors.is_strict else None
        every = HostsToml(address.url, folder, server_of_all, is_ours=mirrors.is_strict)
        files.append(_hosts("_default", every))
    return ClientSetup(
        "containerd",
        tuple(files),
        (
            f"ctr images pull --hosts-dir {CONTAINERD} {address.authority}/{_IMAGE}:latest",
            f"crictl pull {address.authority}/{_IMAGE}:latest",
        ),
        (*_CONTAINERD_NOTES, *_named(wanted)),
    )


def _hosts(registry: str, hosts: HostsToml) -> ClientFile:
    return ClientFile(f"{containerd_directory(registry)}/hosts.toml", FILE_MODE, hosts.text())


_CONTAINERD_NOTES: Final = (
    f'For Kubernetes, /etc/containerd/config.toml needs config_path = "{CONTAINERD}" in '
    '[plugins."io.containerd.cri.v1.images".registry] (version = 3, containerd 2), or in '
    '[plugins."io.containerd.grpc.v1.cri".registry] (version = 2, containerd 1), and none of '
    "registry.mirrors and registry.configs; then restart containerd, this once.",
)


def _named(wanted: Wanted) -> list[str]:
    """What the registry must know where clients say which registry they mean (`?ns=`). They say it
    beside a path, too: so no path of a repository is given to them."""
    notes = [
        f'Here, [repository."{mirror.repository}"] needs namespace = "{mirror.upstream}".'
        for mirror in wanted.mirrors.named
    ]
    if wanted.mirrors.is_every:
        notes.append("Here, a registry that no repository has as its namespace is answered by 404.")
    return notes


def _rancher(kind: str, check: str, strictly: str) -> _Maker:
    def make(wanted: Wanted) -> ClientSetup:
        folder = f"/etc/rancher/{kind}/pki"
        path = f"/etc/rancher/{kind}/registries.yaml"
        content = _registries_yaml(wanted, folder)
        files = (
            *_certificates(folder, wanted),
            # It names no key itself, but others write passwords into it.
            ClientFile(path, KEY_MODE, content, is_shared=True),
        )
        notes = [f"Restart {kind} on each node that has new files.", *_named(wanted)]
        if wanted.mirrors.is_strict:
            notes.append(strictly)
        name = wanted.address.authority
        return ClientSetup(kind, files, (check.format(name),), tuple(notes))

    return make


def _registries_yaml(wanted: Wanted, folder: str) -> str:
    """YAML whose values are JSON. Names of registries and of the host that is asked are keys: one
    without the other is not looked at by some versions."""
    address, mirrors = wanted.address, wanted.mirrors
    endpoint = [address.url]
    places: dict[str, object] = {address.authority: {"endpoint": endpoint}}
    names = [mirror.upstream for mirror in mirrors.named] + ["*"] * mirrors.is_every
    places |= {name: {"endpoint": endpoint} for name in names}
    tls = {
        "ca_file": f"{folder}/ca.crt",
        "cert_file": f"{folder}/client.cert",
        "key_file": f"{folder}/client.key",
    }
    lines = ["mirrors:", *(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in places.items())]
    lines += ["configs:", f"  {json.dumps(address.authority)}: {json.dumps({'tls': tls})}", ""]
    return "\n".join(lines)


def _buildkit(wanted: Wanted) -> ClientSetup:
    address, mirrors = wanted.address, wanted.mirrors
    lines = [
        f"[registry.{toml(address.authority)}]",
        f"  ca = {toml([f'{_TOOLS}/ca.crt'])}",
        f"  [[registry.{toml(address.authority)}.keypair]]",
        f"    key = {toml(f'{_TOOLS}/client.key')}",
        f"    cert = {toml(f'{_TOOLS}/client.cert')}",
    ]
    for mirror in mirrors.told:
        here = [address.authority]
        lines += [f"[registry.{toml(mirror.upstream)}]", f"  mirrors = {toml(here)}"]
    path = f"{_TOOLS}/buildkitd.toml"
    file = ClientFile(path, FILE_MODE, "\n".join([*lines, ""]), is_shared=True)
    notes = [
        "A BuildKit in a container looks into no certs.d: docker buildx copies what this file "
        "names."
    ]
    if mirrors.is_strict:
        notes.append(
            "BuildKit goes on to the registry itself where a mirror fails; only a closed way out "
            "stops it."
        )
    return ClientSetup(
        "buildkit",
        (*_certificates(_TOOLS, wanted), file),
        (
            "docker buildx create --name lab --driver docker-container --buildkitd-config "
            f"{path} --bootstrap",
            f"docker buildx build --builder lab --push --tag {address.authority}/{_IMAGE} .",
        ),
        (*notes, *_named(wanted), *_one_by_one(wanted)),
    )


def _tool(client: str, check: Callable[[str, str], str], *notes: str) -> _Maker:
    """A program that is told of its files each time."""

    def make(wanted: Wanted) -> ClientSetup:
        folder = _own(_TOOLS, "registry-client", wanted)
        files = _certificates(folder, wanted)
        idle = (f"{client} knows no mirrors.",) if wanted.mirrors else ()
        checks = (check(wanted.address.authority, folder),)
        return ClientSetup(client, files, checks, (*notes, *idle))

    return make


def _oras(name: str, folder: str) -> str:
    return f"oras repo ls {_go_flags(folder)} {name}"


def _helm(name: str, folder: str) -> str:
    return f"helm pull {_go_flags(folder)} oci://{name}/charts/{_IMAGE}"


def _go_flags(folder: str) -> str:
    return (
        f"--ca-file {folder}/ca.crt --cert-file {folder}/client.cert --key-file {folder}/client.key"
    )


def _curl(name: str, folder: str) -> str:
    return (
        f"curl --fail --cacert {folder}/ca.crt --cert {folder}/client.cert "
        f"--key {folder}/client.key https://{name}/v2/"
    )


_Maker = Callable[[Wanted], ClientSetup]
_RELOAD_CRIO: Final = "CRI-O takes them after: systemctl reload crio"
_K3S_CRICTL: Final = "k3s crictl pull {}/hello:latest"
_RKE2_CRICTL: Final = (
    "/var/lib/rancher/rke2/bin/crictl --config /var/lib/rancher/rke2/agent/etc/crictl.yaml "
    "pull {}/hello:latest"
)
_DEFAULT_ENDPOINT: Final = (
    "Start {0} with --disable-default-registry-endpoint, or it goes on to the registry itself "
    "where this one fails."
)
CLIENTS: Final[Mapping[str, _Maker]] = {
    "docker": _docker,
    "podman": _containers("podman", lambda name: f"podman pull {name}/{_IMAGE}"),
    "containerd": _containerd,
    "k3s": _rancher("k3s", _K3S_CRICTL, _DEFAULT_ENDPOINT.format("k3s")),
    "rke2": _rancher("rke2", _RKE2_CRICTL, _DEFAULT_ENDPOINT.format("rke2")),
    "crio": _containers("crio", lambda name: f"crictl pull {name}/{_IMAGE}:latest", _RELOAD_CRIO),
    "buildkit": _buildkit,
    "skopeo": _containers("skopeo", lambda name: f"skopeo list-tags docker://{name}/{_IMAGE}"),
    "buildah": _containers("buildah", lambda name: f"buildah pull {name}/{_IMAGE}"),
    "oras": _tool("oras", _oras, "The other commands of oras take the same options."),
    "helm": _tool("helm", _helm, "helm push, install and upgrade take the same options."),
    "curl": _tool("curl", _curl),
}
_OF_HOST: Final = frozenset({"containerd", "k3s", "rke2", "crio", "buildkit"})
