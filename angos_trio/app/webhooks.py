"""`[event_webhook]`: who is told of what happens, and who is asked before."""

from __future__ import annotations

import ssl

from angos_trio.config.model import Config, EventWebhook
from angos_trio.config.paths import dotted
from angos_trio.config.values import compile_exclusions
from angos_trio.events.endpoints import NO_ENDPOINTS, Endpoint, Endpoints, Kind
from angos_trio.net.tls import client_tls


def endpoints_of(config: Config) -> Endpoints:
    """The webhooks of a configuration. Raises OperatorError with the key's path."""
    if not config.event_webhook:
        return NO_ENDPOINTS
    tls = client_tls("event_webhook")  # servers are verified by the store of the system
    return Endpoints(
        by_name={name: _endpoint(name, each, tls) for name, each in config.event_webhook.items()},
        everywhere=config.global_.event_webhooks,
        by_repository={name: each.event_webhooks for name, each in config.repository.items()},
    )


def _endpoint(name: str, section: EventWebhook, tls: ssl.SSLContext) -> Endpoint:
    path = dotted(("event_webhook", name))
    patterns = section.repository_filter
    return Endpoint(
        name=name,
        url=section.url,
        kinds=frozenset(map(Kind, section.events)),
        tls=tls,
        is_required=section.policy == "required",
        token=None if section.token is None else section.token.reveal(),
        timeout_secs=section.timeout_ms / 1000,
        retries_max=section.max_retries,
        filters=None
        if patterns is None
        else compile_exclusions(patterns, f"{path}.repository_filter"),
    )
