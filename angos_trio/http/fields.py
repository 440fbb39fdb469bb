"""Fields as browsers and clients write them: `name=value`, percent-encoded, with `&` between."""

from __future__ import annotations

from urllib.parse import parse_qsl


def parse_fields(raw: bytes, most: int) -> dict[str, list[str]]:
    """Every value of each field, in order; an empty one counts as absent.

    Raises ValueError for what is not percent-encoded UTF-8, or has more fields than `most`.
    """
    pairs = parse_qsl(raw.decode("ascii"), errors="strict", max_num_fields=most)
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return values
