"""What the types of repositories that are pulled through do not say."""

from __future__ import annotations

from angos_trio.config.model import Config, Repository, Upstream
from angos_trio.config.paths import KeyRefused, Keys, dotted, quoted
from angos_trio.config.secret_checks import check_certificate, check_secrets
from angos_trio.config.values import check_host, check_user, parse_size, parse_url
from angos_trio.limits.processes import USERNAME_CHARACTERS_MAX
from angos_trio.oci.platform import is_platform


def check_upstreams(config: Config) -> None:
    """Refuse what cannot be meant. Raises KeyRefused with the key's path."""
    registries: dict[str, str] = {}
    for name, repository in config.repository.items():
        path = ("repository", name)
        _check_registry(repository, path, registries)
        _check_prefetch(repository, path)
        for number, upstream in enumerate(repository.upstream):
            _check_upstream(upstream, (*path, "upstream", str(number)))


def _check_registry(repository: Repository, path: Keys, known: dict[str, str]) -> None:
    """One repository stands for a registry."""
    registry = repository.namespace
    if registry is None:
        return
    where = dotted((*path, "namespace"))
    check_host(registry, where)
    if registry in known:
        raise KeyRefused(where, f"{quoted(registry)} is that of {known[registry]} too")
    known[registry] = dotted(path)


def _check_prefetch(repository: Repository, path: Keys) -> None:
    if repository.prefetch and not repository.upstream:
        raise KeyRefused(dotted((*path, "prefetch")), "needs an upstream to fetch from")
    for platform in repository.platforms:
        if not is_platform(platform):
            why = f"{quoted(platform)} is no platform; write for example linux/amd64"
            raise KeyRefused(dotted((*path, "platforms")), why)


def _check_upstream(upstream: Upstream, path: Keys) -> None:
    url = parse_url(upstream.url, dotted((*path, "url")))
    if "?" in upstream.url:
        raise KeyRefused(dotted((*path, "url")), "has a query, which means nothing to a registry")
    check_certificate(upstream, path)
    check_secrets(upstream, path)
    has_password = upstream.password is not None or upstream.password_file is not None
    if (upstream.username is None) == has_password:
        raise KeyRefused(dotted(path), "username and password go together; one is missing")
    if upstream.username is not None:
        check_user(upstream.username, dotted((*path, "username")), USERNAME_CHARACTERS_MAX)
    if url.scheme == "http" and (upstream.client_certificate or upstream.server_ca_bundle):
        raise KeyRefused(dotted((*path, "url")), "is http, which takes no certificates")
    for host in upstream.token_hosts:
        check_host(host, dotted((*path, "token_hosts")))
    limit = upstream.bandwidth_limit
    if limit is not None and parse_size(limit, dotted((*path, "bandwidth_limit"))) < 1:
        raise KeyRefused(dotted((*path, "bandwidth_limit")), "must be at least one byte a second")
