"""A family of processes: forks them, starts anew those that end, ends with them.

Plain synchronous code without threads or an event loop, so that it can fork at any time and hardly
fail. A child has a link to say that it is ready and alive; when the supervisor is gone, however it
went, the children end by themselves.
"""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Final

from angos_trio.limits.processes import (
    CHILD_ALIVE_SECS,
    CHILD_BACKOFF_SECS_MAX,
    CHILD_BACKOFF_SECS_MIN,
    CHILD_HEARD_SECS_MAX,
    CHILD_LOOK_SECS_MAX,
    CHILD_SILENT_SECS_MAX,
    CHILD_STEADY_SECS,
    CHILD_STOP_SECS_MAX,
    RELOAD_SECS_MAX,
)
from angos_trio.records import Mutable, field
from angos_trio.server.child import REFUSED_CODE, Child, become
from angos_trio.server.link import (
    ACCEPTS,
    DROP,
    NOTE,
    OFFER,
    READY,
    REFUSES,
    TAKE,
    WORD_BYTES_MAX,
    Link,
    Memory,
    Offer,
)
from angos_trio.server.reporting import Look, Reporter
from angos_trio.telemetry.log import logger

_log = logger("supervisor")
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
HURRY_SIGNAL: Final = signal.SIGUSR1
"""Tells a child that is stopping to end its requests at once."""


class _Reload(Mutable):
    """An offer that not all members have answered yet."""

    offer: Offer
    waits_for: set[str]
    deadline: float


class _Member(Mutable):
    child: Child
    pid: int = 0
    end: socket.socket | None = None
    started_at: float = 0.0
    heard_at: float = 0.0
    is_ready: bool = False
    failures: int = 0
    note: str = ""
    """What it wants the operator to know."""
    start_at: float | None = 0.0
    """When to start it next; None while it runs."""


def backoff_secs(failures: int) -> float:
    """How long to wait before a process that failed so often in a row is started again."""
    return float(min(CHILD_BACKOFF_SECS_MAX, CHILD_BACKOFF_SECS_MIN * 2 ** min(failures, 16)))


def _is_heard(member: _Member, now: float) -> bool:
    """Whether it does its work at this moment, as far as one can know."""
    return bool(member.pid and member.is_ready and now - member.heard_at <= CHILD_HEARD_SECS_MAX)


