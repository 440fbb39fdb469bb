"""Pages that are made beside the event loop."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import trio

from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.limits import RENDER_SECS_MAX
from angos_trio.oci.codes import Code, OciError
from angos_trio.web.frame import Site, frame_of, show


class Maker:
    """Makes one page after the other, in a thread: some take many milliseconds."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._renders = trio.CapacityLimiter(1)

    async def make(
        self, call: Call, template: str, values: Mapping[str, object], status: int = 200
    ) -> Reply:
        """A page for the caller. Raises UNAVAILABLE (503)."""
        frame = frame_of(self.site, call.request, call.caller.identity)
        given = {**values, "frame": frame}
        work = partial(show, self.site, call.request, template, given, status)
        with trio.move_on_after(RENDER_SECS_MAX):
            return await trio.to_thread.run_sync(work, limiter=self._renders)
        raise OciError(Code.UNAVAILABLE, status=503, message="too many pages are asked for")
