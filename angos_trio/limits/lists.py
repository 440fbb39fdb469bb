"""What people and programs read: events, lists, pages."""

from __future__ import annotations

from typing import Final

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
JOBS_SHOWN_MAX: Final = 50
"""Jobs that failed, on the page that tells how the registry is."""
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
CHART_DAYS: Final = 90
"""Of which samples are told, today among them;"""
OUTLOOK_DAYS: Final = 14
"""the last of these that an outlook is made of,"""
OUTLOOK_SAMPLES_MIN: Final = 7
"""and so many must have a sample."""
OUTLOOK_DAYS_MAX: Final = 3650
"""What is later than this is not foretold."""
UNPULLED_SECS: Final = 90 * 86_400
"""For so long nobody pulled it, and so old it is;"""
UNPULLED_EXAMINED_MAX: Final = 2000
"""of so many largest manifests."""
PLATFORM_CHOICES_MAX: Final = 30
"""Platforms that a list of tags offers to choose by, those of most tags."""
UNTAGGED_EXAMINED_MAX: Final = 4000
"""Manifests that may be without a tag, of which a page looks whether they are, to count them."""
FOLDED_FROM: Final = 200
"""More namespaces than this are shown as folders, where that makes fewer rows of them,"""
FOLDED_LESS: Final = 2
"""so many times fewer at least."""
FOLDED_EXAMINED_MAX: Final = 400
"""Namespaces that are looked at for that, the first in byte order."""
