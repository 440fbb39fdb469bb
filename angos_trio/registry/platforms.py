"""For which platform an image is, as its config says, if its namespace holds that."""

from __future__ import annotations

from functools import partial

import trio

from angos_trio.limits.housekeeping import CONFIG_BLOB_BYTES_MAX
from angos_trio.oci.digest import Digest
from angos_trio.oci.manifest import ManifestFacts
from angos_trio.oci.names import RepositoryName
from angos_trio.oci.platform import CONFIG_TYPES, recorded_platforms
from angos_trio.storage.metadata import blobs, summaries
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Rows


async def platforms_of_image(
    storage: Storage, name: RepositoryName, digest: Digest, facts: ManifestFacts
) -> tuple[str, ...]:
    """None or one; none too for what is no image, or whose config is not there or too large.

    A config is read once: what is recorded of a manifest that is pushed again is taken as it is.
    """
    config = _config_of(facts)
    if config is None:
        return ()

    def query(rows: Rows) -> tuple[tuple[str, ...], bool]:
        return (
            summaries.platforms_of(rows, name, digest),
            blobs.find_held(rows, name, config) is not None,
        )

    recorded, is_held = await storage.read_point(query)
    if recorded or not is_held:
        return recorded
    return await trio.to_thread.run_sync(partial(_read, storage, config))


def read_platforms(
    rows: Rows, storage: Storage, name: RepositoryName, facts: ManifestFacts
) -> tuple[str, ...]:
    """The same of what is not recorded, in a thread that may wait for the disk."""
    config = _config_of(facts)
    if config is None or blobs.find_held(rows, name, config) is None:
        return ()
    return _read(storage, config)


def _read(storage: Storage, config: Digest) -> tuple[str, ...]:
    content = storage.read_blob_blocking(config, CONFIG_BLOB_BYTES_MAX)
    return () if content is None else recorded_platforms(content)


def _config_of(facts: ManifestFacts) -> Digest | None:
    """The config of an image, which is its first reference."""
    is_image = facts.kind == "image" and facts.references[0].media_type in CONFIG_TYPES
    return facts.references[0].digest if is_image else None
