"""A page costs a page: every verb of a request finds its rows through an index, in their order."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from angos_trio.oci.digest import digest_of
from angos_trio.oci.manifest import parse_manifest
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.storage.connections import migrate, open_writer
from angos_trio.storage.metadata import (
    api_keys,
    blobs,
    events,
    facets,
    leases,
    listings,
    manifests,
    namespaces,
    reclaims,
    retention,
    samples,
    summaries,
    switches,
    tags,
    untagged,
)
from angos_trio.storage.metadata.facets import Facets, TagFilter
from angos_trio.storage.metadata.leases import Due
from angos_trio.storage.metadata.listings import TagOrder
from angos_trio.storage.metadata.samples import Sample
from angos_trio.storage.metadata.untagged import UntaggedOrder
from angos_trio.storage.transactions import Rows
from tests.registry.support import image

NAME = RepositoryName("team/app")
A, B = digest_of(b"a"), digest_of(b"b")
FACTS = parse_manifest(image(A), None)
DUE = Due(1, 1, A)
CHARTS = TagFilter(facets=Facets("chart", "linux/amd64", is_signed=True))

VERBS: dict[str, Callable[[Rows], object]] = {
    "namespaces.find": partial(namespaces.find, name=NAME),
    "namespaces.list_with_content": partial(namespaces.list_with_content, after="a", limit=10),
    "namespaces.held_bytes_below": partial(namespaces.held_bytes_below, prefix="team"),
    "switches.find_read_only": switches.find_read_only,
    "switches.end_read_only": switches.end_read_only,
    "blobs.is_held": partial(blobs.is_held, namespace=1, digest=A),
    "blobs.find_held": partial(blobs.find_held, name=NAME, digest=A),
    "blobs.is_referenced": partial(blobs.is_referenced, namespace=1, digest=A),
    "blobs.holders": partial(blobs.holders, digest=A, limit=32),
    "blobs.release": partial(blobs.release, namespace=1, digest=A),
    "leases.due_blobs": partial(leases.due_blobs, before=9, after=DUE, limit=10),
    "leases.due_manifests": partial(leases.due_manifests, before=9, after=DUE, limit=10),
    "leases.untagged_manifests": partial(leases.untagged_manifests, before=9, after=DUE, limit=10),
    "leases.hold_of_blob": partial(leases.hold_of_blob, due=DUE, gone=(), has_upload=False),
    "leases.hold_of_manifest": partial(leases.hold_of_manifest, due=DUE, gone=(), has_upload=False),
    "leases.is_tagged_through": partial(leases.is_tagged_through, name=NAME, digest=A),
    "leases.keep_blob": partial(leases.keep_blob, due=DUE, lease_until=0),
    "leases.keep_manifest": partial(leases.keep_manifest, due=DUE, lease_until=0, untagged_at=None),
    "leases.renew_manifest": partial(leases.renew_manifest, namespace=1, digest=A, lease_until=5),
    "leases.lose_tag": partial(leases.lose_tag, namespace=1, digest=A, now=1, lease_until=5),
    "leases.lose_manifest": partial(leases.lose_manifest, namespace=1, manifest=A, lease_until=5),
    "leases.extend": partial(leases.extend, lease_until=5, limit=10),
    "events.after": partial(events.after, cursor=5, limit=10),
    "events.newest": events.newest,
    "events.oldest": events.oldest,
    "reclaims.forget_unheld": partial(reclaims.forget_unheld, digest=A),
    "reclaims.pending": partial(reclaims.pending, after="", limit=10),
    "reclaims.settle": partial(reclaims.settle, digest=A),
    "manifests.find_by_digest": partial(manifests.find_by_digest, name=NAME, digest=A),
    "manifests.find_by_tag": partial(manifests.find_by_tag, name=NAME, tag=Tag("v1")),
    "manifests.read_body": partial(manifests.read_body, digest=A),
    "manifests.is_held": partial(manifests.is_held, namespace=1, digest=A),
    "manifests.missing_references": partial(manifests.missing_references, namespace=1, facts=FACTS),
    "manifests.list_referrers": partial(
        manifests.list_referrers, namespace=1, subject=A, artifact_type=None, after=B, limit=101
    ),
    "manifests.list_referrers, filtered": partial(
        manifests.list_referrers, namespace=1, subject=A, artifact_type="a/b", after=B, limit=101
    ),
    "manifests.delete": partial(manifests.delete, namespace=1, digest=A),
    "summaries.undescribed": partial(summaries.undescribed, after=(1, A), limit=10),
    "summaries.carried_by_referrers": partial(
        summaries.carried_by_referrers, namespace=1, subject=A
    ),
    "summaries.settle": partial(summaries.settle, namespace=1, digest=A, subject=B),
    "tags.find": partial(tags.find, namespace=1, tag=Tag("v1")),
    "tags.list_names": partial(tags.list_names, namespace=1, after="a", limit=10),
    "tags.names_of": partial(tags.names_of, namespace=1, digest=A),
    "tags.delete": partial(tags.delete, namespace=1, tag=Tag("v1"), now=1, by="me"),
    "facets.tag_groups": partial(facets.tag_groups, namespace=1, wanted=TagFilter()),
    "untagged.in_order": partial(
        untagged.in_order, namespace=1, order=UntaggedOrder((1, A), "a"), limit=10
    ),
    "listings.tags_in_order": partial(
        listings.tags_in_order, namespace=1, order=TagOrder(), wanted=CHARTS, limit=10
    ),
    "listings.tags_in_order, by time": partial(
        listings.tags_in_order,
        namespace=1,
        order=TagOrder("pushed", is_descending=True, after=(1, "a")),
        wanted=CHARTS,
        limit=10,
    ),
    "listings.tag_names": partial(listings.tag_names, namespace=1, wanted=CHARTS, limit=10),
    "retention.tags_after": partial(retention.tags_after, namespace=1, after="a", limit=10),
    "retention.manifest": partial(retention.manifest, namespace=1, digest=A),
    "retention.tag_as_of": partial(retention.tag_as_of, namespace=1, tag=Tag("v1")),
    "retention.exists, a tag": partial(retention.exists, namespace=NAME, reference="v1"),
    "retention.exists, a digest": partial(retention.exists, namespace=NAME, reference=A),
    "retention.config_of": partial(retention.config_of, namespace=1, digest=A),
    "samples.put": partial(samples.put, sample=Sample(1, 1, 1, 1, 1, 1, 1)),
    "samples.prune": partial(samples.prune, before=5),
    "samples.between": partial(samples.between, first=1, last=5),
    "samples.newest": partial(samples.newest, last=5),
    "samples.sum_blobs": partial(samples.sum_blobs, after=A, limit=10),
    "samples.sum_images": partial(samples.sum_images, after=(1, A), limit=10),
    "samples.sum_namespaces": partial(samples.sum_namespaces, after=1, limit=10),
    "api_keys.find": partial(api_keys.find, key_id="a"),
    "api_keys.find_by_name": partial(api_keys.find_by_name, owner="alice", name="ci"),
    "api_keys.list_after": partial(api_keys.list_after, after="a", limit=10),
    "api_keys.revoke": partial(api_keys.revoke, key_id="a"),
    "api_keys.touch": partial(api_keys.touch, used_at={"a": 1, "b": 2}),
}
SORTED = {"blobs.holders"}
"""Bounded otherwise; see `test_holders_cost_no_more_than_are_asked_for`."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rows]:
    path: Path = tmp_path_factory.mktemp("plans") / "metadata.db"
    with closing(open_writer(path)) as opened:
        migrate(opened, path)
        yield opened


