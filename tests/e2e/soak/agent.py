"""The agent of the leak test: checks what it is sent, answers it, and resets the connection where the plan says so."""

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator

from tests.e2e.differential.wire import Message, read_body, read_head, values
from tests.e2e.soak.plan import Fate, Plan, number_of, plan_for

__all__ = ["SoakAgent", "reset", "soak_agent"]

_LIMIT_BYTES = 2**20
_SECONDS = 10


class SoakAgent:
    """``seen`` counts the requests by number, ``wrong`` are those that were not what the client had sent.

    ``holding`` is how many answers it holds back at the moment.
    """

    def __init__(self) -> None:
        self.port = 0
        self.seen: Counter[int] = Counter()
        self.wrong: list[int] = []
        self.holding = 0
        self.open: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this = asyncio.current_task()
        assert this is not None
        self.open.add(this)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._answer(reader, writer):
                pass
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        self.open.discard(this)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = Message(head=await read_head(reader))
        plan = plan_for(number_of(request.head.parts[1]), b"")
        self.seen[plan.number] += 1
        if plan.fate is Fate.RESETS and plan.point < 0:
            return reset(writer)
        await read_body(reader, request, is_request=True)
        if not _matches(request, plan):
            self.wrong.append(plan.number)
        if plan.fate is Fate.RESETS:
            writer.write(plan.answered[: plan.point])
            await writer.drain()
            return reset(writer)
        writer.write(plan.answered[: len(plan.answered) - plan.held_bytes])
        await writer.drain()
        return not plan.held_bytes or await self._hung_up(reader)

    async def _hung_up(self, reader: asyncio.StreamReader) -> bool:
        """Wait to be hung up on; return False."""
        self.holding += 1
        try:
            await reader.read()
        finally:
            self.holding -= 1
        return False


def _matches(request: Message, plan: Plan) -> bool:
    numbered = values(request.head.headers, b"X-Number") == [b"%d" % plan.number]
    return numbered and request.body == plan.asked_body


def reset(writer: asyncio.StreamWriter) -> bool:
    """End the connection by a reset; return False."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


@contextlib.asynccontextmanager
async def soak_agent() -> AsyncIterator[SoakAgent]:
    """Run the agent on a free port; at the end nobody may have left a connection to it open."""
    agent = SoakAgent()
    server = await asyncio.start_server(agent.serve, "127.0.0.1", 0, limit=_LIMIT_BYTES, backlog=1024)
    agent.port = server.sockets[0].getsockname()[1]
    try:
        yield agent
    finally:
        server.close()
        async with asyncio.timeout(_SECONDS):
            await asyncio.gather(*agent.open)
