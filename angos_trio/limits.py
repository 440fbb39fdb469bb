"""Every hard bound with its unit. What the operator may set is a key of the configuration."""

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
ACCEPT_DELAY_SECS: Final = 0.002
"""For each connection that a worker has more than another, it leaves a new one to that other;"""
ACCEPT_DELAY_SECS_MAX: Final = 0.01
"""but never for longer."""

# Requests (`http`, `api`)
SMALL_BODY_BYTES_MAX: Final = 64 * 1024
"""A body that is read whole without a bound of its own."""
TOKEN_REQUEST_BYTES_MAX: Final = 16 * 1024
QUERY_FIELDS_MAX: Final = 256
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

# Access (`policy`)
POLICY_RULE_CHARACTERS_MAX: Final = 8192
"""Of one rule."""
POLICY_IDENTITIES_MAX: Final = 512
"""Identities kept in the form that rules see."""
SEEN_IDENTITIES_MAX: Final = 8
"""Identities of whom it is remembered what they see,"""
SEEN_NAMES_MAX: Final = 10_000
"""of so many namespaces each."""
WEBHOOK_QUESTIONS_MAX: Final = 8
"""Asked of authorization webhooks at once for one listing,"""
WEBHOOK_QUESTIONS_SECS_MAX: Final = 5.0
"""and for how long; what is not known then is not listed."""

# Callers (`auth`)
PASSWORD_BYTES_MAX: Final = 1024
"""A longer password is wrong."""
PASSWORD_THREADS: Final = 1
"""That verify passwords, in each process; a second one would take the core of the event loop."""
PASSWORD_REST: Final = 5
"""After a wrong password none is verified for so many times as long as it took."""
PASSWORDS_WAITING_MAX: Final = 32
"""Passwords that wait to be verified; one more is 429."""
PASSWORD_SECS_MAX: Final = 10.0
"""A password waits to be verified; then it is 429."""
PASSWORD_HASH_CHARACTERS_MAX: Final = 512
PASSWORD_MEMORY_KIB_MAX: Final = 256 * 1024
PASSWORD_MEMORY_KIB_MIN: Final = 4096
PASSWORD_PASSES_MAX: Final = 10
PASSWORD_LANES_MAX: Final = 4
"""Parameters of a hash that the operator may give: one that costs more is a way to stop us,"""
PASSWORD_KIB_PASSES_MIN: Final = 12_288
"""and one with less memory times passes is hardly better than none."""
BROWSER_SESSION_SECS_MAX: Final = 12 * 3600
"""A browser that signed in is known for so long at most,"""
BROWSER_SESSIONS_OF_OWNER: Final = 32
"""in so many sessions of one caller; the oldest makes room,"""
BROWSER_SESSIONS_MAX: Final = 10_000
"""and in so many of all."""
REMEMBERED_SECS: Final = 300.0
"""A credential that was right need not be verified again for so long after it was last shown, or
for half of that at least."""
REMEMBERED_MAX: Final = 4096
FAILURES_OF_USER: Final = 10
"""Wrong credentials in a minute for one name from one address; then 429. All of these are divided
by the number of processes."""
FAILURES_OF_ADDRESS: Final = 60
FAILURES_MIN: Final = 3
"""The same, whatever the name; and never less than the last."""
FAILURE_WINDOW_SECS: Final = 60.0
FAILURE_DEBT_SECS_MAX: Final = 300.0
"""However many came at once, somebody may try again after this."""
FAILURE_REFUSAL_SECS: Final = 1.0
"""The 429 to one more attempt comes after this: on a connection nobody guesses more often."""
FAILURES_KEPT_MAX: Final = 8192
"""Addresses, and pairs of address and name, of which failures are counted."""
TOKEN_CHARACTERS_MAX: Final = 16 * 1024
"""Of a token of any kind; a longer one is refused unread."""
TOKEN_HEADER_CHARACTERS_MAX: Final = 4096
TOKEN_SKEW_SECS: Final = 60
"""Between the clocks of two registries that share a key."""
VERIFIED_SECS: Final = 60
"""A token whose signature was good is not verified again for so long,"""
VERIFIED_MAX: Final = 512
"""of so many tokens,"""
VERIFIED_CHARACTERS_MAX: Final = 4096
"""none of them longer than this."""
KEY_SET_BYTES_MAX: Final = 1024 * 1024
"""The keys of an issuer, and its discovery document."""
KEYS_MAX: Final = 100
"""Keys of one issuer that are looked at."""
KEYS_RETRY_SECS: Final = 10.0
"""After an issuer could not be asked it is left alone for this long."""
KEYS_FORCED_SECS: Final = 60.0
"""Between two fetches because of a key that is not known."""
KEYS_STALE_SECS_MAX: Final = 24 * 3600.0
"""Keys serve for so long after they should have been fetched anew."""
KEY_SETS_MAX: Final = 64
"""Issuers whose keys are kept, also over changes of the configuration."""
SUBJECT_CHARACTERS_MAX: Final = 1024
"""The name of a caller at their issuer."""
LOGGED_SUBJECT_CHARACTERS_MAX: Final = 256
"""Of what a caller says they are, in the audit log."""
WEBHOOK_ANSWERS_MAX: Final = 8192
"""Answers kept of one authorization webhook."""

