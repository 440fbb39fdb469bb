"""What an image's config says, whatever somebody wrote into it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angos_trio.oci.image_config import HISTORY_MAX, ImageConfig, Step, parse_image_config

WHOLE = {
    "os": "linux",
    "architecture": "arm",
    "variant": "v7",
    "created": "2026-01-01T00:00:00Z",
    "author": "alice",
    "config": {
        "User": "nobody",
        "WorkingDir": "/srv",
        "StopSignal": "SIGINT",
        "Entrypoint": ["/run", "-v"],
        "Cmd": ["serve"],
        "Env": ["PATH=/bin", "A=b"],
        "ExposedPorts": {"80/tcp": {}, "443/tcp": {}},
        "Volumes": {"/data": {}},
        "Labels": {"b": "2", "a": "1"},
    },
    "history": [
        {"created": "2026-01-01T00:00:00Z", "created_by": "ADD file"},
        {"created_by": "ENV A=b", "empty_layer": True, "comment": "buildkit"},
    ],
}


def parsed(document: object) -> ImageConfig:
    return parse_image_config(json.dumps(document).encode())


def test_config_is_read() -> None:
    assert parsed(WHOLE) == ImageConfig(
        os="linux",
        architecture="arm",
        variant="v7",
        created="2026-01-01T00:00:00Z",
        author="alice",
        user="nobody",
        working_dir="/srv",
        stop_signal="SIGINT",
        entrypoint=("/run", "-v"),
        cmd=("serve",),
        env=("PATH=/bin", "A=b"),
        exposed_ports=("443/tcp", "80/tcp"),
        volumes=("/data",),
        labels={"a": "1", "b": "2"},
        history=(
            Step("ADD file", "2026-01-01T00:00:00Z", None, True),
            Step("ENV A=b", None, "buildkit", False),
        ),
    )


@pytest.mark.parametrize(
    "content", [b"", b"no JSON", b"[]", b"1", b"\xff", b"[" * 100_000, b'{"config": []}', b"{}"]
)
def test_what_is_no_config_says_nothing(content: bytes) -> None:
    assert parse_image_config(content) == ImageConfig()


def test_what_has_another_type_counts_as_not_there() -> None:
    odd = {
        "os": 5,
        "config": {
            "Env": ["A=b", 7, None],
            "Cmd": "sh",
            "ExposedPorts": ["80"],
            "Labels": {"a": 1},
        },
        "history": [5, {"created_by": 5, "empty_layer": "yes"}],
    }

    assert parsed(odd) == ImageConfig(env=("A=b",), history=(Step("", None, None, True),))


def test_steps_belong_to_layers_only_where_their_number_fits() -> None:
    config = parsed(WHOLE)

    assert config.steps_of_layers(1) == (config.history[0],)
    assert config.steps_of_layers(2) is None
    assert ImageConfig().steps_of_layers(3) is None


def test_endless_history_is_cut() -> None:
    found = parsed({"history": [{"created_by": "x"}] * (2 * HISTORY_MAX)})

    assert len(found.history) == HISTORY_MAX


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    st.fixed_dictionaries(
        {}, optional={"os": JSON, "config": JSON, "history": JSON, "created": JSON}
    )
)
def test_no_document_is_refused(document: object) -> None:
    assert isinstance(parsed(document), ImageConfig)
