-- What pages and lists show of a manifest is recorded when it is pushed.
-- role: what it is, in one word; empty until somebody has looked at the body.
-- carries: what it says about another manifest, bits of oci.roles.Carried; attached: what others
-- say about it, its referrers and, of an index, its parts.
-- total_size: its bytes and those that its descriptors name, each digest once; of an index, its
-- bytes and the total of each part that the namespace holds.
-- platforms: separated by a space.
ALTER TABLE manifests ADD COLUMN role TEXT NOT NULL DEFAULT '';
ALTER TABLE manifests ADD COLUMN carries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE manifests ADD COLUMN attached INTEGER NOT NULL DEFAULT 0;
ALTER TABLE manifests ADD COLUMN total_size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE manifests ADD COLUMN platforms TEXT NOT NULL DEFAULT '';
CREATE INDEX manifests_undescribed ON manifests (namespace, digest) WHERE role = '';
CREATE INDEX manifests_by_carried ON manifests (namespace, subject, carries, digest)
    WHERE subject IS NOT NULL;

-- sort_key: the order that people expect, oci.natural.natural_key of the name.
ALTER TABLE tags ADD COLUMN sort_key TEXT NOT NULL DEFAULT '';
UPDATE tags SET sort_key = natural_key(name);
CREATE INDEX tags_by_sort_key ON tags (namespace, sort_key, name);
CREATE INDEX tags_by_time ON tags (namespace, updated_at, name);

-- generation: changes whenever something changes that a list of the namespace shows.
ALTER TABLE namespaces ADD COLUMN tag_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE namespaces ADD COLUMN last_pushed_at INTEGER;
ALTER TABLE namespaces ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
UPDATE namespaces SET
    tag_count = (SELECT count(*) FROM tags t WHERE t.namespace = namespaces.id),
    last_pushed_at = (SELECT max(pushed_at) FROM manifests m WHERE m.namespace = namespaces.id);

DROP TRIGGER manifests_counted_in;
DROP TRIGGER manifests_counted_out;
DROP TRIGGER manifests_weighed_in;
DROP TRIGGER manifests_weighed_out;
CREATE TRIGGER manifests_counted_in AFTER INSERT ON manifests BEGIN
    UPDATE namespaces SET manifest_count = manifest_count + 1,
        held_bytes = held_bytes + max(NEW.size, 0), generation = generation + 1,
        last_pushed_at = max(coalesce(last_pushed_at, 0), NEW.pushed_at)
        WHERE id = NEW.namespace;
END;
CREATE TRIGGER manifests_counted_out AFTER DELETE ON manifests BEGIN
    UPDATE namespaces SET manifest_count = manifest_count - 1,
        held_bytes = held_bytes - max(OLD.size, 0), generation = generation + 1
        WHERE id = OLD.namespace;
END;
CREATE TRIGGER manifests_changed
    AFTER UPDATE OF media_type, role, attached, total_size, platforms ON manifests BEGIN
    UPDATE namespaces SET generation = generation + 1 WHERE id = NEW.namespace;
END;
CREATE TRIGGER tags_counted_in AFTER INSERT ON tags BEGIN
    UPDATE namespaces SET tag_count = tag_count + 1, generation = generation + 1,
        last_pushed_at = max(coalesce(last_pushed_at, 0), NEW.updated_at)
        WHERE id = NEW.namespace;
END;
CREATE TRIGGER tags_counted_out AFTER DELETE ON tags BEGIN
    UPDATE namespaces SET tag_count = tag_count - 1, generation = generation + 1
        WHERE id = OLD.namespace;
END;
CREATE TRIGGER tags_changed AFTER UPDATE ON tags BEGIN
    UPDATE namespaces SET generation = generation + 1,
        last_pushed_at = max(coalesce(last_pushed_at, 0), NEW.updated_at)
        WHERE id = NEW.namespace;
END;
