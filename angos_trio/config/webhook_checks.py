"""What the types of event webhooks do not say."""

from __future__ import annotations

from collections.abc import Iterable

from angos_trio.config.model import Config, EventWebhook
from angos_trio.config.paths import KeyRefused, Keys, did_you_mean, dotted
from angos_trio.config.secret_checks import check_secrets
from angos_trio.config.values import check_name, compile_exclusions, parse_url
from angos_trio.limits.processes import TABLE_NAME_CHARACTERS_MAX


def check_event_webhooks(config: Config) -> None:
    """Refuse what cannot be meant. Raises KeyRefused with the key's path."""
    for name, webhook in config.event_webhook.items():
        path = ("event_webhook", name)
        check_name(name, dotted(path), TABLE_NAME_CHARACTERS_MAX)
        _check_event_webhook(webhook, path)
    known = config.event_webhook
    _check_names(config.global_.event_webhooks, known, "global.event_webhooks")
    for name, repository in config.repository.items():
        where = dotted(("repository", name, "event_webhooks"))
        _check_names(repository.event_webhooks or (), known, where)


def _check_event_webhook(webhook: EventWebhook, path: Keys) -> None:
    parse_url(webhook.url, dotted((*path, "url")))
    check_secrets(webhook, path)
    if not webhook.events:
        raise KeyRefused(dotted((*path, "events")), "is empty, so that it would be told nothing")
    if webhook.repository_filter is not None:
        where = dotted((*path, "repository_filter"))
        compile_exclusions(webhook.repository_filter, where)
        if not webhook.repository_filter:
            raise KeyRefused(where, "is empty, so that it would be told nothing; leave it out")


def _check_names(names: Iterable[str], known: Iterable[str], path: str) -> None:
    seen = set()
    for name in names:
        if name not in known:
            why = f"there is no [event_webhook.{dotted((name,))}]; {did_you_mean(name, known)}"
            raise KeyRefused(path, why)
        if name in seen:
            raise KeyRefused(path, f"names {dotted((name,))} twice")
        seen.add(name)
