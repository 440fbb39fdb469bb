-- A scrub corrects the size of a manifest, and takes that of a lost one below 0, which weighs nothing.
CREATE TRIGGER manifests_weighed_again AFTER UPDATE OF size ON manifests WHEN NEW.size <> OLD.size BEGIN
    UPDATE namespaces SET held_bytes = held_bytes + max(NEW.size, 0) - max(OLD.size, 0)
        WHERE id = NEW.namespace;
END;

-- How far the scheduled scrub has come: the blob that it looked at last, empty between two passes,
-- and when the last pass ended.
CREATE TABLE scrub_state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    blob_cursor TEXT NOT NULL,
    ended_at INTEGER NOT NULL
);
