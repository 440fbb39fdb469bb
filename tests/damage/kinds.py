"""Kinds of damage: how each is planted into a store that is served, and what must be found."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.damage.store import Image, Store
from tests.factories import make_blob

OLD_SECS = 10 * 86_400
TAG_COLUMNS = "(namespace, name, digest, updated_at, updated_by, sort_key)"
NOBODY = 99_999
"""The number of no namespace."""


@dataclass(frozen=True)
class Damage:
    """`finds`: the exact counters. `loses`: the victim does not pull until it is pushed again.
    `leaves`: what may differ from before, besides what the victim's names are part of."""

    name: str
    plant: Callable[[Store, Image], None]
    finds: Mapping[str, int]
    loses: bool = False
    victim: str = "plain"
    leaves: tuple[str, ...] = ()


def age(path: os.PathLike[str]) -> None:
    """Let a file be ten days old."""
    then = time.time() - OLD_SECS
    os.utime(path, (then, then), follow_symlinks=False)


def _layer(image: Image) -> str:
    return image.blobs[1].digest


def _rewrite(store: Store, digest: str, change: Callable[[bytes], bytes]) -> None:
    path = store.path(digest)
    content = change(path.read_bytes())
    path.chmod(0o640)
    path.write_bytes(content)


def flip(store: Store, image: Image) -> None:
    _rewrite(store, _layer(image), lambda content: bytes([content[0] ^ 1]) + content[1:])


def truncate(store: Store, image: Image) -> None:
    _rewrite(store, _layer(image), lambda content: content[:-7])


def lengthen(store: Store, image: Image) -> None:
    _rewrite(store, _layer(image), lambda content: content + b"more")


def empty(store: Store, image: Image) -> None:
    _rewrite(store, _layer(image), lambda content: b"")


def delete(store: Store, image: Image) -> None:
    store.path(_layer(image)).unlink()


def link_instead(store: Store, image: Image) -> None:
    path = store.path(_layer(image))
    path.unlink()
    path.symlink_to("/etc/hostname")


def directory_instead(store: Store, image: Image) -> None:
    path = store.path(_layer(image))
    path.unlink()
    path.mkdir()
    (path / "inside").write_bytes(b"kept")


def size_in_row(store: Store, image: Image) -> None:
    store.sql("UPDATE blobs SET size = size + 1 WHERE digest = ?", _layer(image))


def no_blob_row(store: Store, image: Image) -> None:
    store.sql("DELETE FROM blobs WHERE digest = ?", _layer(image))


def no_blob_row_nor_file(store: Store, image: Image) -> None:
    no_blob_row(store, image)
    delete(store, image)


def came_back(store: Store, image: Image) -> None:
    store.sql("UPDATE blobs SET state = 'missing' WHERE digest = ?", _layer(image))


def unknown_state(store: Store, image: Image) -> None:
    store.sql("UPDATE blobs SET state = 'odd' WHERE digest = ?", _layer(image))


def unheld(store: Store, image: Image) -> None:
    blob = make_blob()
    store.path(blob.digest).write_bytes(blob.body)
    store.sql("INSERT INTO blobs VALUES (?, ?, 'present', 1)", blob.digest, blob.size)


def unknown_file(store: Store, image: Image) -> None:
    blob = make_blob()
    store.path(blob.digest).write_bytes(blob.body)
    age(store.path(blob.digest))


def young_file(store: Store, image: Image) -> None:
    blob = make_blob()
    store.path(blob.digest).write_bytes(blob.body)


def foreign_names(store: Store, image: Image) -> None:
    for place in (
        "blobs",
        "blobs/sha256",
        "blobs/sha256/ab",
        "blobs/sha512/00",
        "uploads",
        "trash",
    ):
        (store.root / place / "notes.txt").write_bytes(b"not ours")


def foreign_link(store: Store, image: Image) -> None:
    (store.root / "blobs/sha256/cd/link").symlink_to(store.path(_layer(image)))


def foreign_directory(store: Store, image: Image) -> None:
    path = store.root / "blobs/sha256/ce/folder"
    path.mkdir()
    (path / "inside").write_bytes(b"kept")


def wrong_shelf(store: Store, image: Image) -> None:
    name = make_blob().digest.partition(":")[2]
    shelf = "00" if name[:2] != "00" else "01"
    (store.root / "blobs/sha256" / shelf / name).write_bytes(b"misplaced")


def no_directory(store: Store, image: Image) -> None:
    shelf = next(path for path in (store.root / "blobs/sha512").iterdir() if not os.listdir(path))
    shelf.rmdir()


def left_over_upload(store: Store, image: Image) -> None:
    path = store.root / "uploads" / f"{uuid.uuid4()}.data"
    path.write_bytes(b"half of something")
    age(path)


def left_over_record(store: Store, image: Image) -> None:
    path = store.root / "uploads" / f"{uuid.uuid4()}.json.tmp"
    path.write_bytes(b"{")
    age(path)


