"""Examining a host (`appliance`)."""

from __future__ import annotations

from typing import Final

CHECK_SECS_MAX: Final = 10.0
"""For one check of `doctor`; then it is told that nothing was found out."""
UNITS_SECS_MAX: Final = 5.0
"""For an answer of systemd."""
SYNC_COUNT: Final = 64
"""Small writes that are synced to measure a disk,"""
SYNC_SECS_MAX: Final = 2.0
"""or as many as this takes,"""
SYNC_BYTES: Final = 4096
"""and so long."""
SYNC_HONEST_MICROS_MIN: Final = 20.0
"""No device that keeps what it has through a power cut answers faster, whatever it is made of."""
SYNC_PLATTER_MICROS_MIN: Final = 1000.0
"""A disk that turns 15,000 times a minute waits longer than this for its sector to come by, in the
middle of many times."""
SYNC_SLOW_MICROS: Final = 20_000.0
"""Pushes are slow on a disk that takes longer."""
CERTIFICATE_SOON_SECS: Final = 30 * 86_400
"""A certificate that ends within this is told of."""
CLOCK_BEHIND_SECS: Final = 60
"""A clock that is behind the last write by less may have been set by a little."""
INODES_MIN: Final = 10_000
"""Files that the file system should still take: one for each blob."""
DESCRIPTORS_MIN: Final = 4096
"""Open files that a registry with many clients needs: one for each connection, and for what it
sends."""
LOOKED_AT_MAX: Final = 2000
"""Names that are looked at to find the newest."""
