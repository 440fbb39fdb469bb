"""A certificate of the server that was made long ago and is due; runs in the guest.

`SHIV_INTERPRETER=1 angos-trio due.py` is the program's own Python. Prints the serial number.
"""

from __future__ import annotations

from pathlib import Path

from angos_trio.clock import DAY_SECS, epoch_seconds
from angos_trio.pki.authority import PkiDirectory, ServerWish, give_server
from angos_trio.pki.opening import opened

now = epoch_seconds()
# The authority is younger than that, which is why it is opened now and issues at another time.
with opened(PkiDirectory(Path("/etc/angos-trio/pki")), now) as authority:
    before = authority.journal.latest()["server"]
    begun = now - before.days * DAY_SECS * 9 // 10
    print(give_server(authority, ServerWish(before.names, before.days), begun).record.serial)
