-- What a namespace holds, in bytes: its manifests, and each blob that it holds, once.
ALTER TABLE namespaces ADD COLUMN held_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE namespaces SET held_bytes =
    coalesce((SELECT sum(max(size, 0)) FROM manifests m WHERE m.namespace = namespaces.id), 0)
    + coalesce((SELECT sum(b.size) FROM namespace_blobs h JOIN blobs b ON b.digest = h.digest
        WHERE h.namespace = namespaces.id), 0);

CREATE TRIGGER manifests_weighed_in AFTER INSERT ON manifests BEGIN
    UPDATE namespaces SET held_bytes = held_bytes + max(NEW.size, 0) WHERE id = NEW.namespace;
END;
CREATE TRIGGER manifests_weighed_out AFTER DELETE ON manifests BEGIN
    UPDATE namespaces SET held_bytes = held_bytes - max(OLD.size, 0) WHERE id = OLD.namespace;
END;
-- A hold whose blob has no row is damage; it weighs nothing, and must be able to go.
CREATE TRIGGER blobs_weighed_in AFTER INSERT ON namespace_blobs BEGIN
    UPDATE namespaces
        SET held_bytes = held_bytes + coalesce((SELECT size FROM blobs WHERE digest = NEW.digest), 0)
        WHERE id = NEW.namespace;
END;
CREATE TRIGGER blobs_weighed_out AFTER DELETE ON namespace_blobs BEGIN
    UPDATE namespaces
        SET held_bytes = held_bytes - coalesce((SELECT size FROM blobs WHERE digest = OLD.digest), 0)
        WHERE id = OLD.namespace;
END;
-- A push heals a row whose size was wrong.
CREATE TRIGGER blobs_weighed_again AFTER UPDATE OF size ON blobs WHEN NEW.size <> OLD.size BEGIN
    UPDATE namespaces SET held_bytes = held_bytes + NEW.size - OLD.size
        WHERE id IN (SELECT namespace FROM namespace_blobs WHERE digest = NEW.digest);
END;

-- What the operator has switched on, and outlives a restart: 'read-only'.
CREATE TABLE switches (
    name TEXT NOT NULL PRIMARY KEY,
    since INTEGER NOT NULL,
    set_by TEXT NOT NULL
) WITHOUT ROWID;
