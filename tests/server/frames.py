"""A client of a WebSocket that does only what it is told to, on a connection of `Wire`."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable
from typing import Any

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from tests.server.wire import Answer, Wire


class Refused(Exception):
    """The handshake was answered otherwise."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status}: {answer.body!r}")
        self.answer = answer


class Frames:
    """One of them; raises Refused. `wire` belongs to its caller."""

    def __init__(self, wire: Wire, target: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        self.wire = wire
        fields = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", base64.b64encode(os.urandom(16)).decode()),
            *headers,
        ]
        wire.request("GET", target, fields)
        status, self.headers = wire.head()
        if status != 101:
            body = wire.read(int(self.headers.get("content-length", "0")))
            raise Refused(Answer(status, self.headers, body))
        self.protocol = Connection(ConnectionType.CLIENT)
        self._events = self.protocol.events()

    def send(self, event: Event) -> None:
        self.wire.send(self.protocol.send(event))

    def say(self, text: str) -> None:
        self.send(TextMessage(data=text))

    def next(self, *, answers_pings: bool = True) -> Event:
        """The next event but a ping, which is answered; a close is agreed to."""
        while True:
            event = next(self._events, None)
            if event is None:
                content = self.wire.some()
                assert content, "the connection ended without a close"
                self.protocol.receive_data(content)
                self._events = self.protocol.events()
            elif isinstance(event, Ping) and answers_pings:
                self.send(event.response())
            else:
                if isinstance(event, CloseConnection):
                    self._agree(event)
                return event

    def _agree(self, event: CloseConnection) -> None:
        if self.protocol.state is ConnectionState.REMOTE_CLOSING:
            self.send(event.response())

    def text(self) -> str:
        """The next message, which is a text."""
        parts = []
        while True:
            event = self.next()
            assert isinstance(event, TextMessage), event
            parts.append(event.data)
            if event.message_finished:
                return "".join(parts)

    def json(self) -> dict[str, Any]:
        """The next message, a JSON object."""
        document: dict[str, Any] = json.loads(self.text())
        return document

    def closed(self) -> CloseConnection:
        """The close that comes next, after whatever comes before it."""
        while True:
            event = self.next()
            if isinstance(event, CloseConnection):
                return event


__all__ = ["BytesMessage", "CloseConnection", "Frames", "Ping", "Pong", "Refused", "TextMessage"]
