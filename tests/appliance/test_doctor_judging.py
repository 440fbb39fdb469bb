"""What the doctor makes of what was seen: judging alone, without a host."""

from __future__ import annotations

import os
import stat
import struct
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from angos_trio.appliance.doctor import Finding, Level, Look, bad, examine, ok
from angos_trio.appliance.doctor_certificates import judge_keys, judge_names, judge_term
from angos_trio.appliance.doctor_clock import Clock, judge_clock, this_clock
from angos_trio.appliance.doctor_disk import (
    Device,
    Mount,
    judge_kind,
    judge_program,
    judge_room,
    judge_syncs,
    mount_of,
    parse_mounts,
)
from angos_trio.appliance.doctor_handed import Handed
from angos_trio.appliance.doctor_instance import judge_answer
from angos_trio.appliance.doctor_names import judge_name
from angos_trio.appliance.doctor_permissions import (
    Owner,
    judge_data,
    judge_made,
    judge_readable,
)
from angos_trio.appliance.doctor_ports import judge_port, judge_privilege
from angos_trio.appliance.doctor_program import (
    Interpreter,
    judge_limits,
    judge_machine,
    judge_python,
)
from angos_trio.appliance.doctor_units import (
    judge_unit,
    judge_version,
    parse_unit,
    places_of,
    user_of,
)
from angos_trio.clock import DAY_SECS, RELEASED_AT
from angos_trio.net.control import Answer
from angos_trio.net.listeners import Listener, in_the_way, listeners_here, parse_listeners
from angos_trio.pki.server import TlsFiles
from angos_trio.pki.summary import Summary
from angos_trio.records import replace
from angos_trio.storage.probing import Room, measure_syncs
from angos_trio.telemetry.processes import Holder
from tests.skips import leave_out
from tests.users import SOMEBODY_ELSE

GOOD = Interpreter(
    version=(3, 12, 1),
    implementation="cpython",
    bits=64,
    is_free_threaded=False,
    machine="x86_64",
    libc=(2, 36),
    sqlite=(3, 40, 1),
    openssl=(3, 0, 16),
)
NOW = RELEASED_AT + 400 * DAY_SECS
GIB = 1024**3


def worst(findings: Iterable[Finding]) -> tuple[str, str]:
    """The level that matters most, and all that was said."""
    found = list(findings)
    levels = list(Level)
    level = max((each.level for each in found), key=levels.index, default=Level.OK)
    for each in found:
        if each.level in (Level.WARN, Level.BAD):
            assert each.cure, f"nothing is said of what to do: {each.saw}"
    return str(level), " | ".join(each.saw for each in found)


@pytest.mark.parametrize(
    ("changes", "level", "word"),
    [
        ({}, "ok", "cpython 3.12.1"),
        ({"version": (3, 10, 9)}, "bad", "not from 3.11 to 3.14"),
        ({"version": (3, 15, 0)}, "bad", "not from 3.11 to 3.14"),
        ({"implementation": "pypy"}, "bad", "CPython"),
        ({"bits": 32}, "bad", "64 bits"),
        ({"is_free_threaded": True}, "bad", "free-threaded"),
        ({"sqlite": (3, 33, 0)}, "bad", "SQLite 3.33.0: older than 3.34"),
        ({"openssl": (1, 1, 0)}, "bad", "OpenSSL 1.1.0"),
    ],
)
def test_python_is_judged(changes: dict[str, object], level: str, word: str) -> None:
    found = worst(judge_python(replace(GOOD, **changes)))  # type: ignore[arg-type]
    assert found[0] == level
    assert word in found[1]


@pytest.mark.parametrize(
    ("changes", "level", "word"),
    [
        ({}, "ok", "glibc 2.36"),
        ({"machine": "armv7l"}, "bad", "armv7l"),
        ({"libc": None}, "bad", "musl"),
        ({"libc": (2, 17)}, "bad", "older than 2.28"),
    ],
)
def test_machine_is_judged(changes: dict[str, object], level: str, word: str) -> None:
    found = worst(judge_machine(replace(GOOD, **changes)))  # type: ignore[arg-type]
    assert found[0] == level
    assert word in found[1]


