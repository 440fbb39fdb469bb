"""`angos-trio self install`"""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

import trio

from angos_trio.appliance import host
from angos_trio.appliance.archive import read_about, running_file
from angos_trio.appliance.first_files import ADMINISTRATOR
from angos_trio.appliance.layout import DATA, Layout
from angos_trio.appliance.releases import (
    check_command,
    installing,
    place,
    readable,
    release_of,
    switch,
)
from angos_trio.cli.first_steps import (
    Place,
    authority_of,
    begin,
    check_port,
    check_wish,
)
from angos_trio.cli.progress import Stage, beside
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
            host.check_ports(layout, parsed.port)
        check_wish(_place(layout, parsed.port), parsed.hostname)
    with installing(layout):
        check_command(layout)
        release = put(layout, file)
        switch(layout, release)
        print(f"installed {about.version} in {release}; {layout.command} runs it")
        if parsed.systemd:
            set_up(layout, parsed.hostname, parsed.port)
    return 0


def _check_options(parsed: argparse.Namespace) -> None:
    for option, value in (("--hostname", parsed.hostname), ("--port", parsed.port)):
        if value is not None and not parsed.systemd:
            raise OperatorError(
                f"{option} is for --systemd: without it only the program is installed"
            )
    if parsed.port is not None:
        check_port(parsed.port)


def put(layout: Layout, file: Path) -> Path:
    """Put a file among the releases, and say meanwhile how far it is."""
    stages = [Stage("beginning")]

    async def work() -> Path:
        return await trio.to_thread.run_sync(place, layout, file, tell)

    def tell(step: str) -> None:
        stages[0] = Stage(f"installing {file.name}: {step}")

    return trio.run(beside, work, lambda: stages[0])


def set_up(layout: Layout, hostname: str | None, port: int | None) -> None:
    """User, directories, certificates, configuration, units; what is there already stays. Within
    `installing`: nobody else does it meanwhile, and no umask closes what the service reads."""
    name = check_wish(_place(layout, port), hostname)  # another command may have ended since
    written = host.write_units(layout)
    sockets = [] if port is None else host.write_port(layout, port)
    host.make_user_and_directories(layout)
    begun = begin(_place(layout, port), name, CONFIGURATION_MODE)
    os.chown(layout.configuration, 0, host.group_id(layout))
    for each in (*begun.made, *(f"a unit: {path}" for path in [*written, *sockets])):
        print(f"made {each}")
    if is_live(layout):
        host.start_service(layout, is_socket_new=bool(sockets))
        ports = " and ".join(map(str, host.ports_of(layout)))
        print(f"{host.SERVICE} answers on port {ports}")
    else:
        host.enable_service(layout)
        print(f"{host.SERVICE} starts with the system of {layout.root}")
    if name is not None:
        _say_next(layout, authority_of(name, _place(layout, port).port))


def _place(layout: Layout, port: int | None) -> Place:
    there = port or next(iter(host.ports_of(layout)), host.PORT)
    return Place(layout.configuration, layout.pki, DATA, there, is_alone=False, tree=layout.root)


def _say_next(layout: Layout, where: str) -> None:
    pki = layout.pki
    print("\nNext:")
    print(f"  angos-trio doctor -c {layout.configuration}")
    print(
        f"  curl --cacert {pki}/ca.crt --cert {pki}/clients/{ADMINISTRATOR}.crt "
        f"--key {pki}/private/clients/{ADMINISTRATOR}.key {shlex.quote(f'https://{where}/v2/')}"
    )
    place = f" --host {shlex.quote(where)}" if ":" in where.rpartition("]")[2] else ""
    print(f"  angos-trio pki client NAME && angos-trio client-config all --client NAME{place}")


def write_units(parsed: argparse.Namespace) -> int:
    """Write the units of this release anew. They name what is installed: so something must be."""
    layout = layout_of(parsed.root)
    if release_of(layout.current) is None:
        raise OperatorError(f"nothing is installed in {layout.root}: run `self install` first")
    with readable():  # and not `installing`: an upgrade, which does this, has its lock already
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