def plans(rows: sqlite3.Connection, verb: Callable[[Rows], object]) -> dict[str, list[str]]:
    """The plan of each statement that a verb runs."""
    statements: list[str] = []
    rows.set_trace_callback(statements.append)
    try:
        verb(rows)
    finally:
        rows.set_trace_callback(None)
    return {
        text: [row[3] for row in rows.execute(f"EXPLAIN QUERY PLAN {text}")]
        for text in statements
        if re.match("SELECT|INSERT|UPDATE|DELETE", text)
    }


def _is_bounded(step: str) -> bool:
    """A constant row, or the rows that an inner query with a LIMIT has picked."""
    return "CONSTANT" in step or "subquery" in step


@pytest.mark.parametrize("name", VERBS)
def test_verb_scans_no_table(rows: sqlite3.Connection, name: str) -> None:
    found = plans(rows, VERBS[name])

    assert found
    for text, steps in found.items():
        scans = [step for step in steps if step.startswith("SCAN") and not _is_bounded(step)]
        assert scans == [], text


@pytest.mark.parametrize("name", sorted(set(VERBS) - SORTED))
def test_verb_reads_its_rows_in_their_order(rows: sqlite3.Connection, name: str) -> None:
    for text, steps in plans(rows, VERBS[name]).items():
        assert [step for step in steps if "TEMP B-TREE" in step] == [], text


