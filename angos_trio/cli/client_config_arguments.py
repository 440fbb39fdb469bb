"""The arguments of `angos-trio client-config`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from angos_trio.cli.arguments import add_command
from angos_trio.limits.certificates import PKI_DIRECTORY

if TYPE_CHECKING:
    from angos_trio.cli.arguments import Commands

FORMATS: Final = ("text", "tar", "sh")
PROGRAMS: Final = (
    *("docker", "podman", "containerd", "k3s", "rke2", "crio", "buildkit"),
    *("skopeo", "buildah", "oras", "helm", "curl", "all"),
)
"""As `client_files` knows them, which takes too long to import for each command."""
_TEST: Final = "test"


def add_client_config(commands: Commands) -> None:
    """The command; `test` stands where the name of a client does."""
    command = add_command(
        commands, "client-config", _client_config, "files for clients; whether one is let in"
    )
    command.add_argument(
        "program",
        metavar="CLIENT",
        choices=(*PROGRAMS, _TEST),
        help=f"{', '.join(PROGRAMS)}; or test: knock as a client, and say why it is refused",
    )
    command.add_argument(
        "--client", metavar="NAME", help="whose certificate: a name of angos-trio pki client"
    )
    command.add_argument(
        "--mirror",
        metavar="REGISTRIES",
        help="pull from here what is of these: docker.io,quay.io, quay.io=REPOSITORY, or all",
    )
    command.add_argument(
        "--strict-airgap", action="store_true", help="never go on to the other registry itself"
    )
    command.add_argument(
        "--format", choices=FORMATS, metavar="FORMAT", help="text, tar (unpacks at /), or sh"
    )
    command.add_argument("--with-key", action="store_true", help="hand the private key out, too")
    command.add_argument(
        "--user", action="store_true", help="files of one user, below their home: rootless"
    )
    command.add_argument(
        "--host",
        metavar="HOST[:PORT]",
        help="the registry; else the first name in the server's certificate, on port 443",
    )
    command.add_argument(
        "--address", metavar="IP", help="test: where the registry is, over what its name says"
    )
    command.add_argument(
        "--pki", metavar="DIR", default=PKI_DIRECTORY, help=f"the authority ({PKI_DIRECTORY})"
    )
    command.add_argument(
        "-o", "--output", metavar="FILE", help="write into this file; else to standard output"
    )


def _client_config(parsed: argparse.Namespace) -> int:
    from unicodedata import normalize  # as `pki client` calls its files

    from angos_trio.cli.client_config import Asked, client_config, client_test

    asked = Asked(
        program=parsed.program,
        client=None if parsed.client is None else normalize("NFC", parsed.client),
        mirrors=parsed.mirror,
        is_strict=parsed.strict_airgap,
        format=parsed.format,
        with_key=parsed.with_key,
        is_user=parsed.user,
        host=parsed.host,
        address=parsed.address,
        pki=parsed.pki,
        output=parsed.output,
    )
    return client_test(asked) if parsed.program == _TEST else client_config(asked)
