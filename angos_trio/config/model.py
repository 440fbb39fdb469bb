"""The configuration, every key with its default. Names are those of the original where it has one.

Sizes are bytes, as a number or as text with a unit (`"5MiB"`); times are seconds. What is marked
as `AtStart` is read at the start only; a reload names it and keeps what was. Of a table that is
marked as `PresenceAtStart` only whether it is there is read at the start.

Secrets may stand in files: what stands in the file that `<key>_file` names becomes `<key>` when
the configuration is loaded.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from angos_trio.limits.processes import DRAIN_SECS_MAX

AtStart = Meta(extra={"at_start": True})
PresenceAtStart = Meta(extra={"presence_at_start": True})

SIZE_PATTERN = "([0-9]{1,18})[ ]?(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)?"
ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
"""Of signatures of tokens (RFC 7518, RFC 8037): the asymmetric ones. With others, whoever knows the
public key could sign."""

Size = (
    Annotated[int, Meta(extra_json_schema={"minimum": 0})]
    | Annotated[str, Meta(extra_json_schema={"pattern": f"^{SIZE_PATTERN}$"})]
)
Seconds = Annotated[int, Meta(ge=1, le=10 * 365 * 86_400)]
FilePath = Annotated[str, Meta(min_length=1, extra={"is_path": True})]
"""A file, by a path that may begin with `$CREDENTIALS_DIRECTORY/`."""
Algorithm = Annotated[str, Meta(extra_json_schema={"enum": list(ALGORITHMS)})]


class Secret:
    """Text that is shown to nobody: not in a `repr`, a traceback, a log or a dump."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def reveal(self) -> str:
        """The text itself, for whoever checks or sends it."""
        return self._text


