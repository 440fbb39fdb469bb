"""Manifest bodies that were read lately: immutable by digest, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict

from angos_trio.limits.storage import BODY_CACHE_BYTES_MAX
from angos_trio.oci.digest import Digest


class BodyCache:
    """Bodies by digest; the one used longest ago goes first."""

    def __init__(self, bytes_max: int = BODY_CACHE_BYTES_MAX) -> None:
        self._bodies: OrderedDict[Digest, bytes] = OrderedDict()
        self._bytes_max = bytes_max
        self._bytes = 0

    def get(self, digest: Digest) -> bytes | None:
        """The body, if it is here."""
        body = self._bodies.get(digest)
        if body is not None:
            self._bodies.move_to_end(digest)
        return body

    def put(self, digest: Digest, body: bytes) -> None:
        """Keep a body; one larger than a quarter of the cache is not kept."""
        if digest in self._bodies or len(body) > self._bytes_max // 4:
            return
        self._bodies[digest] = body
        self._bytes += len(body)
        while self._bytes > self._bytes_max:
            _, dropped = self._bodies.popitem(last=False)
            self._bytes -= len(dropped)
