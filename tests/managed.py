"""A service manager's end of what a registry says to it."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SECS_MAX = 60.0
ABSTRACT = "@angos-trio-test-"


@dataclass
class Listening:
    """Hears messages; each is its variables by name."""

    end: socket.socket
    address: str
    heard: list[dict[str, str]] = field(default_factory=list)
    looked_at: int = 0

    def environment(self, watchdog_secs: float | None = None) -> Mapping[str, str]:
        """What a process is started with that is to talk to us."""
        watched = {"WATCHDOG_USEC": str(int(watchdog_secs * 1e6))} if watchdog_secs else {}
        return {"NOTIFY_SOCKET": self.address, **watched}

    def hear(self, secs: float = 0.0) -> list[dict[str, str]]:
        """All that is said until then and was not looked at; or what has been said already."""
        self._listen(secs)
        begin, self.looked_at = self.looked_at, len(self.heard)
        return self.heard[begin:]

    def wait_for(self, **wanted: str) -> dict[str, str]:
        """The next message that was not looked at and has all of these, at their beginnings."""
        deadline = time.monotonic() + SECS_MAX
        while True:
            while self.looked_at < len(self.heard):
                message = self.heard[self.looked_at]
                self.looked_at += 1
                if all(message.get(name, "").startswith(value) for name, value in wanted.items()):
                    return message
            assert time.monotonic() < deadline, f"{wanted} was not said, but {self.heard}"
            self._listen(0.05)

    def is_fed(self, secs: float) -> bool:
        """Whether the watchdog is fed within that time, from now on."""
        self.hear()
        deadline = time.monotonic() + secs
        while time.monotonic() < deadline:
            if any("WATCHDOG" in message for message in self.hear(0.05)):
                return True
        return False

    def _listen(self, secs: float) -> None:
        deadline = time.monotonic() + secs
        while select.select([self.end], [], [], max(deadline - time.monotonic(), 0))[0]:
            pairs = (line.partition("=") for line in self.end.recv(65_536).decode().split("\n"))
            self.heard.append({name: value for name, _, value in pairs})


@contextmanager
def listening(address: str) -> Iterator[Listening]:
    """A manager that listens at a path, or at an abstract name that begins with `@`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        yield Listening(end, address)


def below(folder: Path) -> str:
    """The path of a socket in a directory."""
    return str(folder / "notify")
