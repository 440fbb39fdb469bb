"""What callers who are not known are told."""

from __future__ import annotations

import pytest

from angos_trio.http.challenge import BASIC, Challenges, scope_of
from angos_trio.identity import Action

OWN = "https://registry.example.test"
TOKENS = Challenges(has_tokens=True)


def header(
    challenges: Challenges,
    url: str | None = OWN,
    action: Action = Action.GET_MANIFEST,
    *,
    was_refused: bool = False,
) -> str:
    return challenges.header(url, action, "team/app", was_refused=was_refused)


def test_without_a_token_service_a_password_is_asked_for() -> None:
    assert header(Challenges()) == BASIC


def test_with_one_its_address_is_told_with_what_would_be_needed() -> None:
    told = header(TOKENS)

    assert told == (
        f'Bearer realm="{OWN}/token",service="angos-trio",scope="repository:team/app:pull"'
    )
    assert header(TOKENS, was_refused=True) == f'{told},error="invalid_token"'


def test_realm_of_the_operator_is_told() -> None:
    challenges = Challenges(True, "https://tokens.example.test/token")

    assert 'realm="https://tokens.example.test/token"' in header(challenges)
    assert 'realm="https://tokens.example.test/token"' in header(challenges, None)


def test_no_address_is_made_up_from_a_host_that_is_none() -> None:
    assert header(TOKENS, None) == BASIC


def test_the_token_service_itself_asks_for_a_password() -> None:
    assert header(TOKENS, action=Action.GET_TOKEN) == BASIC


@pytest.mark.parametrize(
    ("action", "namespace", "scope"),
    [
        (Action.GET_API_VERSION, None, None),
        (Action.LIST_CATALOG, None, "registry:catalog:*"),
        (Action.GET_BLOB, "a/b", "repository:a/b:pull"),
        (Action.LIST_TAGS, "a/b", "repository:a/b:pull"),
        (Action.START_UPLOAD, "a/b", "repository:a/b:pull,push"),
        (Action.PUT_MANIFEST, "a/b", "repository:a/b:pull,push"),
        (Action.DELETE_MANIFEST, "a/b", "repository:a/b:delete"),
        (Action.METRICS, None, None),
    ],
)
def test_scope_is_what_clients_call_the_right(
    action: Action, namespace: str | None, scope: str | None
) -> None:
    assert scope_of(action, namespace) == scope
