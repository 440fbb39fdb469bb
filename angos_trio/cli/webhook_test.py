"""`angos-trio webhook test`: sends a message to a webhook of a configuration, once."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from angos_trio.app.webhooks import endpoints_of
from angos_trio.cli.streams import say
from angos_trio.clock import epoch_seconds
from angos_trio.config.overrides import load_with_overrides
from angos_trio.config.paths import did_you_mean, dotted
from angos_trio.errors import OperatorError
from angos_trio.events.messages import trial
from angos_trio.events.sending import Result, send


def webhook_test(files: Sequence[str], name: str) -> int:
    """Print what the receiver says; 0 when it takes the message, 1 when it does not. Raises
    OperatorError."""
    config = load_with_overrides(files, None, None).config
    endpoint = endpoints_of(config).by_name.get(name)
    if endpoint is None:
        near = did_you_mean(name, config.event_webhook)
        raise OperatorError(f"there is no [{dotted(('event_webhook', name))}]; {near}")
    sent = trio.run(send, endpoint, trial(epoch_seconds()))
    if sent.result is Result.TAKEN:
        print(f"taken with status {sent.status} after {sent.secs * 1000:.0f} ms")
        return 0
    say(f"angos-trio: not taken: {sent.problem}")
    return 1
