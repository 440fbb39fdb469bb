"""A connection with TLS, over the socket itself.

OpenSSL reads and writes the descriptor, so that an alert goes out when it arises and nothing is
copied between buffers. Waiting is Trio's, as for a plain connection.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import socket
import ssl
import sys
from typing import Final

import trio

from angos_trio.identity import Certificate
from angos_trio.limits.requests import (
    FILE_SLICE_BYTES_MAX,
    HANDSHAKE_TELL_SECS,
    HANDSHAKES_TOLD_MAX,
    RECEIVE_BYTES,
    TLS_SLICE_BYTES,
    TLS_UNSENT_BYTES,
)
from angos_trio.net.wire import when_ready
from angos_trio.pki.certificates import CertificateError, read_certificate, unreadable_certificate
from angos_trio.records import Frozen, field
from angos_trio.server.transport import StalledError, TlsOptions, Transport, warm
from angos_trio.telemetry.log import logger

_log = logger("server")
RECORD_BYTES: Final = 16 * 1024
"""The most that a record carries (RFC 8446 5.1)."""
_TO_HTTP: Final = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 36\r\n\r\nThe client sent HTTP to a TLS port.\n"
)
_TIMED_OUT: Final = b"\x15\x03\x03\x00\x02\x02\x5a"
"""A fatal alert, user_canceled (RFC 8446 6.2): OpenSSL has none for a peer that is too slow."""


def _buffer(size: int) -> memoryview:
    return memoryview(bytearray(size))


class TlsDoor(Frozen):
    """What the connections of a listener share: their options, two buffers, and which failures
    were told of lately.

    A buffer is filled and emptied without waiting in between, so one of each is enough.
    """

    options: TlsOptions
    stall_secs: float
    received: memoryview = field(default_factory=lambda: _buffer(RECEIVE_BYTES))
    slice: memoryview = field(default_factory=lambda: _buffer(TLS_SLICE_BYTES))
    told: dict[tuple[str, str], float] = field(default_factory=dict)
    chains: dict[bytes, list[bytes]] = field(default_factory=dict)
    """By session: what `signers_of` said of connections that are open and can be resumed."""

    def may_tell(self, client: str, reason: str) -> bool:
        """Whether a failure is news: a client that tries on and on must not fill the log."""
        now = trio.current_time()
        if now - self.told.get((client, reason), -math.inf) < HANDSHAKE_TELL_SECS:
            return False
        if len(self.told) >= HANDSHAKES_TOLD_MAX:
            self.told.clear()
        self.told[client, reason] = now
        return True

    def __call__(self, stream: trio.SocketStream) -> TlsTransport:
        """Take over a connection that was accepted. Raises OSError when it is gone already."""
        return TlsTransport(stream, self)


class TlsTransport(Transport):
    """A TLS connection over TCP."""

    is_secure = True

    def __init__(self, stream: trio.SocketStream, door: TlsDoor) -> None:
        super().__init__(stream, door.stall_secs)
        self._door = door
        self._owed = b""
        """Of `send_now`, in part with OpenSSL: it must be offered again before anything else."""
        self._is_aborted = False
        self._session_id = b""
        inner = socket.socket(fileno=stream.socket.detach())
        inner.setblocking(False)
        with contextlib.suppress(OSError):  # Trio's 16 KiB wake us for each record
            inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, TLS_UNSENT_BYTES)
        try:
            self._tls = door.options.context().wrap_socket(
                inner, server_side=True, do_handshake_on_connect=False
            )
        except OSError:
            inner.close()
            raise
        self._socket = self._tls

    async def begin(self) -> bool:
        """The handshake, which must end in time. One that fails is logged with its reason."""
        secs, failure = self._door.options.handshake_secs, None
        with trio.move_on_after(secs) as scope:
            try:
                await when_ready(self._tls, self._tls.do_handshake)
            except OSError as error:
                failure = error
        if scope.cancelled_caught:
            self._write_in_clear(_TIMED_OUT)
            self._tell_failure(f"no handshake within {secs:g} s", is_ours=False)
        elif failure is not None:
            await self._refuse(failure)
        else:
            self.certificate = self._read_certificate()
            return True
        return False

    async def _refuse(self, error: OSError) -> None:
        """OpenSSL has sent its alert; wait a little, so that it is not lost in a reset.

        Who reads it ends the connection (RFC 8446 6.2). We do not before: Chromium, when both have
        come before it looked, tells of a connection that was closed, and not of the certificate.
        """
        if isinstance(error, ssl.SSLError) and error.reason == "HTTP_REQUEST":
            self._write_in_clear(_TO_HTTP)
        if isinstance(error, ConnectionError | ssl.SSLEOFError | ssl.SSLZeroReturnError):
            # So does what only looks whether the port is open: no reason to fill a log.
            reason = "the client left"
            _log.debug("tls.handshake_failed", reason=reason, client=self.peer_address)
            return
        reason, is_ours = failure_of(error)
        self._tell_failure(reason, is_ours=is_ours)
        await self.hear_out()

    def _write_in_clear(self, content: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._tls.fileno(), content)

    def _tell_failure(self, reason: str, *, is_ours: bool) -> None:
        if not self._door.may_tell(self.peer_address, reason):
            return
        if is_ours:
            _log.warning("tls.handshake_failed", reason=reason, client=self.peer_address)
        else:
            _log.info("tls.handshake_failed", reason=reason, client=self.peer_address)

    def _read_certificate(self) -> Certificate | None:
        """What the client showed. One that cannot be read is handed on as such, for a refusal."""
        shown = self._tls.getpeercert(binary_form=True)
        if shown is None:
            return None
        try:
            return read_certificate(shown, self._signers())
        except CertificateError as error:
            _log.warning("tls.certificate_unreadable", reason=str(error), client=self.peer_address)
            return unreadable_certificate(shown)

    def _signers(self) -> list[bytes]:
        """The certificates above the client's, as they were verified.

        A session of TLS 1.2 can be resumed while its connection is open, and then has only what
        the client sent of them. Raises CertificateError where nobody knows them any more.
        """
        session, chains = self._tls.session, self._door.chains
        if self._tls.session_reused:
            if session is None or session.id not in chains:
                raise CertificateError("its session was resumed and is over")
            return chains[session.id]
        signers = signers_of(self._tls)
        if session is not None and session.id and self._tls.version() == "TLSv1.2":
            self._session_id = session.id
            chains[session.id] = signers
        return signers

    async def receive(self, within_secs: float, *, may_extend: bool = True) -> bytes:
        """What the peer brings next: whole records. A part of one is progress."""
        await trio.lowlevel.checkpoint()
        content = self._take()
        if content is not None:
            return content
        with trio.move_on_after(within_secs) as scope:
            while content is None:
                await trio.lowlevel.wait_readable(self._tls)
                content = self._take()
                if may_extend:
                    scope.deadline = trio.current_time() + within_secs
            return content
        raise StalledError

    def _take(self) -> bytes | None:
        """The records that are here; None when none is. Full ones are followed by more."""
        room, size = self._door.received, 0
        try:
            while size < len(room):
                count = self._tls.recv_into(room[size:])
                size += count
                if count < RECORD_BYTES:
                    break
        except ssl.SSLWantReadError:
            if size == 0:
                return None
        except OSError:
            pass  # what came before it counts, and the next look finds the error again
        return bytes(room[:size])

    async def send(self, content: bytes) -> None:
        """Send all of it."""
        await trio.lowlevel.checkpoint()
        owed, self._owed = self._owed, b""
        view = memoryview(owed + content if owed else content)
        while view := view[self._put(view) :]:
            await self._wait_writable()

    def _put(self, view: memoryview) -> int:
        """Send what there is room for, a record at a time; how many bytes that was.

        OpenSSL keeps the record that found no room, and takes nothing else before these bytes are
        offered again. Given more than a record, it would want all of that again.
        """
        sent = 0
        with contextlib.suppress(ssl.SSLWantWriteError):
            while sent < len(view):
                sent += self._tls.send(view[sent : sent + RECORD_BYTES])
        return sent

    async def send_file(self, descriptor: int, offset: int, length: int) -> None:
        """Send a part of a file. Its bytes pass through one buffer, and are read again when there
        was no room for them: a slow reader holds no more than OpenSSL's one record."""
        end = offset + length
        size_max = TLS_SLICE_BYTES
        while offset < end:
            await trio.lowlevel.checkpoint()
            size = min(size_max, end - offset)
            view = await self._read_slice(descriptor, offset, size, end)
            sent = self._put(view)
            offset += sent
            # Who reads slowly frees little room at a time: do not read much for it.
            size_max = min(2 * size_max, TLS_SLICE_BYTES)
            if sent < len(view):
                size_max = max(2 * sent, 4 * RECORD_BYTES)
                await self._wait_writable()

    async def _read_slice(self, descriptor: int, offset: int, size: int, end: int) -> memoryview:
        """Some bytes of a file, at least the record that OpenSSL may hold."""
        view, least = self._door.slice[:size], min(size, RECORD_BYTES)
        count = _read_cached(descriptor, view, offset)
        if count < least:
            await trio.to_thread.run_sync(
                warm, descriptor, offset, min(FILE_SLICE_BYTES_MAX, end - offset)
            )
            count = os.preadv(descriptor, [view], offset)
        if count < least:
            raise OSError(errno.EIO, "file ended before its length")
        return view[:count]

    def send_now(self, content: bytes) -> None:
        """Send a little at once, or not at all; or with what is sent next."""
        if self._owed:
            return
        try:
            self._tls.send(content)
        except ssl.SSLWantWriteError:
            self._owed = content
        except OSError:
            return

    async def linger(self) -> None:
        """End our side and read a little, so that the peer sees the answer and not a reset."""
        self._end_in_order()
        await super().linger()

    def _end_in_order(self) -> None:
        """Tell the peer that this is all (RFC 8446 6.1), and take in its word if it is here.

        Not in TLS 1.2: OpenSSL then keeps the session, 16 KiB with a certificate, for two hours,
        and lets it be resumed without a look at the certificate. HTTP tells where an answer ends.
        """
        if self._tls.version() == "TLSv1.3":
            with contextlib.suppress(OSError, ValueError):
                self._tls.unwrap()

    def abort(self) -> None:
        """Make the close a reset, with no word of an end."""
        self._is_aborted = True
        super().abort()

    def close(self) -> None:
        """End in order, unless that is over, and close the socket."""
        self._door.chains.pop(self._session_id, None)
        if not self._is_aborted:
            self._end_in_order()
        trio.lowlevel.notify_closing(self._tls)
        self._tls.close()


