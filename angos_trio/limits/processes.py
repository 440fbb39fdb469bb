"""Commands, and the processes of an instance."""

from __future__ import annotations

from typing import Final

# Commands (`app`, `net`)
COMMAND_WAIT_SECS_MAX: Final = 10.0
"""A command waits for a registry that starts or stops, or for another command;"""
COMMAND_POLL_SECS: Final = 0.05
"""between two looks."""
CONTROL_SECS_MAX: Final = 30.0
"""A command waits for the answer to its request."""
CONTROL_ANSWER_BYTES_MAX: Final = 32 * 1024 * 1024

# The processes (`app`, `config`, `server`)
WORKERS_MAX: Final = 64
INSTANCE_WAIT_SECS_MAX: Final = 2.0
"""A start waits for the processes of a killed instance to be gone."""
RELOAD_SECS_MAX: Final = 10.0
"""For all processes to look at a new configuration; then it is refused."""
RELOAD_REASON_CHARACTERS_MAX: Final = 2000
CHILD_ALIVE_SECS: Final = 1.0
"""Between two signs of life of a process."""
CHILD_SILENT_SECS_MAX: Final = 30.0
"""A process that gave no sign of life for this long is killed and started anew."""
CHILD_LOOK_SECS_MAX: Final = 5.0
"""Who looks after processes looks more often; when it did not, it was paused itself."""
CHILD_BACKOFF_SECS_MIN: Final = 0.1
"""Before a process that ended is started anew; doubled each time, up to"""
CHILD_BACKOFF_SECS_MAX: Final = 30.0
CHILD_STEADY_SECS: Final = 60.0
"""A process that ran for this long has failed for the first time."""
CHILD_STOP_SECS_MAX: Final = 30.0
"""A process may take this long to end, beyond the time for its requests; then it is killed."""
REPORT_SECS: Final = 5.0
"""Between two reports of a process to the others;"""
REPORT_SECS_MAX: Final = 20.0
"""one that is older than this is from a process that does not run."""
RECOVERY_SECS: Final = 2.0
"""Between two looks for uploads that a dead process held."""
PRUNE_SECS: Final = 3600.0
"""Between two rounds of removing old events,"""
PRUNE_ROWS: Final = 1000
"""so many in one change,"""
EVENT_SECS_MAX: Final = 30 * 86_400
"""and how old they are then."""
CONFIG_FILE_BYTES_MAX: Final = 4 * 1024 * 1024
SECRET_FILE_BYTES_MAX: Final = 64 * 1024
"""Of a file that holds one password, key or token."""
TABLE_NAME_CHARACTERS_MAX: Final = 128
"""Of a user's, provider's or webhook's table: it is logged, and sent to webhooks."""
USERNAME_CHARACTERS_MAX: Final = 255
TOKEN_KEY_BYTES_MIN: Final = 32
"""Of the key that signs registry tokens with HMAC-SHA-256 (RFC 7518, section 3.2)."""
WATCH_STORAGE_SECS: Final = 2.0
"""Between two looks of the steward at free space and at the switch."""
SWEEP_SECS: Final = 60.0
"""Between two looks at idle upload sessions and the ballast."""

DRAIN_SECS_MAX: Final = 86_400
"""The longest drain that can be configured."""

# The program on a host (`appliance`)
INSTALL_LOCK_SECS_MAX: Final = 60.0
"""Another command that installs is waited for."""
BEGIN_LOCK_SECS_MAX: Final = 30.0
"""Another command that makes the first configuration of a directory is waited for."""
INSTALL_PROVE_SECS_MAX: Final = 300.0
"""A new file may take for unpacking itself and starting: a memory card is slow."""
# Logs (`telemetry`)
JOURNAL_VALUE_BYTES_MAX: Final = 16 * 1024
"""Of one field of an entry of systemd's journal; the rest is cut off,"""
JOURNAL_ENTRY_BYTES_MAX: Final = 128 * 1024
"""and of all of them together, since a datagram has a bound; fields beyond are left out."""

# What a service manager is told (`server`, `app`)
STATUS_CHARACTERS_MAX: Final = 500
"""Of the line of status."""
STATUS_SECS: Final = 2.0
"""Between two of them, at least."""
CHILD_HEARD_SECS_MAX: Final = 10.0
"""The watchdog counts a process in that gave a sign of life within so long."""
WATCHDOG_FEEDS: Final = 4
"""The watchdog is fed so often within its time."""
START_EXTEND_SECS: Final = 30.0
"""A start asks for so long at a time,"""
START_SECS_MAX: Final = 3600.0
"""and for so long altogether; then the manager's own limit counts."""
SERVICE_START_SECS_MAX: Final = DRAIN_SECS_MAX + START_SECS_MAX + 600.0
"""systemd may take to start the service anew: the old process drains, and the new one begins. It
ends both itself, much sooner with shorter times; so this only ends a wait for a systemd that hangs.
"""
