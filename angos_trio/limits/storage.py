"""Bytes and rows."""

from __future__ import annotations

from typing import Final

# Storage (`storage`)
CHUNK_BYTES_MAX: Final = 2 * 1024 * 1024
"""An upload gathers this much before it writes,"""
CHUNK_BYTES_MIN: Final = 128 * 1024
"""or less where many share the budget, but never less than this."""
CHUNKS_HELD_MAX: Final = 3
"""Chunks in memory for one upload."""
UPLOAD_BUDGET_BYTES: Final = 32 * 1024 * 1024
"""Chunks in memory for all uploads."""
UPLOAD_FLUSH_BYTES: Final = 16 * 1024 * 1024
"""Written before the disk is asked to catch up."""
GATHER_SECS_MAX: Final = 1.0
"""What a slow client brought is written after this long."""
UPLOAD_THREADS: Final = 16
TAKEOVER_IDLE_SECS: Final = 5.0
"""A writer that brought nothing for this long gives way to another."""
TAKEOVER_WAIT_SECS: Final = 5.0
CLEANUP_SECS_MAX: Final = 20.0
"""A shielded clean-up."""
RUNNING_HASHES_MAX: Final = 1024
"""Hashes kept between the requests of sessions."""
SPARE_FILES_MAX: Final = 64
"""Small files that a process keeps to use again, each of one block."""
BATCH_STEPS_MAX: Final = 256
"""Steps of one commit."""
WAITING_STEPS_MAX: Final = 4096
"""Steps that wait for the writer; one more is 503."""
WRITE_SECS_MAX: Final = 30.0
"""A caller waits for its step; then the outcome is unknown to it."""
WRITER_STOP_SECS_MAX: Final = 20.0
WAL_BYTES_MAX: Final = 64 * 1024 * 1024
"""A longer log is folded into the database."""
WRITER_BUSY_MSECS: Final = 5000
"""The writer waits for SQLite, whose locks nobody holds for long;"""
CHECKPOINT_WAIT_MSECS: Final = 50
"""and for readers of the log, when it is folded in."""
BODY_CACHE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Manifest bodies in memory."""
READER_THREADS: Final = 4
READER_BUSY_SECS_MAX: Final = 5.0
"""A reader waits for SQLite."""
SHARED_BUSY_SECS_MAX: Final = 10.0
"""A process waits for another to finish its change of the shared rows."""
COUNTER_FILE_BYTES: Final = 1024 * 1024
"""For each kind of metric of each process; what is counted has bounded labels and takes less."""
CLAIM_WAIT_SECS: Final = 0.5
"""How long a session's next writer waits for the one before, whose end its client has seen."""
TAKEOVER_POLL_SECS: Final = 0.1
"""Between two looks whether another process has let go of an upload."""
FINISH_POLL_SECS: Final = 0.05
"""Between two looks whether a commit of another request has its outcome."""
HOLD_SECS: Final = 1.0
"""Between two looks of a process at the uploads that it holds: wanted, cancelled, still active."""
TAG_HISTORY_ENTRIES_MAX: Final = 100
"""For each tag."""
STATS_WAIT_SECS_MAX: Final = 5.0
"""A process waits for another to finish with `stats.db`;"""
STATS_POLL_SECS: Final = 0.01
"""between two looks."""

# Pull times (`registry`)
PULLS_SECS: Final = 5.0
"""Between two writes of what was pulled, which waits in memory;"""
PULLS_MAX: Final = 20_000
"""so many tags and digests, and pulls of others beyond that are left out."""
PULL_LINES_WAITING_MAX: Final = 5000
"""Pulls that wait with who and how; of more, the oldest are counted and not told one by one."""
PULL_LINES_PER_MANIFEST_MAX: Final = 100
PULL_LINE_SECS_MAX: Final = 90 * 86_400
PULL_LINES_MAX: Final = 500_000
"""Pulls that are told one by one, with what the client calls itself: of one manifest, for how long,
and of all together, about 300 bytes each; the oldest of more go within the hour."""
PULL_LINES_AT_ONCE: Final = 5000
PULL_DAYS: Final = 30
"""Days, today included, of which it is known how often a manifest was pulled."""

# How they depend on each other.
assert CHUNK_BYTES_MIN <= CHUNK_BYTES_MAX
assert CHUNKS_HELD_MAX * CHUNK_BYTES_MAX <= UPLOAD_BUDGET_BYTES
assert BATCH_STEPS_MAX <= WAITING_STEPS_MAX
