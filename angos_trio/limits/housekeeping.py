"""Collection, retention, scrub and backup."""

from __future__ import annotations

from typing import Final

# Housekeeping (`maintenance`)
COLLECT_SECS: Final = 10.0
"""Between two runs of the collection;"""
COLLECT_ROWS: Final = 128
"""so many things are looked at in one change,"""
COLLECT_STEP_SECS: Final = 0.01
"""or fewer, when they take this long,"""
COLLECT_REST: Final = 2.0
"""and then everybody else has so many times as long."""
PREVIEW_MAX: Final = 200_000
"""Manifests and blobs that a preview of a collection counts."""
TALLIED_MAX: Final = 100_000
"""Rows that a report adds up for each of its lines."""
EXPLAINED_MAX: Final = 100
"""Namespaces that an explanation tells of."""
PROGRESS_FIRST_SECS: Final = 0.5
"""A command that takes no longer does not say how far it is;"""
PROGRESS_MOVE_SECS: Final = 0.1
"""on a terminal it says so this often,"""
PROGRESS_TELL_SECS: Final = 10.0
"""elsewhere in a line each so many seconds."""
RUN_TELL_SECS: Final = 1.0
"""Between two times that a run says how far it is."""
TASK_LOOK_SECS: Final = 1.0
"""Between two looks whether another process wishes for a run."""
HURRIED_LEASE_SECS: Final = 300
"""A collection that does not wait for leases keeps what was pushed or promised this lately."""
RETENTION_TOP_MAX: Final = 10_000
"""Of the newest tags that a retention rule may ask for."""
CONFIG_BLOB_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of an image's config that is read for its platform."""
PLAN_PAGE_LINES_MAX: Final = 1000
"""Lines of a page of a plan."""
PLAN_PAGE_BYTES: Final = 256 * 1024
"""And so many bytes, of which each line is a small part."""
RULE_PROBLEMS_MAX: Final = 100
"""Different problems of rules that a run tells of."""
PRUNE_FIRST_SECS: Final = 60
"""After a start, before the first run of retention."""
CLOCK_STEP_SECS: Final = 5.0
"""A wall clock that goes ahead of the monotonic one by this was set."""
TIME_ROWS: Final = 100
"""Of the last events, by whose times a clock is seen to be behind."""
SKIPPED_SECS: Final = 86_400
"""What cannot be judged because its row is damaged is looked at again after this."""
UPLOAD_ACTIVE_SECS: Final = 3600.0
"""An upload that nothing came to for longer keeps nothing else of its namespace."""
SCRUB_SLICE_BYTES: Final = 1024 * 1024
"""Of a blob hashed at once by a scrub,"""
SCRUB_RATE: Final = 100 * 1024 * 1024
"""Bytes a second that a scrub reads which somebody asks for without saying how many;"""
SCRUB_WORKERS: Final = 2
"""by so many at the same time."""
SCRUB_ROWS: Final = 256
"""Rows that a scrub looks at in one query;"""
SCRUB_SHELVES: Final = 16
"""directories of the store, at once;"""
SCRUB_BODY_SECS: Final = 0.05
"""manifest bodies, for so long;"""
SCRUB_REST: Final = 1.0
"""and then everybody else has so many times as long."""
SCRUB_BLOBS: Final = 64
"""Blobs after which the scheduled scrub remembers how far it has come,"""
SCRUB_SAVE_SECS: Final = 60.0
"""so often at most."""
SCRUB_LOOK_SECS: Final = 60.0
"""Between two looks whether the scheduled scrub is due."""
SUMMARIES_AT_ONCE_MAX: Final = 100
"""Indexes above a manifest that are told when it comes or goes."""
DESCRIBED_AT_ONCE: Final = 32
"""Manifests of an earlier version of which is recorded in one change what they are;"""
DESCRIBE_SECS: Final = 60.0
"""between two looks for more."""

# Samples (`maintenance`)
SAMPLE_FIRST_SECS: Final = 60.0
"""After a start, before the first look whether a sample is due;"""
SAMPLE_LOOK_SECS: Final = 600.0
"""between two looks."""
SAMPLE_AGAIN_SECS: Final = 6 * 3600
"""The sample of a day is taken anew after this, so that it tells of the end of its day."""
SAMPLE_DAYS_MAX: Final = 400
"""Days of which a sample is kept."""
SAMPLE_ROWS: Final = 1000
"""That are added up at once;"""
SAMPLE_REST: Final = 1.0
"""and then everybody else has so many times as long."""

# Backup (`maintenance`, `storage`, `api`)
BACKUP_THREADS: Final = 4
"""That link, copy, or read files,"""
BACKUP_PREFIXES: Final = 8
"""in so many of the directories of blobs at once,"""
BACKUP_ROWS: Final = 1000
"""for so many rows read at once,"""
BACKUP_BYTES: Final = 1024 * 1024
"""and so much of a file."""
BACKUP_RECORD_BYTES_MAX: Final = 64 * 1024
"""The record of a backup."""
BACKUP_DAMAGE_TOLD_MAX: Final = 100
"""Damaged blobs that a command names; it counts them all."""
BACKUP_SILENCE_SECS_MAX: Final = 30.0
"""Who makes a backup and says nothing for so long holds the collection up no more;"""
BACKUP_KEEP_SECS: Final = 3.0
"""so they say something each so many seconds,"""
BACKUP_POLL_SECS: Final = 0.1
"""or, while they wait for the copy of the database, more often."""
BACKUP_LINE_BYTES_MAX: Final = 64 * 1024
"""What is said at once, either way."""
COPY_SECS: Final = 3600
"""A copy of the database is made when it has changed and the newest copy is this old;"""
COPY_LOOK_SECS: Final = 60.0
"""between two looks."""
COPY_MARKS: Final = ((6 * 3600, 2), (12 * 3600, 3))
"""Copies are kept as of the last times that are a multiple of these, so many each."""
