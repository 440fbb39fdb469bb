"""Passwords: argon2id with pinned parameters."""

from __future__ import annotations

from typing import Final

MEMORY_KIB: Final = 19_456
PASSES: Final = 2
LANES: Final = 1


def hash_password(text: str) -> str:
    """The argon2id hash of a password in PHC form, with a salt of its own."""
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES).hash(text)
