"""`[[repository."x".upstream]]`: whom a repository is pulled through from."""

from __future__ import annotations

from angos_trio.config.model import Config, Repository, Upstream
from angos_trio.config.paths import dotted
from angos_trio.config.values import parse_size
from angos_trio.mirror.settings import Mirrored, Mirrors
from angos_trio.mirror.tokens import Credential
from angos_trio.mirror.upstream import Upstream as Asked
from angos_trio.mirror.upstream import UpstreamSettings
from angos_trio.net.exchange import Waits
from angos_trio.net.tls import Names, context_of


def mirrors_of(config: Config) -> Mirrors:
    """Every configured repository, those that are not pulled through too. Raises OperatorError with
    the key's path."""
    return Mirrors(
        {name: _mirrored(name, section) for name, section in config.repository.items()},
        {
            section.namespace: name
            for name, section in config.repository.items()
            if section.namespace is not None
        },
    )


def _mirrored(name: str, section: Repository) -> Mirrored | None:
    if not section.upstream:
        return None
    secs = section.tag_check_interval
    return Mirrored(
        repository=name,
        upstreams=[
            _upstream(upstream, dotted(("repository", name, "upstream", str(number))))
            for number, upstream in enumerate(section.upstream)
        ],
        tag_check_secs=None if secs == "never" else int(secs),
        serves_stale=section.stale_tags == "serve",
        is_offline=section.offline,
        prefetches=section.prefetch,
        platforms=section.platforms,
    )


def _upstream(section: Upstream, path: str) -> Asked:
    names = Names(
        f"{path}.server_ca_bundle", f"{path}.client_certificate", f"{path}.client_private_key"
    )
    tls = context_of(
        names, section.server_ca_bundle, section.client_certificate, section.client_private_key
    )
    elsewhere = context_of(names, section.server_ca_bundle, None, None)
    password = None if section.password is None else section.password.reveal()
    limit = section.bandwidth_limit
    settings = UpstreamSettings(
        url=section.url,
        credential=Credential(section.url, section.username, password, section.token_hosts),
        redirects_max=section.max_redirect,
        waits=Waits(section.connect_timeout_secs, section.read_timeout_secs),
        connections_max=section.max_connections,
        bytes_per_sec=None if limit is None else parse_size(limit, f"{path}.bandwidth_limit"),
    )
    return Asked(settings, tls, elsewhere)
