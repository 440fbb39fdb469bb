"""A look at a data directory from outside: rows and files agree, and nothing is left over."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

LEFT_OVER = {
    "holds on blobs that nothing names": (
        "SELECT count(*) FROM namespace_blobs h WHERE NOT EXISTS (SELECT 1 FROM "
        "manifest_references r WHERE r.namespace = h.namespace AND r.digest = h.digest)"
    ),
    "blobs that nobody holds": (
        "SELECT count(*) FROM blobs b WHERE NOT EXISTS "
        "(SELECT 1 FROM namespace_blobs h WHERE h.digest = b.digest)"
    ),
    "manifests that nothing keeps": (
        "SELECT count(*) FROM manifests m WHERE NOT EXISTS (SELECT 1 FROM tags t "
        "WHERE t.namespace = m.namespace AND t.digest = m.digest) AND NOT EXISTS (SELECT 1 FROM "
        "manifest_references r WHERE r.namespace = m.namespace AND r.digest = m.digest) "
        "AND NOT EXISTS (SELECT 1 FROM manifests s WHERE s.namespace = m.namespace "
        "AND s.digest = m.subject)"
    ),
    "bodies without a manifest": (
        "SELECT count(*) FROM manifest_bodies b WHERE NOT EXISTS "
        "(SELECT 1 FROM manifests m WHERE m.digest = b.digest)"
    ),
    "reclaims that are not done": "SELECT count(*) FROM reclaims",
}


def audit(data_dir: Path) -> list[str]:
    """What is there and should not be, or the reverse, once a collection has given all back."""
    with closing(sqlite3.connect(f"file:{data_dir / 'metadata.db'}?mode=ro", uri=True)) as rows:
        counts = {what: rows.execute(query).fetchone()[0] for what, query in LEFT_OVER.items()}
        known = dict(rows.execute("SELECT digest, size FROM blobs WHERE state = 'present'"))
    wrong = [f"left over: {count} {what}" for what, count in counts.items() if count]
    files = {
        f"{path.parts[-3]}:{path.name}": path.stat().st_size
        for path in data_dir.glob("blobs/*/*/*")
    }
    wrong += [f"file without a row: {digest}" for digest in sorted(files.keys() - known.keys())]
    wrong += [f"row without a file: {digest}" for digest in sorted(known.keys() - files.keys())]
    wrong += [
        f"{digest} has {files[digest]} bytes, its row says {known[digest]}"
        for digest in sorted(files.keys() & known.keys())
        if files[digest] != known[digest]
    ]
    wrong += [f"in the trash: {path.name}" for path in (data_dir / "trash").iterdir()]
    return wrong
