"""What is kept of tags and of bytes, whatever the rows go through, is what a look at each of them
comes to."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from angos_trio.oci.digest import Digest, digest_of
from angos_trio.oci.manifest import parse_manifest
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.oci.roles import Carried, Role
from angos_trio.storage.connections import migrate, open_writer
from angos_trio.storage.metadata import (
    blobs,
    facets,
    integrity,
    leases,
    listings,
    manifests,
    namespaces,
    summaries,
    tags,
    untagged,
)
from angos_trio.storage.metadata.facets import Facets, Group, TagFilter
from angos_trio.storage.metadata.listings import TagOrder
from angos_trio.storage.metadata.manifests import PushedManifest
from angos_trio.storage.metadata.summaries import Summary
from angos_trio.storage.metadata.untagged import UntaggedOrder
from angos_trio.storage.transactions import Rows
from tests.registry.support import image
from tests.storage.support import migrate_to

pytestmark = pytest.mark.slow

STEPS = 250
BEFORE = 6
"""The schema's version that kept none of this."""
PLATFORMS = (("linux/amd64",), ("linux/arm64/v8",), ("linux/arm",), ())
SIGNATURE = "application/vnd.dev.cosign.artifact.sig.v1+json"
NAMES = [f"v{number}" for number in range(8)] + [
    "sha256-" + "ab" * 32 + suffix for suffix in ("", ".sig")
]


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    path = tmp_path / "metadata.db"
    with closing(open_writer(path)) as opened:
        migrate(opened, path)
        yield opened


class Pushing:
    """Rows as pushes and deletes change them, drawn by chance."""

    def __init__(self, rows: Rows, seed: int) -> None:
        self.rows = rows
        self.chance = Random(seed)
        names = ("team/one", "team/two", "other")
        self.numbers = [namespaces.ensure(rows, RepositoryName(name), 1) for name in names]
        self.digests = [digest_of(f"blob {number}".encode()) for number in range(6)]
        self.pushed: list[tuple[int, Digest]] = []
        self.now = 1

    def step(self) -> None:
        self.now += 1
        acts = (self.hold, self.release, self.weigh, self.push, self.push, self.sign, self.tag)
        self.chance.choice((*acts, self.tag, self.untag, self.remove, self.describe))()

    def hold(self) -> None:
        digest = self.chance.choice(self.digests)
        blobs.put(self.rows, digest, self.chance.randrange(1, 50), self.now)
        blobs.hold(self.rows, self.chance.choice(self.numbers), digest, 5)

    def release(self) -> None:
        blobs.release(self.rows, self.chance.choice(self.numbers), self.chance.choice(self.digests))

    def weigh(self) -> None:
        blobs.put(self.rows, self.chance.choice(self.digests), self.chance.randrange(1, 50), 1)

    def push(self, subject: Digest | None = None) -> Digest:
        text = image(self.digests[0], subject=subject, annotations={"n": str(self.now)})
        if subject is not None:
            text = json.dumps({**json.loads(text), "artifactType": SIGNATURE}).encode()
        facts = parse_manifest(text, None)
        number = self.chance.choice(self.numbers) if subject is None else self.pushed[-1][0]
        platforms = self.chance.choice(PLATFORMS) if subject is None else ()
        pushed = PushedManifest(digest_of(text), text, facts, self.now, "me", 5, platforms)
        manifests.put(self.rows, number, pushed)
        self.pushed.append((number, pushed.digest))
        return pushed.digest

    def sign(self) -> None:
        if self.pushed:
            self.pushed.append(self.chance.choice(self.pushed))
            self.push(self.pushed[-1][1])

    def tag(self) -> None:
        if self.pushed:
            number, digest = self.chance.choice(self.pushed)
            if manifests.is_held(self.rows, number, digest):
                tag = Tag(self.chance.choice(NAMES))
                tags.point(self.rows, number, tag, digest, now=self.now, by="me")

    def untag(self) -> None:
        tag = Tag(self.chance.choice(NAMES))
        tags.delete(self.rows, self.chance.choice(self.numbers), tag, now=self.now, by="me")

    def remove(self) -> None:
        if self.pushed:
            number, digest = self.pushed.pop(self.chance.randrange(len(self.pushed)))
            for name in tags.names_of(self.rows, number, digest):
                tags.delete(self.rows, number, name, now=self.now, by="me")
            manifests.delete(self.rows, number, digest)

    def describe(self) -> None:
        if self.pushed:
            number, digest = self.chance.choice(self.pushed)
            summary = Summary(Role.CHART, Carried.NOTHING, self.chance.choice(PLATFORMS), 2**60)
            if manifests.is_held(self.rows, number, digest):
                summaries.describe(self.rows, number, digest, summary)


