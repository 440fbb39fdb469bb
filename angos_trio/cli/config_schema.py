"""`angos-trio config schema`"""

from __future__ import annotations

import json

from angos_trio.config.schema import json_schema


def print_schema() -> int:
    """Print the JSON Schema of a configuration; reads nothing."""
    print(json.dumps(json_schema(), indent=2))
    return 0
