"""What an exchange leaves behind goes at once, and not when the collector comes, which is seldom."""

import asyncio
import gc
import os
from collections import Counter
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from aiogate.testing import fake_agent, running_gateway
from tests.configs import anonymous
from tests.server.test_bounds import connection

SECONDS = 10
EXCHANGES = 10


class Agent:
    """Answers, streams to the end, or streams until it is left alone."""

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.raw_path == "/call":
            return web.Response(text="x")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: x\n\n")
        if request.raw_path == "/endless":
            await asyncio.Event().wait()
        return response


async def hang_up(url: str) -> None:
    async with connection(url) as (reader, writer):
        writer.write(b"GET /agents/echo/endless HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"data: x\n\n")


@pytest.mark.skipif("AIOGATE_TEST_PUBLIC_API" in os.environ, reason="aiohttp's own handler makes circles")
@pytest.mark.parametrize("way", ["call", "stream", "hang up", "refused"])
async def test_nothing_that_an_exchange_leaves_goes_in_a_circle(way: str, tmp_path: Path) -> None:
    async with fake_agent(Agent()) as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        async with aiohttp.ClientSession() as session, asyncio.timeout(SECONDS):

            async def once() -> None:
                if way == "hang up":
                    await hang_up(gateway.url)
                    return
                path = "/agents/nobody" if way == "refused" else f"/agents/echo/{way}"
                async with session.get(gateway.url + path) as response:
                    await response.read()

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
                assert ours_in_circles() == {}
            finally:
                gc.garbage.clear()
                gc.enable()


def ours_in_circles() -> Counter[str]:
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    ours = (type(one) for one in gc.garbage if type(one).__module__.startswith("aiogate."))
    return Counter(kind.__name__ for kind in ours)