def looked_at(rows: Rows, number: int, wanted: TagFilter) -> Counter[tuple[str, str, bool]]:
    """The groups of tags, by a look at each."""
    found = listings.tags_in_order(rows, number, TagOrder(), wanted, 1000)
    return Counter(
        (
            row.revision.role or row.revision.kind,
            " ".join(row.revision.platforms),
            Carried.SIGNATURE in row.revision.attached,
        )
        for row in found
    )


def counted(groups: list[Group]) -> Counter[tuple[str, str, bool]]:
    return Counter(
        {(each.role, " ".join(each.platforms), each.is_signed): each.count for each in groups}
    )


def sums(rows: Rows, number: int) -> tuple[int, int, int]:
    """Bytes of blobs, of those that no other namespace has, and of images, by a look at each."""
    held = dict(
        rows.execute(
            "SELECT h.digest, b.size FROM namespace_blobs h JOIN blobs b USING (digest) "
            "WHERE h.namespace = ?",
            (number,),
        )
    )
    others = rows.execute("SELECT digest FROM namespace_blobs WHERE namespace <> ?", (number,))
    shared = {row[0] for row in others}
    images = rows.execute(
        "SELECT total_size FROM manifests WHERE namespace = ? AND kind = 'image'", (number,)
    )
    own = sum(size for digest, size in held.items() if digest not in shared)
    return sum(held.values()), own, sum(min(row[0], 2**50) for row in images)


@pytest.mark.parametrize("seed", range(6))
def test_what_is_kept_is_what_a_look_at_each_comes_to(rows: Rows, seed: int) -> None:
    pushing = Pushing(rows, seed)
    for _ in range(STEPS):
        pushing.step()
        for number in pushing.numbers:
            row = rows.execute(
                "SELECT blob_bytes, exclusive_bytes, named_bytes FROM namespaces WHERE id = ?",
                (number,),
            ).fetchone()
            assert row == sums(rows, number)
            for wanted in (TagFilter(), TagFilter(hides_fallback=True), TagFilter("1", True)):
                groups = facets.tag_groups(rows, number, wanted)
                assert counted(groups) == looked_at(rows, number, wanted)
    assert rows.execute("SELECT count(*) FROM tags").fetchone()[0] > 3
    assert rows.execute("SELECT 1 FROM tag_facets WHERE tag_count < 1").fetchone() is None
    assert rows.execute("SELECT 1 FROM tag_facets WHERE is_signed = 1").fetchone() is not None
    (check,) = [each for each in integrity.CHECKS if each.flaw == "count_wrong"]
    assert check.page(rows, None, 100)[0] == []


def test_filter_leaves_the_tags_that_its_groups_count(rows: Rows) -> None:
    pushing = Pushing(rows, 7)
    for _ in range(STEPS):
        pushing.step()
    tried = 0
    for number in pushing.numbers:
        for group in facets.tag_groups(rows, number, TagFilter()):
            for platform in (*group.platforms, ""):
                chosen = Facets(group.role, platform, group.is_signed)
                groups = facets.tag_groups(rows, number, TagFilter())
                wanted = sum(
                    each.count
                    for each in groups
                    if (each.role, each.is_signed) == (group.role, group.is_signed)
                    and (not platform or platform in each.platforms)
                )
                names = listings.tag_names(rows, number, TagFilter(facets=chosen), 1000)
                shown = listings.tags_in_order(
                    rows, number, TagOrder(), TagFilter(facets=chosen), 1000
                )
                assert [row.name for row in shown] == names
                assert len(names) == wanted
                tried += 1
    assert tried > 5


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE tags SET facet = NULL WHERE name = 'v1'",
        "UPDATE tags SET facet = 1000",
        "UPDATE tag_facets SET tag_count = tag_count + 1",
        "DELETE FROM tag_facets",
        "UPDATE namespaces SET blob_bytes = blob_bytes + 1",
        "UPDATE namespaces SET exclusive_bytes = exclusive_bytes - 1",
        "UPDATE namespaces SET named_bytes = 7",
    ],
)
def test_wrong_counts_are_found_and_made_right(rows: Rows, damage: str) -> None:
    pushing = Pushing(rows, 3)
    while not rows.execute("SELECT 1 FROM tags WHERE name = 'v1'").fetchone():
        pushing.step()
    pushing.hold()
    (check,) = [each for each in integrity.CHECKS if each.flaw == "count_wrong"]
    assert check.page(rows, None, 100)[0] == []
    rows.execute(damage)
    wrong = check.page(rows, None, 100)[0]
    assert wrong
    for (number,) in wrong:
        integrity.count_again(rows, number)
    assert check.page(rows, None, 100)[0] == []
    for number in pushing.numbers:
        groups = facets.tag_groups(rows, number, TagFilter())
        assert counted(groups) == looked_at(rows, number, TagFilter())


