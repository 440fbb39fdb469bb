"""API keys: their text, what is wrong with one, and what it narrows its owner to."""

from __future__ import annotations

import math
import time
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.auth.api_keys import (
    GRANTABLE,
    NEVER_GRANTED,
    SECRET_CHARACTERS,
    ApiKeyRefusedError,
    KeyText,
    check,
    check_actions,
    check_expiry,
    check_globs,
    check_name,
    compile_glob,
    covers,
    hash_secret,
    make_key,
    parse_key,
)
from angos_trio.identity import Action, Grant
from angos_trio.limits.callers import (
    API_KEY_GLOB_CHARACTERS_MAX,
    API_KEY_GLOBS_MAX,
    API_KEY_NAME_CHARACTERS_MAX,
    API_KEY_SECS_MAX,
)
from angos_trio.oci.codes import Code
from angos_trio.oci.names import NAME_CHARS_MAX
from angos_trio.storage.metadata.api_keys import ApiKey
from tests.oci.refusals import refused
from tests.oci.strategies import ENDINGS, QUICK, names

NOW = 1_000_000
KEY = KeyText("abcdefgh2345", "Secret0" + "x" * (SECRET_CHARACTERS - 7))


def row(*, expires_at: int | None = None, secret: str = KEY.secret) -> ApiKey:
    return ApiKey(
        id=KEY.id,
        name="ci",
        owner="alice",
        secret_hash=hash_secret(secret),
        repositories=("team/*",),
        actions=("get-blob",),
        created_at=1,
        created_by="operator::operator",
        expires_at=expires_at,
    )


def grant(*repositories: str, actions: tuple[str, ...] = ()) -> Grant:
    return Grant("id", "ci", repositories, actions)


def test_key_is_read_back() -> None:
    assert parse_key(KEY.text) == (KEY.id, KEY.secret)
    assert KEY.text == f"atk_{KEY.id}_{KEY.secret}"


def test_keys_differ_and_cannot_be_guessed() -> None:
    made = [make_key() for _ in range(200)]

    assert len({key.id for key in made}) == len({key.secret for key in made}) == 200
    alphabet = {letter for key in made for letter in key.secret}
    assert "_" not in alphabet
    assert SECRET_CHARACTERS * math.log2(len(alphabet)) > 160


def test_key_shows_its_secret_in_no_repr() -> None:
    assert KEY.secret not in repr(KEY)
    assert hash_secret(KEY.secret) not in repr(row())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "atk_",
        KEY.id,
        f"{KEY.id}_{KEY.secret}",
        KEY.text.upper(),
        KEY.text[1:],
        KEY.text[:-1],
        f" {KEY.text}",
        f"{KEY.text}x",
        f"ATK_{KEY.id}_{KEY.secret}",
        f"atk_{KEY.id}{KEY.secret}",
        f"atk_{KEY.id[:-1]}1_{KEY.secret}",
        f"atk_{KEY.id}_{KEY.secret[:-1]}-",
        f"atk_{KEY.id}_{KEY.secret[:-1]}_",
        KEY.text * 100_000,
        *(KEY.text + ending for ending in ENDINGS),
        *(KEY.text[:-1] + ending for ending in ENDINGS),
    ],
    ids=lambda text: ascii(text[:12] + text[-8:]),
)
def test_other_text_is_no_key(text: str) -> None:
    assert parse_key(text) is None


@QUICK
@given(st.text() | st.text(alphabet="atk_2Z", max_size=62) | st.from_regex(r"atk_.{12}_.{43}"))
def test_any_text_is_a_key_to_the_letter_or_none(text: str) -> None:
    found = parse_key(text)

    assert found is None or f"atk_{found[0]}_{found[1]}" == text


def test_right_secret_grants_what_the_row_says() -> None:
    assert check(row(), KEY.secret, NOW) == Grant(KEY.id, "ci", ("team/*",), ("get-blob",))


def test_wrong_secret_is_refused_and_not_told() -> None:
    wrong = make_key().secret
    with pytest.raises(ApiKeyRefusedError) as caught:
        check(row(), wrong, NOW)

    assert KEY.id in caught.value.reason
    assert "wrong" in caught.value.reason
    assert wrong not in str(caught.value)


@pytest.mark.parametrize(
    ("expires_at", "is_valid"), [(None, True), (NOW + 1, True), (NOW, False), (NOW - 1, False)]
)
def test_key_ends_with_the_second_that_it_expires_in(
    expires_at: int | None, is_valid: bool
) -> None:
    key = row(expires_at=expires_at)
    if is_valid:
        assert check(key, KEY.secret, NOW).key == KEY.id
    else:
        with pytest.raises(ApiKeyRefusedError, match="expired"):
            check(key, KEY.secret, NOW)


