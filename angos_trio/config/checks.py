"""What the types of a configuration alone do not say. Every refusal names the key."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path

from angos_trio.config.auth_checks import check_auth
from angos_trio.config.model import AccessPolicy, Config, HealthListener, Repository, Server
from angos_trio.config.paths import KeyRefused, did_you_mean, dotted, quoted
from angos_trio.config.tables import keys_of, tables_in
from angos_trio.config.upstream_checks import check_upstreams
from angos_trio.config.values import (
    check_directory,
    check_repository,
    compile_exclusions,
    is_loopback,
    parse_networks,
    parse_size,
    parse_url,
)
from angos_trio.config.webhook_checks import check_event_webhooks


def check(config: Config) -> None:
    """Refuse what cannot be meant. Raises KeyRefused with the key's path.

    Files are not looked at; of secrets that stand in files only the names are.
    """
    _check_paths(config)
    _check_global(config)
    _check_stores(config)
    _check_policies(config)
    _check_server(config.server)
    check_auth(config.auth)
    check_upstreams(config)
    check_event_webhooks(config)
    _check_webhook_names(config)
    _check_who_decides(config)


def _check_paths(config: Config) -> None:
    for path, table in tables_in(config):
        for key in keys_of(type(table)):
            value = getattr(table, key.attribute)
            if key.is_path and value is not None:
                texts = (value,) if isinstance(value, str) else value
                for text in texts:
                    if "\x00" in text:
                        raise KeyRefused(dotted((*path, key.name)), f"{quoted(text)} is no file")


def _check_global(config: Config) -> None:
    settings = config.global_
    for key in ("max_manifest_size", "max_blob_size"):
        if parse_size(getattr(settings, key), f"global.{key}") < 1:
            raise KeyRefused(f"global.{key}", "must be at least one byte")
    parse_size(settings.min_free_space, "global.min_free_space")
    compile_exclusions(settings.immutable_tags_exclusions, "global.immutable_tags_exclusions")
    for name, repository in config.repository.items():
        check_repository(name)
        path = dotted(("repository", name, "immutable_tags_exclusions"))
        compile_exclusions(repository.immutable_tags_exclusions or (), path)
        _check_quota(repository, dotted(("repository", name, "quota")))
    parse_networks(settings.trusted_proxies, "global.trusted_proxies")


def _check_quota(repository: Repository, path: str) -> None:
    if repository.quota is not None and parse_size(repository.quota, path) < 1:
        raise KeyRefused(path, "must be at least one byte; leave it out for no quota")


def _check_stores(config: Config) -> None:
    store = config.blob_store.fs
    parse_size(store.ballast, "blob_store.fs.ballast")
    check_directory(store.root_dir, "blob_store.fs.root_dir")
    below = config.metadata_store.fs.root_dir
    if below is not None and Path(below) != Path(store.root_dir):
        raise KeyRefused(
            "metadata_store.fs.root_dir",
            "rows and blobs live in one data directory, "
            "blob_store.fs.root_dir; leave this key out or make it the same",
        )


def _check_policies(config: Config) -> None:
    for path, table in tables_in(config):
        if isinstance(table, AccessPolicy) and table.is_contradictory:
            raise KeyRefused(dotted(path), "default and default_allow contradict each other")


def _check_server(server: Server) -> None:
    if server.external_url is not None:
        url = parse_url(server.external_url, "server.external_url")
        if url.path or "?" in server.external_url:
            why = "must be http(s)://host or http(s)://host:port, with nothing behind it"
            raise KeyRefused("server.external_url", why)
    tls = server.tls
    if tls is not None and tls.client_ca_bundle is None:
        needing = "client_crl" if tls.client_crl else ""
        needing = "client_auth" if tls.client_auth == "required" else needing
        if needing:
            why = "needs server.tls.client_ca_bundle: who issues the certificates of clients"
            raise KeyRefused(f"server.tls.{needing}", why)
    if server.health is not None:
        _check_health(server.health, server)


def _check_health(health: HealthListener, server: Server) -> None:
    is_same_port = health.port == server.port and health.port != 0
    if is_same_port and _is_reached_by_both(health.bind_address, server.bind_address):
        why = f"{health.port} is the registry's own port; health needs one beside it"
        raise KeyRefused("server.health.port", why)
    if health.metrics and not is_loopback(health.bind_address):
        why = (
            "metrics are served without credentials only on a loopback address, and "
            f"server.health.bind_address is {quoted(health.bind_address)}"
        )
        raise KeyRefused("server.health.metrics", why)


def _is_reached_by_both(one: str, other: str) -> bool:
    """Whether two addresses to listen on have an address in common, as far as names tell."""
    addresses = [_address(host) for host in (one, other)]
    return addresses[0] == addresses[1] or any(
        not isinstance(address, str) and address.is_unspecified for address in addresses
    )


def _address(host: str) -> str | ipaddress.IPv4Address | ipaddress.IPv6Address:
    host = "127.0.0.1" if host.lower() == "localhost" else host.lower()
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return host


def _check_webhook_names(config: Config) -> None:
    known = config.auth.webhook
    _check_webhook_name(config.global_.authorization_webhook, known, "global.authorization_webhook")
    for name, repository in config.repository.items():
        path = dotted(("repository", name, "authorization_webhook"))
        _check_webhook_name(repository.authorization_webhook, known, path)


def _check_webhook_name(name: str | None, known: Iterable[str], path: str) -> None:
    """An empty name is none."""
    if name and name not in known:
        why = f"there is no [auth.webhook.{dotted((name,))}]; {did_you_mean(name, known)}"
        raise KeyRefused(path, why)


def _check_who_decides(config: Config) -> None:
    """An issuer is shared with the world, so that its word alone lets nobody in."""
    if config.auth.oidc and config.global_.access_policy is None:
        raise KeyRefused(
            "auth.oidc",
            "whoever an issuer knows gets its tokens, and nothing says who of them may do what. "
            "Add these lines, with the subject of a token that is to be let in:\n"
            '    [global.access_policy]\n    default = "deny"\n'
            "    rules = [\"identity.oidc != null && identity.oidc.claims.sub == 'SUBJECT'\"]",
        )