def young_upload(store: Store, image: Image) -> None:
    (store.root / "uploads" / f"{uuid.uuid4()}.data").write_bytes(b"half of something")


def _where(store: Store, image: Image) -> tuple[int, str]:
    return store.number(image.name), image.top.digest


def no_reference(store: Store, image: Image) -> None:
    store.sql("DELETE FROM manifest_references WHERE digest = ?", _layer(image))


def more_references(store: Store, image: Image) -> None:
    statement = "INSERT INTO manifest_references VALUES (?, ?, ?, 'layer')"
    store.sql(statement, *_where(store, image), make_blob().digest)


def other_kind(store: Store, image: Image) -> None:
    store.sql("UPDATE manifest_references SET kind = 'odd' WHERE digest = ?", _layer(image))


def dangling_tag(store: Store, image: Image) -> None:
    statement = f"INSERT INTO tags {TAG_COLUMNS} VALUES (?, 'dangling', ?, 1, 'me', 'dangling')"
    store.sql(statement, store.number(image.name), make_blob().digest)


def tag_out_of_order(store: Store, image: Image) -> None:
    store.sql("UPDATE tags SET sort_key = 'zzz' WHERE digest = ?", image.top.digest)


def other_role(store: Store, image: Image) -> None:
    store.sql("UPDATE manifests SET role = 'chart' WHERE digest = ?", image.top.digest)


def tag_count(store: Store, image: Image) -> None:
    store.sql("UPDATE namespaces SET tag_count = 7 WHERE id = ?", store.number(image.name))


def no_manifest_row(store: Store, image: Image) -> None:
    store.sql("DELETE FROM manifests WHERE digest = ?", image.top.digest)


def _column(store: Store, image: Image, what: str) -> None:
    store.sql(f"UPDATE manifests SET {what} WHERE digest = ?", image.top.digest)


def wrong_subject(store: Store, image: Image) -> None:
    _column(store, image, f"subject = '{make_blob().digest}'")


def no_subject(store: Store, image: Image) -> None:
    _column(store, image, "subject = NULL")


def wrong_type(store: Store, image: Image) -> None:
    _column(store, image, "artifact_type = 'a/b'")


def wrong_media_type(store: Store, image: Image) -> None:
    _column(store, image, "media_type = 'text/plain'")


def wrong_annotations(store: Store, image: Image) -> None:
    _column(store, image, "annotations = '{torn'")


def wrong_size(store: Store, image: Image) -> None:
    _column(store, image, "size = size * 2")


def wrong_count(store: Store, image: Image) -> None:
    store.sql("UPDATE namespaces SET manifest_count = 0 WHERE name = ?", image.name)


def wrong_weight(store: Store, image: Image) -> None:
    statement = "UPDATE namespaces SET held_bytes = held_bytes + 1 WHERE name = ?"
    store.sql(statement, image.name)


def corrupt_body(store: Store, image: Image) -> None:
    body = image.top.body.replace(b'"schemaVersion": 2', b'"schemaVersion": 3')
    assert body != image.top.body
    store.sql("UPDATE manifest_bodies SET body = ? WHERE digest = ?", body, image.top.digest)


def no_body(store: Store, image: Image) -> None:
    store.sql("DELETE FROM manifest_bodies WHERE digest = ?", image.top.digest)


def unused_body(store: Store, image: Image) -> None:
    blob = make_blob("{}" + str(uuid.uuid4()))
    store.sql("INSERT INTO manifest_bodies VALUES (?, ?)", blob.digest, blob.body)


def parked_hold(store: Store, image: Image) -> None:
    blob = make_blob()
    store.path(blob.digest).write_bytes(blob.body)
    store.sql("INSERT INTO blobs VALUES (?, ?, 'present', 1)", blob.digest, blob.size)
    where = store.number(image.name), blob.digest
    store.sql(
        "INSERT INTO namespace_blobs (namespace, digest, lease_until) VALUES (?, ?, 0)", *where
    )


def hold_of_nobody(store: Store, image: Image) -> None:
    statement = "INSERT INTO namespace_blobs (namespace, digest, lease_until) VALUES (?, ?, 0)"
    store.sql(statement, NOBODY, _layer(image))


def history_of_nobody(store: Store, image: Image) -> None:
    store.sql("INSERT INTO tag_history VALUES (NULL, ?, 'v1', NULL, 1, 'me')", NOBODY)


def tag_of_nobody(store: Store, image: Image) -> None:
    store.sql(
        f"INSERT INTO tags {TAG_COLUMNS} VALUES (?, 'latest', ?, 1, 'me', 'latest')",
        NOBODY,
        image.top.digest,
    )


def reference_of_nothing(store: Store, image: Image) -> None:
    where = store.number(image.name), make_blob().digest, _layer(image)
    store.sql("INSERT INTO manifest_references VALUES (?, ?, ?, 'layer')", *where)


def reclaim_left_over(store: Store, image: Image) -> None:
    blob = make_blob()
    store.path(blob.digest).write_bytes(blob.body)
    age(store.path(blob.digest))
    store.sql("INSERT INTO reclaims VALUES (?)", blob.digest)


