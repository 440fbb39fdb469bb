-- Space. lease_until of a row in namespace_blobs or manifests says when to look whether something
-- still refers to it. A look that finds a reference sets it to 0; what takes the last reference
-- away gives it a new time. So these indexes hold what is to be looked at, and nothing else.

CREATE INDEX namespace_blobs_by_lease ON namespace_blobs (lease_until) WHERE lease_until > 0;
CREATE INDEX manifests_by_lease ON manifests (lease_until) WHERE lease_until > 0;

-- untagged_at: when the manifest lost its last tag, or was pushed if it never had one; null while
-- it has one, and until somebody looked. is_orphan: it was part of an index that is gone.
ALTER TABLE manifests ADD COLUMN untagged_at INTEGER;
ALTER TABLE manifests ADD COLUMN is_orphan INTEGER NOT NULL DEFAULT 0;
CREATE INDEX manifests_untagged ON manifests (untagged_at) WHERE untagged_at IS NOT NULL;

-- Blobs whose rows are gone and whose file may still be there.
CREATE TABLE reclaims (
    digest TEXT NOT NULL PRIMARY KEY
) WITHOUT ROWID;
INSERT INTO reclaims SELECT digest FROM blobs b
    WHERE NOT EXISTS (SELECT 1 FROM namespace_blobs h WHERE h.digest = b.digest);
DELETE FROM blobs WHERE digest IN (SELECT digest FROM reclaims);
