"""Registries that are pulled through, and what comes from them."""

from __future__ import annotations

from typing import Final

# Outbound streams (`net`)
EXCHANGE_RECEIVE_BYTES: Final = 256 * 1024
"""Asked of a connection to another registry at once."""
EXCHANGE_HEAD_BYTES_MAX: Final = 64 * 1024
"""Of an answer's head."""
CONNECT_ADDRESSES_MAX: Final = 8
"""Addresses of a host that are tried,"""
CONNECT_STEP_SECS: Final = 5.0
"""each for so long while there is another."""

# Asking (`mirror`)
HELD_BACK_BYTES: Final = 64 * 1024
"""The end of a stream that nobody gets before all of it is verified."""
TOKEN_ANSWER_BYTES_MAX: Final = 1024 * 1024
TOKEN_SECS_DEFAULT: Final = 60
"""The life of a token that says none (distribution specification, "Token Authentication")."""
TOKEN_SECS_MAX: Final = 24 * 3600
TOKENS_MAX: Final = 4096
"""Of one upstream that are remembered."""
CHALLENGES_MAX: Final = 16
"""In one answer."""
REST_SECS: Final = 5.0
"""An upstream that cannot be reached is left alone for this long,"""
TOO_MANY_REST_SECS: Final = 60.0
"""and one that says 429 for this long where it says no time of its own,"""
REST_SECS_MAX: Final = 3600.0
"""which counts up to this."""
TAG_NOTED_SECS: Final = 30
"""Between two notes that a tag is as it was, where each pull looks."""

UPSTREAM_REFERRERS_BYTES_MAX: Final = 4 * 1024 * 1024
UPSTREAM_REFERRERS_PAGES_MAX: Final = 16
"""Of the referrers of one subject, which are remembered"""
REFERRERS_SECS: Final = 60.0
"""for so long,"""
REFERRERS_KEPT_MAX: Final = 256
"""of so many subjects."""

# Fetching before anybody asks (`mirror`)
PREFETCHES_MAX: Final = 4
"""Manifests whose parts are fetched at the same time."""
PREFETCH_CLAIM_SECS: Final = 6 * 3600
"""Of one, at most: then it is tried again, from what has come by then."""

PREFETCH_ATTEMPTS_MAX: Final = 5
"""At what an upstream that is there gives wrongly, or what there is no room for."""
PREFETCH_PARTS_MAX: Final = 1000
"""Manifests of one index that are fetched;"""
PREFETCH_ADDED_AT_ONCE: Final = 100
"""so many become jobs in one change."""
PREFETCH_WAITING_MAX: Final = 10_000
"""Jobs that wait; what is pulled beyond that has its parts fetched when somebody asks."""

# Filling (`mirror`)
FILL_LOOK_SECS: Final = 0.02
"""Between two looks at how far a blob has come that another process fetches."""
FILL_SPAN_BYTES: Final = 4 * 1024 * 1024
"""Of a blob that is on its way, given to a client before the next look whether it goes on."""
FILLS_MAX: Final = 256
"""Blobs that are on their way in one process; one more is 503."""
