"""Sessions of browsers: who signed in on a page, and is known by a cookie from then on.

The cookie is a random secret and says nothing. Who it stands for is a row that all processes of the
instance share, under the hash of the secret, so that it can be ended at any moment. A session has
what a registry token has (`Bearer`), and whoever finds it compares that with what there is now.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from angos_trio.auth.jose import encode
from angos_trio.auth.tokens import Bearer
from angos_trio.identity import Certificate, Identity
from angos_trio.limits.callers import (
    BROWSER_SESSION_SECS_MAX,
    BROWSER_SESSIONS_MAX,
    BROWSER_SESSIONS_OF_OWNER,
)
from angos_trio.records import Frozen, asdict
from angos_trio.storage.metadata import browser_sessions
from angos_trio.storage.metadata.browser_sessions import Bounds, BrowserSession
from angos_trio.storage.shared import Shared

_SECRET_BYTES: Final = 32
_BOUNDS: Final = Bounds(BROWSER_SESSIONS_OF_OWNER, BROWSER_SESSIONS_MAX)


class Begun(Frozen):
    """A new session: the secret for the cookie, and for how many seconds it counts."""

    secret: str
    secs: int


class Found(Frozen):
    """A session that has not ended: who signed in, and with which client certificate beside."""

    bearer: Bearer
    fingerprint: str | None


class SignIn(Frozen):
    """What a page needs to let people sign in. `has_passwords`: there are users; `providers` are
    the names of those whose tokens are taken. `end` takes the secret of a session."""

    begin: Callable[[Identity], Awaitable[Begun | None]]
    end: Callable[[str], Awaitable[bool]]
    has_passwords: bool = False
    providers: tuple[str, ...] = ()

    @property
    def is_there(self) -> bool:
        """Whether anybody can sign in by a form."""
        return self.has_passwords or bool(self.providers)


class BrowserSessions:
    """Begins, finds and ends them; any process of the instance does."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def begin(self, identity: Identity, phc: str | None, now: int) -> Begun | None:
        """A session for who has just shown a credential; None where that has ended already.

        `phc` is the hash of a Basic user's password. The session ends with the credential.
        """
        until = end_of(identity, now)
        if until <= now:
            return None
        secret, certificate = secrets.token_urlsafe(_SECRET_BYTES), identity.certificate
        bearer = Bearer(
            method=identity.method,
            provider=identity.provider,
            subject=identity.subject,
            claims=None if identity.claims is None else dict(identity.claims),
            password=None if phc is None else mark(secret, phc),
            key=None if identity.grant is None else identity.grant.key,
        )
        session = BrowserSession(
            id=_id_of(secret),
            owner=identity.owner,
            bearer=json.dumps(asdict(bearer)),
            fingerprint=None if certificate is None else certificate.fingerprint,
            begun_at=now,
            until=until,
        )
        room = partial(browser_sessions.make_room, owner=session.owner, now=now, bounds=_BOUNDS)
        await self._shared.run(room)
        await self._shared.run(partial(browser_sessions.add, session=session))
        return Begun(secret, until - now)

    async def find(self, secret: str, now: int) -> Found | None:
        """What a cookie stands for; None for what has ended, or never was."""
        look = partial(browser_sessions.find, session=_id_of(secret), now=now)
        found = await self._shared.run(look)
        if found is None:
            return None
        return Found(Bearer(**json.loads(found.bearer)), found.fingerprint)

    async def end(self, secret: str) -> bool:
        """End it for good; False when it had ended."""
        return await self._shared.run(partial(browser_sessions.remove, session=_id_of(secret)))


def end_of(identity: Identity, now: int) -> int:
    """When a session ends at the latest: after some hours, or with what was shown."""
    until = now + BROWSER_SESSION_SECS_MAX
    expires = (identity.claims or {}).get("exp")
    if isinstance(expires, int | float):
        until = min(until, int(expires))
    if identity.certificate is not None:
        until = min(until, identity.certificate.not_after)
    return until


def mark(secret: str, phc: str) -> str:
    """What a session has of the hash of a password: enough to see that it has changed."""
    return encode(hmac.digest(secret.encode(), f"password {phc}".encode(), hashlib.sha256))


def is_beside(found: Found, certificate: Certificate | None) -> bool:
    """Whether the certificate is there that was shown when the session began, if one was."""
    if found.fingerprint is None:
        return True
    return certificate is not None and certificate.fingerprint == found.fingerprint


def _id_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
