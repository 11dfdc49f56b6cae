"""Back-pressure both ways through ``aiogate serve``: who reads slowly holds back who writes, in constant memory."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
from yarl import URL

from tests.e2e.conftest import Served
from tests.e2e.differential.wire import Head, Message, read_body, read_head

PIECE = bytes(range(256)) * 256
PIECES = 1024
"""64 MiB together."""
DIGEST = hashlib.sha256(PIECE * PIECES).hexdigest()
MOST_IN_BETWEEN = 32 * 2**20
"""What the buffers of four sockets on loopback take, and some of the gateway's own; the rest stays with the writer."""
MOST_MORE_MEMORY = 16 * 2**20
HELD_SECONDS = 0.5
SECONDS = 30
NO_BODY = b"Content-Length: 0\r\n"

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@attrs.define
class Flow:
    """64 MiB from one end to the other. ``held`` is set once the writer could not go on; the reader waits for it."""

    framing: str
    held: asyncio.Event = attrs.field(factory=asyncio.Event)
    sent: int = 0
    sent_when_held: int = 0

    @property
    def header(self) -> bytes:
        if self.framing == "length":
            return b"Content-Length: %d\r\n" % (len(PIECE) * PIECES)
        return b"Transfer-Encoding: chunked\r\n"

    async def pour(self, writer: asyncio.StreamWriter) -> None:
        """Write everything; note where it stood when the way was full for the first time."""
        chunked = self.framing == "chunked"
        for _ in range(PIECES):
            writer.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE)
            await self._drained(writer)
            self.sent += len(PIECE)
        writer.write(b"0\r\n\r\n" if chunked else b"")
        await writer.drain()

    async def _drained(self, writer: asyncio.StreamWriter) -> None:
        if not self.held.is_set():
            try:
                async with asyncio.timeout(HELD_SECONDS):
                    await writer.drain()
            except TimeoutError:
                self.sent_when_held = self.sent
                self.held.set()
        await writer.drain()

    async def read(self, reader: asyncio.StreamReader, head: Head) -> str:
        """Read nothing of the body until the writer is held, then all of it; return its digest."""
        await self.held.wait()
        message = Message(head=head)
        await read_body(reader, message, is_request=False)
        return hashlib.sha256(message.body).hexdigest()


@pytest.fixture(params=["length", "chunked"])
def flow(request: pytest.FixtureRequest) -> Flow:
    return Flow(request.param)


@pytest.fixture
async def agent_url(flow: Flow) -> AsyncIterator[str]:
    """An agent that pours the flow down where it is asked to GET it, and else reads it and answers with its digest."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        if head.parts[0] == b"GET":
            kind = b"application/json" if flow.framing == "length" else b"text/event-stream"  # both are read for usage
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n%b\r\n" % (kind, flow.header))
            await flow.pour(writer)
        else:
            digest = (await flow.read(reader, head)).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(digest), digest))

    async with listening(speak) as url:
        yield url


@asynccontextmanager
async def listening(speak: Script) -> AsyncIterator[str]:
    """Run an agent for one request."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await speak(reader, writer)
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
            done.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    async with asyncio.timeout(SECONDS):
        await done.wait()


def most_memory(gateway: Served) -> int:
    """Return the most bytes of memory that the gateway has ever had."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    [kibibytes] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(kibibytes) * 1024


@asynccontextmanager
async def calling(gateway: Served, head: bytes) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Call the agent: ``head`` is the method and the header that frames the body."""
    url = URL(gateway.url)
    assert url.host is not None
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection(url.host, url.port)
        method, _, framing = head.partition(b" ")
        line = b"%b /agents/assistant/flow HTTP/1.1\r\nHost: x\r\nX-API-Key: %b\r\n%b\r\n"
        writer.write(line % (method, gateway.key.encode(), framing))
        yield reader, writer
        writer.close()


async def test_a_slow_client_holds_the_agent_back_in_constant_memory(flow: Flow, gateway: Served) -> None:
    before = most_memory(gateway)
    async with calling(gateway, b"GET " + NO_BODY) as (reader, _):
        head = await read_head(reader)
        assert head.parts[1] == b"200"
        assert await flow.read(reader, head) == DIGEST
    assert flow.sent_when_held <= MOST_IN_BETWEEN
    assert most_memory(gateway) - before <= MOST_MORE_MEMORY


async def test_a_slow_agent_holds_the_client_back_in_constant_memory(flow: Flow, gateway: Served) -> None:
    before = most_memory(gateway)
    async with calling(gateway, b"POST " + flow.header) as (reader, writer):
        await flow.pour(writer)
        assert (await read_head(reader)).parts[1] == b"200"
        assert (await reader.readexactly(len(DIGEST))).decode() == DIGEST
    assert flow.sent_when_held <= MOST_IN_BETWEEN
    assert most_memory(gateway) - before <= MOST_MORE_MEMORY
