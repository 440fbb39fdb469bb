"""The directory that every test here works in."""

from tests.storage.support import root

__all__ = ["root"]
