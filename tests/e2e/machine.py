"""Programs and daemons on this machine, kept away from its own image stores."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

COMMAND_SECS_MAX = 900
DAEMON_START_SECS_MAX = 60.0
DAEMON_STOP_SECS_MAX = 30.0
POLL_SECS = 0.1
TOLD_CHARS_MAX = 3000

# Where container programs keep their state unless they are told otherwise, and sometimes then too.
PRIVATE_PLACES = ("/var/lib", "/run", "/opt", "/dev/shm")


class Failure(Exception):
    """A client did not do what it was asked, or got something else back; the message says which."""


class NotRunnable(Exception):
    """A client cannot start on this machine; the message says why."""


def command(
    *arguments: str | Path,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    errors_too: bool = False,
) -> str:
    """Run a program to its end and return what it printed; any exit code but 0 is a failure."""
    done = subprocess.run(
        [str(argument) for argument in arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if errors_too else subprocess.PIPE,
        cwd=directory,
        env={**os.environ, **(environment or {})},
        text=True,
        errors="replace",
        timeout=COMMAND_SECS_MAX,
        check=False,
    )
    if done.returncode != 0:
        told = (done.stderr or done.stdout)[-TOLD_CHARS_MAX:]
        raise Failure(f"{' '.join(map(str, arguments))}\nended with {done.returncode}:\n{told}")
    return done.stdout


def expect_refusal(told: str, *arguments: str | Path, run: Callable[..., str] = command) -> None:
    """Fail unless the program fails and says `told`."""
    try:
        run(*arguments)
    except Failure as failure:
        if told.lower() not in str(failure).lower():
            raise Failure(f"expected {told!r} among the reasons of: {failure}") from None
        return
    name = " ".join(map(str, arguments)) or getattr(run, "__name__", "it")
    raise Failure(f"{name}\nsucceeded; expected {told!r}")


@dataclass(frozen=True)
class Sandbox:
    """Runs programs in a mount namespace in which their usual places are directories of ours.

    So a client in its usual configuration can neither see nor change the machine's own images, and
    its mounts end with it. Programs that run in the same sandbox share their state.
    """

    root: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[str, Path] = field(default_factory=dict)
    """What else of the machine is another file or directory here, by its path."""

    def __post_init__(self) -> None:
        for place in (*PRIVATE_PLACES, "/home"):
            self._inside(place).mkdir(parents=True, exist_ok=True)
        for path in self._kept():
            self._inside(path).mkdir(parents=True, exist_ok=True)

    def _inside(self, path: str | Path) -> Path:
        """Where the sandbox keeps what its programs find under a path."""
        return self.root / str(path).lstrip("/")

    def _kept(self) -> list[Path]:
        """What the programs need although it lies below a place that they do not see."""
        needed = (REPOSITORY, Path(tempfile.gettempdir()).resolve())
        return [
            path for path in needed if any(path.is_relative_to(place) for place in PRIVATE_PLACES)
        ]

    def variables(self) -> dict[str, str]:
        """What every program in the sandbox finds in its environment."""
        home = str(self.root / "home")
        return {
            "HOME": home,
            "XDG_RUNTIME_DIR": home,
            "XDG_DATA_HOME": home,
            "XDG_CONFIG_HOME": home,
            "XDG_CACHE_HOME": home,
            **self.environment,
        }

    def wrapped(self, *arguments: str | Path) -> list[str]:
        """The command that runs another one in the sandbox, under the same process id."""
        binds = [(path, self._inside(path)) for path in self._kept()]
        binds += [(self._inside(place), Path(place)) for place in PRIVATE_PLACES]
        binds = [(source, target) for source, target in binds if target.is_dir()]
        binds += [(source, Path(target)) for target, source in self.mounts.items()]
        script = "".join(
            f"mount --rbind {shlex.quote(str(source))} {shlex.quote(str(target))} && "
            for source, target in binds
        )
        return [
            *("unshare", "--mount", "--propagation", "private"),
            *("sh", "-c", f'{script}exec "$@"', "sh"),
            *map(str, arguments),
        ]

    def run(
        self, *arguments: str | Path, directory: Path | None = None, errors_too: bool = False
    ) -> str:
        """Like `command`, in the sandbox."""
        try:
            return command(
                *self.wrapped(*arguments),
                directory=directory,
                environment=self.variables(),
                errors_too=errors_too,
            )
        except Failure as failure:
            told = str(failure).partition("\nended with ")[2]
            raise Failure(f"{' '.join(map(str, arguments))}\nended with {told}") from None

    def save(self, target: Path, *arguments: str | Path) -> None:
        """Run a program and keep what it prints, which need not be text, in a file."""
        self.run("sh", "-c", 'out=$0; exec "$@" > "$out"', target, *arguments)

    def probe(self) -> None:
        """Raise a reason when no program can run like this on this machine."""
        try:
            self.run("test", "-d", REPOSITORY)
        except Failure as failure:
            raise NotRunnable(f"needs root and mount namespaces: {failure}") from None

    def feed(self, source: Path, *arguments: str | Path) -> str:
        """Run a program with a file as its standard input."""
        return self.run("sh", "-c", 'in=$0; exec "$@" < "$in"', source, *arguments)


@contextmanager
def daemon(
    sandbox: Sandbox, arguments: Sequence[str | Path], log_file: Path, ready: Callable[[], object]
) -> Iterator[None]:
    """A daemon in a sandbox for the length of a `with` block, stopped by its process id.

    `ready` raises a failure until the daemon answers. One that never does is not runnable here.
    """
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            sandbox.wrapped(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **sandbox.variables()},
        )
    try:
        _wait_until(ready, process, log_file)
        yield
    finally:
        _stop(process)


def _wait_until(
    ready: Callable[[], object], process: subprocess.Popen[bytes], log_file: Path
) -> None:
    deadline = time.monotonic() + DAEMON_START_SECS_MAX
    while True:
        try:
            ready()
            return
        except Failure as failure:
            log = log_file.read_text(errors="replace")[-TOLD_CHARS_MAX:]
            if process.poll() is not None:
                raise NotRunnable(f"ended with {process.returncode}:\n{log}") from None
            if time.monotonic() > deadline:
                raise NotRunnable(f"does not answer: {failure}\n{log}") from None
        time.sleep(POLL_SECS)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(DAEMON_STOP_SECS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def require(program: str) -> str:
    """The path of a program, Debian's own first."""
    found = shutil.which(program, path="/usr/bin:/usr/sbin:/bin:/sbin") or shutil.which(program)
    if found is None:
        raise NotRunnable(f"there is no {program} on this machine")
    return found
