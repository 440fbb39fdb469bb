"""What an image config says that people look at (OCI image specification, "Image Configuration").

A config is what somebody pushed: what has another type than the specification gives it counts as
not there, and nothing is refused for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from angos_trio.records import Frozen, field

HISTORY_MAX: Final = 1000
"""Entries of a history, or of a list in a config, that are looked at."""


class Step(Frozen):
    """An entry of a config's history: the command as it was recorded, and when, as text."""

    command: str
    created: str | None
    comment: str | None
    makes_layer: bool


class ImageConfig(Frozen):
    """What a config says; lists keep their order."""

    os: str | None = None
    architecture: str | None = None
    variant: str | None = None
    created: str | None = None
    author: str | None = None
    user: str | None = None
    working_dir: str | None = None
    stop_signal: str | None = None
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    history: tuple[Step, ...] = ()

    def steps_of_layers(self, count: int) -> tuple[Step, ...] | None:
        """The steps that made so many layers, in their order; None where the history does not say
        which is which."""
        made = tuple(step for step in self.history if step.makes_layer)
        return made if len(made) == count else None


def parse_image_config(content: bytes) -> ImageConfig:
    """What the bytes say."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return ImageConfig()
    if not isinstance(document, dict):
        return ImageConfig()
    settings = document.get("config")
    settings = settings if isinstance(settings, dict) else {}
    return ImageConfig(
        os=_text(document, "os"),
        architecture=_text(document, "architecture"),
        variant=_text(document, "variant"),
        created=_text(document, "created"),
        author=_text(document, "author"),
        user=_text(settings, "User"),
        working_dir=_text(settings, "WorkingDir"),
        stop_signal=_text(settings, "StopSignal"),
        entrypoint=_texts(settings.get("Entrypoint")),
        cmd=_texts(settings.get("Cmd")),
        env=_texts(settings.get("Env")),
        exposed_ports=_keys(settings.get("ExposedPorts")),
        volumes=_keys(settings.get("Volumes")),
        labels=_labels(settings.get("Labels")),
        history=_history(document.get("history")),
    )


def _text(document: Mapping[str, object], key: str) -> str | None:
    value = document.get(key)
    return value if isinstance(value, str) and value else None


def _texts(value: object) -> tuple[str, ...]:
    items: Sequence[object] = value if isinstance(value, list) else ()
    return tuple(item for item in items[:HISTORY_MAX] if isinstance(item, str))


def _keys(value: object) -> tuple[str, ...]:
    return tuple(sorted(value)[:HISTORY_MAX]) if isinstance(value, dict) else ()


def _labels(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        return {}
    found = {key: text for key, text in value.items() if isinstance(text, str)}
    return dict(sorted(found.items())[:HISTORY_MAX])


def _history(value: object) -> tuple[Step, ...]:
    items: Sequence[object] = value if isinstance(value, list) else ()
    return tuple(
        Step(
            command=_text(item, "created_by") or "",
            created=_text(item, "created"),
            comment=_text(item, "comment"),
            makes_layer=item.get("empty_layer") is not True,
        )
        for item in items[:HISTORY_MAX]
        if isinstance(item, dict)
    )
