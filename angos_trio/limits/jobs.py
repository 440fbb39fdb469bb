"""Jobs, and webhooks that are told of events."""

from __future__ import annotations

from typing import Final

# The queue (`jobs`)
JOB_LOOK_SECS: Final = 1.0
"""Between two looks for jobs that another process has added."""
JOB_AGAIN_SECS_MIN: Final = 1.0
"""A job that failed is tried again after this,"""
JOB_AGAIN_SECS_MAX: Final = 60.0
"""each time twice as late up to this, or less by chance,"""
JOB_ASKED_SECS_MAX: Final = 600.0
"""or as late as whoever it failed at asks for, up to this."""
JOB_SECS_MAX: Final = 7 * 86_400
"""What has waited for longer has failed,"""
JOB_FAILED_SECS_MAX: Final = 30 * 86_400
"""is kept for so long after that,"""
JOB_FAILED_MAX: Final = 10_000
"""and of each queue only the last so many are."""
JOB_SWEEP_SECS: Final = 60.0
"""Between two looks for what is too old,"""
JOB_SWEEP_ROWS: Final = 256
"""so many in one change."""
JOB_SURPRISES_MAX: Final = 5
"""Attempts at a job that end in what nobody foresaw."""
JOB_PROBLEM_CHARACTERS_MAX: Final = 500
"""Of what an attempt met that is kept."""
JOBS_PAGE_ENTRIES: Final = 100
"""Of a page of jobs."""

# Webhooks (`events`)
WEBHOOK_WAITING_MAX: Final = 10_000
"""Deliveries of one webhook that wait; further events wait in the table of events."""
WEBHOOK_DELIVERIES_MAX: Final = 4
"""Of one webhook at the same time, each in another namespace."""
WEBHOOK_EVENTS_AT_ONCE: Final = 128
"""Events that are handed on in one change."""
WEBHOOK_CLAIM_SECS: Final = 120
"""A delivery whose process went silent is another's after this."""
WEBHOOK_RETRIES_REQUIRED: Final = 3
"""Of a request that decides, where the configuration says nothing,"""
WEBHOOK_RETRY_SECS_MIN: Final = 0.1
"""after this,"""
WEBHOOK_RETRY_SECS_MAX: Final = 10.0
"""each time twice as late, up to this."""
TOLD_PULLS_WAITING_MAX: Final = 10_000
"""Pulls that a process has not handed on yet; more are not told of, and counted."""
TOLD_PULLS_SECS: Final = 1.0
"""Between two times that they are."""
WEBHOOKS_LOOK_SECS: Final = 1.0
"""Between two looks whether the configuration has other webhooks."""