def test_limits_are_judged() -> None:
    assert worst(judge_limits(65_536, 0)) == ("ok", "65536 open files")
    assert worst(judge_limits(-1, 0)) == ("ok", "any number of open files")
    level, said = worst(judge_limits(1024, -1))
    assert level == "note"
    assert "core file" in said


@pytest.mark.parametrize(
    ("clock", "level", "word"),
    [
        (Clock(NOW, True, True, NOW - 5), "ok", "it is 2027-"),
        (
            Clock(7, True, True, None),
            "bad",
            "it is 1970-01-01T00:00:07Z, and this version was made",
        ),
        (Clock(NOW, True, True, NOW + 30), "ok", "it is"),
        (Clock(NOW, True, True, NOW + 3600), "warn", "was written to at"),
        (Clock(NOW, True, True, NOW + 400 * DAY_SECS), "bad", "the clock is behind, or was ahead"),
        (Clock(NOW, True, True, None, "/data: closed"), "note", "cannot be seen: /data: closed"),
        (Clock(7, True, True, None, "/data: closed"), "bad", "this version was made"),
        (Clock(NOW, False, False, None), "warn", "no clock with a battery"),
        (Clock(NOW, False, True, None), "note", "drifts"),
        (Clock(NOW, None, True, None), "note", "does not say"),
    ],
)
def test_clock_is_judged(clock: Clock, level: str, word: str) -> None:
    found = worst(judge_clock(clock))
    assert found[0] == level
    assert word in found[1]


MOUNTS = parse_mounts(
    "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
    "27 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw,discard\n"
    "40 27 8:17 / /srv/my\\040data ro,noexec - xfs /dev/sdb1 rw,nobarrier\n"
    "41 27 0:50 / /srv/far rw - nfs4 server:/export rw,vers=4.2\n"
    "torn line\n"
)


def test_mounts_are_read_as_the_kernel_writes_them() -> None:
    assert [mount.point for mount in MOUNTS] == ["/proc", "/", "/srv/my data", "/srv/far"]
    assert MOUNTS[2].options >= {"ro", "noexec", "nobarrier"}
    for path, kind in (("/srv/my data/x", "xfs"), ("/srv/myx", "ext4"), ("/srv/far", "nfs4")):
        mount = mount_of(Path(path), MOUNTS)
        assert mount is not None
        assert mount.kind == kind


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("ext4", "ok"),
        ("xfs", "ok"),
        ("btrfs", "ok"),
        ("overlay", "warn"),
        ("fuse.sshfs", "warn"),
        ("nfs4", "bad"),
        ("tmpfs", "bad"),
        ("vfat", "bad"),
    ],
)
def test_kind_of_file_system_is_judged(kind: str, level: str) -> None:
    mount = Mount("/data", kind, "source", frozenset({"rw"}), "8:1")
    assert worst(judge_kind(Path("/data/x"), mount))[0] == level


@pytest.mark.parametrize("option", ["ro", "nobarrier", "barrier=0"])
def test_option_of_a_mount_that_harms_is_bad(option: str) -> None:
    mount = Mount("/data", "ext4", "source", frozenset({option}), "8:1")
    assert worst(judge_kind(Path("/data/x"), mount))[0] == "bad"


def test_program_needs_a_place_for_programs() -> None:
    mount = Mount("/opt", "ext4", "source", frozenset({"rw", "noexec"}), "8:1")
    assert worst(judge_program(Path("/opt/x"), mount))[0] == "bad"


@pytest.mark.parametrize(
    ("free", "names", "level", "word"),
    [
        (100 * GIB, None, "ok", "100.0 GiB of 200.0 GiB are free"),
        (GIB, None, "warn", "pushes are refused below 1.0 GiB"),
        (GIB - 1, None, "bad", "pushes are refused below 1.0 GiB"),
        (100 * GIB, 17, "warn", "only 17 files"),
    ],
)
def test_room_is_judged(free: int, names: int | None, level: str, word: str) -> None:
    found = worst(judge_room(Path("/data"), Room(free, 200 * GIB, names), GIB, 0))
    assert found[0] == level
    assert word in found[1]


