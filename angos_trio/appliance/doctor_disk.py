"""Disks: room, kind of file system, and whether what is synced is on them."""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from angos_trio.appliance.doctor import Finding, bad, note, ok, warn
from angos_trio.limits.appliance import (
    INODES_MIN,
    SYNC_BYTES,
    SYNC_COUNT,
    SYNC_HONEST_MICROS_MIN,
    SYNC_PLATTER_MICROS_MIN,
    SYNC_SECS_MAX,
    SYNC_SLOW_MICROS,
)
from angos_trio.records import Frozen
from angos_trio.storage.probing import Room, measure_syncs, room_of
from angos_trio.telling import size_of

_OVER_NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "lustre", "afs", "virtiofs"}
)
_MEMORY: Final = frozenset({"tmpfs", "ramfs", "zram"})
_FOREIGN: Final = frozenset({"vfat", "exfat", "ntfs", "ntfs3", "msdos", "iso9660", "squashfs"})
_UNFLUSHED: Final = frozenset({"nobarrier", "barrier=0", "nobarriers"})
_LOCAL_DISK: Final = "put the data directory on a local disk with ext4 or xfs"
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


class Mount(Frozen):
    """A file system as it is mounted. `device` is MAJOR:MINOR."""

    point: str
    kind: str
    source: str
    options: frozenset[str]
    device: str


class Device(Frozen):
    """What the kernel says of a disk; None where it says nothing."""

    name: str
    turns: bool | None
    cache: str | None
    is_virtual: bool


def parse_mounts(text: str) -> list[Mount]:
    """The lines of /proc/self/mountinfo (proc_pid_mountinfo(5)); those of another form are left
    out."""
    mounts = []
    for line in text.splitlines():
        before, separator, after = line.partition(" - ")
        fields, ends = before.split(" "), after.split(" ")
        if not separator or len(fields) < 6 or len(ends) < 3:
            continue
        options = frozenset([*fields[5].split(","), *ends[2].split(",")])
        point = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4])
        mounts.append(Mount(point, ends[0], ends[1], options, fields[2]))
    return mounts


def mount_of(path: Path, mounts: Sequence[Mount]) -> Mount | None:
    """Where an absolute path without links is: the last of the longest mount points above it."""
    above = {str(path), *map(str, path.parents)}
    return max(
        (mount for mount in reversed(mounts) if mount.point in above),
        key=lambda mount: len(mount.point),
        default=None,
    )


def judge_kind(path: Path, mount: Mount) -> Iterator[Finding]:
    """Whether the registry's locks, renames and syncs hold on this file system."""
    where = f"{path} is on {mount.kind} ({mount.point})"
    if mount.kind in _OVER_NETWORK:
        yield bad(f"{where}: locks and syncs go over the network", _LOCAL_DISK)
    elif mount.kind in _MEMORY:
        yield bad(f"{where}: memory, gone after the next boot", _LOCAL_DISK)
    elif mount.kind in _FOREIGN:
        yield bad(f"{where}: it has no owners, modes or locks as Linux has them", _LOCAL_DISK)
    elif mount.kind.startswith("fuse"):
        yield warn(f"{where}: what a sync means there is up to a program", _LOCAL_DISK)
    elif mount.kind == "overlay":
        yield warn(
            f"{where}: the layer of a container, which goes with it",
            "mount a volume or a directory of the host there",
        )
    else:
        yield ok(where)
    if "ro" in mount.options:
        yield bad(
            f"{mount.point} is mounted read-only",
            f"mount -o remount,rw {mount.point}; the kernel does this after errors of a disk: "
            "look at dmesg first",
        )
    if mount.options & _UNFLUSHED:
        yield bad(
            f"{mount.point} is mounted so that the disk's cache is never flushed (nobarrier)",
            "take the option away: a power cut loses what was acknowledged",
        )


def judge_program(program: Path, mount: Mount) -> Iterator[Finding]:
    """Whether compiled parts can be loaded from where the program is."""
    if "noexec" in mount.options:
        yield bad(
            f"{program} is on {mount.point}, which is mounted noexec: its compiled parts cannot "
            "be loaded from there",
            "put the program on a file system that may hold programs, such as /usr/lib/angos-trio",
        )
    else:
        yield ok(f"the program is in {program}")


def judge_room(path: Path, room: Room, reserve: int, ballast: int) -> Iterator[Finding]:
    """Whether content can be taken in; `ballast` bytes are still to be taken by the registry."""
    more = "make room, use a larger disk, or lower global.min_free_space"
    said = f"{size_of(room.free_bytes)} of {size_of(room.bytes)} are free at {path}"
    if room.free_bytes < reserve:
        yield bad(f"{said}; pushes are refused below {size_of(reserve)}", more)
    elif room.free_bytes < 2 * reserve + ballast:
        yield warn(f"{said}; pushes are refused below {size_of(reserve)}", more)
    else:
        yield ok(f"{said}; {size_of(reserve)} stay free")
    if room.free_names is not None and room.free_names < INODES_MIN:
        yield warn(
            f"only {room.free_names} files can still be made there, and each blob is one",
            "a file system made with more inodes, or xfs, which makes them as it needs them",
        )


