"""A busy gateway that three follow: the tails cost it next to nothing, and what operators ask is answered at once.

``AIOGATE_WATCHED=1000`` holds so many streams open and makes half as many calls a second; fewer by default.
"""

import asyncio
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from aiogate.testing import fake_agent
from tests.e2e.conftest import Served, config, serving

STREAMS = int(os.environ.get("AIOGATE_WATCHED", "100"))
IS_WHOLE = STREAMS >= 1000
CALLS_PER_SECOND = STREAMS / 2
CALLERS = 20
WINDOW_SECONDS = 2.0 if IS_WHOLE else 0.6
ROUNDS = 12 if IS_WHOLE else 3
MOST_SHARE = 0.05
"""Of the gateway's CPU, where all of it goes on; where little does only the cost itself can be told from the noise."""
MOST_CORES = 0.05
MOST_SECONDS = 0.1 if IS_WHOLE else 0.5
TAIL = "/api/events?kinds=ended,refused,breaker,budget,limit,reload,kill"


async def answer(request: web.Request) -> web.StreamResponse:
    """Answer a call at once, and a stream with an event a second."""
    if not request.path.startswith("/stream"):
        return web.Response(body=b'{"model": "demo-1", "usage": {"prompt_tokens": 3, "completion_tokens": 4}}')
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    while True:
        await response.write(b'data: {"choices": [{"delta": {"content": "word"}}]}\n\n')
        await asyncio.sleep(1.0)


@pytest.fixture
async def busy(tmp_path: Path) -> AsyncIterator[Served]:
    """A gateway of its own with so many streams open and so many calls a second."""
    async with fake_agent(answer, record_bodies=False) as agent:
        wanted: dict[str, Any] = config(agent.url)
        wanted["server"] |= {"max_exchanges_per_principal": 10_000, "grace_seconds": 0}
        wanted["agents"]["assistant"] |= {"rate_limit": "10_000_000/minute"}
        wanted["pipeline"]["plugins"] = ["api_keys", "roles", "breaker", "limits", "cost"]
        async with serving(wanted, tmp_path) as gateway, streams(gateway), calls(gateway):
            yield gateway


@asynccontextmanager
async def streams(gateway: Served) -> AsyncIterator[None]:
    ends = [await opened(gateway, "/agents/assistant/stream") for _ in range(STREAMS)]
    for reader, _ in ends:
        await reader.readuntil(b"\r\n\r\n")
    drains = [asyncio.create_task(drained(reader)) for reader, _ in ends]
    yield
    for task in drains:
        task.cancel()
    await asyncio.gather(*drains, return_exceptions=True)
    for _, writer in ends:
        writer.transport.abort()


async def opened(gateway: Served, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {gateway.key}\r\n\r\n".encode())
    return reader, writer


async def drained(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass


@asynccontextmanager
async def calls(gateway: Served) -> AsyncIterator[None]:
    async def call() -> None:
        reader, writer = await opened(gateway, "/agents/assistant/x")
        again = f"GET /agents/assistant/x HTTP/1.1\r\nHost: a\r\nX-API-Key: {gateway.key}\r\n\r\n".encode()
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200"), head
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
                await asyncio.sleep(CALLERS / CALLS_PER_SECOND)
                writer.write(again)
        finally:
            writer.transport.abort()

    callers = [asyncio.create_task(call()) for _ in range(CALLERS)]
    yield
    assert not any(caller.done() for caller in callers), [caller.exception() for caller in callers if caller.done()]
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)


def cpu_seconds(pid: int) -> float:
    """Return for how long all threads of a process have run."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


async def spent(pid: int) -> float:
    """Return how much of a core a process takes for a while."""
    before, began = cpu_seconds(pid), time.perf_counter()
    await asyncio.sleep(WINDOW_SECONDS)
    return (cpu_seconds(pid) - before) / (time.perf_counter() - began)


@asynccontextmanager
async def tails(gateway: Served, client: aiohttp.ClientSession, count: int) -> AsyncIterator[list[int]]:
    """Have so many follow; yields how many bytes each has read."""
    read = [0] * count

    async def follow(number: int) -> None:
        async with client.get(gateway.operators + TAIL) as response:
            async for piece in response.content.iter_any():
                read[number] += len(piece)

    tasks = [asyncio.create_task(follow(number)) for number in range(count)]
    while not all(read):
        await asyncio.sleep(0.01)
    yield read
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def asked(url: str) -> tuple[float, bytes]:
    """Return how long answers take for somebody who is not as busy as this process, and the last of them."""
    program = (
        "import sys, time, urllib.request as asking\n"
        "def ask(began):\n"
        "    global body\n"
        "    body = asking.urlopen(sys.argv[1]).read()\n"
        "    return time.perf_counter() - began\n"
        "print(sorted(ask(time.perf_counter()) for _ in range(9))[4])\n"
        "sys.stdout.flush()\n"
        "sys.stdout.buffer.write(body)"
    )
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, url, stdout=pipe)
    said, _ = await process.communicate()
    seconds, _, body = said.partition(b"\n")
    return float(seconds), body


async def test_three_tails_cost_little_and_questions_are_answered_at_once(busy: Served) -> None:
    pid, alone, followed, answered = busy.process.pid, list[float](), list[float](), dict[str, float]()
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as client:
        await spent(pid)
        for _ in range(ROUNDS):
            alone.append(await spent(pid))
            async with tails(busy, client, 3) as read:
                before = read[0]
                followed.append(await spent(pid))
                assert read[0] > before
        async with tails(busy, client, 3):
            for path in ("/metrics", "/api/live", "/api/status"):
                answered[path], body = await asked(busy.operators + path)
                assert path != "/api/live" or body.count(b'"streaming"') >= STREAMS
    base = statistics.median(alone)
    cost = statistics.median(with_them - before for before, with_them in zip(alone, followed, strict=True))
    said = f"{100 * base:.1f} % of a core alone, the tails {100 * cost / base:+.1f} % of that; {answered}"
    print(said)  # noqa: T201 - the figures, for whoever runs it whole: pytest -s
    assert cost < (MOST_SHARE * base if IS_WHOLE else MOST_CORES), said
    assert max(answered.values()) < MOST_SECONDS, said
