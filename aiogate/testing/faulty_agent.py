"""An agent that misbehaves in one named way, on a real socket; for tests of what a gateway makes of it.

    async with faulty_agent("reset_mid_body", stream=True, times=1) as agent: ...

The faults are in ``aiogate.testing.faults``. Knows nothing of the gateway.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import attrs

__all__ = ["ANSWER", "EVENTS", "Fault", "FaultyAgent", "Talk", "behave", "chunk", "run_agent"]

ANSWER: Final = b'{"answer": "' + b"x" * 40 + b'"}'
EVENTS: Final = (b"data: one\n\n", b"data: two\n\n")
_SECONDS: Final = 10.0


@attrs.define(eq=False)
class Talk:
    """One connection, from the agent's side.

    Args:
        stream: whether a good answer is an event stream; else it is a document with a length.
        agent: which agent this is.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    stream: bool
    agent: "FaultyAgent"

    async def request(self) -> bytes:
        """Read one request with its body and return its head; raises ``IncompleteReadError`` when none comes."""
        head = await self.head()
        await self.body(head)
        return head

    async def head(self) -> bytes:
        """Read one request's head."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.agent.heads.append(head)
        return head

    async def body(self, head: bytes) -> bytes:
        """Read the body that goes with a head."""
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        if b"transfer-encoding" not in fields:
            return await self.reader.readexactly(int(fields.get(b"content-length", b"0")))
        whole = b""
        while size := int(await self.reader.readline(), 16):
            whole += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readline()
        return whole

    async def say(self, *pieces: bytes) -> None:
        """Send bytes as they are; raises ``ConnectionResetError`` when the other side has gone, on every event loop."""
        try:
            self.writer.write(b"".join(pieces))
        except RuntimeError as error:  # uvloop's
            raise ConnectionResetError from error
        await self.writer.drain()

    async def crawl(self, data: bytes) -> None:
        """Send bytes one by one."""
        for position in range(len(data)):
            await self.say(data[position : position + 1])
            await asyncio.sleep(self.agent.pace_seconds)

    async def cue(self) -> None:
        """Wait until the test lets the fault happen; at once unless it asked for that."""
        await self.agent.go_on.wait()

    async def silence(self) -> None:
        """Say nothing until the other side closes."""
        while await self.reader.read(65536):
            pass

    def reset(self) -> None:
        """Break the connection with a reset; the other side may lose what it has not read yet."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def good_head(self, status: str = "200 OK", *lines: str) -> bytes:
        """Return the head of a good answer, with further lines."""
        kind = "text/event-stream" if self.stream else "application/json"
        framing = "Transfer-Encoding: chunked" if self.stream else f"Content-Length: {len(ANSWER)}"
        return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Type: {kind}", framing, *lines, "", ""]).encode()

    def good_body(self) -> bytes:
        """Return the whole body of a good answer as it goes over the wire."""
        return b"".join(map(chunk, EVENTS)) + b"0\r\n\r\n" if self.stream else ANSWER

    def some_body(self) -> bytes:
        """Return a good beginning of it."""
        return chunk(EVENTS[0]) if self.stream else ANSWER[:20]


def chunk(data: bytes) -> bytes:
    """Return one chunk (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@attrs.frozen
class Fault:
    """One way to misbehave; ``script`` speaks on a new connection, which is closed when it returns."""

    name: str
    says: str
    script: Callable[[Talk], Awaitable[None]]


@attrs.define(eq=False)
class FaultyAgent:
    """An agent that misbehaves on its first connections and behaves on the later ones.

    Args:
        fault: the name of what it does wrong.
        url: where it listens.
        heads: the heads of all requests that it read.
        connections: how many were made to it.
        open_connections: how many of them are open.
        go_on: set by a test that asked to say when the fault happens (``cued``).
        pace_seconds: between two bytes where it is slow.
    """

    fault: str
    url: str = ""
    heads: list[bytes] = attrs.field(factory=list)
    connections: int = 0
    open_connections: int = 0
    go_on: asyncio.Event = attrs.field(factory=asyncio.Event)
    pace_seconds: float = 0.01
    _closed: asyncio.Condition = attrs.field(factory=asyncio.Condition)

    async def deserted(self) -> None:
        """Wait until no connection is open."""
        async with self._closed:
            await self._closed.wait_for(lambda: self.open_connections == 0)

    async def _left(self) -> None:
        async with self._closed:
            self.open_connections -= 1
            self._closed.notify_all()


@asynccontextmanager
async def run_agent(fault: Fault, *, stream: bool, times: int | None, cued: bool) -> AsyncIterator[FaultyAgent]:
    """Run an agent with a fault; see ``aiogate.testing.faults.faulty_agent``."""
    agent = FaultyAgent(fault.name)
    if not cued:
        agent.go_on.set()
    left = float("inf") if times is None else times

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        agent.connections += 1
        agent.open_connections += 1
        talk = Talk(reader, writer, stream, agent)
        left -= 1
        try:
            await (fault.script(talk) if left >= 0 else behave(talk))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the gateway has closed, as it may
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
            await agent._left()  # noqa: SLF001 - of this module

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    agent.url = "http://{}:{}".format(*server.sockets[0].getsockname())
    try:
        yield agent
    finally:
        server.close()
        async with asyncio.timeout(_SECONDS):
            await agent.deserted()


async def behave(talk: Talk) -> None:
    """Answer one request after the other as an agent should."""
    while True:
        await talk.request()
        await talk.say(talk.good_head(), talk.good_body())
