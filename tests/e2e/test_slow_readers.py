"""Agents that send as fast as they can to clients that read 10 KiB/s: each stream stays under 256 KiB of memory.

``AIOGATE_SLOW_READERS=60 pytest tests/e2e/test_slow_readers.py`` reads for so many seconds, of agents with 1 GiB each.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from yarl import URL

from tests.e2e.conftest import Served

READ_SECONDS = int(os.environ.get("AIOGATE_SLOW_READERS", "2"))
OFFERED_BYTES = 2**30 if "AIOGATE_SLOW_READERS" in os.environ else 2**26
STREAMS = 24
READ_BYTES = 1024
READ_EVERY_SECONDS = 0.1
MOST_BYTES_A_STREAM = 256 * 1024
EVENTS = b"data: " + b"x" * 1016 + b"\n\n"
PIECE = EVENTS * 64
CHUNK = b"%x\r\n%b\r\n" % (len(PIECE), PIECE)
PATIENCE_SECONDS = READ_SECONDS + 30


@pytest.fixture
async def agent_url() -> AsyncIterator[str]:
    """An agent that sends its gigabyte as fast as it is taken."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(OFFERED_BYTES // len(PIECE)):
                writer.write(CHUNK)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


def memory(gateway: Served) -> int:
    """Return how many bytes of memory the gateway has now."""
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    [kibibytes] = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(kibibytes) * 1024


async def read_slowly(gateway: Served, seconds: float) -> int:
    """Read 10 KiB/s for so long; return how many bytes came."""
    url = URL(gateway.url)
    assert url.host is not None
    loop, got = asyncio.get_running_loop(), 0
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.setblocking(False)
        await loop.sock_connect(sock, (url.host, url.port))
        line = b"GET /agents/assistant/flow HTTP/1.1\r\nHost: x\r\nX-API-Key: %b\r\n\r\n"
        await loop.sock_sendall(sock, line % gateway.key.encode())
        until = loop.time() + seconds
        while loop.time() < until:
            got += len(await loop.sock_recv(sock, READ_BYTES))
            await asyncio.sleep(READ_EVERY_SECONDS)
    return got


async def test_memory_per_stream_stays_small_whatever_the_agent_sends(
    gateway: Served, record_property: Callable[[str, object], None]
) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(*(read_slowly(gateway, 0.3) for _ in range(3)))
        before = memory(gateway)
        reading = [asyncio.create_task(read_slowly(gateway, READ_SECONDS)) for _ in range(STREAMS)]
        most = 0
        while not all(task.done() for task in reading):
            most = max(most, memory(gateway))
            await asyncio.sleep(READ_EVERY_SECONDS)
        got = await asyncio.gather(*reading)
    assert min(got) > READ_BYTES
    assert (most - before) / STREAMS < MOST_BYTES_A_STREAM
    record_property("bytes_a_stream", (most - before) // STREAMS)
