"""The configuration, every key with its default. Names are those of the original where it has one.

Sizes are bytes, as a number or as text with a unit (`"5MiB"`); times are seconds. What is marked
as `AtStart` is read at the start only; a reload names it and keeps what was.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

AtStart = Meta(extra={"at_start": True})
Size = int | str
Seconds = Annotated[int, Meta(ge=1, le=10 * 365 * 86_400)]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table that refuses keys it does not know."""


class Server(_Table, frozen=True):
    """`[server]`"""

    bind_address: Annotated[str, AtStart] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535), AtStart] = 8000
    workers: Annotated[Annotated[int, Meta(ge=0, le=64)] | None, AtStart] = None
    stall_timeout: Annotated[Seconds, AtStart] = 60
    drain_timeout: Annotated[Annotated[int, Meta(ge=0, le=86_400)] | None, AtStart] = None
    max_uploads_per_caller: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000


class AccessPolicy(_Table, frozen=True):
    """`[global.access_policy]` and `[repository."<name>".access_policy]`"""

    default: Literal["allow", "deny"] | None = None
    default_allow: bool | None = None
    rules: tuple[str, ...] = ()

    @property
    def allows(self) -> bool:
        """What the default says; nothing said is deny. `default_allow` is its older name."""
        return self.default == "allow" if self.default is not None else bool(self.default_allow)

    @property
    def is_contradictory(self) -> bool:
        """Whether the two names of the default say different things."""
        return self.default_allow is not None and self.allows != self.default_allow


class Global(_Table, frozen=True):
    """`[global]`"""

    max_manifest_size: Size = "5MiB"
    max_blob_size: Size = "100GiB"
    immutable_tags: bool = False
    immutable_tags_exclusions: tuple[str, ...] = ()
    immutable_tags_deletable: bool = False
    allow_missing_manifest_references: bool = True
    gc_grace_secs: Seconds = 86_400
    upload_expiry_secs: Seconds = 86_400
    shutdown_drain_secs: Annotated[int, Meta(ge=0, le=86_400), AtStart] = 30
    access_policy: AccessPolicy | None = None


class FileStore(_Table, frozen=True):
    """`[blob_store.fs]`"""

    root_dir: Annotated[str, AtStart] = "angos-data"
    reserve: Annotated[Size, AtStart] = "256MiB"
    ballast: Annotated[Size, AtStart] = "64MiB"


class BlobStore(_Table, frozen=True):
    """`[blob_store]`"""

    fs: FileStore = FileStore()


class MetadataFileStore(_Table, frozen=True):
    """`[metadata_store.fs]`"""

    root_dir: Annotated[str | None, AtStart] = None


class MetadataStore(_Table, frozen=True):
    """`[metadata_store]`"""

    fs: MetadataFileStore = MetadataFileStore()


class Repository(_Table, frozen=True):
    """`[repository."<name>"]`: what is not said here is as in `[global]`."""

    immutable_tags: bool | None = None
    immutable_tags_exclusions: tuple[str, ...] | None = None
    immutable_tags_deletable: bool | None = None
    access_policy: AccessPolicy | None = None


class Observability(_Table, frozen=True):
    """`[observability]`"""

    log_level: Literal["debug", "info", "warning"] = "info"
    worker_header: bool = False


class Config(_Table, frozen=True, rename={"global_": "global"}):
    """A whole configuration."""

    server: Server = Server()
    global_: Global = Global()
    blob_store: BlobStore = BlobStore()
    metadata_store: MetadataStore = MetadataStore()
    repository: dict[str, Repository] = {}
    observability: Observability = Observability()
