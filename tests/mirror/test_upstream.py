"""Paths, tokens and waits of an upstream."""

from __future__ import annotations

import pytest
import trio.testing

from angos_trio.mirror.failures import UpstreamError
from angos_trio.mirror.tokens import Credential, parse_token
from angos_trio.mirror.upstream import Throttle, UpstreamSettings, retry_after

NOW = 1_767_225_600.0
"""2026-01-01 00:00 UTC"""


@pytest.mark.parametrize(
    ("url", "name", "path"),
    [
        ("https://a.test", "library/app", "/v2/library/app"),
        ("https://a.test/", "app", "/v2/app"),
        ("https://a.test/v2", "app", "/v2/app"),
        ("https://a.test/v2/library", "app", "/v2/library/app"),
        ("https://a.test/library/", "app", "/v2/library/app"),
        ("https://a.test/library", "", "/v2/library"),
        ("https://a.test/v2x", "app", "/v2/v2x/app"),
    ],
)
def test_path_of_a_repository_there(url: str, name: str, path: str) -> None:
    settings = UpstreamSettings(url, Credential(url))

    assert settings.path_of(name) == path
    assert settings.repository_of(name) == path.removeprefix("/v2/")


@pytest.mark.parametrize(
    ("body", "token", "secs"),
    [
        (b'{"token":"a","expires_in":300}', "a", 300),
        (b'{"access_token":"a"}', "a", 60),
        (b'{"token":"a","access_token":"b","expires_in":0}', "a", 60),
        (b'{"token":"a","expires_in":-5}', "a", 60),
        (b'{"token":"a","expires_in":1e400}', "a", 60),
        (b'{"token":"a","expires_in":"300"}', "a", 60),
    ],
)
def test_token_counts_for_as_long_as_it_says_and_else_a_minute(
    body: bytes, token: str, secs: int
) -> None:
    assert parse_token(body) == (token, secs)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"token":5}', b'{"token":"a b"}', b'{"token":"\\n"}', b"[" * 9999]
)
def test_answer_without_a_token_is_none(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        parse_token(body)


@pytest.mark.parametrize(
    ("text", "secs"),
    [
        (None, 60),
        ("120", 120),
        ("0", 1),
        ("99999999", 3600),
        ("Thu, 01 Jan 2026 00:02:00 GMT", 120),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1),
        ("soon", 60),
    ],
)
def test_upstream_is_left_alone_for_as_long_as_it_says(text: str | None, secs: float) -> None:
    assert retry_after(text, NOW) == secs


def test_no_more_comes_in_a_second_than_is_wanted() -> None:
    async def test() -> None:
        throttle, begun_at = Throttle(1000), trio.current_time()
        for _ in range(5):
            await throttle.wait()
            throttle.note(500)
        assert trio.current_time() - begun_at == pytest.approx(2.0)

    trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize(
    ("rate", "wanted", "given"), [(None, 2_000_000, 2_000_000), (1000, 2_000_000, 1000), (9, 5, 5)]
)
def test_a_part_is_no_more_than_comes_in_a_second(
    rate: int | None, wanted: int, given: int
) -> None:
    assert Throttle(rate).at_once(wanted) == given
