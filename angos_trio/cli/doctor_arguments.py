"""The arguments of `angos-trio doctor`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from angos_trio.cli.arguments import add_command, add_config, add_data_dir, files_of

if TYPE_CHECKING:
    from angos_trio.cli.arguments import Commands


def add_doctor(commands: Commands) -> None:
    """The command."""
    doctor = add_command(commands, "doctor", _doctor, "examine this host and say what to do")
    doctor.add_argument("--json", action="store_true", help="a line of JSON for each finding")
    add_config(doctor)
    add_data_dir(doctor)


def _doctor(parsed: argparse.Namespace) -> int:
    from angos_trio.cli.doctor import doctor

    return doctor(files_of(parsed), parsed.data_dir, as_json=parsed.json)