# Outbound HTTP (`net`)
OUTBOUND_CALLS_MAX: Final = 32
"""Of one client at the same time; more wait, within their deadlines."""
ANSWER_HEADER_BYTES_MAX: Final = 64 * 1024
"""Of an answer, besides its body."""
NAME_LOOKUP_THREADS: Final = 4

# API keys (`auth`, `registry`, `api`)
API_KEY_NAME_CHARACTERS_MAX: Final = 64
API_KEY_SECS_MAX: Final = 10 * 365 * 86_400
"""Until a key expires."""
API_KEY_GLOBS_MAX: Final = 32
"""Of one key,"""
API_KEY_GLOB_CHARACTERS_MAX: Final = 255
"""and how long each is."""
COMPILED_GLOBS_MAX: Final = 1024
"""Kept in the form that matches names."""
API_KEYS_PAGE_ENTRIES: Final = 1000
LAST_USE_SECS: Final = 60.0
"""Between two writes of when keys were last used, which wait in memory;"""
LAST_USES_MAX: Final = 10_000
"""so many keys, and those that are used beyond that are left out."""

# Certificates (`pki`)
PKI_FILE_BYTES_MAX: Final = 32 * 1024 * 1024
"""A file of certificates or revocation lists."""
PKI_LOOK_SECS: Final = 2.0
"""Between two looks whether such files have changed; they are read when two looks agree."""

# Storage (`storage`)
CHUNK_BYTES_MAX: Final = 1024 * 1024
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
PULL_CLIENT_CHARACTERS_MAX: Final = 200
PULL_LINES_PER_MANIFEST_MAX: Final = 100
PULL_LINE_SECS_MAX: Final = 90 * 86_400
PULL_LINES_MAX: Final = 500_000
"""Pulls that are told one by one, with what the client calls itself: of one manifest, for how long,
and of all together, about 300 bytes each; the oldest of more go within the hour."""
PULL_DAYS: Final = 30
"""Days, today included, of which it is known how often a manifest was pulled."""

# The event feed (`events`, `http`, `api`, `server`)
EVENTS_POLL_SECS: Final = 0.25
"""Between two looks of a process for new events, while somebody listens to them."""
EVENTS_PAGE: Final = 256
"""Events read at once for one listener; none are kept for it beyond these."""
EVENTS_BEHIND_MAX: Final = 1000
"""A listener that takes its messages slowly and is behind by more is told to begin anew,"""
EVENTS_SLOW_SECS: Final = 5.0
"""slowly being: it took so long for what is sent at once."""
EVENTS_HEARTBEAT_SECS: Final = 25.0
"""After which a listener gets a sign of life."""
EVENTS_RECHECK_SECS: Final = 60.0
"""Between two looks whether who listens is still known and still may."""
EVENTS_LISTENERS_MAX: Final = 32
"""Of one caller in one process; one more is 429."""
LINES_BYTES_MAX: Final = 64 * 1024
"""Of lines of JSON that are sent at once."""
EVENT_BYTES_MAX: Final = 64 * 1024
"""Of a message that the command for events takes;"""
EVENTS_CONNECT_SECS_MAX: Final = 10.0
"""it waits for a connection,"""
EVENTS_DISCONNECT_SECS_MAX: Final = 2.0
"""for the end of one,"""
EVENTS_SILENCE_SECS_MAX: Final = 60.0
"""and for the next sign of life;"""
EVENTS_AGAIN_SECS_MIN: Final = 1.0
"""it comes back after this at the earliest,"""
EVENTS_AGAIN_SECS_MAX: Final = 30.0
"""and this at the latest."""
SOCKET_MESSAGE_BYTES_MAX: Final = 4096
"""Of a message that a WebSocket's client sends; a longer one is closed with 1009."""
SOCKET_MESSAGES_WAITING_MAX: Final = 16
"""Such messages that wait for the application; then the client waits."""
SOCKET_STALL_SECS_MAX: Final = 30.0
"""A WebSocket's client that takes nothing at all for so long is cut off,"""
SOCKET_PING_SECS: Final = 25.0
"""and so is one that is silent for twice as long: it is asked with a ping after this."""

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

