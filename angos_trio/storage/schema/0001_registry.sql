-- The registry's rows. Digests are text; times are epoch seconds; text compares byte-wise.

CREATE TABLE namespaces (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    manifest_count INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX namespaces_with_content ON namespaces (name) WHERE manifest_count > 0;

-- state: 'present', or 'missing' for what was lost or quarantined; a push heals it.
CREATE TABLE blobs (
    digest TEXT NOT NULL PRIMARY KEY,
    size INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'present' CHECK (state IN ('present', 'missing')),
    created_at INTEGER NOT NULL
) WITHOUT ROWID;

-- Who holds a blob: the only way to its bytes. Without a reference it is held until lease_until.
CREATE TABLE namespace_blobs (
    namespace INTEGER NOT NULL REFERENCES namespaces (id),
    digest TEXT NOT NULL REFERENCES blobs (digest),
    lease_until INTEGER NOT NULL,
    PRIMARY KEY (namespace, digest)
) WITHOUT ROWID;
CREATE INDEX namespace_blobs_by_digest ON namespace_blobs (digest, namespace);

CREATE TABLE manifest_bodies (
    digest TEXT NOT NULL PRIMARY KEY,
    body BLOB NOT NULL
);

CREATE TABLE manifests (
    namespace INTEGER NOT NULL REFERENCES namespaces (id),
    digest TEXT NOT NULL REFERENCES manifest_bodies (digest),
    media_type TEXT NOT NULL,
    kind TEXT NOT NULL,
    artifact_type TEXT,
    subject TEXT,
    size INTEGER NOT NULL,
    annotations TEXT NOT NULL,
    pushed_at INTEGER NOT NULL,
    pushed_by TEXT NOT NULL,
    lease_until INTEGER NOT NULL,
    PRIMARY KEY (namespace, digest)
) WITHOUT ROWID;
CREATE INDEX manifests_by_digest ON manifests (digest);
CREATE INDEX manifests_by_subject ON manifests (namespace, subject, digest)
    WHERE subject IS NOT NULL;
CREATE INDEX manifests_by_artifact_type ON manifests (namespace, subject, artifact_type, digest)
    WHERE subject IS NOT NULL;

CREATE TRIGGER manifests_counted_in AFTER INSERT ON manifests BEGIN
    UPDATE namespaces SET manifest_count = manifest_count + 1 WHERE id = NEW.namespace;
END;
CREATE TRIGGER manifests_counted_out AFTER DELETE ON manifests BEGIN
    UPDATE namespaces SET manifest_count = manifest_count - 1 WHERE id = OLD.namespace;
END;

-- Every descriptor of a body, whether or not the namespace holds what it names.
CREATE TABLE manifest_references (
    namespace INTEGER NOT NULL,
    manifest TEXT NOT NULL,
    digest TEXT NOT NULL,
    kind TEXT NOT NULL,
    PRIMARY KEY (namespace, manifest, digest),
    FOREIGN KEY (namespace, manifest) REFERENCES manifests (namespace, digest)
) WITHOUT ROWID;
CREATE INDEX manifest_references_by_digest ON manifest_references (namespace, digest);

CREATE TABLE tags (
    namespace INTEGER NOT NULL REFERENCES namespaces (id),
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    updated_by TEXT NOT NULL,
    PRIMARY KEY (namespace, name),
    FOREIGN KEY (namespace, digest) REFERENCES manifests (namespace, digest)
) WITHOUT ROWID;
CREATE INDEX tags_by_digest ON tags (namespace, digest, name);

-- digest is null where the tag was deleted.
CREATE TABLE tag_history (
    id INTEGER PRIMARY KEY,
    namespace INTEGER NOT NULL REFERENCES namespaces (id),
    name TEXT NOT NULL,
    digest TEXT,
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL
);
CREATE INDEX tag_history_by_tag ON tag_history (namespace, name, id);

-- Written with the change it tells of; ids are given under the write lock, so id order is
-- commit order.
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    namespace TEXT NOT NULL,
    actor TEXT NOT NULL,
    payload TEXT NOT NULL
);
