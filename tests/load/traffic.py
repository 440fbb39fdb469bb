"""Many clients in one Trio loop: raw sockets, and content that costs next to nothing to make."""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cached_property

import trio

MIB = 1024 * 1024
TAIL_BYTES = 64
RECEIVE_BYTES = 256 * 1024
SLOW_READER_BUFFER_BYTES = 4096
NAMESPACE = "load/memory"


class UnexpectedAnswerError(Exception):
    """The registry answered otherwise than the load expects."""


@dataclass(frozen=True)
class Material:
    """Blobs of so many MiB: one block of noise again and again, and an end of their own."""

    mib: int
    seed: int = 1

    @cached_property
    def block(self) -> bytes:
        """The MiB that all blobs are made of."""
        return random.Random(self.seed).randbytes(MIB)

    @cached_property
    def frame(self) -> bytes:
        """The block as a chunk of a chunked body."""
        return b"%x\r\n%b\r\n" % (MIB, self.block)

    @cached_property
    def _twice(self) -> bytes:
        return self.block * 2

    @cached_property
    def _common_hash(self) -> hashlib._Hash:
        hasher = hashlib.sha256()
        for _ in range(self.mib):
            hasher.update(self.block)
        return hasher

    @property
    def size(self) -> int:
        """Bytes of a blob."""
        return self.mib * MIB + TAIL_BYTES

    def tail(self, number: int) -> bytes:
        """What only this blob ends with."""
        return f"the end of blob {number}".encode().ljust(TAIL_BYTES)

    def digest(self, number: int) -> str:
        """The digest of a blob; the common part is hashed once for all."""
        hasher = self._common_hash.copy()
        hasher.update(self.tail(number))
        return f"sha256:{hasher.hexdigest()}"

    def is_part(self, number: int, offset: int, content: bytes) -> bool:
        """Whether the content stands at the offset of the blob; at most a MiB of it."""
        left = self.size - TAIL_BYTES - offset
        if left < len(content):
            end = offset + len(content) - (self.size - TAIL_BYTES)
            head = content[: max(left, 0)]
            tail = self.tail(number)[end - len(content) + len(head) : end]
            return content[len(head) :] == tail and (not head or self.is_part(number, offset, head))
        begin = offset % MIB
        return content == self._twice[begin : begin + len(content)]


class Talk:
    """One connection. Use `connect`, then one request after the other."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._received = b""

    async def __aenter__(self) -> Talk:
        return self

    async def __aexit__(self, *_: object) -> None:
        await trio.aclose_forcefully(self._stream)

    async def send(self, content: bytes) -> None:
        await self._stream.send_all(content)

    async def request(self, method: str, target: str, *fields: str) -> None:
        """Send a head; its body, if it has one, is sent after it."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *fields, "", ""]
        await self.send("\r\n".join(lines).encode())

    async def expect(self, status: int) -> dict[str, str]:
        """The headers of an answer that has this status; its body, if any, is left to `body`."""
        while b"\r\n\r\n" not in self._received:
            self._received += await self._receive()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        if line.split()[1] != str(status):
            raise UnexpectedAnswerError(f"{line}, not {status}: {self._received[:500]!r}")
        pairs = (field.partition(":") for field in fields)
        return {name.lower(): value.strip() for name, _, value in pairs}

    async def body(self, size: int) -> AsyncIterator[bytes]:
        """The body of an answer as it comes."""
        while size:
            part, self._received = self._received[:size], self._received[size:]
            if not part:
                self._received = await self._receive()
                continue
            size -= len(part)
            yield part

    async def one_byte(self) -> None:
        """Take one byte of whatever comes."""
        if len(await self._stream.receive_some(1)) != 1:
            raise UnexpectedAnswerError("the connection ended")

    async def _receive(self) -> bytes:
        content = bytes(await self._stream.receive_some(RECEIVE_BYTES))
        if not content:
            raise UnexpectedAnswerError("the connection ended")
        return content


@dataclass(frozen=True)
class Load:
    """What the clients do with one registry. Each method is one client's work."""

    address: tuple[str, int]
    material: Material

    async def connect(self, buffer_bytes: int | None = None) -> Talk:
        """A new connection, with a small receive buffer for one that reads slowly."""
        plug = trio.socket.socket()
        if buffer_bytes is not None:
            plug.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, buffer_bytes)
        await plug.connect(self.address)
        return Talk(trio.SocketStream(plug))

    async def upload(self, number: int) -> None:
        """Push a blob in one of the three ways of the specification, in turn."""
        ways = (self._in_chunks, self._in_one_put, self._in_one_post)
        async with await self.connect() as talk:
            await ways[number % len(ways)](talk, number)
            headers = await talk.expect(201)
            if headers["docker-content-digest"] != self.material.digest(number):
                raise UnexpectedAnswerError(f"another digest: {headers}")

    async def _open(self, talk: Talk) -> str:
        await talk.request("POST", f"/v2/{NAMESPACE}/blobs/uploads/", "Content-Length: 0")
        return (await talk.expect(202))["location"]

    async def _in_chunks(self, talk: Talk, number: int) -> None:
        location = await self._open(talk)
        await talk.request("PATCH", location, "Transfer-Encoding: chunked")
        for _ in range(self.material.mib):
            await talk.send(self.material.frame)
        await talk.send(b"%x\r\n%b\r\n0\r\n\r\n" % (TAIL_BYTES, self.material.tail(number)))
        await talk.expect(202)
        target = f"{location}?digest={self.material.digest(number)}"
        await talk.request("PUT", target, "Content-Length: 0")

    async def _in_one_put(self, talk: Talk, number: int) -> None:
        location = await self._open(talk)
        await self._send_whole(talk, "PUT", location, number)

    async def _in_one_post(self, talk: Talk, number: int) -> None:
        await self._send_whole(talk, "POST", f"/v2/{NAMESPACE}/blobs/uploads/", number)

    async def _send_whole(self, talk: Talk, method: str, target: str, number: int) -> None:
        material = self.material
        target = f"{target}?digest={material.digest(number)}"
        await talk.request(method, target, f"Content-Length: {material.size}")
        for _ in range(material.mib):
            await talk.send(material.block)
        await talk.send(material.tail(number))

    async def download(self, number: int) -> None:
        """Pull a blob and compare every byte of it."""
        async with await self.connect() as talk:
            await talk.request("GET", self._blob(number))
            length = int((await talk.expect(200))["content-length"])
            offset = 0
            async for part in talk.body(length):
                if not self.material.is_part(number, offset, part):
                    raise UnexpectedAnswerError(f"blob {number}: wrong bytes after {offset}")
                offset += len(part)
            if offset != self.material.size:
                raise UnexpectedAnswerError(f"blob {number}: {offset} bytes")

    async def trickle(self, number: int, secs: int) -> None:
        """Ask for a blob and take one byte of it a second."""
        async with await self.connect(SLOW_READER_BUFFER_BYTES) as talk:
            await talk.request("GET", self._blob(number))
            for _ in range(secs):
                await talk.one_byte()
                await trio.sleep(1)

    def _blob(self, number: int) -> str:
        return f"/v2/{NAMESPACE}/blobs/{self.material.digest(number)}"
