"""Asks the webhooks that decide, before something is done.

A yes of every one is needed; what cannot be asked is no yes. What is asked has not happened, and
may not: another webhook, or the registry itself, may still refuse it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from angos_trio.events.endpoints import Endpoint
from angos_trio.events.messages import Happening, message_of
from angos_trio.events.sending import Result, Sent, send
from angos_trio.jobs.backoff import chance, delay_secs
from angos_trio.limits.jobs import (
    WEBHOOK_RETRIES_REQUIRED,
    WEBHOOK_RETRY_SECS_MAX,
    WEBHOOK_RETRY_SECS_MIN,
)
from angos_trio.oci.codes import Code, OciError
from angos_trio.telemetry.log import logger

if TYPE_CHECKING:
    from angos_trio.telemetry.metrics import WebhookMetrics

_log = logger("events.webhooks")
_NO_TIME: Final = frozenset({408, 425, 429})


async def ask(endpoint: Endpoint, metrics: WebhookMetrics | None, happening: Happening) -> None:
    """Return when a webhook has said yes. Raises DENIED (403) when it says no, UNAVAILABLE (503)
    when it could not be asked."""
    message = message_of(happening)
    retries = WEBHOOK_RETRIES_REQUIRED if endpoint.retries_max is None else endpoint.retries_max
    failures = 0
    while True:
        sent = await send(endpoint, message)
        if metrics is not None:
            metrics.sent(endpoint.name, message.kind, sent.result.value, sent.secs)
        if sent.result is Result.TAKEN:
            return
        failures += 1
        if _is_no(sent) or failures > retries:
            raise _refusal(endpoint, happening, sent)
        wait_secs = delay_secs(
            failures,
            shortest=WEBHOOK_RETRY_SECS_MIN,
            longest=WEBHOOK_RETRY_SECS_MAX,
            chance=chance,
        )
        await trio.sleep(wait_secs)


def _is_no(sent: Sent) -> bool:
    """Whether the receiver has said no, and not only that it has no time."""
    is_refusal = sent.status is not None and 400 <= sent.status < 500
    return is_refusal and sent.status not in _NO_TIME


def _refusal(endpoint: Endpoint, happening: Happening, sent: Sent) -> OciError:
    kind, namespace = happening.kind, happening.namespace
    if _is_no(sent):
        _log.warning(
            "webhook.refused",
            webhook=endpoint.name,
            kind=kind,
            namespace=namespace,
            problem=sent.problem,
        )
        message = f"the webhook {endpoint.name} refuses it with status {sent.status}"
        return OciError(Code.DENIED, message=message, detail=str(kind))
    _log.warning(
        "webhook.unavailable",
        webhook=endpoint.name,
        kind=kind,
        namespace=namespace,
        problem=sent.problem,
    )
    message = f"the webhook {endpoint.name}, which has to allow it, cannot be asked"
    return OciError(Code.UNAVAILABLE, status=503, message=message, headers={"Retry-After": "5"})
