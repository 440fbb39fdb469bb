"""Pulling through from real registries: docker-registry open, with Basic and with tokens; another
angos-trio with tokens of its own, and with client certificates."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from angos_trio.records import replace
from tests.e2e.clients.containerd import containerd
from tests.e2e.clients.containers import Engine
from tests.e2e.clients.skopeo import Skopeo
from tests.e2e.lab import Lab, expect_no_crash
from tests.e2e.machine import Failure, command
from tests.e2e.material import TAG, expect_same_layout
from tests.e2e.own import OwnSecure
from tests.e2e.upstreams import (
    PASSWORD,
    USER,
    DockerRegistry,
    basic_auth,
    docker_registry,
    token_server,
)
from tests.running import RunningRegistry, running_registry
from tests.secure import PASSWORD as OWN_PASSWORD
from tests.secure import USER as OWN_USER
from tests.secure import Secure

SUITE = "mirror"
NAME = "e2e/app"
REGISTRY = "upstream.example.test"


@dataclass(frozen=True)
class Source:
    """A registry behind one repository: how it is asked, and how many pulls it has seen."""

    name: str
    toml: str
    asked: Callable[[], int]


def run(lab: Lab) -> None:
    """All checks."""
    layout, _ = lab.material.many_layers
    root = lab.directory(SUITE)
    with docker_registry(root, "seed") as seeded:
        image = f"docker://{seeded.address}/{NAME}:{TAG}"
        words = ("--insecure-policy", "copy", "--preserve-digests", "--dest-tls-verify=false")
        command("skopeo", *words, f"oci:{layout.root}:{TAG}", image)
    with ExitStack() as stack:
        sources = [*_of_docker(stack, root), *_of_ours(stack, lab, root)]
        near = stack.enter_context(_near(lab, root, sources))
        for source in sources:
            _there_and_again(near, source, layout.root)
        _podman(near, sources[2])
        _ctr(near, sources[2])
        with near.check(SUITE, "no crash in its log, no answer of 500 or more"):
            expect_no_crash(near)


def _of_docker(stack: ExitStack, root: Path) -> Iterator[Source]:
    tokens = stack.enter_context(token_server(root))
    for name, auth in (("plain", None), ("basic", basic_auth(root)), ("tokens", tokens.auth())):
        registry = stack.enter_context(docker_registry(root, name, auth))
        lines = [f"url = {json.dumps(registry.url)}"]
        if auth is not None:
            lines += [f"username = {json.dumps(USER)}", f"password = {json.dumps(PASSWORD)}"]
        if name == "tokens":
            place = tokens.realm.split("/")[2]
            lines.append(f"token_hosts = {json.dumps([place])}")
        yield Source(name, "\n".join(lines), _count_of(registry))


def _count_of(registry: DockerRegistry) -> Callable[[], int]:
    return lambda: len(registry.requests())


def _of_ours(stack: ExitStack, lab: Lab, root: Path) -> Iterator[Source]:
    for name, has_client_ca in (("own-tokens", False), ("own-certificates", True)):
        folder = root / name
        folder.mkdir()
        secure = OwnSecure(folder, has_client_ca=has_client_ca, has_tokens=not has_client_ca)
        registry = stack.enter_context(
            running_registry(arguments=["-c", str(secure.write())], probe=secure.probe)
        )
        lines = [f"url = {json.dumps(registry.base_url)}", f"server_ca_bundle = {_toml(secure.ca)}"]
        if has_client_ca:
            certificate, key = secure.client()
            lines += [f"client_certificate = {_toml(certificate)}"]
            lines += [f"client_private_key = {_toml(key)}"]
        else:
            lines += [f"username = {json.dumps(OWN_USER)}"]
            lines += [f"password = {json.dumps(OWN_PASSWORD)}"]
        _seed(lab, secure, registry, has_client_ca=has_client_ca)
        yield Source(name, "\n".join(lines), _count_in(lab, registry, secure))


def _seed(lab: Lab, secure: Secure, registry: RunningRegistry, *, has_client_ca: bool) -> None:
    layout, _ = lab.material.many_layers
    folder = secure.folder / "shown"
    folder.mkdir()
    (folder / "ca.crt").write_bytes(secure.ca.read_bytes())
    who = [f"--dest-creds={OWN_USER}:{OWN_PASSWORD}"]
    if has_client_ca:
        certificate, key = secure.client("pusher")
        (folder / "client.cert").write_bytes(certificate.read_bytes())
        (folder / "client.key").write_bytes(key.read_bytes())
        who = []
    command(
        *("skopeo", "--insecure-policy", "copy", "--preserve-digests"),
        *(f"--dest-cert-dir={folder}", *who, f"oci:{layout.root}:{TAG}"),
        f"docker://{registry.address}/{NAME}:{TAG}",
    )


def _count_in(lab: Lab, registry: RunningRegistry, secure: Secure) -> Callable[[], int]:
    def count() -> int:
        scrape = command("curl", "--silent", "--fail", f"http://{secure.probe}/metrics")
        lines = [line for line in scrape.splitlines() if line.startswith("http_requests_total{")]
        pulls = [line for line in lines if "get-manifest" in line or "get-blob" in line]
        return int(sum(float(line.rpartition(" ")[2]) for line in pulls))

    return count


@contextmanager
def _near(lab: Lab, root: Path, sources: list[Source]) -> Iterator[Lab]:
    """The registry between clients and sources."""
    file = root / "near.toml"
    tables = [
        f'[repository."{source.name}"]\ntag_check_interval = 600\n'
        + (f'namespace = "{REGISTRY}"\n' if source.name == "tokens" else "")
        + f'[[repository."{source.name}".upstream]]\n{source.toml}\n'
        for source in sources
    ]
    file.write_text("\n".join(tables))
    with running_registry(arguments=["-c", str(file)]) as registry:
        yield replace(lab, registry=registry)


def _there_and_again(lab: Lab, source: Source, layout: Path) -> None:
    skopeo = Skopeo(lab, f"{SUITE}-{source.name}")
    with lab.check(SUITE, f"skopeo: pull through from {source.name}: byte-identical"):
        first = lab.directory(SUITE) / f"{source.name}-first"
        skopeo.copy(skopeo.remote(f"{source.name}/{NAME}"), f"oci:{first}:{TAG}")
        expect_same_layout(layout, first)
    with lab.check(SUITE, f"skopeo: second pull of it asks {source.name} nothing"):
        asked = source.asked()
        if asked == 0:
            raise Failure("the source has seen no request of the first pull")
        second = lab.directory(SUITE) / f"{source.name}-second"
        skopeo.copy(skopeo.remote(f"{source.name}/{NAME}"), f"oci:{second}:{TAG}")
        expect_same_layout(layout, second)
        if source.asked() != asked:
            raise Failure(f"{source.asked() - asked} requests")


def _podman(lab: Lab, source: Source) -> None:
    engine = Engine("podman", lab)
    with lab.check(SUITE, "podman: pull of what is here: nothing is asked once more"):
        asked = source.asked()
        name = f"{lab.address}/{source.name}/{NAME}:{TAG}"
        engine.pull(name)
        if source.asked() != asked:
            raise Failure("what is here was asked for once more")


def _ctr(lab: Lab, source: Source) -> None:
    with containerd(lab) as ctr:
        folder = ctr.hosts / REGISTRY
        folder.mkdir(parents=True)
        host = f'[host."http://{lab.address}"]\n  capabilities = ["pull", "resolve"]\n'
        (folder / "hosts.toml").write_text(f'server = "https://{REGISTRY}"\n{host}')
        image = f"{REGISTRY}/{NAME}:{TAG}"
        with lab.check(SUITE, "ctr: pull from a mirror that is told the registry (?ns=)"):
            pull = ("images", "pull", "--hosts-dir", str(ctr.hosts), "--snapshotter=native")
            ctr.run(*pull, image)
            _, wanted = lab.material.many_layers
            ctr.expect_image(image, wanted.manifest)


def _toml(path: Path) -> str:
    return json.dumps(str(path))
