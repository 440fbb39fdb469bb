"""One attempt: what an answer means, and what happens where there is none."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest
import trio

from angos_trio.events.endpoints import Endpoint, Kind
from angos_trio.events.messages import Message
from angos_trio.events.sending import Result, Sent, result_of, send
from tests.events.receiver import Receiver, receiver

TLS = ssl.create_default_context()
MESSAGE = Message("1", "tag.create", '{"kind":"tag.create"}')


@pytest.fixture
def served() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def sent_to(url: str, token: str | None = None, secs: float = 5.0) -> Sent:
    endpoint = Endpoint("a", url, frozenset({Kind.TAG_CREATE}), TLS, token=token, timeout_secs=secs)
    return trio.run(send, endpoint, MESSAGE)


def test_message_is_posted_with_its_exact_bytes(served: Receiver) -> None:
    sent = sent_to(served.url, "secret")

    assert (sent.result, sent.status, sent.problem) == (Result.TAKEN, 204, "")
    (found,) = served.received
    assert found.path == "/hook?from=registry"
    assert found.body == MESSAGE.body.encode()
    assert found.headers["authorization"] == "Bearer secret"
    assert found.headers["content-type"] == "application/json"
    assert found.headers["x-registry-event"] == "tag.create"
    assert found.is_signed_with("secret")
    assert not found.is_signed_with("Secret")


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (200, Result.TAKEN),
        (299, Result.TAKEN),
        *((status, Result.UNAVAILABLE) for status in (101, 301, 302, 307, 401, 403, 404, 408)),
        *((status, Result.UNAVAILABLE) for status in (425, 429, 500, 502, 503, 599)),
        *((status, Result.REFUSED) for status in (400, 402, 405, 409, 410, 413, 415, 418, 422)),
    ],
)
def test_what_statuses_mean(status: int, result: Result) -> None:
    assert result_of(status) is result


def test_redirect_is_not_followed(served: Receiver) -> None:
    served.answer = lambda number, document: 307
    served.headers = {"Location": served.url}

    sent = sent_to(served.url)

    assert (sent.result, sent.problem) == (Result.UNAVAILABLE, "the answer has status 307")
    assert len(served.received) == 1


@pytest.mark.parametrize(
    ("text", "secs"), [("30", 30.0), ("soon", None), ("-1", None), ("9" * 12, None)]
)
def test_receiver_may_say_when_to_come_again(
    served: Receiver, text: str, secs: float | None
) -> None:
    served.answer = lambda number, document: 429
    served.headers = {"Retry-After": text}

    assert sent_to(served.url).again_secs == secs


def test_silence_has_an_end(served: Receiver) -> None:
    served.answer = lambda number, document: 0

    sent = sent_to(served.url, secs=0.3)

    assert (sent.result, sent.status) == (Result.UNAVAILABLE, None)
    assert sent.problem == "no answer within 0.3 s"
    assert 0.3 <= sent.secs < 5


def test_nobody_who_listens_and_a_name_that_is_none_are_told_apart(served: Receiver) -> None:
    served.stop()

    assert sent_to(served.url).problem == "no connection: Connection refused"
    assert "cannot be resolved" in sent_to("http://nobody.invalid/").problem


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]"])
def test_addresses_of_the_link_are_not_asked(host: str) -> None:
    sent = sent_to(f"http://{host}/latest/meta-data")

    assert (sent.result, sent.status) == (Result.UNAVAILABLE, None)
    assert "is not one that may be asked" in sent.problem
