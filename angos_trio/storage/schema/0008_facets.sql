-- What pages tell of a namespace without a look at each of its rows.
-- blob_bytes: its blobs, each once; exclusive_bytes: of these, those that no other namespace holds.
-- named_bytes: its images as if none shared anything with another. What an image says of its size is
-- not verified, so that of each counts up to a petabyte, and the sum remains a whole number.
ALTER TABLE namespaces ADD COLUMN blob_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE namespaces ADD COLUMN exclusive_bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE namespaces ADD COLUMN named_bytes INTEGER NOT NULL DEFAULT 0;
UPDATE namespaces SET
    blob_bytes = coalesce((SELECT sum(b.size) FROM namespace_blobs h
        JOIN blobs b ON b.digest = h.digest WHERE h.namespace = namespaces.id), 0),
    exclusive_bytes = coalesce((SELECT sum(b.size) FROM namespace_blobs h
        JOIN blobs b ON b.digest = h.digest WHERE h.namespace = namespaces.id
        AND NOT EXISTS (SELECT 1 FROM namespace_blobs o
            WHERE o.digest = h.digest AND o.namespace <> h.namespace)), 0),
    named_bytes = coalesce((SELECT sum(min(m.total_size, 1125899906842624)) FROM manifests m
        WHERE m.namespace = namespaces.id AND m.kind = 'image'), 0);

CREATE TRIGGER blobs_shared_in AFTER INSERT ON namespace_blobs BEGIN
    UPDATE namespaces
        SET blob_bytes = blob_bytes + coalesce((SELECT size FROM blobs WHERE digest = NEW.digest), 0)
        WHERE id = NEW.namespace;
    -- It is one holder's own: that of the new one, or not any more that of the one before.
    UPDATE namespaces SET exclusive_bytes = exclusive_bytes
        + coalesce((SELECT size FROM blobs WHERE digest = NEW.digest), 0)
        WHERE id = NEW.namespace AND NOT EXISTS (SELECT 1 FROM namespace_blobs
            WHERE digest = NEW.digest AND namespace <> NEW.namespace);
    UPDATE namespaces SET exclusive_bytes = exclusive_bytes
        - coalesce((SELECT size FROM blobs WHERE digest = NEW.digest), 0)
        WHERE id = (SELECT namespace FROM namespace_blobs
            WHERE digest = NEW.digest AND namespace <> NEW.namespace LIMIT 1)
        AND 2 = (SELECT count(*) FROM (SELECT 1 FROM namespace_blobs
            WHERE digest = NEW.digest LIMIT 3));
END;
CREATE TRIGGER blobs_shared_out AFTER DELETE ON namespace_blobs BEGIN
    UPDATE namespaces
        SET blob_bytes = blob_bytes - coalesce((SELECT size FROM blobs WHERE digest = OLD.digest), 0)
        WHERE id = OLD.namespace;
    UPDATE namespaces SET exclusive_bytes = exclusive_bytes
        - coalesce((SELECT size FROM blobs WHERE digest = OLD.digest), 0)
        WHERE id = OLD.namespace AND NOT EXISTS (SELECT 1 FROM namespace_blobs
            WHERE digest = OLD.digest);
    UPDATE namespaces SET exclusive_bytes = exclusive_bytes
        + coalesce((SELECT size FROM blobs WHERE digest = OLD.digest), 0)
        WHERE id = (SELECT namespace FROM namespace_blobs WHERE digest = OLD.digest LIMIT 1)
        AND 1 = (SELECT count(*) FROM (SELECT 1 FROM namespace_blobs
            WHERE digest = OLD.digest LIMIT 2));
END;
CREATE TRIGGER blobs_shared_again AFTER UPDATE OF size ON blobs WHEN NEW.size <> OLD.size BEGIN
    UPDATE namespaces SET blob_bytes = blob_bytes + NEW.size - OLD.size
        WHERE id IN (SELECT namespace FROM namespace_blobs WHERE digest = NEW.digest);
    UPDATE namespaces SET exclusive_bytes = exclusive_bytes + NEW.size - OLD.size
        WHERE id = (SELECT namespace FROM namespace_blobs WHERE digest = NEW.digest LIMIT 1)
        AND 1 = (SELECT count(*) FROM (SELECT 1 FROM namespace_blobs
            WHERE digest = NEW.digest LIMIT 2));
END;
CREATE TRIGGER manifests_named_in AFTER INSERT ON manifests WHEN NEW.kind = 'image' BEGIN
    UPDATE namespaces SET named_bytes = named_bytes + min(NEW.total_size, 1125899906842624)
        WHERE id = NEW.namespace;
END;
CREATE TRIGGER manifests_named_out AFTER DELETE ON manifests WHEN OLD.kind = 'image' BEGIN
    UPDATE namespaces SET named_bytes = named_bytes - min(OLD.total_size, 1125899906842624)
        WHERE id = OLD.namespace;