TURNING = Device("sda", True, "write through", False)


@pytest.mark.parametrize(
    ("micros", "device", "level", "word"),
    [
        (300.0, Device("nvme0n1", False, "write through", False), "ok", "takes 300 µs"),
        (3.0, Device("nvme0n1", False, "write through", False), "bad", "nothing that outlives"),
        (3.0, None, "bad", "nothing that outlives"),
        (200.0, TURNING, "warn", "no platter comes by"),
        (200.0, replace(TURNING, is_virtual=True), "note", "cannot be seen from here"),
        (9000.0, TURNING, "ok", "takes 9.0 ms"),
        (90_000.0, TURNING, "note", "pushes are slow"),
        (300.0, Device("sdb", False, "write back", False), "note", "if the disk obeys"),
        (300.0, Device("sdb", False, None, False), "note", "does not say"),
    ],
)
def test_time_of_a_sync_is_judged(
    micros: float, device: Device | None, level: str, word: str
) -> None:
    found = worst(judge_syncs([micros] * 64, device))
    assert found[0] == level
    assert word in found[1]


def test_a_disk_that_hardly_answers_is_told_of() -> None:
    assert worst(judge_syncs([2_000_000.0], None))[0] == "warn"


def test_listeners_are_read_as_the_kernel_writes_them() -> None:
    def word(value: int) -> str:
        """32 bits of an address, as the kernel's byte order writes them."""
        return f"{int.from_bytes(value.to_bytes(4), sys.byteorder):08X}"

    home = word(0x7F000001)
    lines = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt  uid\n"
        f"   0: {home}:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1\n"
        f"   1: {home}:01BC 00000000:0000 01 00000000:00000000 00:00000000 00000000 0 0 4712 1\n"
        f"   0: {'0' * 24}{word(1)}:01BB 0:0 0A 0:0 0:0 0 0 0 4713 1\n"
        f"   0: {'0' * 32}:1F90 0:0 0A 0:0 0:0 0 0 0 4714 1\n"
    )
    found = parse_listeners(lines)
    assert found == [
        Listener("127.0.0.1", 443, 4711),
        Listener("::1", 443, 4713),
        Listener("::", 8080, 4714),
    ]
    assert in_the_way(found, "127.0.0.1", 443) == [found[0]]
    assert in_the_way(found, "0.0.0.0", 443) == [found[0]]
    assert in_the_way(found, "192.0.2.1", 443) == []
    assert in_the_way(found, "192.0.2.1", 8080) == [found[2]]


@pytest.mark.parametrize(
    ("holder", "systemd_is_ours", "level"),
    [
        (Holder(17, "nginx", "nginx.service"), False, "bad"),
        (Holder(17, "angos-trio", None), False, "ok"),
        (Holder(17, "python3", "angos-trio.service"), False, "ok"),
        (Holder(1, "systemd", "init.scope"), True, "ok"),
        (Holder(1, "systemd", "init.scope"), False, "bad"),
        (None, False, "warn"),
    ],
)
def test_taken_port_is_judged_by_who_has_it(
    holder: Holder | None, systemd_is_ours: bool, level: str
) -> None:
    taken = [(Listener("0.0.0.0", 443, 1), holder)]
    found = worst(judge_port("0.0.0.0", 443, taken, systemd_is_ours=systemd_is_ours))
    assert found[0] == level
    assert "0.0.0.0 port 443" in found[1]


