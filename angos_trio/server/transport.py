"""A connection's bytes, with a deadline on every wait.

What bounds a transfer is stall: no progress for some seconds. A slow peer that takes or brings one
byte now and then is served for as long as it likes, and costs one task and one buffer.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import select
import socket
import ssl
import struct
import termios
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

import trio

from angos_trio.identity import LOCAL_ADDRESS, Certificate
from angos_trio.limits.requests import (
    FILE_SLICE_BYTES_MAX,
    LINGER_BYTES_MAX,
    LINGER_SECS_MAX,
    RECEIVE_BYTES,
    SEND_BYTES_MAX,
)
from angos_trio.records import Frozen


class StalledError(Exception):
    """The peer made no progress within the deadline."""


class TlsOptions(Frozen):
    """`context` is asked at each handshake, which must end within `handshake_secs`."""

    context: Callable[[], ssl.SSLContext]
    handshake_secs: float


class Socket(Protocol):
    """What a transport of either kind asks of its socket."""

    def fileno(self) -> int: ...
    def setsockopt(self, level: int, name: int, value: bytes, /) -> None: ...
    def shutdown(self, how: int, /) -> None: ...
    def close(self) -> None: ...


class Transport(ABC):
    """A connection, with or without TLS. `certificate` is what its client showed."""

    is_secure = False

    def __init__(self, stream: trio.SocketStream, stall_secs: float) -> None:
        """Raises OSError when the peer is gone already."""
        self._socket: Socket = stream.socket
        self.stall_secs = stall_secs
        self.peer = _address(stream.socket.getpeername())
        """The client's address and port; None on a Unix socket."""
        self.peer_address = self.peer[0] if self.peer else LOCAL_ADDRESS
        """For logs."""
        self.local = _address(stream.socket.getsockname())
        """Our address and port; None on a Unix socket."""
        self.certificate: Certificate | None = None

    async def begin(self) -> bool:
        """What comes before the first request; whether there can be one."""
        return True

    @abstractmethod
    async def receive(self, within_secs: float, *, may_extend: bool = True) -> bytes:
        """What the peer brings next, empty when it has ended. Raises StalledError.

        What cannot be used before more of it has come is progress: the time begins anew, unless it
        may not be extended.
        """

    @abstractmethod
    async def send(self, content: bytes) -> None:
        """Send all of it. Raises StalledError, or OSError when the peer is gone."""

    @abstractmethod
    async def send_file(self, descriptor: int, offset: int, length: int) -> None:
        """Send a part of a file from the page cache; cold pages are read in a thread first."""

    @abstractmethod
    def send_now(self, content: bytes) -> None:
        """Send a little at once, or not at all."""

    async def _wait_writable(self) -> None:
        """Wait for room. Raises StalledError when the peer takes nothing at all meanwhile.

        The kernel tells of room only when a good part of its buffer is free, which takes a slow
        reader longer than the deadline: what counts is when it last acknowledged anything. That
        is looked at four times within the deadline, so a stall is noticed a quarter late at most.
        """
        left, moved_at = self._unacknowledged(), trio.current_time()
        while trio.current_time() - moved_at < self.stall_secs:
            with trio.move_on_after(self.stall_secs / 4):
                await trio.lowlevel.wait_writable(self._socket)
                return
            now_left = self._unacknowledged()
            if now_left < left:
                left, moved_at = now_left, trio.current_time()
        raise StalledError

    def _unacknowledged(self) -> int:
        """Bytes that were sent and have not arrived (tcp(7), SIOCOUTQ)."""
        count = array.array("i", [0])
        fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, count)
        return count[0]

    def has_ended(self) -> bool:
        """Whether the peer has ended its side: it left, or has only finished speaking."""
        return bool(self._poll() & select.POLLRDHUP)

    def is_reset(self) -> bool:
        """Whether the connection is gone in both directions."""
        return bool(self._poll() & (select.POLLERR | select.POLLHUP))

    def _poll(self) -> int:
        poller = select.poll()
        poller.register(self._socket.fileno(), select.POLLRDHUP)
        return sum(events for _, events in poller.poll(0))

    async def linger(self) -> None:
        """End our side and read a little, so that the peer sees the answer and not a reset."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            return
        await self.hear_out()

    async def hear_out(self) -> None:
        """Read a little, to no purpose, until the peer ends its side."""
        taken = 0
        with trio.move_on_after(LINGER_SECS_MAX):
            try:
                while taken < LINGER_BYTES_MAX:
                    await trio.lowlevel.wait_readable(self._socket)
                    content = os.read(self._socket.fileno(), RECEIVE_BYTES)
                    if not content:
                        return
                    taken += len(content)
            except OSError:
                return

    def abort(self) -> None:
        """Make the close a reset, so that a cut answer is never taken for a whole one."""
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            return

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class PlainTransport(Transport):
    """A plain TCP or Unix connection."""

    def __init__(self, stream: trio.SocketStream, stall_secs: float) -> None:
        super().__init__(stream, stall_secs)
        self._stream = stream.socket

    async def receive(self, within_secs: float, *, may_extend: bool = True) -> bytes:
        """What the peer brings next: here any byte can be used."""
        await trio.lowlevel.checkpoint()
        try:
            # What is there already needs neither a deadline nor the scheduler.
            return os.read(self._socket.fileno(), RECEIVE_BYTES)
        except BlockingIOError:
            pass
        except ConnectionError:
            return b""
        with trio.move_on_after(within_secs):
            try:
                return await self._stream.recv(RECEIVE_BYTES)
            except ConnectionError:
                return b""
        raise StalledError

    async def send(self, content: bytes) -> None:
        """Send all of it."""
        await trio.lowlevel.checkpoint()
        view = memoryview(content)
        while view:
            try:
                sent = os.write(self._socket.fileno(), view[:SEND_BYTES_MAX])
            except BlockingIOError:
                await self._wait_writable()
                continue
            view = view[sent:]

    async def send_file(self, descriptor: int, offset: int, length: int) -> None:
        """Send a part of a file: the kernel does, and this process sees none of it."""
        end = offset + length
        while offset < end:
            size = min(FILE_SLICE_BYTES_MAX, end - offset)
            if not _is_cached(descriptor, offset, size):
                await trio.to_thread.run_sync(warm, descriptor, offset, size)
            offset += await self._send_slice(descriptor, offset, size)

    async def _send_slice(self, descriptor: int, offset: int, size: int) -> int:
        await trio.lowlevel.checkpoint()
        target = self._socket.fileno()
        while True:
            try:
                sent = os.sendfile(target, descriptor, offset, size)
            except BlockingIOError:
                await self._wait_writable()
                continue
            if sent == 0:
                raise OSError(errno.EIO, "file ended before its length")
            return sent

    def send_now(self, content: bytes) -> None:
        """Send a little at once, or not at all."""
        with contextlib.suppress(OSError):
            os.write(self._socket.fileno(), content)


def _address(name: object) -> tuple[str, int] | None:
    return (name[0], name[1]) if isinstance(name, tuple) else None


def _is_cached(descriptor: int, offset: int, size: int) -> bool:
    """Whether the ends of a slice are in the page cache; where that cannot be asked, assume so."""
    probe = bytearray(1)
    try:
        for position in (offset, offset + size - 1):
            os.preadv(descriptor, [probe], position, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def warm(descriptor: int, offset: int, size: int) -> None:
    """Bring a part of a file into the page cache; blocks."""
    os.pread(descriptor, size, offset)
