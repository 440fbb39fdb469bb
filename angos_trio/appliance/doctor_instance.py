"""Whether a registry runs on the data directory, and how it says that it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from angos_trio.appliance.doctor import Finding, bad, note, ok, warn
from angos_trio.errors import OperatorError
from angos_trio.limits.appliance import UNITS_SECS_MAX
from angos_trio.net import control
from angos_trio.net.control import Answer, Request, unix_address
from angos_trio.storage.directory import DataDirectory, instance_of, is_held


def judge_answer(answer: Answer) -> Iterator[Finding]:
    """What /readyz says."""
    try:
        document = json.loads(answer.body)
        problems = [str(each) for each in document.get("problems", ())]
        degraded = [str(each) for each in document.get("degraded", ())]
    except (ValueError, AttributeError, TypeError):
        problems, degraded = [_unexpected(answer)], []
    if answer.status != 200 and not problems:
        problems = [_unexpected(answer)]
    look = "docs/troubleshooting.md and the log say more"
    for problem in problems:
        yield bad(f"it says: {problem}", look)
    for problem in degraded:
        yield warn(f"it says: {problem}", look)
    if not problems and not degraded:
        yield ok("it says that it is ready")


def _unexpected(answer: Answer) -> str:
    return f"/readyz answers {answer.status}"


def look_at_instance(data: Path) -> Iterator[Finding]:
    """The lock, the control socket, and what is said there."""
    directory = DataDirectory(data)
    if not directory.format_file.exists():
        if any(data.glob("*")) if data.is_dir() else data.exists():
            yield warn(
                f"{data} holds something, and no registry",
                "name another directory (--data-dir, blob_store.fs.root_dir), or empty it",
            )
        else:
            yield note(f"no registry is in {data} yet")
        return
    try:
        instance_of(directory)
    except OperatorError as error:
        yield bad(str(error), "start the version that wrote it, or restore a backup")
        return
    if not is_held(directory):
        yield note(f"no registry runs on {data}", "systemctl start angos-trio, or angos-trio serve")
        return
    yield ok(f"a registry runs on {data}")
    try:
        with directory.opened() as folder:
            address = unix_address(directory.control_socket, folder)
            answer = control.ask(address, Request("GET", "/readyz"), UNITS_SECS_MAX)
    except OperatorError as error:
        yield bad(f"it does not answer on control.sock: {error}", "journalctl -u angos-trio")
        return
    yield from judge_answer(answer)
