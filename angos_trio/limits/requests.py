"""Connections and requests: what comes in, and what use-cases do with it."""

from __future__ import annotations

from typing import Final

# Connections (`server`)
RECEIVE_BYTES: Final = 64 * 1024
"""Asked of a socket at once."""
SEND_BYTES_MAX: Final = 256 * 1024
"""Given to a socket at once."""
FILE_SLICE_BYTES_MAX: Final = 1024 * 1024
"""Given to `sendfile` at once; a slice never holds the loop for long."""
LINGER_BYTES_MAX: Final = 1024 * 1024
"""Of a refused body taken in, so that the connection can be used again."""
LINGER_SECS_MAX: Final = 1.0
IDLE_SECS_MAX: Final = 120.0
"""Between two requests of a connection; longer than the 90 s that Go clients keep theirs."""
FIRST_SECS_MAX: Final = 1.0
"""In a stop, for the first request of a connection that was accepted before: its client would take
a connection that ends without an answer for a failure."""
HEADER_SECS_MAX: Final = 30.0
"""From the first part of a request's head to its end."""
HEADER_BYTES_MAX: Final = 64 * 1024
"""A request's head; more is 431."""
WATCH_SECS: Final = 1.0
"""Between two looks for clients that left while their request is handled."""
TLS_SLICE_BYTES: Final = 256 * 1024
"""Of a file read at once to be encrypted, into one buffer for all connections of a process."""
TLS_UNSENT_BYTES: Final = 128 * 1024
"""In the kernel for a TLS connection, beyond what is on its way; more has to wait."""
HANDSHAKE_TELL_SECS: Final = 10.0
"""A client whose handshakes fail is logged once in this time for each reason,"""
HANDSHAKES_TOLD_MAX: Final = 1024
"""and so many clients and reasons are remembered."""
BACKLOG: Final = 1024
"""Connections that wait to be accepted."""
ACCEPT_DELAY_SECS: Final = 0.002
"""For each connection that a worker has more than another, it leaves a new one to that other;"""
ACCEPT_DELAY_SECS_MAX: Final = 0.01
"""but never for longer."""

# Requests (`http`, `api`)
SMALL_BODY_BYTES_MAX: Final = 64 * 1024
"""A body that is read whole without a bound of its own."""
TOKEN_REQUEST_BYTES_MAX: Final = 16 * 1024
"""A form that asks for a token."""
QUERY_FIELDS_MAX: Final = 256
"""Fields of a query string."""
FILE_READ_BYTES: Final = 256 * 1024
"""Read of a file at once where the server cannot send it itself."""
LOGIN_CHARACTERS_MAX: Final = 255
"""Of a user's or a provider's name in a form."""
PAGE_ENTRIES_DEFAULT: Final = 1000
"""A page of tags or of the catalog without `n`."""
PAGE_ENTRIES_MAX: Final = 10_000
"""A larger `n` is clamped to this."""

# Use-cases (`registry`)
MOUNT_CANDIDATES_MAX: Final = 32
"""Namespaces tried for a mount that names no source."""
REFERRERS_PAGE_ENTRIES: Final = 100
REFERRERS_PAGE_BYTES: Final = 4 * 1024 * 1024
CATALOG_ROWS_AT_ONCE: Final = 256
"""Names that a filtered page reads at once, however few it still wants; and however many it wants,
so that deciding about them does not hold the loop up."""
NAMESPACES_AT_ONCE: Final = 2048
"""Namespaces that are read at once to be added up; they are decided about as above."""
EXAMINED_PER_ENTRY_MAX: Final = 10
"""Rows that a filtered page looks at for each entry asked for."""
PARSE_ON_LOOP_BYTES_MAX: Final = 64 * 1024
"""A larger manifest is parsed and hashed in a thread."""

# How they depend on each other.
assert PAGE_ENTRIES_DEFAULT <= PAGE_ENTRIES_MAX
