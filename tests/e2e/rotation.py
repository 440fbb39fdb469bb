"""New certificates in the place of old ones, while the registry serves."""

from __future__ import annotations

import http.client
import json
import signal
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography import x509

from tests.e2e.machine import Failure
from tests.e2e.report import MISHAPS, tell
from tests.e2e.secure import SecureLab

HANDSHAKES = 20
SETTLE_SECS_MAX = 30
POLL_SECS = 0.05


def serial_of(connection: http.client.HTTPConnection) -> int:
    """The serial number of the certificate that the registry showed."""
    if not isinstance(connection.sock, ssl.SSLSocket):
        raise Failure("the connection is not open, or without TLS")
    shown = connection.sock.getpeercert(binary_form=True)
    if shown is None:
        raise Failure("no certificate was shown")
    return x509.load_der_x509_certificate(shown).serial_number


def shown_by(lab: SecureLab) -> int:
    """The serial number of the certificate that a new connection is shown."""
    connection = lab.connection()
    try:
        return serial_of(connection)
    finally:
        connection.close()


@dataclass
class Rotation:
    """A new certificate in the place of the old one, and when every process had it."""

    lab: SecureLab
    replace: Callable[[], int]
    """Replaces the files, each at once; the serial number of the new certificate."""
    has_signal: bool
    ended_at: float = 0.0
    serial: int = 0
    failures: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Replace the files, and wait until that is seen."""
        log = len(self.lab.registry.log)
        self.serial = self.replace()
        if self.has_signal:
            self.lab.registry.process.send_signal(signal.SIGHUP)
        try:
            wait_until(lambda: self._is_taken(self.lab.registry.log[log:]), "all have taken it")
            self.ended_at = time.monotonic()
            self._look()
        except MISHAPS as error:
            self.failures.append(tell(error))

    def _is_taken(self, log: str) -> bool:
        """Whether each process that answers requests has said so."""
        whole = log.rpartition("\n")[0].splitlines()
        events = [json.loads(line) for line in whole if line.startswith("{")]
        if self.has_signal:
            return any(event["event"] == "reload.done" for event in events)
        wanted = {f"worker-{number + 1}" for number in range(workers_of(self.lab))}
        seen = {
            event.get("process", "worker-1")
            for event in events
            if event["event"] == "certificates.reloaded"
        }
        return wanted <= seen

    def _look(self) -> None:
        """Fail unless each new connection is shown the new certificate."""
        for _ in range(HANDSHAKES):
            if (shown := shown_by(self.lab)) != self.serial:
                raise Failure(f"{shown} is shown, not {self.serial}")


def workers_of(lab: SecureLab) -> int:
    """How many processes answer requests, as the registry said when it started."""
    for line in lab.registry.log.splitlines():
        if '"started"' in line and "workers" in (event := json.loads(line)):
            workers: int = event["workers"]
            return workers
    raise Failure("the log does not tell of the start")


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Return once it is so. Raises Failure after 30 s."""
    deadline = time.monotonic() + SETTLE_SECS_MAX
    while not is_so():
        if time.monotonic() > deadline:
            raise Failure(f"after {SETTLE_SECS_MAX} s it is not so that {what}")
        time.sleep(POLL_SECS)
