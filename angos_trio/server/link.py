"""What a supervisor and the processes that it forked say to each other, a packet each."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Final

from angos_trio.records import Frozen

READY, ALIVE, ACCEPTS, REFUSES = b"r", b"a", b"y", b"n"
NOTE = b"s"
OFFER, TAKE, DROP = b"o", b"t", b"d"
WORD_BYTES_MAX: Final = 64 * 1024
REASON_BYTES_MAX: Final = WORD_BYTES_MAX // 2


class Offer(Frozen):
    """A configuration to look at; nothing changes yet. The generation is to be answered with."""

    generation: int
    content: bytes


class Take(Frozen):
    """Everybody accepted the last offer: it counts from now on."""


class Drop(Frozen):
    """The last offer is off, and this is why."""

    reason: str


class Link:
    """A child's end: it says that it is ready, and that it still goes round. Never blocks."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.setblocking(False)

    def fileno(self) -> int:
        """Readable when there is something to `hear`."""
        return self._end.fileno()

    def hear(self) -> Offer | Take | Drop | None:
        """What the supervisor said next; None when it has said nothing more."""
        try:
            word, descriptors, _, _ = socket.recv_fds(self._end, WORD_BYTES_MAX, 1)
        except (BlockingIOError, ConnectionError):
            return None
        if word.startswith(OFFER):
            with os.fdopen(descriptors[0], "rb") as file:
                return Offer(
                    int(word[1:]), os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)
                )
        if word.startswith(TAKE):
            return Take()
        return Drop(word[1:].decode(errors="replace")) if word.startswith(DROP) else None

    def accept(self, offer: Offer) -> None:
        """The offer can be taken at any moment."""
        self._say(ACCEPTS + b"%d" % offer.generation)

    def refuse(self, offer: Offer, reason: str) -> None:
        """The offer cannot be taken here."""
        self._say(REFUSES + b"%d " % offer.generation + reason.encode()[:REASON_BYTES_MAX])

    def ready(self) -> None:
        """From now on the child does its work."""
        self._say(READY)

    def alive(self) -> None:
        """To be said each second; a child that is silent for 30 s is killed."""
        self._say(ALIVE)

    def note(self, text: str) -> None:
        """What the operator is to know of, in the place of the last; nothing if it is empty."""
        self._say(NOTE + text.encode(errors="replace")[:REASON_BYTES_MAX])

    def _say(self, word: bytes) -> None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionError):
            self._end.send(word)


class Memory:
    """A file in memory with this content, to be handed to other processes."""

    def __init__(self, content: bytes) -> None:
        self.descriptor = os.memfd_create("configuration")
        while content:
            content = content[os.write(self.descriptor, content) :]

    def close(self) -> None:
        """Those who got it keep it."""
        os.close(self.descriptor)
