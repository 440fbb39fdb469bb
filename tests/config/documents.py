"""Documents of a configuration, as tests look at them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

OWN_NAMES = (
    ("repository",),
    ("event_webhook",),
    ("auth", "identity"),
    ("auth", "oidc"),
    ("auth", "webhook"),
)
"""Tables whose keys are names of the operator's own."""

ARGON2ID = (
    "$argon2id$v=19$m=19456,t=2,p=1$UTdn13B89qMM9QHDtQLaLg$"
    "Gf052UkpuqGw5MmPk/gk+WMiPehKbJAbZrgMlymY/os"
)
TOKEN_KEY = "cULDuNvIlwTS7PVVkZL1HtmGVscYF6FqEcgQsmc8Njk="


def paths_of(table: Mapping[str, object], above: tuple[str, ...] = ()) -> Iterator[str]:
    """Every key's path, with `*` for names of the operator's own, which are no keys themselves."""
    for key, value in table.items():
        path = (*above, "*" if above in OWN_NAMES else key)
        if above not in OWN_NAMES:
            yield ".".join(path)
        if isinstance(value, dict):
            yield from paths_of(value, path)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, dict):
                    yield from paths_of(item, path)
