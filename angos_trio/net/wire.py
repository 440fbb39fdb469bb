"""An outbound connection, with TLS or without, over the socket itself.

OpenSSL reads and writes the descriptor and waiting is Trio's, so that all that has arrived is taken
at once. Through streams each record of TLS, 16 KiB, would cost two turns of the scheduler.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import trio

Result = TypeVar("Result")


class Wire:
    """A connection that is there; whoever has one closes it. Each verb waits as long as it may.

    What goes wrong on it is an OSError, of which ssl.SSLError is one.
    """

    def __init__(self, connected: trio.socket.SocketType) -> None:
        self._socket = socket.socket(fileno=connected.detach())
        self._socket.setblocking(False)

    async def secure(self, tls: ssl.SSLContext, server_name: str) -> None:
        """From now on speak TLS, with who shows a certificate of that name if the context says so.

        Raises ssl.SSLCertVerificationError for another.
        """
        secured = tls.wrap_socket(
            self._socket, server_hostname=server_name, do_handshake_on_connect=False
        )
        self._socket = secured
        await when_ready(secured, secured.do_handshake)

    def peer_certificate(self) -> bytes | None:
        """What the other side has shown, in DER; None without TLS."""
        if not isinstance(self._socket, ssl.SSLSocket):
            return None
        return self._socket.getpeercert(binary_form=True)

    async def send(self, content: bytes) -> None:
        """Send all of it."""
        view = memoryview(content)
        while view:
            sent = await when_ready(self._socket, partial(self._socket.send, view))
            view = view[sent:]

    async def receive(self, bytes_max: int) -> bytes:
        """All that is here, of at most so many bytes, once there is something; empty at the end."""
        return await when_ready(self._socket, partial(self._take, bytes_max))

    def _take(self, bytes_max: int) -> bytes:
        if not isinstance(self._socket, ssl.SSLSocket):
            return self._socket.recv(bytes_max)
        parts, size = [self._socket.recv(bytes_max)], 0
        try:
            while parts[-1] and (size := size + len(parts[-1])) < bytes_max:
                parts.append(self._socket.recv(bytes_max - size))
        except OSError:
            pass  # what came before it counts, and the next look finds the error again
        return b"".join(parts)

    def close(self) -> None:
        """Close the socket without a word: nobody waits for one. Twice is fine."""
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()


async def when_ready(waited_for: socket.socket, step: Callable[[], Result]) -> Result:
    """Do something with a socket that does not block, which may have TLS, as often as it takes."""
    await trio.lowlevel.checkpoint()
    while True:
        try:
            return step()
        except (BlockingIOError, ssl.SSLWantReadError):
            await trio.lowlevel.wait_readable(waited_for)
        except ssl.SSLWantWriteError:
            await trio.lowlevel.wait_writable(waited_for)
