"""Who is calling and what they want: values that pass between floors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from angos_trio.records import Frozen, field

FILE_EXTENSION: Final = "angos.file"
"""The private ASGI extension that `server` offers and `http` uses: the server sends a file."""

CERTIFICATE_EXTENSION: Final = "angos.certificate"
"""The private ASGI extension in which `server` hands on the client's `Certificate`."""

DRAIN_EXTENSION: Final = "angos.drain"
"""The private ASGI extension in which `server` hands on an event of Trio's, which is set when it
stops or the client has ended its side: what goes on until somebody ends it ends then."""

CLIENT_CHARACTERS_MAX: Final = 200
"""Of the name of a client's program that is recorded."""

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
    LIST_REPOSITORIES = "list-repositories"
    LIST_NAMESPACES = "list-namespaces"
    LIST_REVISIONS = "list-revisions"
    LIST_UPLOADS = "list-uploads"
    GET_TAG_HISTORY = "get-tag-history"
    LIST_PULLS = "list-pulls"
    GET_PULL_ADDRESSES = "get-pull-addresses"
    FIND = "find"
    GET_ACTIVITY = "get-activity"
    GET_STORAGE = "get-storage"
    GET_HEALTH = "get-health"
    GET_ME = "get-me"
    UI_ASSET = "ui-asset"
    UI_CONFIG = "ui-config"
    GET_TOKEN = "get-token"
    METRICS = "metrics"
    HEALTH = "healthz"
    READINESS = "readyz"
    GET_COLLECTION = "get-gc"
    RUN_COLLECTION = "run-gc"
    GET_SCRUB = "get-scrub"
    RUN_SCRUB = "run-scrub"
    GET_RETENTION = "get-prune"
    RUN_RETENTION = "run-prune"
    GET_EVENTS = "get-events"
    LIST_JOBS = "list-jobs"
    RETRY_JOB = "retry-job"
    DELETE_JOB = "delete-job"
    LIST_API_KEYS = "list-api-keys"
    CREATE_API_KEY = "create-api-key"
    DELETE_API_KEY = "delete-api-key"
    MAKE_BACKUP = "make-backup"
    GET_READ_ONLY = "get-read-only"
    SET_READ_ONLY = "set-read-only"


class Certificate(Frozen):
    """What a client certificate says (RFC 5280); its chain was verified in the handshake.

    `subject` and `issuer` are names as of RFC 4514, `serial` is hexadecimal without a sign,
    `fingerprint` the SHA-256 of its DER form in hexadecimal, times are epoch seconds.
    `is_for_clients`: its extended key usage names clientAuth. `signers` are issuer and serial of
    the certificates above it in its chain: it is good for nothing when one of them is revoked.
    `signer_keys` are marks of their keys.
    One that is not `is_readable` says nothing but its fingerprint, and is good for nothing: nobody
    could tell whether it is revoked.
    """

    subject: str
    issuer: str
    serial: str
    fingerprint: str
    not_before: int
    not_after: int
    is_for_clients: bool
    common_names: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    signers: tuple[tuple[str, str], ...] = ()
    signer_keys: tuple[str, ...] = ()
    is_readable: bool = True


class Grant(Frozen):
    """What an API key narrows its owner to. `repositories` are globs; of both, empty is all."""

    key: str
    name: str
    repositories: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()


class Identity(Frozen):
    """A caller: how they were recognised, by which provider, and their stable name there.

    `method` is `anonymous`, `basic`, `oidc`, `certificate` or `operator`. A registry token or an
    API key is no method of its own: its bearer is who it was given to. `address` is the client's,
    for logs and limits; it is no part of who they are. `id` is the name of the table in the
    configuration that a Basic user stands in; `claims` are those of an OIDC token. `certificate` is
    there whenever the client showed one, whatever the method.
    """

    method: str
    provider: str
    subject: str
    address: str
    id: str | None = None
    claims: Mapping[str, object] | None = None
    certificate: Certificate | None = None
    grant: Grant | None = None

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


class Target(Frozen):
    """What an action is done to: a namespace (None: the registry itself), and what else the request
    names, such as a digest or a tag, by the names that policies know."""

    namespace: str | None = None
    named: Mapping[str, str | list[str]] = field(default_factory=dict)


class Approach(Frozen):
    """How a request came: by which method, scheme, host and target, from which address, and with
    which headers. Names of headers are in lower case; a header may be there several times."""

    method: str = "GET"
    scheme: str = "http"
    host: str | None = None
    uri: str = "/"
    address: str = LOCAL_ADDRESS
    headers: tuple[tuple[str, str], ...] = ()

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)


class Decision(Frozen):
    """The answer to "may they": `rule` is what decided, `reason` is for the audit log."""

    allowed: bool
    rule: str
    reason: str = ""


class Origin(Frozen):
    """From where a request came, for those who look after the registry: the client's address, and
    the program as it names itself, cut; both are what somebody else says. Empty: nobody asked."""

    address: str = ""
    client: str = ""


NOWHERE: Final = Origin()
"""Of what nobody asked for."""


def _sees_each(repository: str) -> bool:
    """Where each namespace has to be looked at."""
    return False


async def _learn_nothing(namespaces: Sequence[str], deadline: float) -> None:
    """Where everything is known already."""


def _can_anything(action: Action, target: Target) -> bool:
    """Where no policy says anything."""
    return True


class Caller(Frozen):
    """Who asks, with the access rules bound to them.

    `may(action, target)` decides; `sees(namespace)` says whether a listing shows it. What `sees`
    can only say after having asked others, `learn(namespaces, deadline)` asks before, until the
    deadline of Trio's clock. `sees_all(repository)` is True where `sees` is so for each namespace
    of a repository, and False also where only a look at each would tell. `could(action, target)`
    is what the policies alone say, without a webhook: for what a page offers in each of its rows.
    It lets nobody do anything. `client` is the program by its `User-Agent`.
    """

    identity: Identity
    may: Callable[[Action, Target], Awaitable[Decision]]
    sees: Callable[[str], bool]
    learn: Callable[[Sequence[str], float], Awaitable[None]] = _learn_nothing
    sees_all: Callable[[str], bool] = _sees_each
    could: Callable[[Action, Target], bool] = _can_anything
    client: str = ""

    @property
    def origin(self) -> Origin:
        """From where they ask, and with what."""
        return Origin(self.identity.address, self.client[:CLIENT_CHARACTERS_MAX])
