"""What a service manager is told of this process: sd_notify(3), a datagram a message.

Nothing here waits, and nothing raises: a manager that does not listen is none of a registry's
business.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

from angos_trio.limits.processes import STATUS_CHARACTERS_MAX
from angos_trio.records import Mutable, field

_READY: Final = "READY=1"
_WATCHDOG: Final = "WATCHDOG=1"
_USEC: Final = 1_000_000
_UNSAID_MAX: Final = 8


class Manager(Mutable):
    """Who started this process and wants to hear of it; nobody without an address.

    `watchdog_secs`: it ends the service when it was not fed for so long; None when it does not.
    """

    address: str = ""
    watchdog_secs: float | None = None
    _socket: socket.socket | None = None
    _unsaid: list[bytes] = field(default_factory=list)

    def ready(self, status: str) -> None:
        """Requests are answered: for the first time, or again after a reload."""
        self._insist(_READY, f"MAINPID={os.getpid()}", _status(status))

    def status(self, status: str) -> None:
        """One line for people."""
        self._say(_status(status))

    def reloading(self) -> None:
        """A new configuration is looked at; until the next `ready`."""
        self._insist("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str, secs: float) -> None:
        """The process has begun to end, and may take so long from now on, whatever the unit says.
        In one message: to a stop that it hears of only here, the manager gives the unit's time."""
        self._insist("STOPPING=1", _extension(secs), _status(status))

    def extend(self, secs: float) -> None:
        """A start may take so long from now on, whatever the unit says."""
        self._say(_extension(secs))

    def feed(self) -> None:
        """All is well at this moment."""
        self._say(_WATCHDOG)

    def say_again(self) -> None:
        """Try once more to say what has to be said, where the manager had no room for it."""
        while self._unsaid and self._is_taken(self._unsaid[0]):
            self._unsaid.pop(0)

    def close(self) -> None:
        """Nothing more is said."""
        made, self._socket = self._socket, None
        if made is not None:
            made.close()

    def _insist(self, *lines: str) -> None:
        """The manager waits for it: it is said later if it cannot be said now."""
        self._unsaid = [*self._unsaid[-_UNSAID_MAX:], _message(lines)]
        self.say_again()

    def _say(self, *lines: str) -> None:
        self.say_again()
        if not self._unsaid:
            self._is_taken(_message(lines))

    def _is_taken(self, message: bytes) -> bool:
        """False when there is no room at this moment; true also when nobody ever listens."""
        name = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        try:
            if self._socket is not None:
                self._socket.sendto(message, name)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True


def _message(lines: tuple[str, ...]) -> bytes:
    return "\n".join(lines).encode(errors="replace")


def _extension(secs: float) -> str:
    return f"EXTEND_TIMEOUT_USEC={int(secs * _USEC)}"


def _status(text: str) -> str:
    """A message is made of lines, and this is one of them."""
    return f"STATUS={' '.join(text.split())[:STATUS_CHARACTERS_MAX]}"


def take_manager(environ: MutableMapping[str, str]) -> Manager:
    """The manager that the environment names, out of which its variables are taken: what we start
    has none. sd_notify(3), sd_watchdog_enabled(3)."""
    address = environ.pop("NOTIFY_SOCKET", "")
    usec, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
    if not address.startswith(("/", "@")):
        return Manager()
    try:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    except OSError:  # no descriptors are left
        return Manager()
    is_ours = pid in ("", str(os.getpid()))
    is_watched = is_ours and usec.isascii() and usec.isdecimal() and int(usec) > 0
    return Manager(address, int(usec) / _USEC if is_watched else None, made)