def judge_syncs(taken: Sequence[float], device: Device | None) -> Iterator[Finding]:
    """Whether what was synced can have been on the disk: `taken` is in microseconds. Nothing but
    times is seen, so it is told how sure that is."""
    if len(taken) < SYNC_COUNT // 8:
        yield warn(
            f"only {len(taken)} small writes could be synced in {SYNC_SECS_MAX:.0f} s",
            "look for a disk that fails or is busy: dmesg, iostat",
        )
        return
    median = statistics.median(taken)
    measured = f"fsync of {SYNC_BYTES} bytes takes {_time_text(median)} (median of {len(taken)})"
    if median < SYNC_HONEST_MICROS_MIN:
        yield bad(
            f"{measured}: nothing that outlives a power cut answers so fast; it is in memory, or "
            "something leaves fsync out (nobarrier, libeatmydata, a virtual disk set to unsafe)",
            "find out what, or do not trust a 201 to outlive a power cut",
        )
    elif device is not None and device.turns and median < SYNC_PLATTER_MICROS_MIN:
        told = f"{measured}: {device.name} says that it turns, and no platter comes by so soon"
        if device.is_virtual:
            yield note(f"{told}; what is behind a virtual disk cannot be seen from here")
        else:
            yield warn(
                f"{told}: its cache answered, or a controller's with a battery",
                "if there is no battery: hdparm -W 0 on the disk, and measure again",
            )
    elif median > SYNC_SLOW_MICROS:
        yield note(f"{measured}: pushes are slow on this disk")
    else:
        yield ok(measured)
    if device is not None:
        yield _judge_cache(device)


def _judge_cache(device: Device) -> Finding:
    name = f"{device.name}{', a virtual disk' if device.is_virtual else ''}"
    if device.cache == "write back":
        hidden = "; whether its host flushes cannot be seen from here" if device.is_virtual else ""
        return note(
            f"{name} has a write cache, and the kernel flushes it at each fsync; that holds if the "
            f"disk obeys, which times alone do not prove{hidden}"
        )
    if device.cache == "write through":
        return ok(f"{name} says that it has no write cache to be flushed")
    return note(f"{name} does not say whether it has a write cache")


def _time_text(micros: float) -> str:
    return f"{micros:.0f} µs" if micros < 1000 else f"{micros / 1000:.1f} ms"


def device_of(mount: Mount, sys: Path = Path("/sys")) -> Device | None:
    """The disk below a mount; None where there is none, or several."""
    place = sys / "dev/block" / mount.device
    if not place.exists():
        return None
    place = place.resolve()
    if (place / "partition").exists():
        place = place.parent
    turns, cache = _said(place / "queue/rotational"), _said(place / "queue/write_cache")
    is_virtual = place.name.startswith(("vd", "xvd")) or "virtio" in str(place)
    return Device(place.name, None if turns is None else turns == "1", cache, is_virtual)


def _said(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def standing(path: Path) -> Path:
    """The path without links, or what is there of the way to it."""
    found = Path(os.path.realpath(path))
    while not found.exists() and found != found.parent:
        found = found.parent
    return found


def mounts_here() -> list[Mount]:
    """What is mounted for this process. Raises OSError."""
    return parse_mounts(Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace"))


def look_at_disk(data: Path, reserve: int, ballast: int) -> Iterator[Finding]:
    """The disk of the data directory, or of what is there on the way to it."""
    place = standing(data)
    if place != Path(os.path.realpath(data)):
        yield note(f"{data} is not there yet; {place} is looked at")
    mount = mount_of(place, mounts_here())
    if mount is not None:
        yield from judge_kind(place, mount)
    is_taken = os.path.exists(data / "ballast")
    yield from judge_room(place, room_of(place), reserve, 0 if is_taken else ballast)
    if not place.is_dir():
        yield bad(f"{place} is not a directory", "name another one as the data directory")
        return
    device = None if mount is None else device_of(mount)
    yield from _measured(place, device)


def _measured(place: Path, device: Device | None) -> Iterator[Finding]:
    try:
        taken = measure_syncs(place, SYNC_COUNT, SYNC_BYTES, SYNC_SECS_MAX)
    except OSError as error:
        yield note(
            f"whether fsync is honest could not be measured in {place}: {error.strerror}",
            "ask again as root, or as the registry's user",
        )
        return
    yield from judge_syncs(taken, device)


def look_at_program(program: Path) -> Iterator[Finding]:
    """The file system of the program."""
    place = standing(program)
    mount = mount_of(place, mounts_here())
    if mount is not None:
        yield from judge_program(place, mount)
