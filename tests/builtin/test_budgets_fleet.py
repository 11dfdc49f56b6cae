"""Budgets of two gateways on one Redis: they begin at what both journals say, and come through a Redis that forgets."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from aiogate.testing import RunningGateway, fake_agent, running_gateway
from tests.state.redis_server import RedisServer, redis_server

SECONDS = 60
CALL = 1_000_000


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@attrs.define
class Fleet:
    """Two gateways, each with its journal, that may be stopped and started."""

    folder: Path
    config: dict[str, Any]
    client: aiohttp.ClientSession

    @asynccontextmanager
    async def running(self, *names: str) -> AsyncIterator[list[RunningGateway]]:
        async with AsyncExitStack() as running:
            folders = [self.folder / name for name in names]
            for folder in folders:
                folder.mkdir(exist_ok=True)
            yield [await running.enter_async_context(running_gateway(self.config, folder)) for folder in folders]

    async def call(self, gateway: RunningGateway, times: int) -> None:
        for _ in range(times):
            async with self.client.get(f"{gateway.url}/agents/support/x") as response:
                assert response.status == 200

    async def stands_at(self, gateway: RunningGateway, calls: int) -> None:
        async with asyncio.timeout(SECONDS):
            while True:
                async with self.client.get(f"{gateway.admin_url}/api/budgets") as response:
                    spent = [one["spent"] for one in await response.json()]
                assert all(one <= calls * CALL for one in spent)
                if spent == [calls * CALL]:
                    return
                await asyncio.sleep(0.05)


@pytest.fixture
async def fleet(server: RedisServer, tmp_path: Path) -> AsyncIterator[Fleet]:
    price = {"agent": "support", "call_usd": CALL / 10**9}
    async with fake_agent() as agent, aiohttp.ClientSession() as client:
        config = {
            "server": {"anonymous": True},
            "state": {"url": server.url, "timeout_seconds": 5.0},
            "pipeline": {"plugins": ["budgets", "cost"]},
            "plugins": {
                "budgets": {"budget": [{"name": "all", "usd": 1, "period": "month"}]},
                "cost": {"published_prices": False, "price": [price]},
            },
            "agents": {"support": {"url": agent.url}},
        }
        yield Fleet(tmp_path, config, client)


async def test_a_redis_that_has_lost_everything_is_told_by_all_journals(fleet: Fleet, server: RedisServer) -> None:
    """Also what only a gateway has spent that was started anew since."""
    async with fleet.running("one") as [one]:
        await fleet.call(one, 3)
        async with fleet.running("two") as [two]:
            await fleet.call(two, 5)
            await fleet.stands_at(one, 8)
        await asyncio.to_thread(server.call, "FLUSHALL")
        async with fleet.running("two") as [two]:
            await fleet.stands_at(two, 8)
            await fleet.stands_at(one, 8)
            await fleet.call(two, 1)
            await fleet.stands_at(one, 9)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            await fleet.stands_at(two, 9)
            await fleet.stands_at(one, 9)


async def test_a_gateway_that_is_alone_with_an_empty_redis_begins_at_its_journal(
    fleet: Fleet, server: RedisServer
) -> None:
    async with fleet.running("one", "two") as [one, two]:
        await fleet.call(one, 2)
        await fleet.call(two, 4)
        await fleet.stands_at(one, 6)
    await asyncio.to_thread(server.call, "FLUSHALL")
    async with fleet.running("one") as [one]:
        await fleet.stands_at(one, 2)
        async with fleet.running("two") as [two]:
            await fleet.stands_at(two, 6)
            await fleet.stands_at(one, 6)
