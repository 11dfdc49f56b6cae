"""Two gateways in processes of their own on one Redis: they share what is counted, also over the end of Redis."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from aiogate.testing import fake_agent
from tests.e2e.conftest import KEY, SECONDS, Served, config, serving
from tests.state.redis_server import RedisServer, redis_server

CALLERS = 200
LIMIT = 50


async def answer(_request: web.Request) -> web.Response:
    return web.Response(body=b"{}", content_type="application/json")


@pytest.fixture
async def agent_url() -> AsyncIterator[str]:
    async with fake_agent(answer) as running:
        yield running.url


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@asynccontextmanager
async def gateway_at(
    folder: Path, agent_url: str, server: RedisServer, gateways: int = 1, **state: Any
) -> AsyncIterator[Served]:
    folder.mkdir()  # noqa: ASYNC240 - in no time
    wanted = config(agent_url)
    wanted["state"] = {"url": server.url, **state}
    wanted["agents"]["assistant"] |= {"rate_limit": f"{LIMIT}/minute", "concurrency": 500}
    async with serving(wanted, folder) as served:
        async with asyncio.timeout(SECONDS):
            await sees(served.operators, gateways)
        yield served


async def sees(operators: str, gateways: int) -> None:
    """Return once a gateway knows of so many."""
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{operators}/readyz?verbose") as response:
                if (await response.json())["gateways"] >= gateways:
                    return
            await asyncio.sleep(0.01)


@pytest.fixture
async def gateways(agent_url: str, server: RedisServer, tmp_path: Path) -> AsyncIterator[tuple[Served, ...]]:
    async with AsyncExitStack() as running:
        one, two = await asyncio.gather(
            *(
                running.enter_async_context(gateway_at(tmp_path / name, agent_url, server, 2, timeout_seconds=5.0))
                for name in ("one", "two")
            )
        )
        yield one, two


async def statuses(gateways: tuple[Served, ...], callers: int = CALLERS) -> Counter[int]:
    """Return what so many callers get at once, who turn to the gateways in turn."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers={"X-API-Key": KEY}, connector=connector) as session:

        async def call(number: int) -> int:
            url = gateways[number % len(gateways)].url
            async with session.get(f"{url}/agents/assistant/") as response:
                await response.read()
                return response.status

        return Counter(await asyncio.gather(*(call(number) for number in range(callers))))


async def test_of_two_hundred_callers_on_two_gateways_at_a_limit_of_fifty_exactly_fifty_pass(
    gateways: tuple[Served, ...],
) -> None:
    assert await statuses(gateways) == {200: LIMIT, 429: CALLERS - LIMIT}


async def test_a_redis_that_is_killed_is_no_outage(gateways: tuple[Served, ...], server: RedisServer) -> None:
    """Together they admit what was left and no more; records say that a gateway was alone; then they share again."""
    assert await statuses(gateways, 10) == {200: 10}
    assert await statuses(gateways[:1], 1) + await statuses(gateways[1:], 1) == {200: 2}
    server.kill()
    seen = await statuses(gateways)
    assert set(seen) == {200, 429}
    assert LIMIT - 4 <= seen[200] + 12 <= LIMIT
    async with asyncio.timeout(SECONDS):
        while not any(record.get("degraded") for gateway in gateways for record in gateway.records()):
            await statuses(gateways, 2)
        server.start()
        while any(gateway.records()[-1].get("degraded") for gateway in gateways):
            await statuses(gateways, 2)


async def test_a_gateway_starts_without_redis_and_says_so(agent_url: str, server: RedisServer, tmp_path: Path) -> None:
    server.kill()
    async with gateway_at(tmp_path / "one", agent_url, server) as gateway:
        assert await statuses((gateway,), 60) == {200: LIMIT, 429: 10}
        assert all(record["degraded"] for record in gateway.records())


async def test_refuse_answers_503_and_nothing_is_sent(agent_url: str, server: RedisServer, tmp_path: Path) -> None:
    server.kill()
    async with gateway_at(tmp_path / "one", agent_url, server, on_error="refuse") as gateway:
        assert await statuses((gateway,), 3) == {503: 3}
        assert [record["code"] for record in gateway.records()] == ["state_unavailable"] * 3
