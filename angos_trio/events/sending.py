"""Sends a message to a webhook, once, and says what came of it."""

from __future__ import annotations

from enum import Enum
from typing import Final

import trio

from angos_trio.events.endpoints import Endpoint
from angos_trio.events.messages import Message, headers_of
from angos_trio.net.addresses import may_ask
from angos_trio.net.client import NetError
from angos_trio.net.exchange import Asked, Waits, exchange
from angos_trio.records import Frozen

_FOR_ANOTHER_TIME: Final = frozenset({401, 403, 404, 408, 425, 429})
"""What a receiver says that is set up wrongly, or has no time: it may take the same message once
that is over."""


class Result(Enum):
    """What came of a message: it was taken; the receiver will never take it; or it could not be
    asked, which another attempt may change."""

    TAKEN = "taken"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"


class Sent(Frozen):
    """What came of it, why, and after how many seconds the receiver wants to be asked again, where
    it says so. `secs` is how long it took."""

    result: Result
    secs: float
    status: int | None = None
    problem: str = ""
    again_secs: float | None = None


def result_of(status: int) -> Result:
    """What a status of the answer says."""
    if 200 <= status < 300:
        return Result.TAKEN
    if 400 <= status < 500 and status not in _FOR_ANOTHER_TIME:
        return Result.REFUSED
    return Result.UNAVAILABLE


async def send(endpoint: Endpoint, message: Message) -> Sent:
    """Send it and wait for the head of the answer, within the endpoint's time; follows no redirect.
    Raises nothing."""
    begun_at = trio.current_time()
    secs = endpoint.timeout_secs
    body = message.body.encode()
    asked = Asked("POST", endpoint.url, headers_of(message, endpoint.token), body)
    try:
        with trio.fail_after(secs):
            answer = await exchange(asked, endpoint.tls, Waits(secs, secs), may_ask)
    except trio.TooSlowError:
        return Sent(Result.UNAVAILABLE, secs, problem=f"no answer within {secs:g} s")
    except NetError as error:
        return Sent(Result.UNAVAILABLE, trio.current_time() - begun_at, problem=error.reason)
    answer.close()
    status, took = answer.status, trio.current_time() - begun_at
    result = result_of(status)
    problem = "" if result is Result.TAKEN else f"the answer has status {status}"
    return Sent(result, took, status, problem, _secs(answer.headers.get("retry-after", "")))


def _secs(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
