"""Platforms: what a manifest or a config states, and nothing for what states none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.oci.platform import platform_of_config, platforms_of
from tests.oci.strategies import QUICK

CONFIG = {"mediaType": "application/vnd.oci.image.config.v1+json"}


def index(*platforms: object) -> bytes:
    return json.dumps({"manifests": [{"platform": each} for each in platforms]}).encode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (index({"os": "linux", "architecture": "amd64"}), "linux/amd64"),
        (
            index(
                {"os": "linux", "architecture": "arm", "variant": "v7"},
                {"os": "unknown", "architecture": "unknown"},
                {"os": "windows", "architecture": "amd64"},
            ),
            "linux/arm/v7,windows/amd64",
        ),
        (index(None, {}, {"os": "linux"}, "linux/amd64", {"os": 1, "architecture": 2}), ""),
        (b'{"manifests": []}', ""),
        (b'{"manifests": null}', ""),
        (json.dumps({"config": CONFIG}).encode(), None),
        (b'{"config": {"mediaType": "application/vnd.cncf.helm.config.v1+json"}}', ""),
        (b'{"config": 1}', ""),
        (b"[]", ""),
        (b"{", ""),
    ],
)
def test_platforms_of_a_manifest(body: bytes, expected: str | None) -> None:
    assert platforms_of(body) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"os": "linux", "architecture": "arm64", "variant": "v8"}', "linux/arm64/v8"),
        (b'{"os": "linux", "architecture": "arm64"}', "linux/arm64"),
        (b'{"os": "linux"}', None),
        (b'{"os": "", "architecture": "arm64"}', None),
        (b"null", None),
        (b"", None),
    ],
)
def test_platform_of_a_config(content: bytes, expected: str | None) -> None:
    assert platform_of_config(content) == expected


@QUICK
@given(
    st.one_of(
        st.binary(),
        st.recursive(st.none() | st.text(), st.lists).map(
            lambda value: json.dumps({"manifests": value, "config": value, "os": value}).encode()
        ),
    )
)
def test_any_bytes_have_platforms_or_none(content: bytes) -> None:
    platforms_of(content)
    platform_of_config(content)
