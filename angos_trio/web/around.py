"""A page for one caller: the frame has the links that they may follow."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import trio

from angos_trio.http.call import Call
from angos_trio.http.reply import Reply
from angos_trio.identity import Action, Target
from angos_trio.limits.lists import RENDER_SECS_MAX
from angos_trio.oci.codes import Code, OciError
from angos_trio.records import replace
from angos_trio.web.frame import Frame, NavLink, Site, frame_of, show

ACTIVITY: Final = "/_ui/activity"
STORAGE: Final = "/_ui/storage"
HEALTH: Final = "/_ui/health"
FIND: Final = "/_ui/find"
HELP: Final = "/_ui/help"
_PLACES: Final = (
    (Action.GET_ACTIVITY, NavLink("Activity", ACTIVITY, "a")),
    (Action.GET_STORAGE, NavLink("Storage", STORAGE, "s")),
    (Action.GET_HEALTH, NavLink("Health", HEALTH, "h")),
)


async def may(call: Call, action: Action) -> bool:
    """Whether the caller may do this to the registry itself."""
    return (await call.caller.may(action, Target())).allowed


async def frame_for(site: Site, call: Call) -> Frame:
    """The frame of a page for the caller: what they may not see has no link."""
    frame = frame_of(site, call.request, call.caller.identity)
    places = [link for action, link in _PLACES if await may(call, action)]
    finds = await may(call, Action.FIND)
    return replace(frame, links=(*frame.links, *places), finds=finds)


async def show_page(
    site: Site, call: Call, template: str, values: Mapping[str, object], status: int = 200
) -> Reply:
    """The page, made beside the event loop: a hundred rows take some milliseconds, the first one
    of its kind a tenth of a second. Raises UNAVAILABLE (503)."""
    around = {**values, "frame": await frame_for(site, call)}
    make = partial(show, site, call.request, template, around, status)
    with trio.move_on_after(RENDER_SECS_MAX):
        return await trio.to_thread.run_sync(make, limiter=site.renders)
    raise OciError(Code.UNAVAILABLE, status=503, message="too many pages are asked for")
