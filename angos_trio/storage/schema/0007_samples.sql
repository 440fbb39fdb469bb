-- What the disk held, once for each day: `day` is counted from 1970 in UTC, `at` is when it was
-- counted. blob_bytes: each blob once; named_bytes: as if no image shared anything with another.
CREATE TABLE storage_samples (
    day INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    blob_bytes INTEGER NOT NULL,
    named_bytes INTEGER NOT NULL,
    free_bytes INTEGER NOT NULL,
    tags INTEGER NOT NULL,
    manifests INTEGER NOT NULL
);

-- The largest first, of what is about nothing else: among these are those that nobody pulls.
CREATE INDEX manifests_by_total_size ON manifests (total_size, pushed_at, subject)
    WHERE subject IS NULL;

-- From where and with which program the request came that made it happen; empty where there was
-- none, and of what happened before this was recorded.
ALTER TABLE events ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN client TEXT NOT NULL DEFAULT '';
