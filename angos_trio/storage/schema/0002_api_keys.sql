-- API keys. The secret itself is nowhere: secret_hash is the SHA-256 of it, in hexadecimal.
-- repositories and actions are JSON lists of text, of both an empty one is all; expires_at is null
-- for a key that does not expire, last_used_at for one that was never used.
CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    repositories TEXT NOT NULL,
    actions TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER,
    UNIQUE (owner, name)
) WITHOUT ROWID;
