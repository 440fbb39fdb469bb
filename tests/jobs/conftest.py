"""The directories that the tests here work in."""

from tests.storage.support import fresh_root, root, scratch

__all__ = ["fresh_root", "root", "scratch"]