def trash_left_over(store: Store, image: Image) -> None:
    (store.root / "trash" / f"{'a' * 64}.{uuid.uuid4().hex}").write_bytes(b"gone")


def unknown_in_root(store: Store, image: Image) -> None:
    (store.root / "notes-of-the-operator.txt").write_bytes(b"left alone")


BLOB = {"blob_corrupt": 1}
ROW = {"manifest_row_wrong": 1}
FOREIGN = {"file_foreign": 1}
REFERENCES = {"references_wrong": 1}
KINDS = (
    Damage("flipped byte", flip, BLOB, loses=True),
    Damage("truncated blob", truncate, BLOB, loses=True),
    Damage("longer blob", lengthen, BLOB, loses=True),
    Damage("empty blob", empty, BLOB, loses=True),
    Damage("flipped byte, sha512", flip, BLOB, loses=True, victim="sha512"),
    Damage("flipped byte in a cache", flip, BLOB, loses=True, victim="cache"),
    Damage("deleted blob", delete, {"blob_missing": 1}, loses=True),
    Damage("deleted blob of an index", delete, {"blob_missing": 1}, loses=True, victim="nested"),
    Damage("link instead of a blob", link_instead, BLOB, loses=True),
    Damage("directory instead of a blob", directory_instead, BLOB, loses=True),
    Damage("wrong size in a row", size_in_row, {"blob_size_wrong": 1}),
    Damage("hold without a row", no_blob_row, {"blob_row_missing": 1}),
    Damage("no row, no file", no_blob_row_nor_file, {"blob_row_missing": 1}, loses=True),
    Damage("missing blob whose file came back", came_back, {"blob_back": 1}),
    Damage("state that there is not", unknown_state, {"database": 1, "blob_back": 1}),
    Damage("blob that nobody holds", unheld, {"blob_unheld": 1}),
    Damage("well-named file without a row", unknown_file, {"file_unknown": 1}),
    Damage("the same, a moment old", young_file, {}, leaves=("+ blobs/sha256/",)),
    Damage("names that are not ours", foreign_names, {"file_foreign": 6}),
    Damage("link in blobs/", foreign_link, FOREIGN),
    Damage("directory in blobs/", foreign_directory, FOREIGN),
    Damage("blob in another's directory", wrong_shelf, FOREIGN),
    Damage("directory that is gone", no_directory, {"directory_missing": 1}),
    Damage("upload that is no more", left_over_upload, {"upload_left_over": 1}),
    Damage("temporary file", left_over_record, {"upload_left_over": 1}),
    Damage("the same, a moment old", young_upload, {}, leaves=("+ uploads/",)),
    Damage("reference removed", no_reference, {**REFERENCES, "lease_lost": 1}),
    Damage("reference too many", more_references, REFERENCES),
    Damage("reference of another kind", other_kind, REFERENCES),
    Damage("tag to nothing", dangling_tag, {"tag_to_nothing": 1}),
    Damage("tag out of order", tag_out_of_order, {"tag_out_of_order": 1}),
    Damage("another role", other_role, {"manifest_row_wrong": 1}),
    Damage("wrong count of tags", tag_count, {"count_wrong": 1}),
    Damage(
        "manifest's row gone",
        no_manifest_row,
        {"tag_to_nothing": 1, "reference_of_nothing": 3, "body_unused": 1},
        loses=True,
    ),
    Damage("wrong subject", wrong_subject, {**ROW, "lease_lost": 1}, victim="referrer"),
    Damage("no subject", no_subject, {**ROW, "lease_lost": 1}, victim="referrer"),
    Damage("wrong artifact type", wrong_type, ROW),
    Damage("wrong media type", wrong_media_type, ROW),
    Damage("torn annotations", wrong_annotations, ROW),
    Damage("wrong size of a manifest", wrong_size, ROW),
    Damage("wrong count", wrong_count, {"count_wrong": 1}),
    Damage("wrong weight", wrong_weight, {"count_wrong": 1}, victim="nested"),
    Damage("corrupt body", corrupt_body, {"manifest_corrupt": 1}, loses=True),
    Damage("corrupt body, sha512", corrupt_body, {"manifest_corrupt": 1}, True, victim="sha512"),
    Damage("no body", no_body, {"manifest_missing": 1}, loses=True),
    Damage("body without a manifest", unused_body, {"body_unused": 1}),
    Damage("parked and not referred to", parked_hold, {"lease_lost": 1}),
    Damage("hold of no namespace", hold_of_nobody, {"namespace_unknown": 1}),
    Damage("history of no namespace", history_of_nobody, {"namespace_unknown": 1}),
    Damage("tag of no namespace", tag_of_nobody, {"namespace_unknown": 1}),
    Damage("reference of no manifest", reference_of_nothing, {"reference_of_nothing": 1}),
    Damage("reclaim left over", reclaim_left_over, {}),
    Damage("trash left over", trash_left_over, {}),
    Damage("unknown name in the data directory", unknown_in_root, {}),
)