class Supervisor(Mutable, dict=True):
    """Runs until it is told to stop, or a member that was never ready gives up."""

    children: Sequence[Child]
    drain_secs: float
    on_ready: Callable[[], None]
    on_hangup: Callable[[], bytes | str]
    """SIGHUP came: a configuration to offer, or why there is none."""
    on_reload: Callable[[bytes | str], None]
    """What all took, or why it was refused."""
    reporter: Reporter = field(default_factory=Reporter)
    connections: Callable[[], int] = lambda: 0
    _generation: int = 0
    _reload: _Reload | None = None
    _is_reload_wanted: bool = False
    _members: list[_Member] = field(default_factory=list)
    _stopping: list[int] = field(default_factory=list)
    _kill_at: float | None = None
    _was_ready: bool = False
    _code: int = 0
    _looked_at: float = 0.0

    def run(self) -> int:
        """Return the exit code once every member has ended."""
        self._members = [_Member(child) for child in self.children]
        reads, writes = os.pipe()
        self._orphaned, self._holds = reads, writes
        # A child's collector would write to every object and so copy the pages that all share.
        gc.collect()
        gc.freeze()
        with self._signals() as wake, selectors.DefaultSelector() as self._selector:
            self._selector.register(wake, selectors.EVENT_READ)
            self._wake = wake
            try:
                while self._members_run():
                    self._go_round()
            finally:
                self._kill(self._members)
                os.close(writes)
                os.close(reads)
        return self._code

    def _members_run(self) -> bool:
        return not self._stopping or any(member.pid for member in self._members)

    def _go_round(self) -> None:
        now = time.monotonic()
        if not self._stopping and self._reload is None:
            for member in self._members:
                if member.start_at is not None and now >= member.start_at:
                    self._start(member, now)
        self._kill_the_silent(now)
        self.reporter.go_round(self._look(now), now)
        if self._reload is not None:
            if now > self._reload.deadline:
                silent = ", ".join(sorted(self._reload.waits_for))
                self._end_reload(f"no answer from {silent}")
        elif self._is_reload_wanted and self._was_ready and not self._stopping:
            self._begin_reload()
        self._stop_further(now)
        for key, _ in self._selector.select(CHILD_ALIVE_SECS / 4):
            if key.data is None:
                self._take_signals(key.fd)
            else:
                self._listen_to(key.data)
        self._reap()

    def _look(self, now: float) -> Look:
        """Those of the first rank answer requests; without one of them, or without one of those
        who look after the rest, nothing is well."""
        heard = [member for member in self._members if _is_heard(member, now)]
        first = min(child.rank for child in self.children)
        workers = sum(member.child.rank == first for member in heard)
        others = [child for child in self.children if child.rank != first]
        return Look(
            connections=self.connections(),
            workers=workers,
            wanted=len(self.children) - len(others),
            is_well=workers > 0 and len(heard) == workers + len(others),
            problems=tuple(member.note for member in self._members if member.pid and member.note),
        )

    def _start(self, member: _Member, now: float) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        # Until a child has left the family, what comes for it would be told to the supervisor.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = -1
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            pid = os.fork()
        except OSError as error:  # no memory, no descriptors, too many processes
            wait_secs = self._start_later(member, now)
            _log.error(
                "process.not_started",
                process=member.child.name,
                error=str(error),
                restart_secs=round(wait_secs, 1),
            )
            return
        finally:
            if pid != 0:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        if pid == 0:
            self._leave_family(ours)
            become(member.child, Link(theirs), self._orphaned)
        theirs.close()
        ours.setblocking(False)
        self._selector.register(ours, selectors.EVENT_READ, member)
        member.pid, member.end, member.is_ready, member.note = pid, ours, False, ""
        member.started_at = member.heard_at = now
        member.start_at = None
        _log.info("process.started", process=member.child.name, pid=pid)

    def _leave_family(self, ours: socket.socket) -> None:
        """In the child: nothing of the supervisor's stays open, and its signals are not ours."""
        signal.set_wakeup_fd(-1)
        for kind in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(kind, signal.SIG_DFL)
        for kind in (signal.SIGINT, signal.SIGHUP):  # a terminal sends these to the whole group
            signal.signal(kind, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        self._selector.close()
        self._wake.close()
        os.close(self._holds)
        ours.close()
        for member in self._members:
            if member.end is not None:
                member.end.close()

    def _listen_to(self, member: _Member) -> None:
        if member.end is None:
            return
        try:
            word = member.end.recv(WORD_BYTES_MAX)
        except (BlockingIOError, ConnectionError):
            return
        if not word:
            self._close_end(member)
            return
        member.heard_at = time.monotonic()
        if word == READY and not member.is_ready:
            member.is_ready = True
            if not self._was_ready and all(each.is_ready for each in self._members):
                self._was_ready = True
                self.on_ready()
                self.reporter.ready(self._look(member.heard_at), member.heard_at)
        elif word.startswith(NOTE):
            member.note = word[len(NOTE) :].decode(errors="replace")
        elif word[:1] in (ACCEPTS, REFUSES):
            self._take_answer(member, word)

    def _begin_reload(self) -> None:
        """Offer a new configuration to all that run."""
        self._is_reload_wanted = False
        self.reporter.reloading()
        content = self.on_hangup()
        if isinstance(content, str):
            self._end_reload(content)
            return
        self._generation += 1
        offer = Offer(self._generation, content)
        asked = {member.child.name for member in self._members if member.pid}
        self._reload = _Reload(offer, asked, time.monotonic() + RELOAD_SECS_MAX)
        if not asked:  # who starts next has what counts then
            self._end_reload(None)
            return
        with contextlib.closing(Memory(content)) as memory:
            for member in self._members:
                self._say(member, OFFER + b"%d" % offer.generation, [memory.descriptor])

    def _take_answer(self, member: _Member, word: bytes) -> None:
        current = self._reload
        generation, _, reason = word[1:].partition(b" ")
        if current is None or int(generation) != current.offer.generation:
            return
        if word.startswith(REFUSES):
            self._end_reload(f"{member.child.name}: {reason.decode(errors='replace')}")
        else:
            self._waits_no_more_for(member)

    def _waits_no_more_for(self, member: _Member) -> None:
        """It accepted; or it ended, and starts anew with what counts then."""
        if self._reload is not None:
            self._reload.waits_for.discard(member.child.name)
            if not self._reload.waits_for:
                self._end_reload(None)

    def _end_reload(self, refused: str | None) -> None:
        """Everybody takes the offer, or nobody does."""
        current, self._reload = self._reload, None
        word = DROP + (refused or "").encode()
        if refused is None and current is not None:
            word = TAKE
        self.on_reload(current.offer.content if current and word == TAKE else refused or "")
        for member in self._members:
            self._say(member, word)
        now = time.monotonic()
        self.reporter.reloaded(refused, self._look(now), now)

    def _say(self, member: _Member, word: bytes, descriptors: Sequence[int] = ()) -> None:
        """One whose packets pile up does not listen: it is killed, and starts with what counts."""
        if member.end is None:
            return
        try:
            socket.send_fds(member.end, [word[:WORD_BYTES_MAX]], descriptors)
        except BlockingIOError:
            self._kill([member])
        except ConnectionError:
            return  # it has ended, and is waited for

    def _close_end(self, member: _Member) -> None:
        if member.end is not None:
            self._selector.unregister(member.end)
            member.end.close()
            member.end = None

    def _kill_the_silent(self, now: float) -> None:
        """While we did not run ourselves, since the host was paused or had no time for us, nobody
        could be heard: that is nobody's silence."""
        missed_secs, self._looked_at = now - (self._looked_at or now), now
        if missed_secs > CHILD_LOOK_SECS_MAX:
            for member in self._members:
                member.heard_at += missed_secs
        for member in self._members:
            if member.pid and now - member.heard_at > CHILD_SILENT_SECS_MAX:
                _log.error("process.silent", process=member.child.name, pid=member.pid)
                self._kill([member])
                member.heard_at = now

    def _reap(self) -> None:
        for member in self._members:
            if not member.pid:
                continue
            pid, status = os.waitpid(member.pid, os.WNOHANG)
            if pid:
                self._ended(member, os.waitstatus_to_exitcode(status))

    def _ended(self, member: _Member, code: int) -> None:
        now = time.monotonic()
        pid, member.pid = member.pid, 0
        self._close_end(member)
        self._waits_no_more_for(member)
        if code == REFUSED_CODE and not self._was_ready:
            self._code = code  # it has said why, and would say so again
            if not self._stopping:
                self._begin_to_stop()
        if self._stopping:
            _log.info("process.ended", process=member.child.name, pid=pid, code=code)
            return
        if now - member.started_at >= CHILD_STEADY_SECS:
            member.failures = 0
        wait_secs = self._start_later(member, now)
        _log.error(
            "process.ended",
            process=member.child.name,
            pid=pid,
            code=code,
            restart_secs=round(wait_secs, 1),
        )

    @staticmethod
    def _start_later(member: _Member, now: float) -> float:
        wait_secs = backoff_secs(member.failures)
        member.failures += 1
        member.start_at = now + wait_secs
        return wait_secs

    def _begin_to_stop(self) -> None:
        """Tell the members of the first rank that still run; of the next when these have ended."""
        self._stopping = sorted({member.child.rank for member in self._members})
        self._tell_rank()

    def _tell_rank(self, kind: signal.Signals = signal.SIGTERM) -> None:
        for member in self._members:
            if member.pid and member.child.rank == self._stopping[0]:
                os.kill(member.pid, kind)
        now = time.monotonic()
        self._kill_at = now + self.drain_secs + CHILD_STOP_SECS_MAX
        if kind == signal.SIGTERM:
            more_secs = 2 * CHILD_STOP_SECS_MAX
            self.reporter.stopping(self._look(now), now, self.drain_secs, more_secs)

    def _stop_further(self, now: float) -> None:
        if not self._stopping:
            return
        left = [each for each in self._members if each.pid and each.child.rank == self._stopping[0]]
        if not left and len(self._stopping) > 1:
            self._stopping.pop(0)
            self._tell_rank()
        elif left and self._kill_at is not None and now > self._kill_at:
            self._kill(left)

    @staticmethod
    def _kill(members: Sequence[_Member]) -> None:
        for member in members:
            if member.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member.pid, signal.SIGKILL)

    def _take_signals(self, wake: int) -> None:
        for kind in os.read(wake, 4096):
            if kind == signal.SIGHUP:
                self._is_reload_wanted = True
            elif kind in (signal.SIGTERM, signal.SIGINT):
                if self._stopping:
                    self._tell_rank(HURRY_SIGNAL)
                else:
                    self._begin_to_stop()

    @contextlib.contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        reads, writes = socket.socketpair()
        reads.setblocking(False)
        writes.setblocking(False)
        signal.set_wakeup_fd(writes.fileno(), warn_on_full_buffer=False)
        for kind in _SIGNALS:
            signal.signal(kind, _only_wake)
        signal.pthread_sigmask(
            signal.SIG_UNBLOCK, _SIGNALS
        )  # who starts us may have held some back
        try:
            yield reads
        finally:
            signal.set_wakeup_fd(-1)
            reads.close()
            writes.close()


def _only_wake(kind: int, frame: FrameType | None) -> None:
    """The number of the signal is read from the wake-up socket."""
