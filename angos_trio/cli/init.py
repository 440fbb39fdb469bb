"""`angos-trio init`"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from angos_trio.appliance.first_files import ADMINISTRATOR
from angos_trio.cli.first_steps import (
    Place,
    authority_of,
    begin,
    check_port,
    check_wish,
)
from angos_trio.errors import OperatorError
from angos_trio.pki.files import PRIVATE_MODE


def init(parsed: argparse.Namespace) -> int:
    """Write everything that a registry needs into a directory, and say how to go on."""
    root = Path(parsed.directory).absolute()
    check_port(parsed.port)
    place = Place(root / "config.toml", root / "pki", root / "data", parsed.port, is_alone=True)
    if root.exists() and not root.is_dir():
        raise OperatorError(f"{root} is no directory: take another name")
    if place.configuration.exists():
        raise _is_there(place)
    name = check_wish(place, parsed.hostname)
    begun = begin(place, name, PRIVATE_MODE)
    if begun.password is None:  # another command was faster
        raise _is_there(place)
    where = authority_of(name or "", parsed.port)
    for each in begun.made:
        print(f"made {each}")
    key = place.pki / "private" / "clients" / f"{ADMINISTRATOR}.key"
    certificate = place.pki / "clients" / f"{ADMINISTRATOR}.crt"
    curl = ["curl", "--cacert", place.pki / "ca.crt", "--cert", certificate, "--key", key]
    files = ["client-config", "all", "--client", ADMINISTRATOR, "--pki", place.pki]
    print("\nNext:")
    for words in (
        ["angos-trio", "serve", "-c", place.configuration],
        [*curl, f"https://{where}/v2/"],
        ["angos-trio", *files, "--host", where],
    ):
        print(f"  {shlex.join(map(str, words))}")
    return 0


def _is_there(place: Place) -> OperatorError:
    return OperatorError(
        f"{place.configuration} is there: nothing was changed; take another directory, or change "
        "what is there"
    )
