"""The tables of `stats.db`, and what is done about a file that an earlier version made."""

from __future__ import annotations

import sqlite3
from typing import Final

from angos_trio.storage.metadata import pull_history, pulls

_STEPS: Final = (pulls.SCHEMA, pull_history.SCHEMA)
"""What each version added to the one before; the first begins with nothing."""


def make_usable(rows: sqlite3.Connection) -> bool:
    """Whether the tables are there; those are made that a database of an earlier version, or one
    that has nothing yet, does not have.

    False for one that is not ours or of a later version.
    """
    found = rows.execute("PRAGMA user_version").fetchone()[0]
    if found == len(_STEPS):
        return True
    is_empty = rows.execute("SELECT 1 FROM sqlite_master").fetchone() is None
    if found > len(_STEPS) or (found == 0) != is_empty:
        return False
    rows.executescript(
        f"BEGIN IMMEDIATE;\n{''.join(_STEPS[found:])}\n"
        f"PRAGMA user_version = {len(_STEPS)};\nCOMMIT;"
    )
    return True
