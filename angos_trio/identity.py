"""Who is calling and what they want: values that pass between floors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

FILE_EXTENSION: Final = "angos.file"
"""The private ASGI extension that `server` offers and `http` uses: the server sends a file."""

LOCAL_ADDRESS: Final = "local"
"""The address of a peer on a Unix socket."""


class Action(StrEnum):
    """What a route does; the names are those of the original's access policies."""

    GET_API_VERSION = "get-api-version"
    GET_BLOB = "get-blob"
    DELETE_BLOB = "delete-blob"
    START_UPLOAD = "start-upload"
    GET_UPLOAD = "get-upload"
    UPDATE_UPLOAD = "update-upload"
    COMPLETE_UPLOAD = "complete-upload"
    CANCEL_UPLOAD = "cancel-upload"
    GET_MANIFEST = "get-manifest"
    PUT_MANIFEST = "put-manifest"
    DELETE_MANIFEST = "delete-manifest"
    LIST_TAGS = "list-tags"
    LIST_CATALOG = "list-catalog"
    GET_REFERRERS = "get-referrers"
    METRICS = "metrics"
    HEALTH = "healthz"
    READINESS = "readyz"


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller: how they were recognised, by which provider, and their stable name there.

    `address` is the peer's, for logs and limits; it is no part of who they are.
    """

    method: str
    provider: str
    subject: str
    address: str

    @property
    def owner(self) -> str:
        """What an upload session remembers: method, provider and subject, nothing that changes."""
        return f"{self.method}:{self.provider}:{self.subject}"

    @property
    def limit_key(self) -> str:
        """By what limits count: the owner, and for strangers the address they come from."""
        return self.owner if self.subject else f"{self.owner}@{self.address}"


def anonymous(address: str) -> Identity:
    """A caller who showed nothing."""
    return Identity("anonymous", "", "", address)


@dataclass(frozen=True, slots=True)
class Target:
    """What an action is done to: a namespace (None: the registry itself), and what else the request
    names, such as a digest or a tag, by the names that policies know."""

    namespace: str | None = None
    named: Mapping[str, str | list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to "may they": `rule` is what decided, `reason` is for the audit log."""

    allowed: bool
    rule: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, with the access rules bound to them.

    `may(action, target)` decides; `sees(namespace)` says whether a listing shows it.
    """

    identity: Identity
    may: Callable[[Action, Target], Awaitable[Decision]]
    sees: Callable[[str], bool]
