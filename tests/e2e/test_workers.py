"""Several workers under one supervisor, as processes, on one Redis: they count as one and are replaced one by one.

``AIOGATE_WORKERS_ROUNDS=10`` makes the load longer and repeats what happens under it.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from aiogate.testing import fake_agent
from tests.e2e.conftest import KEY, Served, config, serving
from tests.state.redis_server import RedisServer, redis_server

pytest.importorskip("gunicorn", reason="gunicorn is not installed: there are no workers without it")

WORKERS = 4
CALLERS = 200
LIMIT = 50
SECONDS = 60


async def answer(_request: web.Request) -> web.Response:
    return web.Response(body=b"{}", content_type="application/json")


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@asynccontextmanager
async def workers(
    folder: Path, agent_url: str, server: RedisServer, count: int = WORKERS, **more: Any
) -> AsyncIterator[Served]:
    wanted = config(agent_url)
    wanted["state"] = {"url": server.url, "prefix": f"{folder.name}:", "timeout_seconds": 5.0}
    wanted["server"] |= {"workers": count}
    wanted["agents"]["assistant"] |= {"rate_limit": "1000000/minute", "concurrency": 500}
    wanted["agents"]["scarce"] |= {"rate_limit": f"{LIMIT}/minute", "concurrency": 500}
    for name, table in more.items():
        wanted[name] = {**wanted.get(name, {}), **table}
    async with asyncio.timeout(SECONDS), serving(wanted, folder) as served:
        await sees(served.operators, count)
        yield served


async def sees(operators: str, gateways: int) -> None:
    """Return once they know of so many that share their counters."""
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{operators}/readyz?verbose") as response:
                if (await response.json())["gateways"] >= gateways:
                    return
            await asyncio.sleep(0.01)


async def test_of_two_hundred_callers_over_four_workers_at_a_limit_of_fifty_exactly_fifty_pass(
    server: RedisServer, tmp_path: Path
) -> None:
    async with fake_agent(answer) as agent, workers(tmp_path, agent.url, server) as served:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(headers={"X-API-Key": KEY}, connector=connector) as session:

            async def call() -> int:
                async with session.get(f"{served.url}/agents/scarce/") as response:
                    await response.read()
                    return response.status

            statuses = Counter(await asyncio.gather(*(call() for _ in range(CALLERS))))
        assert statuses == {200: LIMIT, 429: CALLERS - LIMIT}
        assert Counter(record["status"] for record in served.records()) == statuses
        assert len([path for path in served.journal.glob("*.jsonl") if path.stat().st_size]) > 1