def test_wrong_secret_of_an_expired_key_is_wrong_first() -> None:
    """Who guesses learns nothing about the key."""
    with pytest.raises(ApiKeyRefusedError, match="wrong"):
        check(row(expires_at=1), make_key().secret, NOW)


@pytest.mark.parametrize(
    ("glob", "matching", "others"),
    [
        ("team/app", ["team/app"], ["team/ap", "team/apps", "xteam/app", "team/app/x", "team"]),
        ("*", ["team", "a.b"], ["team/app", "a/b/c"]),
        ("**", ["team", "team/app", "a/b/c"], []),
        ("team/*", ["team/app", "team/b"], ["team", "team/app/x", "teams/app", "x/team/app"]),
        ("team/**", ["team/app", "team/app/x"], ["team", "teams/app", "x/team/app"]),
        ("team**", ["team", "teams", "team/app", "teams/a/b"], ["x/team"]),
        ("**/app", ["team/app", "a/b/app"], ["app", "team/apps", "team/app/x"]),
        ("*/app", ["team/app"], ["app", "a/b/app"]),
        ("team/*-dev", ["team/a-dev", "team/a-dev-dev"], ["team/dev", "team/a/b-dev"]),
        ("*a*b", ["ab", "aab", "cacb", "a-b-b"], ["a/b", "abc", "ba"]),
        ("**a*b", ["ab", "x/ab", "a/ab", "a/a/xacb"], ["a/b", "ab/c"]),
        ("a*/b*", ["a/b", "ax/bx"], ["a/b/c", "ax/c", "a"]),
        ("a**b**c", ["abc", "a/b/c", "axb/bxc", "abcbc"], ["acb", "abcd"]),
        ("**a/*c/**", ["a/c/x", "b/a/bc/d/e"], ["a/c", "a/c/d/"[:-3]]),
        ("a.b", ["a.b"], ["axb"]),
    ],
)
def test_glob_matches_a_whole_name(glob: str, matching: list[str], others: list[str]) -> None:
    assert [name for name in matching + others if compile_glob(glob).match(name)] == matching


def matches(glob: str, name: str) -> bool:
    """What the glob means, spelled out: each star tries every run."""

    @cache
    def rest(at: int, start: int) -> bool:
        if at == len(glob):
            return start == len(name)
        if glob.startswith("**", at):
            return any(rest(at + 2, end) for end in range(start, len(name) + 1))
        if glob[at] == "*":
            found = name.find("/", start)
            last = len(name) if found < 0 else found
            return any(rest(at + 1, end) for end in range(start, last + 1))
        return name[start : start + 1] == glob[at] and rest(at + 1, start + 1)

    return rest(0, 0)


@QUICK
@given(
    st.lists(st.sampled_from(["a", "b", "/", "*", "**", "*a", "**b/"]), max_size=9),
    st.text(alphabet="ab/", max_size=12),
)
def test_glob_means_what_trying_every_run_says(parts: list[str], name: str) -> None:
    glob = "".join(parts)
    if "***" not in glob:
        assert bool(compile_glob(glob).match(name)) == matches(glob, name)


@QUICK
@given(names())
def test_name_is_a_glob_of_itself(name: str) -> None:
    check_globs([name])
    assert covers(grant(name), Action.GET_BLOB, name)


@pytest.mark.parametrize(
    "glob",
    [
        "**a*" * 60,
        "**" + "a*" * 120 + "b",
        "*a" * 127,
        "**/" * 80 + "x",
        "**a/**a/*a/" * 20,
        ("**" + "a" * 20) * 10,
    ],
)
@pytest.mark.parametrize(
    "name", ["a" * NAME_CHARS_MAX, "a/" * 127 + "a", "aaaaaaa/" * 31 + "ab", "ab/" * 85]
)
def test_no_glob_makes_a_name_slow(glob: str, name: str) -> None:
    pattern = compile_glob(glob)
    begun_at = time.perf_counter()
    pattern.match(name)

    assert time.perf_counter() - begun_at < 0.05


EVERYTHING = grant()
READER = grant("team/**", actions=("get-blob", "get-manifest"))


