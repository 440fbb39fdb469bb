"""`angos-trio init`"""

from __future__ import annotations

import argparse
from pathlib import Path

from angos_trio.appliance.client_address import RegistryAddress
from angos_trio.appliance.first_files import ADMINISTRATOR
from angos_trio.cli.first_steps import Place, Wish, begin, check_port, tell_password
from angos_trio.errors import OperatorError
from angos_trio.pki.files import PRIVATE_MODE


def init(parsed: argparse.Namespace) -> int:
    """Write everything that a registry needs into a directory, and say how to go on."""
    root = Path(parsed.directory).absolute()
    address = RegistryAddress(parsed.hostname, check_port(parsed.port))
    place = Place(root / "config.toml", root / "pki", root / "pki", root / "data")
    if place.configuration.exists():
        raise OperatorError(
            f"{place.configuration} is there: nothing was changed; take another directory, or "
            "change what is there"
        )
    begun = begin(place, Wish(address), PRIVATE_MODE)
    for each in begun.made:
        print(f"made {each}")
    tell_password(begun)
    print("\nNext:")
    print(f"  angos-trio serve -c {place.configuration}")
    print(
        f"  curl --cacert {place.pki}/ca.crt --cert {place.pki}/clients/{ADMINISTRATOR}.crt "
        f"--key {place.pki}/private/clients/{ADMINISTRATOR}.key "
        f"{address.url}/v2/"
    )
    print(
        f"  angos-trio client-config all --client {ADMINISTRATOR} --pki {place.pki} "
        f"--host {address.authority}"
    )
    return 0
