"""What a configuration comes to: everything that can be refused has been looked at."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from angos_trio.app.access import describe_reach
from angos_trio.app.authentication import Authentication, authentication_of
from angos_trio.app.certificates import files_of
from angos_trio.app.mirrors import mirrors_of
from angos_trio.app.retention import retention_of
from angos_trio.app.webhooks import endpoints_of
from angos_trio.auth.access import Access
from angos_trio.config.model import Config, Global, Repository
from angos_trio.config.values import compile_exclusions, is_loopback, parse_size
from angos_trio.events.endpoints import Endpoints
from angos_trio.limits.processes import WORKERS_MAX
from angos_trio.mirror.settings import Mirrors
from angos_trio.policy.immutability import TagRule, TagRules
from angos_trio.policy.quota import Quotas, quotas_of
from angos_trio.policy.retention import RetentionRules
from angos_trio.records import Frozen
from angos_trio.registry.context import Limits
from angos_trio.server.serve import ServeOptions
from angos_trio.storage.store import StorageSettings
from angos_trio.telemetry.log import logger

if TYPE_CHECKING:
    from angos_trio.pki.server import TlsFiles

_log = logger("config")


class Plan(Frozen):
    """What a configuration comes to: everything that can be refused has been looked at."""

    config: Config
    host: str
    port: int
    authentication: Authentication
    tls: TlsFiles | None
    storage: StorageSettings
    limits: Limits
    tag_rules: TagRules
    quotas: Quotas
    retention: RetentionRules
    mirrors: Mirrors
    endpoints: Endpoints
    serve: ServeOptions
    workers: int
    """1: everything in one process. More: so many, a steward and a supervisor."""

    @property
    def access(self) -> Access:
        """The rules in force."""
        return self.authentication.access

    @property
    def methods(self) -> list[str]:
        """How callers are recognised, a phrase each."""
        takes_certificates = self.tls is not None and self.tls.client_ca is not None
        return self.authentication.methods(takes_certificates=takes_certificates)

    @property
    def remarks(self) -> list[str]:
        """What an operator may not have meant who listens where the configuration says."""
        return self.remarks_on([] if is_loopback(self.host) else [self.host])

    def remarks_on(self, addresses: Sequence[str]) -> list[str]:
        """The same for one who listens on these addresses, which others reach."""
        has_secrets = bool(self.authentication.users or self.authentication.providers)
        if has_secrets and self.tls is None and addresses:
            return [
                f"{', '.join(addresses)} takes passwords in the clear: there is no [server.tls], "
                "and whoever is on the way can read them"
            ]
        return []

    def describe(self) -> list[str]:
        """What would happen, a line each."""
        reach = describe_reach(self.access)
        scheme = "http" if self.tls is None else "https"
        storage = self.storage
        return [
            f"serves {scheme}://{_url_host(self.host)}:{self.port} to {reach}",
            *self.authentication.describe(),
            *self._describe_probes(),
            f"stores in {storage.root.absolute()}, keeping {storage.reserve_bytes} bytes free",
            "answers in one process"
            if self.workers == 1
            else f"answers in {self.workers} processes, with a steward beside them",
            *self._describe_mirrors(),
            *self._describe_webhooks(),
            f"takes manifests up to {self.limits.manifest_bytes_max} bytes "
            f"and blobs up to {self.limits.blob_bytes_max} bytes",
        ]

    def _describe_mirrors(self) -> list[str]:
        return [
            f"pulls {name} through from {', then '.join(mirrored.hosts)}"
            for name, mirrored in self.mirrors.by_repository.items()
            if mirrored is not None
        ]

    def _describe_webhooks(self) -> list[str]:
        return [
            f"{'asks' if each.is_required else 'tells'} the webhook {name} at {_host(each.url)}"
            for name, each in self.endpoints.by_name.items()
        ]

    def _describe_probes(self) -> list[str]:
        section = self.config.server.health
        if section is None:
            return []
        what = "probes and scrapes" if section.metrics else "probes"
        return [f"answers {what} on http://{_url_host(section.bind_address)}:{section.port}"]


def tell_remarks(remarks: Iterable[str]) -> None:
    """The log has what an operator may not have meant."""
    for remark in remarks:
        _log.warning("config.remark", remark=remark)


def make_plan(config: Config, *, is_configured: bool = False) -> Plan:
    """Check what types alone do not say. Raises OperatorError with the key's path.

    Without a word about workers, what has a configuration gets one for each core.
    """
    settings, store = config.global_, config.blob_store.fs
    drain = config.server.drain_timeout
    return Plan(
        config=config,
        host=config.server.bind_address,
        port=config.server.port,
        authentication=authentication_of(config),
        tls=files_of(config.server.tls),
        storage=StorageSettings(
            root=Path(store.root_dir),
            reserve_bytes=parse_size(settings.min_free_space, "global.min_free_space"),
            ballast_bytes=parse_size(store.ballast, "blob_store.fs.ballast"),
        ),
        limits=Limits(
            manifest_bytes_max=parse_size(settings.max_manifest_size, "global.max_manifest_size"),
            blob_bytes_max=parse_size(settings.max_blob_size, "global.max_blob_size"),
            uploads_per_caller_max=config.server.max_uploads_per_caller,
            lease_secs=settings.gc_grace_secs,
            untagged_secs=settings.untagged_grace,
            scrub_secs=settings.scrub_interval_secs or None,
            scrub_bytes_per_sec=parse_size(settings.scrub_rate, "global.scrub_rate") or None,
            prune_interval_secs=settings.prune_interval_secs,
        ),
        tag_rules=_tag_rules(config),
        quotas=_quotas(config),
        retention=retention_of(config),
        mirrors=mirrors_of(config),
        endpoints=endpoints_of(config),
        serve=ServeOptions(
            stall_secs=config.server.stall_timeout,
            drain_secs=settings.shutdown_drain_secs if drain is None else drain,
        ),
        workers=_workers(config.server.workers, is_configured=is_configured),
    )


def _workers(wanted: int | None, *, is_configured: bool) -> int:
    if wanted is None:
        wanted = 0 if is_configured else 1
    return wanted or min(len(os.sched_getaffinity(0)), WORKERS_MAX)


def _host(url: str) -> str:
    """Without the path, which may be a secret."""
    return urlsplit(url).netloc


def _url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _tag_rules(config: Config) -> TagRules:
    default = _tag_rule(Repository(), config.global_, "global")
    rules = {
        name: _tag_rule(repository, config.global_, f'repository."{name}"')
        for name, repository in config.repository.items()
    }
    return TagRules(default, rules)


def _quotas(config: Config) -> Quotas:
    return quotas_of(
        {
            name: None
            if repository.quota is None
            else parse_size(repository.quota, f'repository."{name}".quota')
            for name, repository in config.repository.items()
        }
    )


def _tag_rule(repository: Repository, settings: Global, path: str) -> TagRule:
    """A repository's own value wins over the global one."""
    exclusions = repository.immutable_tags_exclusions
    own, deletable = repository.immutable_tags, repository.immutable_tags_deletable
    return TagRule(
        is_immutable=settings.immutable_tags if own is None else own,
        exclusions=compile_exclusions(
            settings.immutable_tags_exclusions if exclusions is None else exclusions,
            f"{path}.immutable_tags_exclusions",
        ),
        is_deletable=settings.immutable_tags_deletable if deletable is None else deletable,
    )
