"""The agents of the soak: a good one that answers and streams, and one for every fault in the catalogue.

Knows nothing of the gateway.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from typing import Final

import orjson

from aiogate.testing.faults import FAULTS, faulty_agent
from tests.raw_server import raw_server

__all__ = ["EVENT_SECONDS", "bad_agents", "good_agent"]

EVENT_SECONDS: Final = 0.5
_EVENTS: Final = re.compile(rb"events=(\d+)")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_USAGE: Final = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}
_ANSWER: Final = orjson.dumps({"model": "soak-1", "answer": "x" * 400, "usage": _USAGE})
_WHOLE: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_ANSWER) + _ANSWER
)
_STREAM: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_EVENT: Final = b'data: {"choices":[{"delta":{"content":"every word"}}]}\n\n'


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, RuntimeError):  # uvloop's, of who has gone
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if length := _LENGTH.search(head):
                await reader.readexactly(int(length[1]))
            events = _EVENTS.search(head)
            if events is None:
                writer.write(_WHOLE)
            else:
                await _stream(writer, int(events[1]))
            await writer.drain()
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def _stream(writer: asyncio.StreamWriter, events: int) -> None:
    writer.write(_STREAM)
    for _ in range(events):
        writer.write(b"%x\r\n%b\r\n" % (len(_EVENT), _EVENT))
        await writer.drain()
        await asyncio.sleep(EVENT_SECONDS)
    writer.write(b"0\r\n\r\n")


@contextlib.asynccontextmanager
async def good_agent() -> AsyncIterator[str]:
    """Run it on a free port; yield its URL. ``?events=20`` asks for a stream of so many."""
    async with raw_server(_serve) as url:
        yield url


@contextlib.asynccontextmanager
async def bad_agents() -> AsyncIterator[Mapping[str, str]]:
    """Run all faults, each on a port of its own; yield their URLs by name. Fails when somebody holds a connection."""
    async with contextlib.AsyncExitStack() as stack:
        running = {
            name: await stack.enter_async_context(faulty_agent(name, stream=number % 2 == 0))
            for number, name in enumerate(FAULTS)
        }
        yield {name: agent.url for name, agent in running.items()}
