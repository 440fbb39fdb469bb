"""docs/events.md: its examples run as they stand, and its tables are what the code says."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from angos_trio.api import events
from angos_trio.api.events import Ending
from angos_trio.events.model import EventKind
from tests.api.client import Client
from tests.docs.pages import REPOSITORY, code, examples, rows
from tests.factories import make_image
from tests.running import RunningRegistry, running_registry
from tests.skips import leave_out

PAGE = (REPOSITORY / "docs" / "events.md").read_text(encoding="utf-8")
ADDRESS = "127.0.0.1:8000"
OF_PROTOCOL = {"1009", "1011"}
SECS_MAX = 60.0


def test_page_has_every_type_of_event() -> None:
    assert [code(row[0]) for row in rows(PAGE, "Type", "What happened", "In `data`")] == [
        *EventKind
    ]


def test_page_has_every_ending() -> None:
    endings = [each for each in vars(events).values() if isinstance(each, Ending)]
    real = {(str(each.code), each.reason) for each in endings if each is not events.LEFT}
    written = {(row[0], code(row[1])) for row in rows(PAGE, "Code", "Reason", "What to do")}

    assert {each for each in written if each[0] not in OF_PROTOCOL} == real


def pushed(registry: RunningRegistry, tag: str = "v1") -> str:
    with Client(registry.base_url) as client:
        return client.stored("team/app", make_image(), tag).digest


@pytest.mark.slow
def test_shell_examples_work_as_typed() -> None:
    if shutil.which("curl") is None:
        leave_out("curl is not installed")
    with running_registry() as registry:
        digest = pushed(registry)
        for script in examples(PAGE, "sh"):
            typed = script.replace(ADDRESS, registry.address)
            assert typed != script
            done = subprocess.run(
                ["sh", "-ec", typed], capture_output=True, text=True, timeout=SECS_MAX, check=False
            )
            assert done.returncode == 0, done.stderr
            assert '"type":"tag.created"' in done.stdout
            assert digest in done.stdout


@pytest.mark.slow
def test_python_example_prints_tags_and_comes_back_after_a_restart() -> None:
    program, *_ = examples(PAGE, "python")
    with running_registry() as registry:
        digest = pushed(registry)
        typed = program.replace(ADDRESS, registry.address)
        assert typed != program
        with subprocess.Popen(
            [sys.executable, "-c", typed], stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == f"team/app v1 {digest}\n"
                registry.stop()
                with running_registry(registry.data_dir, address=registry.address) as again:
                    digest = pushed(again, "v2")
                    assert process.stdout.readline() == f"team/app v2 {digest}\n"
            finally:
                process.kill()
