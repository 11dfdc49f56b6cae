"""A recording agent: answers byte for byte as its script says and remembers what it was sent.

Knows nothing of who calls it, a client or a gateway.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.e2e.differential.messages import Answer, Ends, in_pieces
from tests.e2e.differential.wire import Message, read_body, read_head, values

__all__ = ["LIMIT_BYTES", "RecordingAgent", "recording_agent", "write_pieces"]

LIMIT_BYTES = 2**20
_SECONDS = 10
_LOST = (ConnectionError, asyncio.IncompleteReadError)


class RecordingAgent:
    """``script`` is the answer to the next requests, ``seen`` what came since the test last emptied it."""

    def __init__(self) -> None:
        self.port = 0
        self.script = Answer()
        self.seen: list[Message] = []
        self.open: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this = asyncio.current_task()
        assert this is not None
        self.open.add(this)
        with contextlib.suppress(*_LOST):
            while await self._answer(reader, writer):
                pass
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        self.open.discard(this)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Take one request and answer it; tell whether the connection stays."""
        seen = Message(head=await read_head(reader))
        script = self.script
        self.seen.append(seen)
        if script.early:
            await write_pieces(writer, in_pieces(script.encoded(), script.cuts))
        elif values(seen.head.headers, b"Expect"):
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if script.early and script.ends is not Ends.KEEPS:
            writer.write_eof()
        await read_body(reader, seen, is_request=True)
        if not script.early:
            await write_pieces(writer, in_pieces(script.encoded(), script.cuts))
        if script.ends is Ends.KEEPS:
            return True
        if not script.early:
            writer.write_eof()
        await reader.read()  # a close with bytes unread would be a reset, which takes the answer along
        return False


async def write_pieces(writer: asyncio.StreamWriter, pieces: list[bytes]) -> None:
    """Write pieces so that each is read for itself: the loop turns round in between."""
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def recording_agent() -> AsyncIterator[RecordingAgent]:
    """Run an agent on a free port; at the end nobody may have left a connection to it open."""
    agent = RecordingAgent()
    server = await asyncio.start_server(agent.serve, "127.0.0.1", 0, limit=LIMIT_BYTES)
    agent.port = server.sockets[0].getsockname()[1]
    try:
        yield agent
    finally:
        server.close()
        async with asyncio.timeout(_SECONDS):
            await asyncio.gather(*agent.open)
