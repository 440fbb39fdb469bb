"""Scrub, the rows: what SQLite says, what rows say of each other, what bodies say."""

from __future__ import annotations

import time
from functools import partial

from angos_trio.events.model import Event, EventKind, record
from angos_trio.limits.housekeeping import SCRUB_BODY_SECS, SCRUB_ROWS
from angos_trio.maintenance.scrub import ACTOR, Run
from angos_trio.oci.codes import OciError
from angos_trio.oci.digest import Digest
from angos_trio.oci.names import RepositoryName, Tag
from angos_trio.policy.integrity import Flaw, facts_of, is_body_of, judge_manifest, row_by
from angos_trio.records import Mutable, field
from angos_trio.storage.metadata import blobs, integrity, manifests, namespaces, tags
from angos_trio.storage.metadata.integrity import CHECKS, TABLES, Check, Key
from angos_trio.storage.reclaiming import reclaim_unheld
from angos_trio.storage.transactions import Rows, Transaction


async def scrub_database(run: Run) -> None:
    """What SQLite finds wrong; it is told, and left to a restored backup."""
    for table in TABLES:
        async with run.guarded(table):
            problem = await run.read(partial(integrity.problem_of_table, table=table))
            if problem is not None:
                run.tell(Flaw.DATABASE, f"{table}: {problem}")


async def scrub_rows(run: Run) -> None:
    """Rows that contradict other rows."""
    for check in CHECKS:
        if check.flaw is not Flaw.COUNT_WRONG:
            await _scrub_check(run, check)


async def scrub_counts(run: Run) -> None:
    """Counts, once everything else is right."""
    for check in CHECKS:
        if check.flaw is Flaw.COUNT_WRONG:
            await _scrub_check(run, check)


async def _scrub_check(run: Run, check: Check) -> None:
    after: Key | None = None
    while True:
        wrong, after = await run.read(partial(check.page, after=after, limit=SCRUB_ROWS))
        if after is None:
            return
        for key in wrong:
            what = " ".join(map(str, (check.table, *key)))
            async with run.guarded(what):
                repair = partial(_repair_row, run=run, check=check, key=key)
                await run.note(check.flaw, what, partial(check.is_still, key=key), repair)


def _repair_row(transaction: Transaction, run: Run, check: Check, key: Key) -> bool:
    """Runs in the writer thread."""
    rows = transaction.rows
    if not check.is_still(rows, key):
        return False
    lease_until = run.registry.lease_until()
    match check.flaw:
        case Flaw.LEASE_LOST:
            integrity.give_lease(rows, check.table, key[0], key[1], lease_until)
        case Flaw.NAMESPACE_UNKNOWN:
            _drop_unnamed(transaction, check, key)
        case Flaw.TAG_TO_NOTHING:
            _drop_tag(rows, key, run.registry.now())
        case Flaw.REFERENCE_OF_NOTHING:
            integrity.remove(rows, check, key)
            integrity.lose_reference(rows, key[0], key[2], lease_until)
        case Flaw.TAG_OUT_OF_ORDER:
            integrity.sort_again(rows, key[0], key[1])
        case Flaw.MANIFEST_MISSING:
            integrity.lose_body(rows, key[1])
        case Flaw.COUNT_WRONG:
            integrity.count_again(rows, key[0])
        case _:
            integrity.remove(rows, check, key)
    return True


def _drop_unnamed(transaction: Transaction, check: Check, key: Key) -> None:
    """The number could be given to another namespace, which must not come to hold this."""
    rows = transaction.rows
    if check.table == "manifests":
        integrity.remove_tags_of(rows, key[0], key[1])
        manifests.delete(rows, key[0], key[1])
    elif check.table == "namespace_blobs":
        blobs.release(rows, key[0], key[1])
        reclaim_unheld(transaction, Digest(key[1]))
    else:
        integrity.remove(rows, check, key)


def _drop_tag(rows: Rows, key: Key, now: int) -> None:
    namespace, tag = key[0], Tag(key[1])
    digest = tags.find(rows, namespace, tag)
    tags.delete(rows, namespace, tag, now=now, by=ACTOR)
    name = RepositoryName(namespaces.name_of(rows, namespace) or "")
    payload = {"tag": tag, "digest": digest}
    record(rows, Event(EventKind.TAG_DELETED, name, now, ACTOR, payload))


class _Bodies(Mutable):
    """Of so many bodies those that are not right, and the last one that was looked at."""

    count: int = 0
    last: str | None = None
    wrong: list[tuple[str, list[Flaw]]] = field(default_factory=list)


async def scrub_manifests(run: Run) -> None:
    """Every body against its digest, and what is recorded beside it against what it says."""
    after = ""
    while True:
        looked = await run.read(partial(_look_at_bodies, after=after))
        run.found.manifests += looked.count
        for digest, flaws in looked.wrong:
            async with run.guarded(digest):
                await _note_manifest(run, digest, flaws)
        if looked.last is None:
            return
        after = looked.last


def _look_at_bodies(rows: Rows, after: str) -> _Bodies:
    begun_at, looked = time.monotonic(), _Bodies()
    for digest, body in integrity.bodies(rows, after, SCRUB_ROWS):
        looked.count, looked.last = looked.count + 1, digest
        flaws = _flaws_of(rows, digest, body)
        if flaws:
            looked.wrong.append((digest, flaws))
        if time.monotonic() - begun_at > SCRUB_BODY_SECS:
            break
    return looked


def _flaws_of(rows: Rows, digest: str, body: bytes) -> list[Flaw]:
    """What is wrong with a body or with its rows, once for each row."""
    if not body:
        return []
    held = integrity.manifest_rows(rows, digest)
    if not held:
        return []  # unused, which another part sees to
    try:
        if not is_body_of(body, Digest(digest)):
            return [Flaw.MANIFEST_CORRUPT]
        return [
            flaw
            for row in held
            for flaw in judge_manifest(
                row, row_by(facts_of(body, row.media_type), len(body), row.namespace)
            )
        ]
    except OciError:
        return []  # it is what was pushed, and cannot be read by what we know today


async def _note_manifest(run: Run, digest: str, flaws: list[Flaw]) -> None:
    """All that is wrong with one, in one change."""

    def confirm(rows: Rows) -> bool:
        body = manifests.read_body(rows, Digest(digest))
        return body is not None and _flaws_of(rows, digest, body) == flaws

    def repair(transaction: Transaction) -> bool:
        if not confirm(transaction.rows):
            return False
        _repair_manifest(transaction, Digest(digest), run.registry.lease_until())
        return True

    first, *others = flaws
    before = run.found.findings.total()
    await run.note(first, digest, confirm, repair)
    if run.found.findings.total() > before:
        for flaw in others:
            run.tell(flaw, digest)


def _repair_manifest(transaction: Transaction, digest: Digest, lease_until: int) -> None:
    """Runs in the writer thread."""
    rows = transaction.rows
    body = manifests.read_body(rows, digest) or b""
    if not is_body_of(body, digest):
        transaction.keep_copy(f"manifest.{digest.hex}", body)
        integrity.lose_body(rows, digest)
        return
    for row in integrity.manifest_rows(rows, digest):
        wanted = row_by(facts_of(body, row.media_type), len(body), row.namespace)
        flaws = judge_manifest(row, wanted)
        if Flaw.MANIFEST_ROW_WRONG in flaws:
            integrity.repair_columns(rows, digest, wanted)
        if Flaw.REFERENCES_WRONG in flaws:
            integrity.repair_references(rows, digest, row, wanted, lease_until)
