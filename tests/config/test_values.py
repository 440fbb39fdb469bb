"""Sizes, patterns, names and directories inside a configuration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.config.paths import quoted
from angos_trio.config.values import (
    SIZE_MAX,
    check_directory,
    check_repository,
    compile_exclusions,
    parse_size,
)
from angos_trio.errors import OperatorError
from angos_trio.oci.codes import OciError
from angos_trio.oci.names import RepositoryName
from tests.config.refusals import is_one_line, value_or_refusal
from tests.oci import refusals as oci
from tests.oci.strategies import ENDINGS, QUICK, names, spoiled, texts

PATH = "global.some_key"
UNITS = {
    "": 1,
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
    "TiB": 1024**4,
}


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (0, 0),
        (5, 5),
        (SIZE_MAX, SIZE_MAX),
        ("0", 0),
        ("5", 5),
        ("007", 7),
        ("5B", 5),
        ("5 B", 5),
        ("5KiB", 5 * 1024),
        ("5MiB", 5 * 1024**2),
        ("100GiB", 100 * 1024**3),
        ("1 TiB", 1024**4),
        ("5KB", 5000),
        ("5MB", 5_000_000),
        ("5GB", 5_000_000_000),
        ("1TB", 10**12),
        ("8388607TiB", 8388607 * 1024**4),
    ],
)
def test_size_is_bytes_or_a_number_with_a_unit(value: int | str, size: int) -> None:
    assert parse_size(value, PATH) == size


@pytest.mark.parametrize(
    "value",
    [
        -1,
        2**63,
        10**400,
        "",
        " ",
        "B",
        "MiB",
        "-5",
        "+5",
        "5.5MiB",
        "5,000",
        "5_000",
        "1e3",
        "0x10",
        "5M",
        "5m",
        "5mib",
        "5 mib",
        "5  MiB",
        "5\tMiB",
        "5MiBB",
        "5MiB/s",
        "5%",
        "five",
        "\u0665MiB",
        "\uff15",
        "\u00b2",
        "5K\u0130B",
        "8388608TiB",
        "999999999999999999TiB",
        "9" * 19,
        "9" * 10_000,
    ],
)
def test_other_size_is_refused_with_the_key(value: int | str) -> None:
    with pytest.raises(OperatorError, match=f"^{PATH}: "):
        parse_size(value, PATH)


@pytest.mark.parametrize("ending", ENDINGS)
def test_size_is_anchored_at_both_ends(ending: str) -> None:
    for text in (f"5MiB{ending}", f"{ending}5MiB"):
        with pytest.raises(OperatorError):
            parse_size(text, PATH)


@pytest.mark.parametrize("patterns", [[], ["latest"], ["v[0-9]+", "dev-.*", ""]])
def test_exclusions_are_compiled_in_their_order(patterns: list[str]) -> None:
    assert [item.pattern for item in compile_exclusions(patterns, PATH)] == patterns


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        ")",
        "[",
        "*",
        "a**",
        "(?P<n>a)(?P<n>b)",
        "(?<=a*)b",
        "\\",
        "a{2,1}",
        "(?z)",
        "a{99999999999999999999}",
        "(" * 5_000 + ")" * 5_000,
    ],
    ids=lambda pattern: pattern[:20],
)
def test_pattern_that_does_not_compile_is_refused_with_the_key(pattern: str) -> None:
    with pytest.raises(OperatorError, match=f"^{PATH}: "):
        compile_exclusions(["latest", pattern], PATH)


@pytest.mark.parametrize("name", ["a", "library", "docker-io", "a/b/c", "a.b_c"])
def test_repository_has_the_name_of_a_namespace(name: str) -> None:
    check_repository(name)


@pytest.mark.parametrize(
    "name", ["", "/", "a/", "/a", "Library", "a b", "*", "a/*", "a..b", "a\n", "a" * 256]
)
def test_repository_that_no_namespace_can_belong_to_is_refused(name: str) -> None:
    with pytest.raises(OperatorError, match=r"^repository\."):
        check_repository(name)


@pytest.mark.parametrize("text", ["angos-data", ".", "./a", "/srv/registry", "a b", "\u00e9"])
def test_directory_has_a_name(text: str) -> None:
    check_directory(text, PATH)


@pytest.mark.parametrize("text", ["", "\x00", "a\x00b"])
def test_directory_without_a_possible_name_is_refused(text: str) -> None:
    with pytest.raises(OperatorError, match=f"^{PATH}: "):
        check_directory(text, PATH)


@QUICK
@given(st.integers(0, 999_999), st.sampled_from(sorted(UNITS)), st.booleans())
def test_size_is_its_number_times_its_unit(number: int, unit: str, is_apart: bool) -> None:
    text = f"{number}{' ' if is_apart and unit else ''}{unit}"

    assert parse_size(text, PATH) == number * UNITS[unit]


@QUICK
@given(st.integers() | texts(st.sampled_from(["5MiB", "100 GB", "7"])))
def test_any_value_is_a_size_or_an_operator_error(value: int | str) -> None:
    found = value_or_refusal(lambda: parse_size(value, PATH))

    assert isinstance(found, OperatorError) or 0 <= found <= SIZE_MAX


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@QUICK
@given(st.text(st.sampled_from('ab()[]{}*+?|\\^$.,:<>=!-019P\n"é')) | st.text())
def test_any_text_is_a_pattern_or_an_operator_error(text: str) -> None:
    found = value_or_refusal(lambda: compile_exclusions([text], PATH))

    assert isinstance(found, OperatorError) or len(found) == 1


@QUICK
@given(texts(names().map(str)))
def test_any_text_is_a_repository_or_an_operator_error(text: str) -> None:
    is_name = not isinstance(oci.value_or_refusal(lambda: RepositoryName(text)), OciError)
    found = value_or_refusal(lambda: check_repository(text))

    assert (found is None) == is_name


@QUICK
@given(st.text(st.characters()) | spoiled(st.just('a "name"')))
def test_quoted_text_is_one_line_of_ascii_in_quotes(text: str) -> None:
    shown = quoted(text)

    assert shown[0] == shown[-1] == '"'
    assert is_one_line(shown)
    assert len(shown) <= 80 * len("\\U0001f600") + 10
