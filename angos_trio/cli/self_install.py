"""`angos-trio self install`"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from angos_trio.appliance import host
from angos_trio.appliance.archive import read_about, running_file
from angos_trio.appliance.client_address import RegistryAddress
from angos_trio.appliance.first_files import ADMINISTRATOR
from angos_trio.appliance.layout import Layout
from angos_trio.appliance.releases import check_command, installing, place, switch
from angos_trio.cli.first_steps import Place, Wish, begin, check_port, tell_password
from angos_trio.errors import OperatorError

CONFIGURATION_MODE = 0o640
"""Root writes it, the service's group reads it: it has hashes of passwords."""


def install(parsed: argparse.Namespace) -> int:
    """Install the running file; with --systemd all that a service needs, and start it."""
    layout = layout_of(parsed.root)
    file = running_file()
    about = read_about(file)
    _check_options(parsed)
    if parsed.systemd:
        host.check_host(layout)
        if is_live(layout):
            host.check_port(host.port_of(parsed.port))
    with installing(layout):
        check_command(layout)
        release = place(layout, file)
        switch(layout, release)
    print(f"installed {about.version} in {release}; {layout.command} runs it")
    return set_up(layout, parsed.hostname, parsed.port) if parsed.systemd else 0


def _check_options(parsed: argparse.Namespace) -> None:
    for option, value in (("--hostname", parsed.hostname), ("--port", parsed.port)):
        if value is not None and not parsed.systemd:
            raise OperatorError(
                f"{option} is for --systemd: without it only the program is installed"
            )
    if parsed.port is not None:
        check_port(parsed.port)


def set_up(layout: Layout, hostname: str | None, port: int | None) -> int:
    """User, directories, certificates, configuration, units; what is there already stays."""
    written = host.write_units(layout)
    sockets = [] if port is None else host.write_port(layout, port)
    there = host.port_of(port) if is_live(layout) else port or host.PORT
    address = None if hostname is None else RegistryAddress(hostname, there)
    host.make_user_and_directories(layout)
    pki = layout.pki
    begun = begin(
        Place(layout.configuration, pki, layout.named(pki), layout.named(layout.data)),
        Wish(address, is_handed_over=True),
        CONFIGURATION_MODE,
    )
    os.chown(layout.configuration, 0, host.group_id(layout))
    host.enable_service(layout)
    for each in (*begun.made, *(f"a unit: {path}" for path in [*written, *sockets])):
        print(f"made {each}")
    if is_live(layout):
        host.start_service(is_socket_new=bool(sockets))
        print(f"{host.SERVICE} answers on {host.places()}")
    tell_password(begun)
    if not is_live(layout):
        print(f"{host.SERVICE} starts with that system")
    elif address is not None:
        _say_next(layout, address)
    return 0


def _say_next(layout: Layout, address: RegistryAddress) -> None:
    pki = layout.pki
    print("\nNext:")
    print(f"  angos-trio doctor -c {layout.configuration}")
    print(
        f"  curl --cacert {pki}/ca.crt --cert {pki}/clients/{ADMINISTRATOR}.crt "
        f"--key {pki}/private/clients/{ADMINISTRATOR}.key {address.url}/v2/"
    )
    place = "" if address.port == host.PORT else f" --host {address.authority}"
    print(f"  angos-trio pki client NAME && angos-trio client-config all --client NAME{place}")


def write_units(parsed: argparse.Namespace) -> int:
    """Write the units of this release anew, where there are any."""
    layout = layout_of(parsed.root)
    written = host.write_units(layout)
    if parsed.outbound:
        written += host.write_outbound(layout)
    for path in written:
        print(f"wrote {path}")
    return 0


def layout_of(root: str) -> Layout:
    """The tree to work on. Raises OperatorError when it is none."""
    path = Path(root).absolute()
    if not path.is_dir():
        raise OperatorError(f"--root: {root} is no directory")
    return Layout(path)


def is_live(layout: Layout) -> bool:
    """Whether this is the system that runs, and not a tree of another."""
    return layout.root == Path("/")