def _read_cached(descriptor: int, view: memoryview, offset: int) -> int:
    """Read what is in the page cache; where that cannot be asked, read."""
    try:
        return os.preadv(descriptor, [view], offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return 0
    except OSError:
        return os.preadv(descriptor, [view], offset)


def failure_of(error: OSError) -> tuple[str, bool]:
    """Why a handshake failed, in words; and whether it was for us to refuse."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the client certificate is not good: {error.verify_message}", True
    reason = getattr(error, "reason", None)
    if not reason:
        return str(error), False
    words = reason.lower().replace("_", " ")
    _, is_alert, alert = words.partition("alert ")
    if is_alert:
        return f"the client refused: {alert}", False
    known = {
        "HTTP_REQUEST": ("the client sent HTTP to a TLS port", False),
        "PEER_DID_NOT_RETURN_A_CERTIFICATE": ("the client showed no certificate", True),
        "NO_SHARED_CIPHER": (words, True),
        "UNSUPPORTED_PROTOCOL": (words, True),
    }
    return known.get(reason, (words, False))


def signers_of(connection: ssl.SSLSocket) -> list[bytes]:
    """The certificates above the one that the client showed, in DER.

    A session that is resumed does not know them. Before Python 3.13 only the inner object does.
    """
    if sys.version_info >= (3, 13):
        return connection.get_verified_chain()[1:]
    import _ssl

    inner = connection._sslobj  # type: ignore[attr-defined]
    chain = inner.get_verified_chain() or []
    return [each.public_bytes(_ssl.ENCODING_DER) for each in chain[1:]]
