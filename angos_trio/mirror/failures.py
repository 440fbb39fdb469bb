"""What can come of asking an upstream, besides what was asked for."""

from __future__ import annotations

import math

from angos_trio.oci.codes import Code, OciError


class NotThere(Exception):
    """The upstream says that there is no such thing."""


class UpstreamError(Exception):
    """The upstream did not say, or what it said cannot be used.

    `status` is 502 where it answered and 503 where it did not, or not yet; `retry_secs` is for how
    long it wants to be left alone. The reason is for clients and operators: it has no credential.
    """

    def __init__(self, reason: str, *, status: int = 502, retry_secs: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.retry_secs = retry_secs

    def answer(self, detail: str) -> OciError:
        """As a client is told."""
        headers = {}
        if self.retry_secs is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_secs)))
        return OciError(
            Code.UNAVAILABLE,
            status=self.status,
            message=self.reason,
            detail=detail,
            headers=headers,
        )


class Unsaved(Exception):
    """There is no room here for what the upstream has: who asks gets it, and it is not kept."""
