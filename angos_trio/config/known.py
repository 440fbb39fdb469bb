"""Keys of the original that this version does not have: refused by name, or without effect.

What decides about access, or promises behaviour that is missing, is refused. What only tunes the
original's machinery starts, and `angos-trio check` says that it changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

NOT_BUILT: Mapping[str, str] = MappingProxyType(
    {
        "cache": "there is no cache server; nothing runs beside the registry",
        "blob_store.s3": "content is stored in files; S3 does not exist here",
        "metadata_store.s3": "rows are stored in SQLite; S3 does not exist here",
        "metadata_store.fs.redis": "one instance has no need of a lock server",
        "repository.*.downstream": "nothing is replicated by this version",
    }
)

WITHOUT_EFFECT: Mapping[str, str] = MappingProxyType(
    {
        "blob_store.fs.sync_to_disk": "what is acknowledged is always synced",
        "metadata_store.fs.sync_to_disk": "what is acknowledged is always synced",
        "global.max_concurrent_requests": "requests are bounded by bytes and threads instead",
        "global.max_concurrent_cache_jobs": "a blob is fetched once, while it is sent to who asks",
        "global.max_concurrent_replication_jobs": "there is no replication",
        "global.namespace_walk_concurrency": "listings come from an index",
        "global.atime_audit_window_secs": "pulls are gathered for a few seconds, whatever it says",
        "global.enable_redirect": "bytes are always served from here",
        "global.enable_blob_redirect": "bytes are always served from here",
        "global.enable_manifest_redirect": "bytes are always served from here",
        "global.job_queue": "jobs are tried again by fixed rules; see docs/events.md",
        "server.query_timeout": "a request is bounded by server.stall_timeout, not in total",
        "server.query_timeout_grace_period": "a request is bounded by server.stall_timeout",
        "observability.tracing": "traces are not sent",
    }
)
