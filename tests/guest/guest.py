"""A booted Debian with systemd and without a network, in a container of this machine."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.e2e.machine import REPOSITORY, Failure, command
from tests.e2e.tools import install_debian
from tests.skips import leave_out

TREES: Final = REPOSITORY / ".cache" / "appliance"
RELEASE: Final = "bookworm"
PACKAGES: Final = (
    *("systemd", "systemd-sysv", "dbus", "python3", "ca-certificates"),
    *("iproute2", "curl", "openssl", "procps"),
    *("podman", "containerd", "skopeo"),
)
"""The host of an operator: what an air-gapped Debian has, and clients."""
HOSTNAME: Final = "registry.lab"
ADDRESS: Final = "10.99.0.1"
"""Of the guest's loopback device, besides 127.0.0.1: clients treat that one differently."""
STORAGE: Final = """\
[storage]
driver = "vfs"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
"""
BOOT_SECS_MAX: Final = 90.0
STOP_SECS_MAX: Final = 60.0
COMMAND_SECS_MAX: Final = 300.0


class CannotBoot(Exception):
    """This machine cannot run a guest; says why."""


@dataclass(frozen=True)
class Ended:
    """A command that ended in the guest: its code and what it printed."""

    words: str
    code: int
    output: str


@dataclass
class Guest:
    """A guest that runs; `leader` is its first process as this machine numbers it."""

    root: Path
    leader: int

    def try_(self, *words: str, secs: float = COMMAND_SECS_MAX) -> Ended:
        """Run a command to its end, whatever it says. One word is a line for the shell."""
        done = subprocess.run(
            self._command(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=secs,
            env=_ENVIRONMENT,
            check=False,
        )
        return Ended(shlex.join(words), done.returncode, done.stdout)

    def run(self, *words: str, secs: float = COMMAND_SECS_MAX) -> str:
        """The same, and what it printed; any code but 0 is a failure."""
        ended = self.try_(*words, secs=secs)
        if ended.code != 0:
            raise Failure(f"{ended.words}\nended with {ended.code}:\n{ended.output[-3000:]}")
        return ended.output

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Begin a command, which the caller waits for."""
        return subprocess.Popen(
            self._command(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=_ENVIRONMENT,
        )

    @contextmanager
    def asked(self, *words: str) -> Iterator[Callable[[], str]]:
        """A command that answers each line with a line."""
        with subprocess.Popen(
            self._command(words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=_ENVIRONMENT,
        ) as process:
            stdin, stdout = process.stdin, process.stdout
            assert stdin is not None
            assert stdout is not None

            def ask() -> str:
                stdin.write("\n")
                stdin.flush()
                return stdout.readline().strip()

            try:
                yield ask
            finally:
                stdin.close()

    def _command(self, words: Sequence[str]) -> list[str]:
        line = ["bash", "-c", words[0]] if len(words) == 1 else list(words)
        spaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        return ["nsenter", f"--target={self.leader}", *spaces, "--root", "--wdns=/root", *line]

    def write(self, path: str, content: str) -> None:
        """Write a file in the guest."""
        quoted = shlex.quote(path)
        self.run(f"mkdir -p $(dirname {quoted}) && printf %s {shlex.quote(content)} > {quoted}")


_ENVIRONMENT: Final = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "XDG_RUNTIME_DIR": "/run",
}


def tree() -> Path:
    """A Debian tree, made once; it takes about a minute. Raises CannotBoot, Failure."""
    if os.geteuid() != 0:
        raise CannotBoot("a guest is made and started by root")
    told = " ".join((RELEASE, *PACKAGES))
    made = TREES / f"{RELEASE}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"
    if made.exists():
        return made
    install_debian(["mmdebstrap", "systemd-nspawn"])
    print(f"making a tree of Debian {RELEASE}", flush=True)
    TREES.mkdir(parents=True, exist_ok=True)
    partial = TREES / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    command(
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--quiet"),
        f"--include={','.join(PACKAGES)}",
        *(RELEASE, partial),
    )
    (partial / "etc" / "machine-id").write_text("", encoding="ascii")
    partial.rename(made)
    return made


@contextmanager
def booted(files: Sequence[tuple[Path, str]] = ()) -> Iterator[Guest]:
    """A guest that has booted, with files in it; everything is gone afterwards.

    What it writes lies over the tree, which stays as it is. Raises CannotBoot.
    """
    lower = tree()
    with tempfile.TemporaryDirectory(prefix="guest-", dir=TREES) as scratch:
        root = Path(scratch) / "root"
        with _laid_over(lower, Path(scratch), root):
            for source, target in files:
                shutil.copy(source, root / target.lstrip("/"))
            with (root / "etc" / "hosts").open("a", encoding="ascii") as hosts:
                hosts.write(f"127.0.0.1 localhost\n{ADDRESS} {HOSTNAME}\n")
            # No layers over layers: the guest's files lie over others already.
            storage = root / "etc" / "containers" / "storage.conf"
            storage.write_text(STORAGE, encoding="ascii")
            with _running(root, Path(scratch) / "console") as guest:
                guest.run("ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
                yield guest


@contextmanager
def booted_or_left_out(files: Sequence[tuple[Path, str]]) -> Iterator[Guest]:
    """The same for tests: where no guest can be, they are left out with the reason."""
    with ExitStack() as stack:
        try:
            guest = stack.enter_context(booted(files))
        except CannotBoot as reason:
            leave_out(f"no guest on this machine: {reason}")
        yield guest


@contextmanager
def _laid_over(lower: Path, scratch: Path, root: Path) -> Iterator[None]:
    upper, work = scratch / "upper", scratch / "work"
    for each in (root, upper, work):
        each.mkdir()
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    mount = subprocess.run(
        ["mount", "-t", "overlay", "guest", "-o", options, str(root)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mount.returncode != 0:
        raise CannotBoot(f"no file system over another here: {mount.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=False)


@contextmanager
def _running(root: Path, console: Path) -> Iterator[Guest]:
    options = ["--private-network", "--register=no", "--keep-unit", "--console=pipe", "--quiet"]
    with console.open("wb") as written:
        nspawn = subprocess.Popen(
            ["systemd-nspawn", f"--directory={root}", "--boot", *options],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield _guest_of(nspawn, root, console)
    finally:
        _stop(nspawn)


def _guest_of(nspawn: subprocess.Popen[bytes], root: Path, console: Path) -> Guest:
    """The guest, once it has booted. Its leader is a child, and not the first that there is."""
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
    deadline = time.monotonic() + BOOT_SECS_MAX
    while time.monotonic() < deadline and nspawn.poll() is None:
        for leader in children.read_text(encoding="ascii").split():
            guest = Guest(root, int(leader))
            try:
                said = guest.try_("systemctl", "is-system-running", secs=10).output.strip()
            except (OSError, subprocess.TimeoutExpired):
                continue
            if said in ("running", "degraded"):
                return guest
        time.sleep(0.2)
    raise CannotBoot(f"the guest did not boot: {_tail(console)}")


def _tail(console: Path) -> str:
    return console.read_text(errors="replace")[-500:].strip() or "no word"


def _stop(nspawn: subprocess.Popen[bytes]) -> None:
    nspawn.send_signal(signal.SIGTERM)  # asks the guest to halt
    try:
        nspawn.wait(STOP_SECS_MAX)
    except subprocess.TimeoutExpired:
        nspawn.kill()
        nspawn.wait()