@pytest.mark.parametrize(
    ("granted", "action", "namespace", "is_covered"),
    [
        (EVERYTHING, Action.GET_API_VERSION, None, True),
        (EVERYTHING, Action.LIST_CATALOG, None, True),
        (EVERYTHING, Action.GET_EVENTS, None, True),
        (READER, Action.GET_EVENTS, None, False),
        (EVERYTHING, Action.METRICS, None, False),
        (EVERYTHING, Action.READINESS, None, False),
        (EVERYTHING, Action.CREATE_API_KEY, None, False),
        (EVERYTHING, Action.DELETE_MANIFEST, "any/thing", True),
        (READER, Action.GET_API_VERSION, None, True),
        (READER, Action.LIST_CATALOG, None, False),
        (READER, Action.GET_BLOB, "team/app", True),
        (READER, Action.GET_MANIFEST, "team/app/x", True),
        (READER, Action.GET_BLOB, "other/app", False),
        (READER, Action.PUT_MANIFEST, "team/app", False),
        (READER, Action.CREATE_API_KEY, None, False),
        (grant("team/**"), Action.LIST_CATALOG, None, True),
        (grant("a", "b"), Action.PUT_MANIFEST, "b", True),
        (grant("a", "b"), Action.PUT_MANIFEST, "c", False),
        (grant(actions=("list-catalog",)), Action.LIST_CATALOG, None, True),
        (grant("team/*"), Action.LIST_REPOSITORIES, None, True),
        (grant("team/*"), Action.FIND, None, True),
        (grant("team/*"), Action.GET_ACTIVITY, None, True),
        (grant("team/*"), Action.GET_STORAGE, None, False),
        (grant("team/*"), Action.GET_HEALTH, None, False),
        (grant(actions=("get-blob",)), Action.LIST_REPOSITORIES, None, False),
        (grant(actions=("metrics",)), Action.METRICS, None, True),
        (grant(actions=("metrics",)), Action.GET_BLOB, "team/app", False),
    ],
)
def test_key_covers(
    granted: Grant, action: Action, namespace: str | None, is_covered: bool
) -> None:
    assert covers(granted, action, namespace) is is_covered


def test_no_key_can_be_made_for_keys() -> None:
    for action in NEVER_GRANTED:
        assert not covers(EVERYTHING, action, None)
        with refused(Code.NAME_INVALID, 400):
            check_actions([action])


def test_every_other_action_can_be_granted() -> None:
    check_actions(GRANTABLE)
    assert {*GRANTABLE, *NEVER_GRANTED} == set(Action)


@pytest.mark.parametrize(
    ("action", "hint"),
    [
        ("get-manifst", "did you mean get-manifest?"),
        ("push", "known are cancel-upload, "),
        ("GET-BLOB", "known are"),
        ("", "known are"),
        ("get-blob\n", "did you mean get-blob?"),
    ],
)
def test_unknown_action_is_refused_with_the_nearest(action: str, hint: str) -> None:
    with refused(Code.NAME_INVALID, 400) as caught:
        check_actions(["get-blob", action])

    assert hint in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "glob",
    [
        *(
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            "Team/*",
            "a?",
            "[ab]",
            "{a,b}",
            "!a",
            "a b",
            "***",
            "a***b",
        ),
        *("*****", "a\n", "\u00e9", "a\\*", "x" * (API_KEY_GLOB_CHARACTERS_MAX + 1)),
    ],
)
def test_glob_that_no_name_could_match_is_refused(glob: str) -> None:
    with refused(Code.NAME_INVALID, 400) as caught:
        check_globs(["team/*", glob])

    assert "\n" not in caught.value.message


def test_globs_are_bounded_in_number() -> None:
    check_globs(["a"] * API_KEY_GLOBS_MAX)
    with refused(Code.NAME_INVALID, 400):
        check_globs(["a"] * (API_KEY_GLOBS_MAX + 1))


@pytest.mark.parametrize("name", ["ci", "CI-2.0_x", "0", "x" * API_KEY_NAME_CHARACTERS_MAX])
def test_name_of_a_key(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name", ["", "-a", ".a", "a b", "a/b", "\u00e9", "x" * (API_KEY_NAME_CHARACTERS_MAX + 1), "a\n"]
)
def test_other_name_is_refused(name: str) -> None:
    with refused(Code.NAME_INVALID, 400):
        check_name(name)


@pytest.mark.parametrize("secs", [None, 1, API_KEY_SECS_MAX])
def test_time_of_a_key(secs: int | None) -> None:
    check_expiry(secs)


@pytest.mark.parametrize("secs", [0, -1, API_KEY_SECS_MAX + 1, 10**30])
def test_other_time_is_refused(secs: int) -> None:
    with refused(Code.NAME_INVALID, 400):
        check_expiry(secs)
