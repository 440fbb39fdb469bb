-- How far the scheduled scrub has come: the blob that it looked at last, empty between two passes,
-- and when the last pass ended.
CREATE TABLE scrub_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    blob_cursor TEXT NOT NULL,
    ended_at INTEGER NOT NULL
);
