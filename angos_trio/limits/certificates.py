"""Certificates of our own authority (`pki`): terms, names, files."""

from __future__ import annotations

from typing import Final

PKI_DIRECTORY: Final = "/etc/angos-trio/pki"
"""Where our authority is when nothing else was asked."""
CLOCK_LEAST: Final = 1_735_689_600
"""2025-01-01 in epoch seconds: a host whose clock says less has no clock."""
BACKDATED_SECS: Final = 300
"""A certificate begins so long before now, since clocks of clients differ."""
AUTHORITY_YEARS: Final = 10
"""Of a root for which nothing else was asked; the issuing authority has half of it, and a year at
least."""
AUTHORITY_YEARS_MAX: Final = 30
SERVER_DAYS: Final = 397
"""Of a server's certificate for which nothing else was asked."""
BROWSER_DAYS_MAX: Final = 398
"""What browsers take of a server's certificate."""
CLIENT_DAYS: Final = 90
BAG_BYTES_MAX: Final = 16_384
"""What a client needs, in all: is there room for so much, nothing is issued in vain."""
LEAF_DAYS_MAX: Final = 3650
LIST_DAYS: Final = 30
"""Until the next revocation list is due, when nothing else was asked."""
LIST_DAYS_MAX: Final = 3650
AUTHORITY_ENDS_SECS: Final = 180 * 86_400
"""An authority that ends within this is warned of."""
REVOKED_KEPT_SECS: Final = 30 * 86_400
"""A revoked certificate stays on the list for so long after its end."""
NAME_BYTES_MAX: Final = 64
"""In UTF-8, of a client, a group or an authority: X.520 allows so many characters, and the library
so many bytes."""
KEY_PASSWORD_BYTES_MAX: Final = 1023
"""OpenSSL takes no longer one for a key."""
GROUPS_MAX: Final = 32
ALTERNATIVE_NAMES_MAX: Final = 100
PKI_LOCK_SECS: Final = 10.0
"""A command waits for another one for so long,"""
PKI_LOCK_LOOK_SECS: Final = 0.05
"""and looks so often."""
RSA_BITS_MIN: Final = 2048
REVOCATION_REASONS: Final = {
    "unspecified": None,
    "key-compromise": "keyCompromise",
    "affiliation-changed": "affiliationChanged",
    "superseded": "superseded",
    "cessation-of-operation": "cessationOfOperation",
    "privilege-withdrawn": "privilegeWithdrawn",
}
"""Words of the command line, and what RFC 5280 5.3.1 calls them."""
