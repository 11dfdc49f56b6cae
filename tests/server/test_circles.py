"""What an exchange leaves behind goes at once, and not when the collector comes, which is seldom."""

import asyncio
import contextlib
import gc
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from aiogate.testing import RunningGateway, fake_agent, running_gateway
from aiogate.testing.faults import faulty_agent
from tests.configs import anonymous
from tests.server.test_bounds import connection

SECONDS = 10
EXCHANGES = 10


class Agent:
    """Answers, streams to the end, streams until it is left alone, or says nothing at all."""

    def __init__(self) -> None:
        self.asked = asyncio.Semaphore(0)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.raw_path == "/call":
            return web.Response(text="x")
        if request.raw_path == "/silent":
            self.asked.release()
            await asyncio.Event().wait()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: x\n\n")
        if request.raw_path == "/endless":
            await asyncio.Event().wait()
        return response


async def hang_up(url: str, agent: Agent, path: bytes) -> None:
    async with connection(url) as (reader, writer):
        writer.write(b"GET /agents/echo/%b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
        if path == b"silent":
            await agent.asked.acquire()
        else:
            await reader.readuntil(b"data: x\n\n")


needs_our_listener = pytest.mark.skipif(
    "AIOGATE_TEST_PUBLIC_API" in os.environ, reason="aiohttp's own handler makes circles"
)


@needs_our_listener
@pytest.mark.parametrize("way", ["call", "stream", "endless", "silent", "refused"])
async def test_nothing_that_an_exchange_leaves_goes_in_a_circle(way: str, tmp_path: Path) -> None:
    agent = Agent()
    async with fake_agent(agent) as running, running_gateway(anonymous(running.url), tmp_path) as gateway:
        async with aiohttp.ClientSession() as session:

            async def once() -> None:
                if way in {"endless", "silent"}:
                    await hang_up(gateway.url, agent, way.encode())
                    return
                path = "/agents/nobody" if way == "refused" else f"/agents/echo/{way}"
                async with session.get(gateway.url + path) as response:
                    await response.read()

            assert await circles_of(once, gateway) == {}


@needs_our_listener
@pytest.mark.parametrize("urls", [1, 2], ids=["one address", "two addresses"])
@pytest.mark.parametrize("fault", ["closes_before_head", "gzip_chunked", "closes_mid_body", "invalid_chunk_size"])
async def test_nor_does_what_an_agent_leaves_that_fails(fault: str, urls: int, tmp_path: Path) -> None:
    async with faulty_agent(fault) as agent:
        where = {"url": agent.url} if urls == 1 else {"urls": [agent.url, agent.url + "/2"]}
        config = {"server": {"anonymous": True}, "agents": {"echo": {**where}}}
        async with running_gateway(config, tmp_path) as gateway, aiohttp.ClientSession() as session:

            async def once() -> None:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(gateway.url + "/agents/echo/x") as response:
                        await response.read()

            assert await circles_of(once, gateway) == {}


async def circles_of(once: Callable[[], Awaitable[None]], gateway: RunningGateway) -> Counter[str]:
    """Make exchanges and count what of ours only the collector finds."""
    async with asyncio.timeout(SECONDS):
        await once()
        gc.collect()
        gc.disable()
        try:
            for _ in range(EXCHANGES):
                await once()
            while gateway.gateway.house.open_exchanges or len(gateway.records()) <= EXCHANGES:
                await asyncio.sleep(0)
            for _ in range(10):
                await asyncio.sleep(0)  # what was closed is closed now
            return ours_in_circles()
        finally:
            gc.garbage.clear()
            gc.enable()


def ours_in_circles() -> Counter[str]:
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    ours = (type(one) for one in gc.garbage if type(one).__module__.startswith("aiogate."))
    return Counter(kind.__name__ for kind in ours)