SecretText = Annotated[Secret, Meta(extra_json_schema={"type": "string", "writeOnly": True})]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table that refuses keys it does not know."""


class Tls(_Table, frozen=True):
    """`[server.tls]`: files in PEM; their content may change while the registry serves."""

    server_certificate_bundle: FilePath
    server_private_key: FilePath
    client_ca_bundle: FilePath | None = None
    client_auth: Literal["optional", "required"] = "optional"
    client_crl: tuple[FilePath, ...] = ()
    crl_stale: Literal["warn", "deny"] = "warn"


class HealthListener(_Table, frozen=True):
    """`[server.health]`: a second, plain listener, since probes have no certificates."""

    bind_address: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8001
    metrics: bool = False


class Server(_Table, frozen=True):
    """`[server]`"""

    bind_address: Annotated[str, AtStart] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535), AtStart] = 8000
    workers: Annotated[Annotated[int, Meta(ge=0, le=64)] | None, AtStart] = None
    stall_timeout: Annotated[Seconds, AtStart] = 60
    drain_timeout: Annotated[Annotated[int, Meta(ge=0, le=DRAIN_SECS_MAX)] | None, AtStart] = None
    max_uploads_per_caller: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    external_url: str | None = None
    handshake_timeout: Annotated[Seconds, AtStart] = 10
    tls: Annotated[Tls | None, PresenceAtStart] = None
    health: Annotated[HealthListener | None, AtStart] = None


class AccessPolicy(_Table, frozen=True):
    """`[global.access_policy]` and `[repository."<name>".access_policy]`"""

    default: Literal["allow", "deny"] | None = None
    default_allow: bool | None = None
    rules: tuple[str, ...] = ()

    @property
    def allows(self) -> bool:
        """What the default says; nothing said is deny. `default_allow` is its older name."""
        return self.default == "allow" if self.default is not None else bool(self.default_allow)

    @property
    def is_contradictory(self) -> bool:
        """Whether the two names of the default say different things."""
        return self.default_allow is not None and self.allows != self.default_allow


class RetentionPolicy(_Table, frozen=True):
    """`[global.retention_policy]` and `[repository."<name>".retention_policy]`"""

    rules: tuple[str, ...] = ()


class Global(_Table, frozen=True):
    """`[global]`"""

    max_manifest_size: Size = "5MiB"
    max_blob_size: Size = "100GiB"
    min_free_space: Annotated[Size, AtStart] = "256MiB"
    immutable_tags: bool = False
    immutable_tags_exclusions: tuple[str, ...] = ()
    immutable_tags_deletable: bool = False
    allow_missing_manifest_references: bool = True
    gc_grace_secs: Seconds = 86_400
    untagged_grace: Seconds | None = None
    scrub_interval_secs: Annotated[int, Meta(ge=0, le=10 * 365 * 86_400)] = 30 * 86_400
    scrub_rate: Size = "20MiB"
    upload_expiry_secs: Seconds = 86_400
    update_pull_time: bool = True
    retention_policy: RetentionPolicy | None = None
    prune_interval_secs: Seconds = 3600
    shutdown_drain_secs: Annotated[int, Meta(ge=0, le=DRAIN_SECS_MAX), AtStart] = 30
    access_policy: AccessPolicy | None = None
    authorization_webhook: str | None = None
    event_webhooks: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()


class BasicIdentity(_Table, frozen=True):
    """`[auth.identity.<name>]`: a user; the password is an argon2id hash in PHC form."""

    username: str
    password: SecretText | None = None
    password_file: FilePath | None = None


class Oidc(_Table, frozen=True):
    """`[auth.oidc.<name>]`: an issuer of tokens that are taken. `github` fills in its issuer.

    `bearer_token_file` stays a path: it is read anew for each fetch of keys.
    """

    provider: Literal["generic", "github"] = "generic"
    issuer: str | None = None
    jwks_uri: str | None = None
    required_audience: str | None = None
    required_claims: tuple[str, ...] = ()
    allowed_algorithms: tuple[Algorithm, ...] = ("RS256",)
    clock_skew_tolerance: Annotated[int, Meta(ge=0, le=3600)] = 60
    jwks_refresh_interval: Seconds = 3600
    jwks_refresh_timeout_secs: Annotated[int, Meta(ge=1, le=60)] = 5
    http_request_timeout_secs: Annotated[int, Meta(ge=1, le=300)] = 30
    server_ca_bundle: FilePath | None = None
    client_certificate_bundle: FilePath | None = None
    client_private_key: FilePath | None = None
    bearer_token_file: FilePath | None = None


class TokenService(_Table, frozen=True):
    """`[auth.token_service]`: registry tokens; the key is base64 of at least 32 bytes."""

    secret_key: SecretText | None = None
    secret_key_file: FilePath | None = None
    realm: str | None = None
    ttl_secs: Annotated[int, Meta(ge=60, le=86_400)] = 3600


class BasicCredential(_Table, frozen=True):
    """`[auth.webhook.<name>.basic_auth]`"""

    username: str
    password: SecretText | None = None
    password_file: FilePath | None = None


class AuthorizationWebhook(_Table, frozen=True):
    """`[auth.webhook.<name>]`: a service that is asked about each request."""

    url: str
    timeout_ms: Annotated[int, Meta(ge=1, le=60_000)]
    bearer_token: SecretText | None = None
    bearer_token_file: FilePath | None = None
    basic_auth: BasicCredential | None = None
    client_certificate_bundle: FilePath | None = None
    client_private_key: FilePath | None = None
    server_ca_bundle: FilePath | None = None
    forward_headers: tuple[str, ...] = ()
    cache_ttl: Annotated[int, Meta(ge=0, le=86_400)] = 60


class Auth(_Table, frozen=True):
    """`[auth]`"""

    identity: dict[str, BasicIdentity] = {}
    oidc: dict[str, Oidc] = {}
    token_service: TokenService | None = None
    webhook: dict[str, AuthorizationWebhook] = {}


class FileStore(_Table, frozen=True):
    """`[blob_store.fs]`"""

    root_dir: Annotated[str, AtStart] = "angos-data"
    ballast: Annotated[Size, AtStart] = "64MiB"


class BlobStore(_Table, frozen=True):
    """`[blob_store]`"""

    fs: FileStore = FileStore()


class MetadataFileStore(_Table, frozen=True):
    """`[metadata_store.fs]`"""

    root_dir: Annotated[str | None, AtStart] = None


class MetadataStore(_Table, frozen=True):
    """`[metadata_store]`"""

    fs: MetadataFileStore = MetadataFileStore()


class Upstream(_Table, frozen=True):
    """`[[repository."<name>".upstream]]`: a registry that a repository is pulled through from.

    `bandwidth_limit` is what its answers may bring in a second, all together.
    """

    url: str
    max_redirect: Annotated[int, Meta(ge=0, le=20)] = 5
    connect_timeout_secs: Annotated[int, Meta(ge=1, le=300)] = 30
    read_timeout_secs: Annotated[int, Meta(ge=1, le=3600)] = 300
    server_ca_bundle: FilePath | None = None
    client_certificate: FilePath | None = None
    client_private_key: FilePath | None = None
    username: str | None = None
    password: SecretText | None = None
    password_file: FilePath | None = None
    token_hosts: tuple[str, ...] = ()
    max_connections: Annotated[int, Meta(ge=1, le=256)] = 16
    bandwidth_limit: Size | None = None


class Repository(_Table, frozen=True):
    """`[repository."<name>"]`: what is not said here is as in `[global]`; an empty
    `authorization_webhook` is none, and so are `event_webhooks` without a name. With an `upstream`
    it is pulled through; `namespace` is the registry that it stands for where a client says so
    (`?ns=`)."""

    immutable_tags: bool | None = None
    immutable_tags_exclusions: tuple[str, ...] | None = None
    immutable_tags_deletable: bool | None = None
    quota: Size | None = None
    access_policy: AccessPolicy | None = None
    retention_policy: RetentionPolicy | None = None
    authorization_webhook: str | None = None
    namespace: str | None = None
    upstream: tuple[Upstream, ...] = ()
    tag_check_interval: Annotated[int, Meta(ge=0, le=10 * 365 * 86_400)] | Literal["never"] = 60
    stale_tags: Literal["serve", "fail"] = "serve"
    offline: bool = False
    prefetch: bool = False
    platforms: tuple[str, ...] = ()
    event_webhooks: tuple[str, ...] | None = None


WebhookEvent = Literal[
    "manifest.push",
    "manifest.pull",
    "manifest.delete",
    "blob.push",
    "blob.pull",
    "blob.delete",
    "tag.create",
    "tag.delete",
]


class EventWebhook(_Table, frozen=True):
    """`[event_webhook."<name>"]`: who is told of what happens, or asked before it does.

    `repository_filter` are regular expressions, of which one is found in the name of a namespace.
    """

    url: str
    policy: Literal["required", "optional", "async"]
    events: tuple[WebhookEvent, ...]
    token: SecretText | None = None
    token_file: FilePath | None = None
    timeout_ms: Annotated[int, Meta(ge=1, le=60_000)] = 5000
    max_retries: Annotated[int, Meta(ge=0, le=16)] | None = None
    repository_filter: tuple[str, ...] | None = None


class Observability(_Table, frozen=True):
    """`[observability]`"""

    log_level: Literal["debug", "info", "warning"] = "info"
    worker_header: bool = False


class Ui(_Table, frozen=True):
    """`[ui]`: the web interface."""

    enabled: bool = True
    name: str = "angos-trio"


class Config(_Table, frozen=True, rename={"global_": "global"}):
    """A whole configuration."""

    server: Server = Server()
    global_: Global = Global()
    auth: Auth = Auth()
    blob_store: BlobStore = BlobStore()
    metadata_store: MetadataStore = MetadataStore()
    repository: dict[str, Repository] = {}
    event_webhook: dict[str, EventWebhook] = {}
    ui: Ui = Ui()
    observability: Observability = Observability()
