"""What keeps a blob or a manifest, and until when: facts in, verdict out."""

from __future__ import annotations

from enum import StrEnum

from angos_trio.oci.digest import Digest
from angos_trio.oci.names import Tag
from angos_trio.records import Frozen


class Keeper(StrEnum):
    """What keeps something; the first that applies, in this order."""

    TAG = "tag"
    MANIFEST = "manifest"
    """A manifest of the namespace names it."""
    SUBJECT = "subject"
    """It refers to a manifest that the namespace holds."""
    LEASE = "lease"
    """It was just pushed, mounted, promised to a client, or lost its last reference."""
    UPLOAD = "upload"
    """Its namespace takes an upload, whose manifest may name it."""
    POLICY = "policy"
    """It is an untagged manifest, which nothing lets go yet."""
    NOBODY = "nobody"


class Hold(Frozen):
    """What a namespace holds, and all that may keep it; times are epoch seconds."""

    is_manifest: bool
    lease_until: int
    parent: Digest | None = None
    tag: Tag | None = None
    subject: Digest | None = None
    is_subject_held: bool = False
    is_orphan: bool = False
    untagged_at: int = 0
    """When a manifest lost its last tag or, without ever having had one, was pushed."""
    has_upload: bool = False


class Terms(Frozen):
    """The rules of a collection: `now` in epoch seconds. Leases count as over so many seconds
    early; untagged manifests are kept for so many seconds, None for ever."""

    now: int
    early_secs: int = 0
    untagged_secs: int | None = None

    @property
    def due_before(self) -> int:
        """Leases that end by then are over."""
        return self.now + self.early_secs


class Verdict(Frozen):
    """`by` names the tag or the manifest; `until` is when it ends, None where no time says."""

    keeper: Keeper
    by: str | None = None
    until: int | None = None

    @property
    def is_kept(self) -> bool:
        """Whether it stays for now."""
        return self.keeper is not Keeper.NOBODY

    @property
    def is_referred_to(self) -> bool:
        """Whether it stays until a reference goes, however long that takes."""
        return self.keeper in (Keeper.TAG, Keeper.MANIFEST, Keeper.SUBJECT)


def judge(hold: Hold, terms: Terms) -> Verdict:
    """Whether something may go, and what keeps it if not."""
    if hold.tag is not None:
        return Verdict(Keeper.TAG, hold.tag)
    if hold.parent is not None:
        return Verdict(Keeper.MANIFEST, hold.parent)
    if hold.is_subject_held:
        return Verdict(Keeper.SUBJECT, hold.subject)
    if hold.lease_until > terms.due_before:
        return Verdict(Keeper.LEASE, until=hold.lease_until)
    if hold.has_upload:
        return Verdict(Keeper.UPLOAD)
    is_lone_image = hold.is_manifest and hold.subject is None and not hold.is_orphan
    return _judge_untagged(hold, terms) if is_lone_image else Verdict(Keeper.NOBODY)


def _judge_untagged(hold: Hold, terms: Terms) -> Verdict:
    if terms.untagged_secs is None:
        return Verdict(Keeper.POLICY)
    due_at = hold.untagged_at + terms.untagged_secs
    return Verdict(Keeper.NOBODY) if due_at <= terms.now else Verdict(Keeper.POLICY, until=due_at)
