-- What is to be done apart from requests: a queue for each kind of work. Of a lane one job is done
-- at a time, in the order of ids, and only its first one has due_at. Whoever does it has claimed it
-- until claimed_until. What nobody will try again has failed_at.
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    lane TEXT NOT NULL,
    key TEXT,
    payload TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER,
    claimed_until INTEGER NOT NULL DEFAULT 0,
    failed_at INTEGER,
    problem TEXT NOT NULL DEFAULT ''
);
CREATE INDEX jobs_due ON jobs (queue, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX jobs_heads ON jobs (queue, lane) WHERE due_at IS NOT NULL;
CREATE INDEX jobs_waiting ON jobs (queue, lane, id) WHERE failed_at IS NULL;
CREATE INDEX jobs_by_key ON jobs (queue, key) WHERE key IS NOT NULL AND failed_at IS NULL;
CREATE INDEX jobs_failed ON jobs (queue, failed_at, id) WHERE failed_at IS NOT NULL;

-- How far the events have been handed on, for each webhook that is told of them.
CREATE TABLE webhook_cursors (
    name TEXT PRIMARY KEY,
    event_id INTEGER NOT NULL
) WITHOUT ROWID;
