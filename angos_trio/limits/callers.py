"""Callers: passwords, tokens, keys, certificates and rules; questions to other hosts."""

from __future__ import annotations

from typing import Final

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
"""The same, whatever the name."""
FAILURES_MIN: Final = 3
"""But never less than this."""
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
KNOCK_SECS_MAX: Final = 10.0
"""Each step of finding out whether a client is let in,"""
KNOCK_BODY_BYTES_MAX: Final = 64 * 1024
"""and what is read of the answer."""

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
"""Keys that a page of them has."""
LAST_USE_SECS: Final = 60.0
"""Between two writes of when keys were last used, which wait in memory;"""
LAST_USES_MAX: Final = 10_000
"""so many keys, and those that are used beyond that are left out."""

# Certificates (`pki`)
PKI_FILE_BYTES_MAX: Final = 32 * 1024 * 1024
"""A file of certificates or revocation lists."""
PKI_LOOK_SECS: Final = 2.0
"""Between two looks whether such files have changed; they are read when two looks agree."""
