"""A kill holds on all gateways on one Redis: whichever is told, whichever is started anew, whatever Redis forgets."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from aiogate.testing import RunningGateway, fake_agent, running_gateway
from tests.proxy.test_fidelity import connect
from tests.state.redis_server import RedisServer, redis_server

SECONDS = 60
EVENT = b"data: {}\n\n"

Start = Callable[[str], AbstractAsyncContextManager[RunningGateway]]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
async def start(server: RedisServer, tmp_path: Path) -> AsyncIterator[Start]:
    """Return what runs a gateway by its name, which keeps its journal from one run to the next."""

    async def streams(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(EVENT)
        await asyncio.Event().wait()
        return response

    async with fake_agent(streams) as agent, asyncio.timeout(SECONDS):

        @asynccontextmanager
        async def run(name: str) -> AsyncIterator[RunningGateway]:
            config: dict[str, Any] = {
                "server": {"anonymous": True},
                "state": {"url": server.url},
                "agents": {"echo": {"url": agent.url}},
            }
            folder = tmp_path / name
            await asyncio.to_thread(folder.mkdir, exist_ok=True)
            async with running_gateway(config, folder) as gateway:
                yield gateway

        yield run


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def kill(session: aiohttp.ClientSession, gateway: RunningGateway, **said: str) -> Any:
    asked = {"agent": "echo", "reason": "it loops", **said}
    async with session.post(f"{gateway.admin_url}/api/kills", json=asked) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def lift(session: aiohttp.ClientSession, gateway: RunningGateway, halt_id: str) -> int:
    async with session.delete(f"{gateway.admin_url}/api/kills/{halt_id}") as response:
        return response.status


async def status(session: aiohttp.ClientSession, gateway: RunningGateway) -> int:
    async with session.get(f"{gateway.url}/agents/echo/x") as response:
        return response.status


async def becomes(wanted: int, session: aiohttp.ClientSession, *gateways: RunningGateway) -> None:
    for gateway in gateways:
        while await status(session, gateway) != wanted:
            await asyncio.sleep(0.02)


async def test_streams_of_all_gateways_end_within_a_second(session: aiohttp.ClientSession, start: Start) -> None:
    async with start("a") as a, start("b") as b:
        reader, writer = await connect(b.url)
        writer.write(b"GET /agents/echo/x HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(EVENT)
        async with asyncio.timeout(1.0):
            done = await kill(session, a)
            rest = await reader.read()
        assert b'"code":"agent_killed"' in rest
        assert (done["everywhere"], done["kept"]) == (True, True)
        assert await status(session, a) == await status(session, b) == 503
        assert [record["outcome"] for record in b.records()][:1] == ["cut"]
        assert await lift(session, b, done["id"]) == 200
        await becomes(200, session, a, b)
        writer.transport.abort()
        await asyncio.sleep(0)


async def test_a_gateway_that_starts_while_redis_is_away_knows_what_is_killed(
    session: aiohttp.ClientSession, start: Start, server: RedisServer
) -> None:
    """Also one that is told then: the others hear of it when Redis is back, with its memory or without."""
    async with start("a") as a:
        async with start("b") as b:
            first = await kill(session, a)
            await becomes(503, session, b)
        await asyncio.to_thread(server.kill)
        async with start("b") as b:
            assert await status(session, b) == 503
            assert await lift(session, b, first["id"]) == 503  # it would come back
            second = await kill(session, b, reason="once more")
            assert (second["everywhere"], second["kept"]) == (False, True)
            await asyncio.to_thread(server.start)
            while len(a.gateway.house.halts.current()) < 2:
                await asyncio.sleep(0.02)
            while await lift(session, b, first["id"]) == 503 or await lift(session, b, second["id"]) == 503:
                await asyncio.sleep(0.05)
            await becomes(200, session, a, b)


async def test_what_was_lifted_while_a_gateway_was_down_does_not_come_back_with_it(
    session: aiohttp.ClientSession, start: Start
) -> None:
    async with start("a") as a:
        async with start("b") as b:
            done = await kill(session, a)
            await becomes(503, session, b)
        assert await lift(session, a, done["id"]) == 200
        async with start("b") as b:
            assert await status(session, a) == await status(session, b) == 200
