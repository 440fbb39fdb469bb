"""What `server` and `http` adapt of other people's insides. When one of these fails after an
upgrade, read the new version where we touch it, then move the pin here."""

from __future__ import annotations

import inspect
from importlib.metadata import version

import h11
import pytest
from hypercorn.config import Config
from hypercorn.protocol import events
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WebsocketBuffer, WSStream
from quart.asgi import ASGIHTTPConnection
from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGIHTTPConnection, TrioASGIWebsocketConnection
from quart_trio.wrappers.request import TrioBody, TrioRequest
from wsproto.connection import ConnectionState

PINS = {
    "hypercorn": "0.18.",
    "quart": "0.22.",
    "quart-trio": "0.12.",
    "h11": "0.16.",
    "wsproto": "1.3.",
}


@pytest.mark.parametrize("name", PINS)
def test_adapted_package_is_of_the_version_that_was_read(name: str) -> None:
    assert version(name).startswith(PINS[name]), f"{name} {version(name)}: read it, then move this"


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (
            HTTPStream.__init__,
            "self app config context task_group ssl client server send stream_id",
        ),
        (HTTPStream.handle, "self event"),
        (HTTPStream.app_send, "self message"),
        (
            WSStream.__init__,
            "self app config context task_group ssl client server send stream_id",
        ),
        (WSStream.handle, "self event"),
        (WSStream.app_send, "self message"),
        (WebsocketBuffer.clear, "self"),
        (TrioBody.__init__, "self expected_content_length max_content_length"),
        (ASGIHTTPConnection._create_request_from_scope, "self send"),
        (ASGIHTTPConnection.__init__, "self app scope"),
        (TrioASGIHTTPConnection.__call__, "self receive send"),
        (h11.Connection.__init__, "self our_role max_incomplete_event_size"),
        (h11.Connection.send_with_data_passthrough, "self event"),
    ],
)
def test_adapted_function_takes_what_it_took(function: object, parameters: str) -> None:
    taken = inspect.signature(function).parameters  # type: ignore[arg-type]

    assert " ".join(taken) == parameters


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (events.Request, "stream_id headers http_version method raw_path state"),
        (events.Response, "stream_id headers status_code"),
        (events.Body, "stream_id data"),
        (events.EndBody, "stream_id"),
        (events.Data, "stream_id data"),
        (events.EndData, "stream_id"),
        (events.StreamClosed, "stream_id"),
    ],
)
def test_hypercorns_event_has_the_fields_it_had(event: type, fields: str) -> None:
    assert " ".join(inspect.signature(event).parameters) == fields


def test_adapted_attributes_are_there() -> None:
    assert {"REQUEST", "RESPONSE", "CLOSED"} <= set(ASGIHTTPState.__members__)
    assert {"HANDSHAKE", "CONNECTED"} <= set(ASGIWebsocketState.__members__)
    assert {"OPEN", "LOCAL_CLOSING"} <= set(ConnectionState.__members__)
    assert QuartTrio.asgi_websocket_class is TrioASGIWebsocketConnection
    assert issubclass(TrioRequest.body_class, TrioBody)
    assert QuartTrio.asgi_http_class is TrioASGIHTTPConnection
    assert callable(h11.Connection.start_next_cycle)
    for name in ("they_are_waiting_for_100_continue", "trailing_data", "their_http_version"):
        assert hasattr(h11.Connection(h11.SERVER), name)
    config = Config()
    for name in ("accesslog", "errorlog", "include_server_header", "h11_max_incomplete_size"):
        assert hasattr(config, name)
    assert hasattr(config, "websocket_max_message_size")
    assert config.websocket_ping_interval is None
    names = {name for name, _ in config.response_headers("h11")}
    assert names == {b"date", b"server"}
