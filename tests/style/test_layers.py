"""The code keeps to the house of docs/architecture.md."""

from __future__ import annotations

import pytest

from tests.style import house
from tests.style.sources import PACKAGE, REPOSITORY, Source, expect_none, source_of, sources_below

ARCHITECTURE = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
FLOORS = house.parse_house(ARCHITECTURE)
SMALL_HOUSE = [["cli"], ["app"], ["api", "web"], ["storage"], ["config"], ["oci", "errors"]]


@pytest.fixture(scope="module")
def code() -> list[Source]:
    return sources_below(PACKAGE)


def test_imports_go_down_only(code: list[Source]) -> None:
    expect_none(house.wrong_arrows(code, FLOORS))


def test_modules_have_no_import_cycle(code: list[Source]) -> None:
    expect_none(house.cycles(code))


def test_every_room_is_in_the_diagram(code: list[Source]) -> None:
    expect_none(house.unknown_rooms(code, FLOORS))


def test_third_party_names_stay_in_their_room(code: list[Source]) -> None:
    expect_none(house.third_party(code))


def test_only_app_and_cli_read_the_configuration(code: list[Source]) -> None:
    expect_none(house.config_readers(code))


def test_rooms_of_the_tables_are_in_the_diagram() -> None:
    rooms = house.heights(FLOORS).keys()
    named = set().union(*house.THIRD_PARTY.values()) - {house.EVERY_ROOM_BUT}

    assert named | house.CONFIG_READERS <= rooms


def test_diagram_is_read_from_top_to_bottom() -> None:
    assert FLOORS[0] == ["cli"]
    assert FLOORS[2] == ["api", "web", "server"]
    assert FLOORS[-2] == ["oci", "identity", "errors", "limits", "clock", "telling"]
    assert FLOORS[-1] == ["records", "locks"]


@pytest.mark.parametrize(
    "markdown",
    [
        "# Architecture\n\n    cli  commands\n",
        "# A\n## The house\ntext\n\n## Next\n\n    cli  commands\n",
        "# A\n## The house\n\n    cli  commands\n    cli · api  twice\n",
        "# A\n## The house\n\n    cli and app  no room is called so\n",
    ],
    ids=["no-heading", "no-diagram", "room-twice", "bad-name"],
)
def test_unreadable_diagram_is_refused(markdown: str) -> None:
    with pytest.raises(ValueError, match=r"room|heading|diagram"):
        house.parse_house(markdown)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("storage/files.py", "from angos_trio.api import blobs"),
        ("storage/files.py", "from angos_trio import api"),
        ("storage/files.py", "from .. import api"),
        ("storage/files.py", "from ..api.blobs import head"),
        ("storage/__init__.py", "from ..api import blobs"),
        ("storage/files.py", "import angos_trio.api.blobs as b"),
        ("storage/files.py", "def f():\n    from angos_trio import api"),
        ("storage/files.py", "if TYPE_CHECKING:\n    import angos_trio.api"),
        ("storage/files.py", "import importlib\nimportlib.import_module('angos_trio.api')"),
        ("storage/files.py", "__import__('angos_trio.api')"),
        ("api/blobs.py", "from angos_trio.web import pages"),
        ("app.py", "from angos_trio.cli import main"),
        ("app.py", "from angos_trio import __main__"),
        ("__init__.py", "from angos_trio.errors import OciError"),
    ],
)
def test_arrow_upwards_or_sideways_is_found(path: str, text: str) -> None:
    assert len(house.wrong_arrows([source_of(f"{PACKAGE}/{path}", text)], SMALL_HOUSE)) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("api/blobs.py", "from angos_trio.api.ranges import cut\nfrom . import ranges"),
        ("api/blobs.py", "from angos_trio import errors, __version__"),
        ("__main__.py", "from angos_trio.cli.main import main"),
        ("cli/main.py", "import angos_trio.app"),
        ("web.py", "import os\nfrom api import angos_trio"),
    ],
)
def test_arrow_downwards_or_at_home_is_allowed(path: str, text: str) -> None:
    assert house.wrong_arrows([source_of(f"{PACKAGE}/{path}", text)], SMALL_HOUSE) == []


@pytest.mark.parametrize("path", ["utils.py", "helpers/text.py"])
def test_room_outside_the_diagram_is_found(path: str) -> None:
    assert len(house.unknown_rooms([source_of(f"{PACKAGE}/{path}", "")], SMALL_HOUSE)) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("api/blobs.py", "from quart import Response"),
        ("api/blobs.py", "import quart_trio"),
        ("api/blobs.py", "def f():\n    import werkzeug.exceptions"),
        ("http/routes.py", "import hypercorn.config"),
        ("http/routes.py", "import h11"),
        ("registry/push.py", "import sqlite3"),
        ("api/health.py", "from prometheus_client import Counter"),
        ("registry/push.py", "import structlog"),
        ("api/routes.py", "import msgspec"),
        ("oci/digest.py", "import trio"),
        ("errors.py", "import trio"),
        ("net/client.py", "import requests"),
    ],
)
def test_third_party_name_outside_its_room_is_found(path: str, text: str) -> None:
    assert len(house.third_party([source_of(f"{PACKAGE}/{path}", text)])) == 1


def test_third_party_name_in_its_room_is_allowed() -> None:
    sources = [
        source_of(f"{PACKAGE}/http/routes.py", "import quart, trio, os"),
        source_of(f"{PACKAGE}/storage/writer.py", "import sqlite3, trio"),
    ]

    assert house.third_party(sources) == []


@pytest.mark.parametrize("text", ["from angos_trio import config", "from ..config.model import C"])
def test_configuration_outside_app_and_cli_is_found(text: str) -> None:
    assert len(house.config_readers([source_of(f"{PACKAGE}/api/blobs.py", text)])) == 1
    assert house.config_readers([source_of(f"{PACKAGE}/cli/serve.py", text)]) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("from angos_trio.oci.names import parse", "import angos_trio.oci.digest"),
        ("from angos_trio.oci import names", "from .digest import Digest"),
        ("def f():\n    from . import names", "from . import digest"),
    ],
)
def test_import_cycle_is_found(first: str, second: str) -> None:
    sources = [
        source_of(f"{PACKAGE}/oci/__init__.py", ""),
        source_of(f"{PACKAGE}/oci/digest.py", first),
        source_of(f"{PACKAGE}/oci/names.py", second),
    ]

    assert len(house.cycles(sources)) == 1


def test_cycle_through_files_beside_the_package_is_found() -> None:
    sources = [
        source_of(f"{PACKAGE}/errors.py", "from . import __version__, limits"),
        source_of(f"{PACKAGE}/limits.py", "from angos_trio import errors"),
    ]

    assert len(house.cycles(sources)) == 1


def test_package_that_gathers_its_modules_is_no_cycle() -> None:
    sources = [
        source_of(f"{PACKAGE}/oci/__init__.py", "from angos_trio.oci.names import parse"),
        source_of(f"{PACKAGE}/oci/digest.py", "from angos_trio.oci import names"),
        source_of(f"{PACKAGE}/oci/names.py", ""),
    ]

    assert house.cycles(sources) == []