END;
CREATE TRIGGER manifests_named_again AFTER UPDATE OF total_size ON manifests
    WHEN NEW.kind = 'image' AND NEW.total_size <> OLD.total_size BEGIN
    UPDATE namespaces SET named_bytes = named_bytes
        + min(NEW.total_size, 1125899906842624) - min(OLD.total_size, 1125899906842624)
        WHERE id = NEW.namespace;
END;

-- What tags of a namespace are, and how many are just that. role and platforms are those of the
-- manifest, is_signed whether a signature refers to it; is_fallback: it is named after a digest.
CREATE TABLE tag_facets (
    id INTEGER PRIMARY KEY,
    namespace INTEGER NOT NULL,
    role TEXT NOT NULL,
    platforms TEXT NOT NULL,
    is_signed INTEGER NOT NULL,
    is_fallback INTEGER NOT NULL,
    tag_count INTEGER NOT NULL DEFAULT 0,
    UNIQUE (namespace, role, platforms, is_signed, is_fallback)
);
ALTER TABLE tags ADD COLUMN facet INTEGER;
CREATE VIEW faceted_tags AS
    SELECT *, (SELECT f.id FROM tag_facets f WHERE f.namespace = w.namespace AND f.role = w.role
        AND f.platforms = w.platforms AND f.is_signed = w.is_signed
        AND f.is_fallback = w.is_fallback) AS facet
    FROM (SELECT t.namespace, t.name, t.digest,
        CASE m.role WHEN '' THEN m.kind ELSE m.role END AS role, m.platforms,
        m.attached & 1 AS is_signed,
        t.name GLOB 'sha256-*' AND length(t.name) >= 71 AS is_fallback
        FROM tags t JOIN manifests m ON m.namespace = t.namespace AND m.digest = t.digest) w;
INSERT INTO tag_facets (namespace, role, platforms, is_signed, is_fallback, tag_count)
    SELECT namespace, role, platforms, is_signed, is_fallback, count(*) FROM faceted_tags
    GROUP BY namespace, role, platforms, is_signed, is_fallback;
UPDATE tags SET facet = (SELECT w.facet FROM faceted_tags w
    WHERE w.namespace = tags.namespace AND w.name = tags.name);

CREATE TRIGGER tags_faceted_in AFTER INSERT ON tags BEGIN
    INSERT INTO tag_facets (namespace, role, platforms, is_signed, is_fallback)
        SELECT namespace, role, platforms, is_signed, is_fallback FROM faceted_tags
        WHERE namespace = NEW.namespace AND name = NEW.name AND facet IS NULL;
    UPDATE tags SET facet = (SELECT facet FROM faceted_tags
        WHERE namespace = NEW.namespace AND name = NEW.name)
        WHERE namespace = NEW.namespace AND name = NEW.name;
END;
CREATE TRIGGER tags_faceted_again AFTER UPDATE OF digest ON tags WHEN NEW.digest <> OLD.digest BEGIN
    INSERT INTO tag_facets (namespace, role, platforms, is_signed, is_fallback)
        SELECT namespace, role, platforms, is_signed, is_fallback FROM faceted_tags
        WHERE namespace = NEW.namespace AND name = NEW.name AND facet IS NULL;
    UPDATE tags SET facet = (SELECT facet FROM faceted_tags
        WHERE namespace = NEW.namespace AND name = NEW.name)
        WHERE namespace = NEW.namespace AND name = NEW.name;
END;
CREATE TRIGGER manifests_faceted AFTER UPDATE OF role, attached, platforms ON manifests
    WHEN NEW.role <> OLD.role OR NEW.platforms <> OLD.platforms
    OR NEW.attached & 1 <> OLD.attached & 1 BEGIN
    INSERT INTO tag_facets (namespace, role, platforms, is_signed, is_fallback)
        SELECT DISTINCT namespace, role, platforms, is_signed, is_fallback FROM faceted_tags
        WHERE namespace = NEW.namespace AND digest = NEW.digest AND facet IS NULL;
    UPDATE tags SET facet = (SELECT w.facet FROM faceted_tags w
        WHERE w.namespace = tags.namespace AND w.name = tags.name)
        WHERE namespace = NEW.namespace AND digest = NEW.digest;
END;
-- No row is left that counts nothing.
CREATE TRIGGER facets_counted AFTER UPDATE OF facet ON tags WHEN NEW.facet IS NOT OLD.facet BEGIN
    UPDATE tag_facets SET tag_count = tag_count + 1 WHERE id = NEW.facet;
    UPDATE tag_facets SET tag_count = tag_count - 1 WHERE id = OLD.facet;
    DELETE FROM tag_facets WHERE id = OLD.facet AND tag_count <= 0;
END;
CREATE TRIGGER facets_counted_out AFTER DELETE ON tags BEGIN
    UPDATE tag_facets SET tag_count = tag_count - 1 WHERE id = OLD.facet;
    DELETE FROM tag_facets WHERE id = OLD.facet AND tag_count <= 0;
END;

-- Manifests that nothing may name: what has neither a lease nor lost its last tag is tagged, or part
-- of another, or about one.
CREATE INDEX manifests_loose ON manifests (namespace, pushed_at, digest)
    WHERE lease_until > 0 OR untagged_at IS NOT NULL;
