"""Commands that run as they are pasted: how something gets into this registry. Pure."""

from __future__ import annotations

import json
import shlex
from urllib.parse import urlsplit

from angos_trio.appliance.client_address import (
    CONTAINERD,
    HostsToml,
    containerd_directory,
    containers_directory,
    docker_directory,
)
from angos_trio.http.front import is_loopback_host
from angos_trio.records import Frozen


class Recipe(Frozen):
    """What to type for one client; `note` is what must be known before."""

    client: str
    commands: str
    note: str = ""


class Address(Frozen):
    """A registry as clients name it; None of `Front.url` is no address."""

    host: str
    is_plain: bool
    is_here: bool

    @classmethod
    def of(cls, url: str) -> Address:
        """Of scheme and authority."""
        parts = urlsplit(url)
        return cls(parts.netloc, parts.scheme == "http", is_loopback_host(parts.netloc))


IMAGES = ("image", "index", "")
"""Roles of what docker pulls; of what nobody has looked at, that is likely."""
_IMAGE = "docker.io/library/alpine:3.20"
_PLACE = "alpine:3.20"


def recipes_for(address: Address, name: str, *, needs_login: bool, is_whole: bool) -> list[Recipe]:
    """How to push to a repository, or to a whole name, with each client.

    `needs_login`: the registry knows its callers. `is_whole`: the name is that of the image.
    """
    target = f"{address.host}/{name}:3.20" if is_whole else f"{address.host}/{name}/{_PLACE}"
    plain = _Flags(address.is_plain)
    return [
        Recipe(
            "docker",
            _lines(
                needs_login and f"docker login {address.host}",
                "docker pull alpine:3.20",
                f"docker tag alpine:3.20 {shlex.quote(target)}",
                f"docker push {shlex.quote(target)}",
            ),
            _docker_note(address),
        ),
        Recipe(
            "podman",
            _lines(
                needs_login and f"podman login {plain.tls_verify}{address.host}",
                f"podman pull {_IMAGE}",
                f"podman push {plain.tls_verify}{_IMAGE} {shlex.quote(target)}",
            ),
        ),
        Recipe(
            "skopeo",
            _lines(
                needs_login and f"skopeo login {plain.tls_verify}{address.host}",
                f"skopeo copy --all {plain.dest_tls_verify}docker://{_IMAGE} "
                f"{shlex.quote(f'docker://{target}')}",
                f"skopeo copy {plain.dest_tls_verify}docker-archive:image.tar "
                f"{shlex.quote(f'docker://{target}')}",
            ),
            "The last line is for a host without a network: image.tar is from docker save.",
        ),
        Recipe(
            "containerd",
            _lines(
                f"ctr image pull {_IMAGE}",
                f"ctr image tag {_IMAGE} {shlex.quote(target)}",
                f"ctr image push {plain.plain_http}{'--user NAME ' if needs_login else ''}"
                f"{shlex.quote(target)}",
            ),
        ),
        *_artifacts(address, name, plain, needs_login=needs_login),
    ]


def _artifacts(address: Address, name: str, plain: _Flags, *, needs_login: bool) -> list[Recipe]:
    return [
        Recipe(
            "oras",
            _lines(
                needs_login and f"oras login {plain.plain_http}{address.host}",
                "echo hello > hello.txt",
                f"oras push {plain.plain_http}{shlex.quote(f'{address.host}/{name}/hello:1')} "
                "hello.txt",
            ),
        ),
        Recipe(
            "helm",
            _lines(
                needs_login and f"helm registry login {plain.plain_http}{address.host}",
                "helm create hello",
                "helm package hello",
                f"helm push {plain.plain_http}hello-0.1.0.tgz "
                f"{shlex.quote(f'oci://{address.host}/{name}')}",
            ),
        ),
    ]


class _Flags:
    """How each client is told that there is no TLS; nothing where there is."""

    def __init__(self, is_plain: bool) -> None:
        self.tls_verify = "--tls-verify=false " if is_plain else ""
        self.dest_tls_verify = "--dest-tls-verify=false " if is_plain else ""
        self.src_tls_verify = "--src-tls-verify=false " if is_plain else ""
        self.plain_http = "--plain-http " if is_plain else ""


