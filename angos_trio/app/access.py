"""What a configuration says of access: compiled policies, and who may do what without one."""

from __future__ import annotations

from collections.abc import Mapping

from angos_trio.auth.access import Access, Authorizer
from angos_trio.config.model import AccessPolicy as PolicySection
from angos_trio.config.model import Config
from angos_trio.config.values import is_loopback, parse_networks
from angos_trio.errors import OperatorError
from angos_trio.http.front import Front
from angos_trio.policy.access import AccessPolicy, RuleError, compile_policy

ANYBODY = frozenset({"anonymous", "basic", "certificate", "oidc"})
_WORDS = {"basic": "a password", "certificate": "a client certificate"}


def access_of(config: Config, webhooks: Mapping[str, Authorizer] | None = None) -> Access:
    """The rules in force; `webhooks` are the configured ones by name. Raises OperatorError."""
    policy = _policy(config.global_.access_policy, "global.access_policy")
    repositories = {
        name: _policy(repository.access_policy, f'repository."{name}".access_policy')
        for name, repository in config.repository.items()
    }
    trusts = _trusted_methods(config)
    is_open = policy is None and not trusts
    if is_open and not is_loopback(config.server.bind_address):
        raise OperatorError(
            f"server.bind_address: {config.server.bind_address} can be reached by others, and "
            "nothing says who may do what. To let everybody do everything, add these lines:\n"
            '    [global.access_policy]\n    default = "allow"\n    rules = []'
        )
    known = webhooks or {}
    by_repository = {
        name: known.get(repository.authorization_webhook)
        for name, repository in config.repository.items()
        if repository.authorization_webhook is not None
    }
    return Access(
        trusts=ANYBODY if is_open else trusts,
        loopback_only=is_open,
        policy=policy,
        repositories=repositories,
        webhook=known.get(config.global_.authorization_webhook or ""),
        webhooks=by_repository,
    )


def _trusted_methods(config: Config) -> frozenset[str]:
    """Who may do anything where no policy decides: callers whom the operator has named."""
    methods = set()
    if config.auth.identity:
        methods.add("basic")
    if config.server.tls is not None and config.server.tls.client_ca_bundle is not None:
        methods.add("certificate")
    return frozenset(methods)


def describe_reach(access: Access) -> str:
    """To whom a registry with these rules answers."""
    policy = access.policy
    if policy is not None:
        who = "everybody who reaches it" if policy.allows else "nobody"
        but = f", but for {len(policy.rules)} rules" if policy.rules else ""
        default = "allow" if policy.allows else "deny"
        return f"{who} (global.access_policy.default is {default}{but})"
    if access.loopback_only:
        return "callers on this host, asking by a loopback name"
    words = " or ".join(_WORDS[method] for method in sorted(access.trusts))
    return f"callers who show {words}"


def front_of(config: Config) -> Front:
    """How clients reach the registry. Raises OperatorError."""
    proxies = parse_networks(config.global_.trusted_proxies, "global.trusted_proxies")
    url = config.server.external_url
    return Front(None if url is None else url.rstrip("/"), proxies)


def _policy(section: PolicySection | None, path: str) -> AccessPolicy | None:
    if section is None:
        return None
    try:
        return compile_policy(allows=section.allows, texts=section.rules)
    except RuleError as error:
        raise OperatorError(f"{path}.rules: {error}") from None
