"""The verbs over rows, on a real database, with their rules of leases, counts and histories."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from angos_trio.events.model import Event, EventKind, record
from angos_trio.limits.storage import TAG_HISTORY_ENTRIES_MAX
from angos_trio.oci.digest import Digest, digest_of
from angos_trio.oci.manifest import parse_manifest
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.storage.metadata import blobs, events, leases, manifests, namespaces, tags
from angos_trio.storage.metadata.manifests import PushedManifest
from angos_trio.storage.transactions import Rows
from tests.registry.support import image, index, numbered
from tests.storage.support import database

NAME = RepositoryName("team/app")
OTHER = RepositoryName("team/other")
A, B, C = (digest_of(letter) for letter in (b"a", b"b", b"c"))


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """A fresh database with two namespaces: 1 is NAME, 2 is OTHER."""
    with database(tmp_path) as opened:
        namespaces.ensure(opened, NAME, 1)
        namespaces.ensure(opened, OTHER, 1)
        yield opened


def put(rows: Rows, body: bytes, namespace: int = 1, *, lease: int = 0) -> Digest:
    """Push a manifest; its digest."""
    digest = digest_of(body)
    facts = parse_manifest(body, None)
    manifests.put(rows, namespace, PushedManifest(digest, body, facts, 5, "me", lease))
    return digest


def hold(rows: Rows, digest: Digest, namespace: int = 1, *, lease: int = 0) -> None:
    blobs.put(rows, digest, 10, 1)
    blobs.hold(rows, namespace, digest, lease)


def lease_of(rows: Rows, digest: Digest, name: RepositoryName = NAME) -> int:
    held = blobs.find_held(rows, name, digest)
    assert held is not None
    return held.lease_until


def point(rows: Rows, tag: str, digest: Digest, namespace: int = 1, *, now: int = 1) -> None:
    tags.point(rows, namespace, Tag(tag), digest, now=now, by="me")


def counts(rows: Rows) -> dict[str, int]:
    return dict(rows.execute("SELECT name, manifest_count FROM namespaces"))


def history(rows: Rows, tag: str) -> list[str | None]:
    found = rows.execute("SELECT digest FROM tag_history WHERE name = ? ORDER BY id", (tag,))
    return [row[0] for row in found]


def test_namespace_is_made_once(rows: Rows) -> None:
    assert namespaces.find(rows, RepositoryName("new")) is None
    made = namespaces.ensure(rows, RepositoryName("new"), 7)
    assert namespaces.ensure(rows, RepositoryName("new"), 9) == made
    assert namespaces.find(rows, RepositoryName("new")) == made
    assert rows.execute("SELECT created_at FROM namespaces WHERE id = ?", (made,)).fetchone() == (
        7,
    )


def test_manifests_are_counted_by_the_database(rows: Rows) -> None:
    first = put(rows, numbered(1))
    put(rows, numbered(2))
    put(rows, numbered(1))
    put(rows, numbered(1), 2)
    assert counts(rows) == {NAME: 2, OTHER: 1}

    manifests.delete(rows, 1, first)
    manifests.delete(rows, 1, first)
    assert counts(rows) == {NAME: 1, OTHER: 1}


def test_catalog_lists_namespaces_with_content_in_byte_order_after_a_text(rows: Rows) -> None:
    for number, name in enumerate(("b", "a-b", "a/b", "a.b", "a", "a0", "z/empty")):
        namespace = namespaces.ensure(rows, RepositoryName(name), 1)
        if name != "z/empty":
            put(rows, numbered(number), namespace)
    expected = sorted(("b", "a-b", "a/b", "a.b", "a", "a0"), key=str.encode)

    assert namespaces.list_with_content(rows, "", 100) == expected
    for at, name in enumerate(expected):
        assert namespaces.list_with_content(rows, name, 2) == expected[at + 1 : at + 3]
    assert namespaces.list_with_content(rows, "a/", 100) == ["a/b", "a0", "b"]
    assert namespaces.list_with_content(rows, "", 0) == []


@pytest.mark.parametrize(
    ("first", "second", "expected"), [(10, 20, 20), (20, 10, 20), (10, 10, 10), (0, 1, 1)]
)
def test_longer_lease_stays(rows: Rows, first: int, second: int, expected: int) -> None:
    hold(rows, A, lease=first)
    blobs.hold(rows, 1, A, second)

    assert lease_of(rows, A) == expected


def test_blob_is_held_by_a_namespace_until_it_is_released(rows: Rows) -> None:
    hold(rows, A, lease=9)

    assert blobs.find_held(rows, NAME, A) == blobs.HeldBlob(A, 10, 9)
    assert blobs.find_held(rows, OTHER, A) is None
    assert blobs.find_held(rows, NAME, B) is None
    assert blobs.release(rows, 2, A) is False
    assert blobs.release(rows, 1, A) is True
    assert blobs.release(rows, 1, A) is False
    assert blobs.find_held(rows, NAME, A) is None


def test_missing_blob_counts_as_absent_and_a_push_heals_it(rows: Rows) -> None:
    hold(rows, A)
    rows.execute("UPDATE blobs SET state = 'missing'")

    facts = parse_manifest(image(A, config=A), None)
    assert blobs.find_held(rows, NAME, A) is None
    assert blobs.holders(rows, A, 10) == []
    assert manifests.missing_references(rows, 1, facts) == A

    blobs.put(rows, A, 11, 99)
    assert blobs.find_held(rows, NAME, A) == blobs.HeldBlob(A, 11, 0)
    assert blobs.holders(rows, A, 10) == [NAME]
    assert rows.execute("SELECT created_at FROM blobs").fetchone() == (1,)


def test_state_is_one_of_two(rows: Rows) -> None:
    hold(rows, A)
    with pytest.raises(sqlite3.IntegrityError):
        rows.execute("UPDATE blobs SET state = 'lost'")


def test_blob_cannot_be_held_before_it_is_recorded(rows: Rows) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        blobs.hold(rows, 1, A, 1)


def test_holders_come_oldest_first_and_no_more_than_asked_for(rows: Rows) -> None:
    for name in ("b", "a", "c"):
        hold(rows, A, namespaces.ensure(rows, RepositoryName(name), 1))
    hold(rows, B)

    assert blobs.holders(rows, A, 10) == ["b", "a", "c"]
    assert blobs.holders(rows, A, 2) == ["b", "a"]
    assert blobs.holders(rows, C, 2) == []


def test_every_descriptor_is_a_reference_whatever_its_kind(rows: Rows) -> None:
    child = put(rows, numbered(1))
    put(rows, index(child, A))
    put(rows, image(B, config=C))

    for digest in (child, A, B, C):
        assert blobs.is_referenced(rows, 1, digest)
        assert not blobs.is_referenced(rows, 2, digest)


def test_subject_is_no_reference(rows: Rows) -> None:
    put(rows, image(A, subject=B))

    assert not blobs.is_referenced(rows, 1, B)


LEASE_TABLE = {
    "its only reference goes": ([], 100),
    "another manifest refers to it": ([image(A, config=B)], 0),
    "an index refers to it as a manifest": ([index(A)], 0),
}


@pytest.mark.parametrize(("others", "expected"), list(LEASE_TABLE.values()), ids=list(LEASE_TABLE))
def test_delete_extends_the_lease_of_what_lost_its_last_reference(
    rows: Rows, others: list[bytes], expected: int
) -> None:
    hold(rows, A)
    going = put(rows, image(A))
    for body in others:
        put(rows, body)
    leases.lose_manifest(rows, 1, going, 100)

    assert lease_of(rows, A) == expected


def test_references_of_another_namespace_do_not_count(rows: Rows) -> None:
    hold(rows, A)
    hold(rows, A, 2)
    going = put(rows, image(A))
    put(rows, image(A, config=B), 2)
    leases.lose_manifest(rows, 1, going, 100)

    assert lease_of(rows, A) == 100
    assert lease_of(rows, A, OTHER) == 0


def test_delete_never_shortens_a_lease_and_leaves_others_alone(rows: Rows) -> None:
    hold(rows, A, lease=500)
    hold(rows, B)
    hold(rows, C)
    going = put(rows, image(A, config=B))
    leases.lose_manifest(rows, 1, going, 100)

    assert [lease_of(rows, digest) for digest in (A, B, C)] == [500, 100, 0]


def test_delete_extends_the_lease_of_manifests_that_an_index_listed(rows: Rows) -> None:
    """Rule 2: a reference keeps whatever the namespace holds under it, blob or manifest; rule 6:
    who loses the last reference gets a lease."""
    child, shared = put(rows, numbered(1)), put(rows, numbered(2))
    going = put(rows, index(child, shared))
    put(rows, index(shared))
    leases.lose_manifest(rows, 1, going, 100)

    found = dict(rows.execute("SELECT digest, lease_until FROM manifests"))
    assert (found[child], found[shared]) == (100, 0)


def test_body_is_stored_once_and_goes_with_the_last_namespace(rows: Rows) -> None:
    digest = put(rows, numbered(1))
    put(rows, numbered(1), 2)
    assert rows.execute("SELECT count(*) FROM manifest_bodies").fetchone() == (1,)

    assert manifests.delete(rows, 1, digest)
    assert manifests.read_body(rows, digest) == numbered(1)
    assert not manifests.is_held(rows, 1, digest)
    assert manifests.is_held(rows, 2, digest)

    assert manifests.delete(rows, 2, digest)
    assert manifests.read_body(rows, digest) is None
    assert not manifests.delete(rows, 2, digest)


def test_delete_takes_references_along(rows: Rows) -> None:
    digest = put(rows, image(A))
    put(rows, image(A), 2)
    manifests.delete(rows, 1, digest)

    assert not blobs.is_referenced(rows, 1, A)
    assert blobs.is_referenced(rows, 2, A)


def test_manifest_that_a_tag_points_to_cannot_be_deleted(rows: Rows) -> None:
    """The database itself keeps tags from pointing to nothing."""
    digest = put(rows, numbered(1))
    point(rows, "v1", digest)
    with pytest.raises(sqlite3.IntegrityError):
        manifests.delete(rows, 1, digest)


def test_tag_cannot_point_to_what_the_namespace_does_not_hold(rows: Rows) -> None:
    digest = put(rows, numbered(1), 2)
    with pytest.raises(sqlite3.IntegrityError):
        point(rows, "v1", digest)


def test_same_push_again_keeps_the_time_and_the_longer_lease(rows: Rows) -> None:
    body = numbered(1)
    digest = put(rows, body, lease=50)
    facts = parse_manifest(body, None)
    again = PushedManifest(digest, body, facts, 99, "you", 20)
    assert manifests.put(rows, 1, again) is False

    found = rows.execute("SELECT pushed_at, pushed_by, lease_until FROM manifests").fetchall()
    assert found == [(5, "me", 50)]


def test_manifest_is_found_by_tag_and_by_digest_in_its_namespace(rows: Rows) -> None:
    digest = put(rows, numbered(1))
    point(rows, "v1", digest)
    found = manifests.find_by_tag(rows, NAME, Tag("v1"))

    assert found == manifests.find_by_digest(rows, NAME, digest)
    assert found is not None
    assert (found.digest, found.size) == (digest, len(numbered(1)))
    for name, tag in ((OTHER, "v1"), (NAME, "v2"), (RepositoryName("absent"), "v1")):
        assert manifests.find_by_tag(rows, name, Tag(tag)) is None
    assert manifests.find_by_digest(rows, OTHER, digest) is None


@pytest.mark.parametrize("allows", ["blob", "manifest", "elsewhere"])
def test_reference_is_there_as_blob_or_manifest_or_is_elsewhere(rows: Rows, allows: str) -> None:
    child = digest_of(numbered(1))
    body = index(child)
    if allows == "elsewhere":
        document = json.loads(body)
        document["manifests"][0]["urls"] = ["https://example.test/x"]
        body = json.dumps(document).encode()
    facts = parse_manifest(body, None)
    if allows == "blob":
        hold(rows, child)
    elif allows == "manifest":
        put(rows, numbered(1))

    assert manifests.missing_references(rows, 1, facts) is None
    assert (manifests.missing_references(rows, 2, facts) is None) == (allows == "elsewhere")


def test_tags_are_listed_in_byte_order_after_a_text(rows: Rows) -> None:
    digest = put(rows, numbered(1))
    names = ["B", "a", "Z", "_x", "a.1", "a-1", "a_1", "0", "aa"]
    for name in names:
        point(rows, name, digest)
    expected = sorted(names, key=str.encode)

    assert tags.list_names(rows, 1, "", 100) == expected
    for at, name in enumerate(expected):
        assert tags.list_names(rows, 1, name, 3) == expected[at + 1 : at + 4]
    assert tags.list_names(rows, 1, "a\N{SNOWMAN}", 100) == []
    assert tags.list_names(rows, 2, "", 100) == []
    assert tags.names_of(rows, 1, digest) == expected


def test_history_has_moves_and_deletes_but_no_push_of_the_same(rows: Rows) -> None:
    first, second = put(rows, numbered(1)), put(rows, numbered(2))
    point(rows, "v1", first)
    point(rows, "v1", first, now=2)
    point(rows, "v1", second)
    assert tags.delete(rows, 1, Tag("v1"), now=3, by="me")
    assert not tags.delete(rows, 1, Tag("v1"), now=3, by="me")
    point(rows, "v1", first)

    assert history(rows, "v1") == [first, second, None, first]


def test_history_of_a_tag_keeps_its_last_hundred_entries(rows: Rows) -> None:
    digests = [put(rows, numbered(number)) for number in range(2)]
    point(rows, "other", digests[0])
    for number in range(250):
        point(rows, "v1", digests[number % 2], now=number)
        assert len(history(rows, "v1")) == min(number + 1, TAG_HISTORY_ENTRIES_MAX)
    newest = rows.execute(
        "SELECT max(changed_at), min(changed_at) FROM tag_history WHERE name='v1'"
    )

    assert newest.fetchone() == (249, 150)
    assert history(rows, "other") == [digests[0]]


def test_history_of_one_namespace_does_not_push_out_anothers(rows: Rows) -> None:
    for namespace in (1, 2):
        for number in range(2):
            put(rows, numbered(number), namespace)
    point(rows, "v1", digest_of(numbered(0)), 2)
    for number in range(150):
        point(rows, "v1", digest_of(numbered(number % 2)))

    assert len(history(rows, "v1")) == TAG_HISTORY_ENTRIES_MAX + 1


def test_referrers_come_in_digest_order_filtered_and_after_a_digest(rows: Rows) -> None:
    subject = put(rows, numbered(0))
    kinds = ["sbom/x", "sign/x", "sbom/x", "sign/x", "sbom/x"]
    made = [
        (
            put(rows, image(subject=subject, artifact_type=kind, annotations={"n": str(number)})),
            kind,
        )
        for number, kind in enumerate(kinds)
    ]
    put(rows, image(subject=A, artifact_type="sbom/x"))
    put(rows, image(subject=subject, artifact_type="sbom/x", annotations={"n": "other"}), 2)

    for wanted in (None, "sbom/x", "sign/x", "other/x"):
        expected = sorted(digest for digest, kind in made if wanted in (None, kind))
        for at in range(len(expected) + 1):
            after = "" if at == 0 else expected[at - 1]
            found = manifests.list_referrers(
                rows, 1, subject, artifact_type=wanted, after=after, limit=2
            )
            assert [referrer.digest for referrer in found] == expected[at : at + 2]


def test_referrer_is_described_as_pushed(rows: Rows) -> None:
    body = image(subject=A, artifact_type="sbom/x", annotations={"ü": "1", "b": ""})
    digest = put(rows, body)
    (found,) = manifests.list_referrers(rows, 1, A, artifact_type=None, after="", limit=5)

    assert (found.digest, found.size, found.artifact_type) == (digest, len(body), "sbom/x")
    assert dict(found.annotations) == {"ü": "1", "b": ""}


def test_events_are_numbered_in_the_order_of_their_commits_and_never_reused(rows: Rows) -> None:
    for number in range(3):
        record(rows, Event(EventKind.TAG_CREATED, NAME, number, "me", {"tag": "v1", "n": number}))
    rows.execute("DELETE FROM events WHERE id = 3")
    record(rows, Event(EventKind.BLOB_DELETED, NAME, 9, "me"))

    found = rows.execute("SELECT id, at, kind, namespace, actor, payload FROM events").fetchall()
    assert [row[0] for row in found] == [1, 2, 4]
    assert found[0][1:] == (0, "tag.created", NAME, "me", '{"tag":"v1","n":0}')
    assert found[-1][1:] == (9, "blob.deleted", NAME, "me", "{}")


def test_session_is_found_in_the_outbox_by_the_push_that_finished_it(rows: Rows) -> None:
    session = "01234567-89ab-cdef-0123-456789abcdef"
    record(rows, Event(EventKind.BLOB_PUSHED, NAME, 1, "me", {"digest": A, "session": session}))

    assert events.tells_of_session(rows, session)  # type: ignore[arg-type]
    other = "f" + session[1:]
    assert not events.tells_of_session(rows, other)  # type: ignore[arg-type]
