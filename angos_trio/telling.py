"""How sizes and the texts of others are written for people. Pure; imports nothing."""

from __future__ import annotations


def size_of(count: int) -> str:
    """Bytes in the largest unit that keeps a digit before the point."""
    size, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{count} bytes" if units[0] == "bytes" else f"{size:.1f} {units[0]}"


def plain(text: str) -> str:
    """Any text: what a terminal could take for more is shown spelled out."""
    return text if text.isprintable() else ascii(text)
