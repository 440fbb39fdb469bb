"""What upstreams know to refer to a subject, beside what is known here."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from functools import partial
from typing import Final
from urllib.parse import urljoin, urlsplit

from angos_trio.auth.memory import AskedOnce, ShortMemory
from angos_trio.limits.mirror import (
    REFERRERS_KEPT_MAX,
    REFERRERS_SECS,
    UPSTREAM_REFERRERS_BYTES_MAX,
    UPSTREAM_REFERRERS_PAGES_MAX,
)
from angos_trio.mirror.failures import NotThere, UpstreamError
from angos_trio.mirror.manifests import first_of
from angos_trio.mirror.settings import Mirrored
from angos_trio.mirror.upstream import Upstream
from angos_trio.oci.digest import Digest
from angos_trio.oci.media_types import OCI_INDEX
from angos_trio.oci.names import RepositoryName
from angos_trio.oci.referrers import Referrer, fallback_tag, parse_fallback_index

_NEXT: Final = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?', re.ASCII)
Found = Sequence[Referrer]


class Referrers:
    """Asks once for all who ask at the same time, and remembers for a minute."""

    def __init__(self) -> None:
        self._known: ShortMemory[Found] = ShortMemory(REFERRERS_KEPT_MAX)
        self._asked: AskedOnce[Found] = AskedOnce()

    async def of(self, mirrored: Mirrored, name: RepositoryName, subject: Digest) -> Found:
        """What is known upstream; nothing where that cannot be said: an image can be pulled without
        what refers to it."""
        key = f"{mirrored.repository}\n{name}\n{subject}".encode()
        known = self._known.get(key, time.monotonic())
        if known is not None:
            return known

        async def work() -> Found:
            ask = partial(_ask, name=mirrored.remote_name(name), subject=subject)
            try:
                found = await first_of(mirrored, ask)
            except (NotThere, UpstreamError):
                found = ()
            self._known.put(key, found, time.monotonic() + REFERRERS_SECS)
            return found

        return await self._asked.ask(key, work)


async def _ask(upstream: Upstream, *, name: str, subject: Digest) -> Found:
    """By the API, and where there is none by the tag that clients write in its place."""
    try:
        return await _pages(upstream, name, f"referrers/{subject}")
    except NotThere:
        place = f"manifests/{fallback_tag(subject)}"
        async with upstream.asked("GET", name, place, OCI_INDEX) as answer:
            return parse_fallback_index(await upstream.read(answer, UPSTREAM_REFERRERS_BYTES_MAX))


async def _pages(upstream: Upstream, name: str, rest: str) -> Found:
    found: list[Referrer] = []
    seen, left = set[str](), UPSTREAM_REFERRERS_BYTES_MAX
    while rest and rest not in seen and len(seen) < UPSTREAM_REFERRERS_PAGES_MAX and left > 0:
        seen.add(rest)
        async with upstream.asked("GET", name, rest, OCI_INDEX) as answer:
            body = await upstream.read(answer, left)
            link = answer.headers.get("link", "")
        left -= len(body)
        found += parse_fallback_index(body)
        rest = _following(link, upstream.settings.path_of(name), rest)
    return found


def _following(link: str, path: str, rest: str) -> str:
    """The next page below the same path, as `rest`; empty where there is none."""
    match = _NEXT.search(link)
    if match is None:
        return ""
    target = urlsplit(urljoin(f"{path}/{rest}", match[1]))
    if not target.path.startswith(f"{path}/"):
        return ""
    below = target.path.removeprefix(f"{path}/")
    return f"{below}?{target.query}" if target.query else below