def test_one_table_of_listeners_is_enough_and_none_is_not_taken_for_nobody(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        listeners_here(tmp_path)
    (tmp_path / "tcp").write_text("")
    assert listeners_here(tmp_path) == []


def test_file_that_a_hanging_disk_has_left_is_removed_by_the_next_look(tmp_path: Path) -> None:
    left, other = tmp_path / ".doctor-1", tmp_path / ".doctor-2"
    for each in (left, other):
        each.write_text("")
    os.utime(left, (1, 1))

    assert measure_syncs(tmp_path, 1, 512, 1.0)
    assert [path.name for path in tmp_path.iterdir()] == [".doctor-2"]


def test_data_directory_that_is_closed_is_told_by_the_clock(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert this_clock(tmp_path / "missing").hidden is None
    assert "loop: Too many levels" in str(this_clock(tmp_path / "loop").hidden)


def test_low_port_is_roots_or_systemds() -> None:
    def level(port: int, *, may_bind: bool = False, systemd_listens: bool = False) -> str:
        return worst(
            judge_privilege(port, 1024, may_bind=may_bind, systemd_listens=systemd_listens)
        )[0]

    assert level(443) == "warn"
    assert level(443, may_bind=True) == level(443, systemd_listens=True) == level(8443) == "ok"


def covered(**changes: object) -> Summary:
    names, addresses = ("registry.lab", "*.lab"), ("192.0.2.7",)
    made = Summary("", "", names, addresses, NOW - 9, NOW + 90 * DAY_SECS)
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "level", "word"),
    [
        ({}, "ok", "good until"),
        ({"not_after": NOW - 1}, "bad", "expired on"),
        ({"not_before": NOW + 60}, "bad", "is good from"),
        ({"not_after": NOW + 3 * DAY_SECS}, "warn", "ends in 3 days"),
    ],
)
def test_term_of_a_certificate_is_judged(changes: dict[str, object], level: str, word: str) -> None:
    found = worst(judge_term(covered(**changes), NOW))
    assert found[0] == level
    assert word in found[1]


def test_cure_of_a_certificate_names_the_authority_beside_it(tmp_path: Path) -> None:
    (tmp_path / "issuing.crt").touch()
    for path, part in (
        (f"{tmp_path}/server.crt", f"pki renew --all-due --pki {tmp_path}, or copy"),
        ("/etc/elsewhere/server.crt", "angos-trio pki renew --all-due, or copy"),
    ):
        [found] = judge_term(covered(not_after=NOW - 1), NOW, path)
        assert part in str(found)