def _docker_note(address: Address) -> str:
    if not address.is_plain or address.is_here:
        return ""
    setting = json.dumps({"insecure-registries": [address.host]})
    return f"There is no TLS here, so /etc/docker/daemon.json of the client needs {setting}"


def _lines(*lines: str | bool) -> str:
    return "\n".join(line for line in lines if isinstance(line, str))


def client_files(address: Address) -> list[Recipe]:
    """Files that let clients trust this registry: without TLS that they do without it, with TLS the
    certificate of an authority that the system does not know."""
    host = address.host
    if address.is_plain:
        insecure = json.dumps({"insecure-registries": [host]}, indent=2)
        return [
            Recipe("docker", insecure, "/etc/docker/daemon.json; then restart docker"),
            Recipe(
                "podman, skopeo, buildah",
                f'[[registry]]\nlocation = "{host}"\ninsecure = true',
                "/etc/containers/registries.conf.d/angos-trio.conf",
            ),
            Recipe(
                "containerd, kubernetes",
                f'server = "http://{host}"\n\n[host."http://{host}"]\n'
                'capabilities = ["pull", "resolve", "push"]',
                f"{containerd_directory(host)}/hosts.toml, with config_path set to {CONTAINERD}",
            ),
        ]
    folder = containerd_directory(host)
    hosts = HostsToml(
        f"https://{host}",
        folder,
        f"https://{host}",
        is_ours=True,
        shows_certificate=False,
        can_push=True,
    )
    return [
        Recipe("docker", _copied(docker_directory(host)), _CLIENT_FILES),
        Recipe("podman, skopeo, buildah", _copied(containers_directory(host)), _CLIENT_FILES),
        Recipe(
            "containerd, kubernetes",
            hosts.text().strip(),
            f"{folder}/hosts.toml, with config_path set to {CONTAINERD}",
        ),
    ]


_CLIENT_FILES = (
    "A client certificate goes beside it, as client.cert and client.key: angos-trio client-config "
    "prints all of it."
)


def _copied(folder: str) -> str:
    place = shlex.quote(folder)
    return _lines(f"sudo mkdir -p {place}", f"sudo cp ca.crt {shlex.quote(f'{folder}/ca.crt')}")


def stanza_for(name: str) -> str:
    """What a repository looks like in the configuration."""
    return f'[repository."{name}"]\nimmutable_tags = false'


def pull_recipes(
    address: Address, name: str, tag: str | None, digest: str | None, role: str
) -> list[Recipe]:
    """What pulls a manifest with each client that can: by its tag if it has one, and by its digest,
    which stays the same. One of them is there."""
    plain = _Flags(address.is_plain)
    targets = [] if tag is None else [f"{address.host}/{name}:{tag}"]
    if digest is not None:
        targets.append(f"{address.host}/{name}@{digest}")
    if role == "chart" and tag is not None:
        return [Recipe("helm", pull_command(address, name, tag, role))]
    if role not in IMAGES:
        return [Recipe("oras", _lines(*(f"oras pull {plain.plain_http}{t}" for t in targets)))]
    return [
        Recipe("docker", _lines(*(f"docker pull {t}" for t in targets)), _docker_note(address)),
        Recipe("podman", _lines(*(f"podman pull {plain.tls_verify}{t}" for t in targets))),
        Recipe("containerd", _lines(*(f"ctr image pull {plain.plain_http}{t}" for t in targets))),
        Recipe(
            "skopeo",
            f"skopeo copy --all {plain.src_tls_verify}docker://{targets[0]} oci-archive:image.tar",
        ),
        Recipe("kubernetes", f"image: {targets[-1]}"),
    ]


def pull_command(address: Address, name: str, tag: str, role: str) -> str:
    """What pulls a tag, by what it is: a chart, an image, or anything else."""
    plain = _Flags(address.is_plain)
    if role == "chart":
        # A `+` of a chart's version is a `_` in its tag.
        version = shlex.quote(tag.replace("_", "+"))
        return f"helm pull {plain.plain_http}oci://{address.host}/{name} --version {version}"
    target = f"{address.host}/{name}:{tag}"
    if role in IMAGES:
        return f"docker pull {target}"
    return f"oras pull {plain.plain_http}{target}"