@pytest.mark.parametrize(
    ("name", "index", "key"),
    [
        ("namespaces.list_with_content", "namespaces_with_content", "name>?"),
        ("tags.list_names", "PRIMARY KEY", "namespace=? AND name>?"),
        ("tags.names_of", "tags_by_digest", "namespace=? AND digest=?"),
        (
            "manifests.list_referrers",
            "manifests_by_subject",
            "namespace=? AND subject=? AND digest>?",
        ),
        (
            "manifests.list_referrers, filtered",
            "manifests_by_artifact_type",
            "namespace=? AND subject=? AND artifact_type=? AND digest>?",
        ),
        ("manifests.find_by_tag", "PRIMARY KEY", "namespace=? AND name=?"),
        ("summaries.undescribed", "manifests_undescribed", "(namespace,digest)>(?,?)"),
        (
            "summaries.carried_by_referrers",
            "manifests_by_carried",
            "namespace=? AND subject=? AND carries>?",
        ),
        ("blobs.is_referenced", "manifest_references_by_digest", "namespace=? AND digest=?"),
        ("leases.due_blobs", "namespace_blobs_by_lease", "lease_until>? AND lease_until<?"),
        ("leases.due_manifests", "manifests_by_lease", "lease_until>? AND lease_until<?"),
        ("facets.tag_groups", "sqlite_autoindex_tag_facets_1", "namespace=?"),
        ("untagged.in_order", "manifests_loose", "namespace=? AND (pushed_at,digest)<(?,?)"),
        ("listings.tags_in_order", "tags_by_sort_key", "namespace=?"),
        ("leases.untagged_manifests", "manifests_untagged", "untagged_at>? AND untagged_at<?"),
        ("api_keys.find", "PRIMARY KEY", "id=?"),
        ("api_keys.list_after", "PRIMARY KEY", "id>?"),
    ],
)
def test_page_begins_where_its_key_stands(
    rows: sqlite3.Connection, name: str, index: str, key: str
) -> None:
    steps = [step for found in plans(rows, VERBS[name]).values() for step in found]

    assert any(f"{index} ({key})" in step for step in steps), steps


def work_of(rows: sqlite3.Connection, verb: Callable[[Rows], object]) -> int:
    """How many steps of SQLite's machine a verb takes: its cost, by no clock."""
    count = 0

    def tick() -> int:
        nonlocal count
        count += 1
        return 0

    rows.set_progress_handler(tick, 1)
    try:
        verb(rows)
    finally:
        rows.set_progress_handler(None, 1)
    return count


def fill(rows: sqlite3.Connection, tag_count: int, namespace_count: int) -> None:
    """One namespace with tags and referrers, many that hold one blob and one manifest."""
    body = image(A)
    digest = digest_of(body)
    names = (f"n{number:07d}" for number in range(namespace_count))
    rows.execute("PRAGMA synchronous = OFF")
    rows.execute("BEGIN")
    rows.execute("INSERT INTO manifest_bodies VALUES (?, ?)", (digest, body))
    rows.execute("INSERT INTO blobs VALUES (?, 1, 'present', 1)", (A,))
    rows.executemany(
        "INSERT INTO namespaces (name, created_at) VALUES (?, 1)", ((name,) for name in names)
    )
    rows.execute("INSERT INTO namespace_blobs SELECT id, ?, 0 FROM namespaces", (A,))
    rows.execute(
        "INSERT INTO manifests (namespace, digest, media_type, kind, artifact_type, subject, size, "
        "annotations, pushed_at, pushed_by, lease_until, role) "
        "SELECT id, ?, 'a/b', 'image', 'a/b', NULL, 1, '{}', 1, '', 0, 'image' FROM namespaces",
        (digest,),
    )
    rows.executemany(
        "INSERT INTO tags (namespace, name, digest, updated_at, updated_by, sort_key) "
        "VALUES (1, ?1, ?2, 1, '', natural_key(?1))",
        ((f"t{number:07d}", digest) for number in range(tag_count)),
    )
    rows.executemany(
        "INSERT INTO manifest_bodies VALUES (?, x'')",
        ((f"sha256:{number:064x}",) for number in range(tag_count)),
    )
    rows.executemany(
        "INSERT INTO manifests (namespace, digest, media_type, kind, artifact_type, subject, size, "
        "annotations, pushed_at, pushed_by, lease_until, role) "
        "VALUES (1, ?, 'a/b', 'image', ?, ?, 1, '{}', 1, '', 0, 'image')",
        (
            (f"sha256:{number:064x}", "rare/x" if number % 1000 == 0 else "often/x", A)
            for number in range(tag_count)
        ),
    )
    rows.execute("COMMIT")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rows]:
    """100,000 tags and as many referrers in one namespace, 20,000 namespaces with one blob."""
    path: Path = tmp_path_factory.mktemp("large") / "metadata.db"
    with closing(open_writer(path)) as opened:
        migrate(opened, path)
        fill(opened, 100_000, 20_000)
        yield opened