@pytest.mark.parametrize(
    ("host", "is_covered"),
    [
        ("registry.lab", True),
        ("REGISTRY.LAB.", True),
        ("other.lab", True),
        ("far.other.lab", False),
        ("lab", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
    ],
)
def test_names_of_a_certificate_are_matched_as_clients_do(host: str, is_covered: bool) -> None:
    assert covered().covers(host) is is_covered
    assert worst(judge_names(covered(), [host]))[0] == ("ok" if is_covered else "warn")


@pytest.mark.parametrize(
    ("addresses", "own", "level", "word"),
    [
        ([], [], "warn", "has no address"),
        (["127.0.0.1"], ["127.0.0.1"], "note", "docker reads no certificates"),
        (["192.0.2.7"], [], "note", "this host does not have"),
        (["192.0.2.7"], ["192.0.2.7"], "ok", "which this host has"),
    ],
)
def test_names_are_judged(addresses: list[str], own: list[str], level: str, word: str) -> None:
    found = worst(judge_name("registry.lab", addresses, own))
    assert found[0] == level
    assert word in found[1]


@pytest.mark.parametrize(
    ("mode", "level", "word"),
    [
        (0o600, "ok", "its owner's alone"),
        (0o640, "note", "its group may get at the private key"),
        (0o604, "bad", "everybody on this host may get at the private key"),
    ],
)
def test_key_is_judged_by_who_may_read_it(tmp_path: Path, mode: int, level: str, word: str) -> None:
    key = tmp_path / "server.key"
    key.write_text("")
    key.chmod(mode)
    found = worst(judge_keys([str(key)]))
    assert found[0] == level
    assert word in found[1]


def test_copy_of_systemd_is_seen_and_its_origin_is_judged(tmp_path: Path) -> None:
    handed = Handed(tmp_path / "credentials", tmp_path / "pki")
    copies = TlsFiles(
        certificate=str(handed.place / "server.crt"),
        private_key=str(handed.place / "server.key"),
        client_ca=str(tmp_path / "clients.pem"),
    )
    crt, key = handed.pki / "server.crt", handed.pki / "private" / "server.key"
    assert handed.kept_keys(copies) == []
    key.parent.mkdir(parents=True)
    crt.write_text("")
    key.write_text("")

    seen = handed.seen(copies)
    assert (seen.certificate, seen.private_key) == (str(crt), str(key))
    handed.place.mkdir()
    for name in ("server.crt", "server.key"):
        (handed.place / name).write_text("")
    assert handed.seen(copies) == copies
    assert handed.kept_keys(copies) == [str(key)]
    assert handed.read_by_service(copies) == [str(tmp_path / "clients.pem")]

    own = replace(copies, certificate="/a.crt", private_key="/a.key")
    assert handed.kept_keys(own) == ["/a.key"]
    assert handed.read_by_service(own) == ["/a.crt", "/a.key", str(tmp_path / "clients.pem")]


STRANGER = Owner("somebody", SOMEBODY_ELSE, frozenset({SOMEBODY_ELSE}))


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that everybody may enter."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def test_file_that_an_access_list_opens_is_not_called_closed(open_place: Path) -> None:
    file = open_place / "server.key"
    file.write_text("")
    file.chmod(0o640)
    assert worst(judge_readable(file, STRANGER)) == ("bad", f"{file} cannot be read by somebody")
    nobody = 2**32 - 1  # acl(5): owner, the stranger, group, mask, others
    entries = [(1, 6, nobody), (2, 4, SOMEBODY_ELSE), (4, 4, nobody), (16, 4, nobody)]
    packed = b"".join(struct.pack("<HHI", *each) for each in (*entries, (32, 0, nobody)))
    try:
        os.setxattr(file, "system.posix_acl_access", struct.pack("<I", 2) + packed)
    except OSError as error:
        leave_out(f"no access lists on this file system: {error}")
    level, said = worst(judge_readable(file, STRANGER))
    assert level == "note"
    assert "its access list says" in said


def test_closed_directory_behind_a_link_is_seen(open_place: Path) -> None:
    closed, link = open_place / "archive", open_place / "live.pem"
    closed.mkdir(mode=0o700)
    (closed / "privkey.pem").write_text("")
    (closed / "privkey.pem").chmod(0o644)
    link.symlink_to(closed / "privkey.pem")

    level, said = worst(judge_readable(link, STRANGER))
    assert level == "bad"
    assert said == f"somebody cannot enter {closed}, so not read {link}"


def test_data_that_root_has_made_is_told_to_the_user_who_serves() -> None:
    user = Owner("angos-trio", 999, frozenset({999}))
    level, said = worst(judge_made(Path("/data"), state_of(0, 0, 0o640), user))
    assert level == "warn"
    assert "was made by root, and angos-trio serves" in said
    assert list(judge_made(Path("/data"), state_of(999, 0, 0o640), user)) == []


def state_of(uid: int, gid: int, mode: int) -> os.stat_result:
    return os.stat_result((stat.S_IFDIR | mode, 1, 1, 2, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("uid", "gid", "mode", "level"),
    [
        (999, 999, 0o750, "ok"),
        (0, 999, 0o770, "ok"),
        (999, 999, 0o755, "warn"),
        (0, 0, 0o750, "bad"),
        (999, 999, 0o550, "bad"),
    ],
)
def test_data_directory_is_the_services_alone(uid: int, gid: int, mode: int, level: str) -> None:
    user = Owner("angos-trio", 999, frozenset({999}))
    assert worst(judge_data(Path("/data"), state_of(uid, gid, mode), user))[0] == level


SHOWN = """LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
StatusText=3 of 3 workers answer
NRestarts=0
NeedDaemonReload=no
DropInPaths=
"""


@pytest.mark.parametrize(
    ("more", "level", "word"),
    [
        ("", "ok", "is active (running): 3 of 3 workers answer"),
        ("LoadState=not-found", "note", "is not installed"),
        ("LoadState=bad-setting", "bad", "is bad-setting"),
        ("ActiveState=failed\nSubState=failed\nResult=watchdog", "bad", "failed): watchdog"),
        (
            "ActiveState=activating\nSubState=auto-restart\nResult=exit-code\nExecMainStatus=1\n"
            "NRestarts=412",
            "bad",
            "is activating (auto-restart): exit-code, code 1",
        ),
        ("ActiveState=activating\nSubState=start\nResult=exit-code", "bad", "start): exit-code"),
        ("ActiveState=activating\nSubState=start\nResult=success", "note", "activating (start)"),
        ("UnitFileState=disabled", "note", "does not start with the host"),
        ("NeedDaemonReload=yes", "warn", "changed on disk"),
        ("DropInPaths=/etc/systemd/system/angos-trio.service.d/outbound.conf", "note", "outbound"),
        ("NRestarts=4", "note", "4 times"),
    ],
)
def test_unit_is_judged_by_what_systemctl_shows(more: str, level: str, word: str) -> None:
    shown = {**parse_unit(SHOWN), **parse_unit(more)}
    found = worst(judge_unit("angos-trio.service", shown))
    assert found[0] == level
    assert word in found[1]


@pytest.mark.parametrize(
    ("shown", "places"),
    [
        ("Listen=[::]:443 (Stream)", [("::", 443)]),
        ("Listen=0.0.0.0:8443 (Stream)", [("0.0.0.0", 8443)]),
        (
            "Listen=10.0.0.5:443 (Stream)\nListen=[fe80::1]:444 (Stream)",
            [("10.0.0.5", 443), ("fe80::1", 444)],
        ),
        ("Listen=/run/registry.sock (Stream)\nListen=[::]:53 (Datagram)", []),
        ("LoadState=not-found", []),
    ],
)
def test_places_of_a_socket_are_read(shown: str, places: list[tuple[str, int]]) -> None:
    assert places_of(parse_unit(shown)) == places


@pytest.mark.parametrize(
    ("shown", "user"),
    [
        ("LoadState=loaded\nUser=registry", "registry"),
        ("LoadState=loaded\nUser=", "root"),
        ("LoadState=not-found\nUser=", None),
    ],
)
def test_user_of_a_service_is_read(shown: str, user: str | None) -> None:
    assert user_of(parse_unit(shown)) == user


def test_version_of_systemd_is_read() -> None:
    assert worst(judge_version("systemd 252 (252.1-1)\n+PAM"))[0] == "ok"
    assert worst(judge_version("systemd 239"))[0] == "warn"
    assert worst(judge_version("what?"))[0] == "note"


@pytest.mark.parametrize(
    ("status", "body", "level"),
    [
        (200, b'{"status": "ready"}', "ok"),
        (200, b'{"status": "ready", "degraded": ["the last reload was refused"]}', "warn"),
        (503, b'{"status": "not_ready", "problems": ["no room"]}', "bad"),
        (503, b"{}", "bad"),
        (404, b'{"errors": [{"code": "NOT_FOUND"}]}', "bad"),
        (500, b"[]", "bad"),
        (200, b"what?", "bad"),
    ],
)
def test_answer_of_a_running_registry_is_judged(status: int, body: bytes, level: str) -> None:
    assert worst(judge_answer(Answer(status, {}, body)))[0] == level


def test_check_that_fails_or_hangs_is_a_line_and_ends_no_other() -> None:
    def fails() -> Iterator[Finding]:
        yield ok("so far")
        raise ZeroDivisionError("surprise")

    def hangs() -> Iterator[Finding]:
        time.sleep(2)
        yield ok("late")

    def slow() -> Iterator[Finding]:
        yield ok("at first")
        yield from hangs()

    def forbidden() -> list[Finding]:
        raise PermissionError(13, "Permission denied", "/secret")

    checks: dict[str, Look] = {
        "fails": fails,
        "hangs": hangs,
        "slow": slow,
        "forbidden": forbidden,
        "bad": lambda: [bad("broken", "mend it")],
    }
    found = [(name, str(each.level), each.saw) for name, each in examine(checks, 0.05)]
    assert found == [
        ("fails", "ok", "so far"),
        ("fails", "warn", "the check itself failed: ZeroDivisionError: surprise"),
        ("hangs", "warn", "nothing was found out within 0 s"),
        ("slow", "ok", "at first"),
        ("slow", "warn", "nothing more was found out within 0 s"),
        ("forbidden", "note", "cannot be seen by this user: /secret: Permission denied"),
        ("bad", "bad", "broken"),
    ]
