"""What somebody looks for, as they type or paste it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.browse.finding import Sought, parse_sought

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "sought"),
    [
        ("nginx", Sought("nginx")),
        (" Team/App ", Sought("team/app")),
        ("nginx:1.2", Sought("nginx", "1.2")),
        ("nginx:", Sought("nginx", "")),
        (":latest", Sought("", "latest")),
        ("registry.lab:5000/team/app:v1", Sought("team/app", "v1")),
        ("registry.lab/team/app", Sought("team/app")),
        ("localhost/app:V1", Sought("app", "V1")),
        ("https://registry.lab/team/app/", Sought("team/app")),
        ("oci://registry.lab:5000/charts/x", Sought("charts/x")),
        ("sha256:ab12", Sought(digest="sha256:ab12")),
        ("SHA256:AB12", Sought(digest="sha256:ab12")),
        ("abcdef012345", Sought(digest="sha256:abcdef012345")),
        (f"registry.lab/team/app:v1@{DIGEST}", Sought(digest=DIGEST)),
        ("sha256:ab1", Sought("sha256", "ab1")),
        ("abcdef01234", Sought("abcdef01234")),
        ("", Sought()),
        ("/", Sought()),
    ],
)
def test_text_is_read_as_people_mean_it(text: str, sought: Sought) -> None:
    assert parse_sought(text) == sought


@given(st.text(max_size=255))
def test_any_text_is_something_to_look_for(text: str) -> None:
    assert isinstance(parse_sought(text), Sought)