def test_untagged_manifests_are_those_that_nothing_names(rows: Rows) -> None:
    pushing = Pushing(rows, 5)
    for _ in range(STEPS):
        pushing.step()
    # A look at what is due takes the leases of what is referred to away.
    rows.execute(
        "UPDATE manifests SET lease_until = 0, untagged_at = NULL WHERE EXISTS ("
        "SELECT 1 FROM tags t WHERE t.namespace = manifests.namespace "
        "AND t.digest = manifests.digest)"
    )
    for number in pushing.numbers:
        found = untagged.in_order(rows, number, UntaggedOrder(), 1000)
        roots = listings.roots_in_order(rows, number, None, 1000)
        named = {row.digest for row in roots if not listings.tags_of(rows, number, row.digest, 1)}
        assert [row.digest for row in found] == [row.digest for row in roots if row.digest in named]
        every = untagged.groups(rows, number, "", 1000)
        assert every.is_whole
        assert sum(group.count for group in every.groups) == len(found) > 0
        assert untagged.groups(rows, number, "", 1).is_whole is False
        chosen = Facets(role="image", platform="linux/arm64/v8")
        some = untagged.in_order(rows, number, UntaggedOrder(facets=chosen), 1000)
        assert some == [
            row for row in found if row.role == "image" and row.platforms == ("linux/arm64/v8",)
        ]
        first = untagged.in_order(rows, number, UntaggedOrder(), 1)[0]
        behind = UntaggedOrder((first.pushed_at, first.digest))
        assert untagged.in_order(rows, number, behind, 1000) == found[1:]


def test_manifest_that_lost_its_tag_is_untagged(rows: Rows) -> None:
    pushing = Pushing(rows, 1)
    digest = pushing.push()
    ((number, _),) = pushing.pushed
    tags.point(rows, number, Tag("v1"), digest, now=2, by="me")
    due = leases.Due(5, number, digest)
    leases.keep_manifest(rows, due, 0, None)
    assert untagged.in_order(rows, number, UntaggedOrder(), 10) == []
    tags.delete(rows, number, Tag("v1"), now=3, by="me")
    leases.lose_tag(rows, number, digest, now=3, lease_until=9)
    assert [row.digest for row in untagged.in_order(rows, number, UntaggedOrder(), 10)] == [digest]
    leases.keep_manifest(rows, due, 0, 3)
    assert [row.digest for row in untagged.in_order(rows, number, UntaggedOrder(), 10)] == [digest]


def test_database_of_an_earlier_version_is_counted(
    tmp_path: Path,
) -> None:
    path = tmp_path / "metadata.db"
    with closing(open_writer(path)) as opened:
        migrate_to(BEFORE, opened, path)
        pushing = Pushing(opened, 11)
        for _ in range(STEPS):
            pushing.step()
        migrate(opened, path)
        for number in pushing.numbers:
            found = opened.execute(
                "SELECT blob_bytes, exclusive_bytes, named_bytes FROM namespaces WHERE id = ?",
                (number,),
            ).fetchone()
            assert found == sums(opened, number)
            groups = facets.tag_groups(opened, number, TagFilter())
            assert groups
            assert counted(groups) == looked_at(opened, number, TagFilter())