# Lists that people read (`browse`, `api`, `web`)
RELATED_MAX: Final = 100
"""Tags, indexes or referrers that are told of one manifest."""
SAME_DIGEST_MAX: Final = 10
"""Other tags that are told of one tag's manifest."""
PARTS_MAX: Final = 500
"""Layers of an image, or parts of an index, that are told."""
SHARING_MAX: Final = 100
"""Manifests that are counted of those of a namespace that name a blob;"""
HOLDERS_MAX: Final = 20
"""other namespaces of those that hold it."""
IMPACT_MANIFESTS_MAX: Final = 2000
"""Manifests that are looked at for what a delete would take with it;"""
ACTIVITY_ENTRIES_DEFAULT: Final = 100
"""Events of a page without `n`, read"""
ACTIVITY_ROWS_AT_ONCE: Final = 1000
"""at once."""
EXPORT_ENTRIES_MAX: Final = 5000
"""Events that the page of activity gives as lines."""
FOUND_MAX: Final = 20
"""Results of each kind that are told of what somebody looks for,"""
FOUND_EXAMINED_MAX: Final = 200
"""of so many that there are."""
LARGEST_MAX: Final = 10
"""Largest blobs and namespaces that are told,"""
LARGEST_EXAMINED_MAX: Final = 200
"""of so many largest namespaces, of which the caller may not see all."""
STORAGE_USE_SECS: Final = 30
"""A look at all rows is good for so long,"""
STORAGE_USE_REST: Final = 20
"""and for so many times what it took."""
IMAGES_WITH_MAX: Final = 100
"""Images with a blob in them that such a look counts."""
DELETE_REFERENCES_MAX: Final = 1000
"""tags and digests that one request may delete,"""
DELETE_BODY_BYTES_MAX: Final = 1024 * 1024
"""which takes a body of this size."""
DELETIONS_LOGGED_MAX: Final = 100
"""of which the audit log names so many."""
FORM_BYTES_MAX: Final = 256 * 1024
"""A form of a page: a provider's token, or as many references as may be deleted at once,"""
FORM_FIELDS_MAX: Final = 1024
"""each a field, and some more."""
UPLOADS_CANCELLED_MAX: Final = 250
"""Uploads that one form cancels;"""
UPLOADS_EXAMINED_MAX: Final = 1000
"""of so many that are looked at, a page shows those that the caller may see."""
REVISIONS_AT_ONCE: Final = 200
"""Manifests, or"""
TAGS_AT_ONCE: Final = 500
"""tags, that are read at once for a list that is told whole."""
FILTER_CHARACTERS_MAX: Final = 255
RENDER_SECS_MAX: Final = 15.0
"""A page waits for those before it to be made; then it is 503."""
LIST_PIECE_BYTES: Final = 64 * 1024
"""Of a list that is told whole, sent at once."""

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
BACKUP_TELL_SECS: Final = 2.0
"""Between two lines that a command prints of how far it is."""
COPY_SECS: Final = 3600
"""A copy of the database is made when it has changed and the newest copy is this old;"""
COPY_LOOK_SECS: Final = 60.0
"""between two looks."""
COPY_MARKS: Final = ((6 * 3600, 2), (12 * 3600, 3))
"""Copies are kept as of the last times that are a multiple of these, so many each."""

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

# How they depend on each other.
assert CHUNK_BYTES_MIN <= CHUNK_BYTES_MAX
assert CHUNKS_HELD_MAX * CHUNK_BYTES_MAX <= UPLOAD_BUDGET_BYTES
assert PAGE_ENTRIES_DEFAULT <= PAGE_ENTRIES_MAX
assert BATCH_STEPS_MAX <= WAITING_STEPS_MAX
