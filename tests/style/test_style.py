"""The code keeps to the rules of style, and each rule is able to fail."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.style import rules
from tests.style.sources import (
    PACKAGE,
    REPOSITORY,
    Source,
    expect_none,
    source_of,
    sources_below,
)

CODE = f"{PACKAGE}/api/blobs.py"

EVERYWHERE = (rules.file_lines, rules.function_lines, rules.parameters)
IN_THE_CODE = (rules.banned_names, rules.sql_strings, rules.wide_handlers)

Rule = Callable[[Source], list[str]]


@pytest.fixture(scope="module")
def code() -> list[Source]:
    return sources_below(PACKAGE)


@pytest.fixture(scope="module")
def tests() -> list[Source]:
    return sources_below("tests")


@pytest.mark.parametrize("rule", EVERYWHERE + IN_THE_CODE)
def test_code_keeps_to_the_rule(rule: Rule, code: list[Source]) -> None:
    expect_none(finding for source in code for finding in rule(source))


@pytest.mark.parametrize("rule", EVERYWHERE)
def test_tests_keep_to_the_rule(rule: Rule, tests: list[Source]) -> None:
    expect_none(finding for source in tests for finding in rule(source))


def test_tests_use_no_mocks(tests: list[Source]) -> None:
    expect_none(
        finding for source in tests for finding in rules.banned_names(source, rules.TEST_BANS)
    )


def test_every_border_still_meets_errors_of_any_kind(code: list[Source]) -> None:
    wide = {
        source.path.removeprefix(f"{PACKAGE}/")
        for source in code
        if rules.wide_handlers(source, borders={})
    }

    assert set(rules.BORDERS) <= wide


def code_of(text: str, path: str = CODE) -> Source:
    return source_of(path, text)


def function_of(lines: int, head: str = "def f():") -> str:
    return "\n".join([head, *["    pass"] * (lines - 1)])


def test_long_function_is_found() -> None:
    assert rules.function_lines(code_of(function_of(60))) == []
    assert len(rules.function_lines(code_of(function_of(61)))) == 1
    assert len(rules.function_lines(code_of(function_of(61, "async def f():")))) == 1


def test_docstring_does_not_count_as_function_lines() -> None:
    text = function_of(60).replace("\n", '\n    """What\n    it is.\n    """\n', 1)

    assert rules.function_lines(code_of(text)) == []


def test_long_method_is_found() -> None:
    body = function_of(61, "def f(self):").replace("\n", "\n    ")

    assert len(rules.function_lines(code_of(f"class A:\n    {body}"))) == 1


def test_long_file_is_found() -> None:
    assert rules.file_lines(code_of("a = 1\n" * 500)) == []
    assert len(rules.file_lines(code_of("a = 1\n" * 501))) == 1
    assert rules.file_lines(code_of("a = 1\n" * 800, "tests/oci/test_digest.py")) == []
    assert len(rules.file_lines(code_of("a = 1\n" * 801, "tests/oci/test_digest.py"))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "def f(a, b, c, d, e, f, g): ...",
        "async def f(a, b, c, d, e, f, g): ...",
        "def f(a, b, c, *, d, e, f, g): ...",
        "def f(a, b, /, c, d, e, *f, **g): ...",
        "class A:\n    def f(self, a, b, c, d, e, f, g): ...",
    ],
)
def test_seven_parameters_are_found(text: str) -> None:
    assert len(rules.parameters(code_of(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "def f(a, b, c, *, d, e, f): ...",
        "class A:\n    def f(self, a, b, c, d, e, f): ...",
        "class A:\n    @classmethod\n    def f(cls, a, b, c, *, d, e, f): ...",
        "@dataclass\nclass A:\n" + "".join(f"    {name}: int\n" for name in "abcdefgh"),
    ],
)
def test_six_parameters_and_any_number_of_fields_are_allowed(text: str) -> None:
    assert rules.parameters(code_of(text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "open('a')",
        "run_in_thread(open, 'a')",
        "import os\nos.replace('a', 'b')",
        "import os as o\no.rename('a', 'b')",
        "import os\nrun_in_thread(os.unlink, 'a')",
        "import os.path\nos.remove('a')",
        "from os import replace",
        "import shutil",
        "from shutil import rmtree as rm",
        "import time\nnow = time.time",
        "from time import time_ns",
        "from datetime import datetime\nnow = datetime.now()",
        "import datetime\nnow = datetime.datetime.utcnow()",
        "print('here')",
        "import random",
        "from random import randint",
        "def f():\n    import asyncio",
        "from asyncio.events import get_event_loop",
    ],
)
def test_banned_name_is_found(text: str) -> None:
    assert len(rules.banned_names(code_of(text))) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("storage/files.py", "import os\nos.replace('a', 'b')\nopen('a')"),
        ("config/sources.py", "open('a')"),
        ("cli/serve.py", "print(open('a').read())"),
        ("clock.py", "import time\nnow = time.time()"),
        ("api/blobs.py", "import time\nnow = time.monotonic()"),
        ("api/blobs.py", "import os\nos.path.join('a', 'b')\nself.open('a')\nblobs.print()"),
        ("api/blobs.py", "from .files import open\nopen('a')"),
        ("api/blobs.py", "tag.time.time()\nrandomly = 1"),
    ],
)
def test_name_in_its_place_is_allowed(path: str, text: str) -> None:
    assert rules.banned_names(code_of(text, f"{PACKAGE}/{path}")) == []


@pytest.mark.parametrize("path", ["config/model.py", "oci/clock.py", "storages.py"])
def test_place_is_the_whole_name(path: str) -> None:
    text = "import time\nopen('a')\ntime.time()"

    assert len(rules.banned_names(code_of(text, f"{PACKAGE}/{path}"))) == 2


@pytest.mark.parametrize(
    "text",
    [
        "from unittest.mock import Mock",
        "from unittest import mock",
        "import mock",
        "import pytest_mock",
    ],
)
def test_mock_is_found(text: str) -> None:
    source = code_of(text, "tests/oci/test_digest.py")

    assert len(rules.banned_names(source, rules.TEST_BANS)) == 1


@pytest.mark.parametrize(
    "handler",
    [
        "except: pass",
        "except Exception: pass",
        "except BaseException as error: log(error)",
        "except (ValueError, Exception): pass",
        "except builtins.Exception: pass",
        "except* Exception: pass",
        "except Exception as error: raise ValueError from error",
    ],
)
def test_wide_handler_is_found(handler: str) -> None:
    source = code_of(f"try:\n    f()\n{handler}")

    assert len(rules.wide_handlers(source)) == 1


def test_wide_handler_at_a_border_or_with_bare_raise_is_allowed() -> None:
    wide = "try:\n    f()\nexcept Exception:\n    pass"

    assert rules.wide_handlers(code_of(wide, f"{PACKAGE}/http/application.py")) == []
    assert (
        rules.wide_handlers(code_of("try:\n    f()\nexcept BaseException:\n    g()\n    raise"))
        == []
    )
    assert rules.wide_handlers(code_of("try:\n    f()\nexcept ValueError:\n    pass")) == []


@pytest.mark.parametrize(
    "text",
    [
        "q = 'SELECT digest FROM blobs'",
        'q = """\n  INSERT INTO blobs"""',
        "f(f'UPDATE {table} SET a = 1')",
        "q = 'DELETE FROM tags'",
    ],
)
def test_sql_outside_storage_is_found(text: str) -> None:
    assert len(rules.sql_strings(code_of(text))) == 1
    assert rules.sql_strings(code_of(text, f"{PACKAGE}/storage/metadata/tags.py")) == []


def test_words_of_a_person_are_no_sql() -> None:
    text = "a = 'Select a tag'\nb = 'DELETE'\nc = 'PUT, SELECT'\nd = 'UPDATED'"

    assert rules.sql_strings(code_of(text)) == []


@pytest.mark.parametrize(("branches", "is_found"), [(9, False), (10, True)])
def test_complexity_is_bound_by_ruff(branches: int, is_found: bool) -> None:
    text = "def f(a: int) -> None:\n" + "    if a:\n        f(a)\n" * branches
    command = [sys.executable, "-m", "ruff", "check", "--stdin-filename", CODE, "-"]

    result = subprocess.run(command, cwd=REPOSITORY, input=text, capture_output=True, text=True)

    assert ("C901" in result.stdout) == is_found, result.stdout + result.stderr
