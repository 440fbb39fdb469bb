"""For which platform an image is, as its config says, if its namespace holds that."""

from __future__ import annotations

from functools import partial

from angos_trio.limits import CONFIG_BLOB_BYTES_MAX
from angos_trio.oci.manifest import ManifestFacts
from angos_trio.oci.names import RepositoryName
from angos_trio.oci.platform import CONFIG_TYPES, recorded_platforms
from angos_trio.storage.metadata import blobs
from angos_trio.storage.store import Storage
from angos_trio.storage.transactions import Rows


async def platforms_of_image(
    storage: Storage, name: RepositoryName, facts: ManifestFacts
) -> tuple[str, ...]:
    """None or one; none too for what is no image, or whose config is not there or too large."""
    if not _states_platform(facts):
        return ()
    return await storage.read(partial(read_platforms, storage=storage, name=name, facts=facts))


def read_platforms(
    rows: Rows, storage: Storage, name: RepositoryName, facts: ManifestFacts
) -> tuple[str, ...]:
    """The same in a thread that may wait for the disk."""
    if (
        not _states_platform(facts)
        or blobs.find_held(rows, name, facts.references[0].digest) is None
    ):
        return ()
    content = storage.read_blob_blocking(facts.references[0].digest, CONFIG_BLOB_BYTES_MAX)
    return () if content is None else recorded_platforms(content)


def _states_platform(facts: ManifestFacts) -> bool:
    """Whether it is an image; its first reference is its config."""
    return facts.kind == "image" and facts.references[0].media_type in CONFIG_TYPES