def referrers(after: int, artifact_type: str | None) -> Callable[[Rows], object]:
    return partial(
        manifests.list_referrers,
        namespace=1,
        subject=A,
        artifact_type=artifact_type,
        after=f"sha256:{after:064x}",
        limit=50,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "last"),
    [
        (
            partial(tags.list_names, namespace=1, after="", limit=50),
            partial(tags.list_names, namespace=1, after="t0099900", limit=50),
        ),
        (
            partial(namespaces.list_with_content, after="", limit=50),
            partial(namespaces.list_with_content, after="n0019900", limit=50),
        ),
        (referrers(0, None), referrers(99_900, None)),
        (referrers(0, "rare/x"), referrers(50_000, "rare/x")),
        (
            partial(manifests.find_by_tag, name=RepositoryName("n0000000"), tag=Tag("t0000000")),
            partial(manifests.find_by_tag, name=RepositoryName("n0000000"), tag=Tag("t0099999")),
        ),
    ],
)
def test_page_at_the_end_costs_what_the_first_one_does(
    large: sqlite3.Connection, first: Callable[[Rows], object], last: Callable[[Rows], object]
) -> None:
    at_first, at_last = work_of(large, first), work_of(large, last)

    assert at_first > 0
    assert 0.8 <= at_last / at_first <= 1.25


@pytest.mark.slow
def test_page_costs_what_it_does_in_a_small_registry(
    large: sqlite3.Connection, tmp_path: Path
) -> None:
    path = tmp_path / "metadata.db"
    with closing(open_writer(path)) as small:
        migrate(small, path)
        fill(small, 100, 100)
        for verb in (
            partial(tags.list_names, namespace=1, after="", limit=50),
            partial(namespaces.list_with_content, after="", limit=50),
            referrers(0, None),
        ):
            assert work_of(large, verb) <= 1.25 * work_of(small, verb)


@pytest.mark.slow
def test_holders_cost_no_more_than_are_asked_for(large: sqlite3.Connection) -> None:
    """A base layer is held by every namespace; a mount without a source looks at 32 of them."""
    assert work_of(large, partial(blobs.holders, digest=A, limit=32)) < 10_000


@pytest.mark.slow
@pytest.mark.parametrize("artifact_type", [None, "often/x"])
def test_referrers_cost_nothing_of_the_manifests_that_refer_elsewhere(
    large: sqlite3.Connection, artifact_type: str | None
) -> None:
    """The subject has none; beside it stand 100,000 manifests with another."""
    verb = partial(
        manifests.list_referrers,
        namespace=1,
        subject=B,
        artifact_type=artifact_type,
        after="",
        limit=101,
    )

    assert verb(large) == []
    assert work_of(large, verb) < 200


@pytest.mark.slow
def test_push_and_delete_of_a_tag_cost_the_same_among_many(large: sqlite3.Connection) -> None:
    digest = digest_of(image(A))

    def move(rows: Rows) -> None:
        tags.point(rows, 1, Tag("t0050000"), digest, now=2, by="me")
        tags.delete(rows, 1, Tag("t0050000"), now=3, by="me")
        tags.point(rows, 1, Tag("t0050000"), digest, now=4, by="me")

    assert work_of(large, move) < 1000
