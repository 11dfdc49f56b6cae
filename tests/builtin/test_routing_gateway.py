"""``routing`` in a running gateway, before agents that fail, wait and cost what the test says."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp import web

from aiogate.testing import RunningGateway, fake_agent, running_gateway
from tests.builtin.test_breaker_gateway import Moody, Now
from tests.proxy.test_fidelity import connect

SECONDS = 10


def config(*urls: str, plugins: tuple[str, ...] = ("breaker", "routing"), **routing: Any) -> dict[str, Any]:
    return {
        "server": {"anonymous": True},
        "pipeline": {"plugins": list(plugins)},
        "plugins": {"routing": routing} if "routing" in plugins else {},
        "agents": {name: {"url": url, "capabilities": ["sql"]} for name, url in zip("abc", urls, strict=False)},
    }


async def get(
    client: aiohttp.ClientSession, gateway: RunningGateway, path: str = "/capabilities/sql/x", **headers: str
) -> tuple[int, str | None]:
    async with client.get(gateway.url + path, headers=headers) as response:
        await response.read()
        return response.status, response.headers.get("X-Agent-Id")


def pending(gateway: RunningGateway) -> dict[str, int]:
    routing = gateway.gateway.pipeline.plugins["routing"]
    return {name: one.pending for name, one in routing._figures.items()}  # type: ignore[attr-defined]


@pytest.fixture
async def client() -> Any:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_an_agent_that_keeps_failing_is_passed_by_until_it_is_back(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    now, moody = Now(), Moody()
    async with fake_agent(moody) as a, fake_agent() as b, asyncio.timeout(SECONDS):
        async with running_gateway(config(a.url, b.url), tmp_path, clock=now.clock()) as gateway:
            assert [await get(client, gateway) for _ in range(5)] == [(500, "a")] * 5
            assert await get(client, gateway) == (200, "b")
            now.seconds += 30
            moody.status = 200
            assert await get(client, gateway) == (200, "a")


async def test_of_fifty_callers_at_a_half_open_circuit_one_probes_and_the_others_go_to_the_next_agent(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    now, moody = Now(), Moody()
    async with fake_agent(moody) as a, fake_agent() as b, asyncio.timeout(SECONDS):
        async with running_gateway(config(a.url, b.url), tmp_path, clock=now.clock()) as gateway:
            for _ in range(5):
                await get(client, gateway)
            now.seconds += 30
            moody.holds, moody.status = True, 200
            callers = [asyncio.create_task(get(client, gateway)) for _ in range(50)]
            while sum(caller.done() for caller in callers) < 49:
                await asyncio.sleep(0)
            moody.may_answer.set()
            answers = Counter([await caller for caller in callers])
            assert answers == {(200, "a"): 1, (200, "b"): 49}


async def test_a_probe_that_the_limit_does_not_let_through_is_left_to_the_next_caller(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    now, moody = Now(), Moody()
    async with fake_agent(moody) as a, fake_agent() as b, asyncio.timeout(SECONDS):
        settings = config(a.url, b.url, plugins=("breaker", "routing", "limits"))
        settings["agents"]["a"]["rate_limit"] = "5/31s"
        async with running_gateway(settings, tmp_path, clock=now.clock()) as gateway:
            for _ in range(5):
                await get(client, gateway)
            now.seconds += 30
            moody.status = 200
            assert await get(client, gateway) == (200, "b")
            now.seconds += 1
            assert await get(client, gateway) == (200, "a")


async def test_fifty_callers_are_spread_over_those_who_have_the_least_pending(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    may_answer, arrived = asyncio.Event(), asyncio.Semaphore(0)

    async def holds(_request: web.Request) -> web.Response:
        arrived.release()
        await may_answer.wait()
        return web.Response()

    async with fake_agent(holds) as a, fake_agent(holds) as b, asyncio.timeout(SECONDS):
        settings = config(a.url, b.url, plugins=("routing",), strategy="least_pending")
        async with running_gateway(settings, tmp_path) as gateway:
            callers = [asyncio.create_task(get(client, gateway)) for _ in range(50)]
            for _ in callers:
                await arrived.acquire()
            assert pending(gateway) == {"a": 25, "b": 25}
            for gone in callers[:10]:
                gone.cancel()
            while sum(pending(gateway).values()) > 40:
                await asyncio.sleep(0)
            may_answer.set()
            assert Counter(await asyncio.gather(*callers[10:])).total() == 40
            while sum(pending(gateway).values()):
                await asyncio.sleep(0)
            assert pending(gateway) == {"a": 0, "b": 0}


async def test_the_fastest_agent_is_learnt(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    now = Now()

    @attrs.define
    class Takes:
        seconds: float

        async def __call__(self, _request: web.Request) -> web.Response:
            now.seconds += self.seconds
            return web.Response()

    async with fake_agent(Takes(2.0)) as a, fake_agent(Takes(1.0)) as b, asyncio.timeout(SECONDS):
        settings = config(a.url, b.url, plugins=("routing",), strategy="lowest_latency")
        async with running_gateway(settings, tmp_path, clock=now.clock()) as gateway:
            assert [await get(client, gateway) for _ in range(4)] == [(200, "a"), (200, "b"), (200, "b"), (200, "b")]


async def test_a_session_stays_where_it_is_while_its_agent_lives(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent() as a, fake_agent() as b, fake_agent() as c, asyncio.timeout(SECONDS):
        settings = config(a.url, b.url, c.url, sticky="header:X-Session-Id", strategy="least_pending")
        async with running_gateway(settings, tmp_path) as gateway:
            names = {"X-Session-Id": "s-1"}
            [(_, home)] = {await get(client, gateway, **names) for _ in range(10)}
            gateway.gateway.pipeline.plugins["breaker"].open(home, actor="x", reason="x")  # type: ignore[attr-defined]
            [(_, second)] = {await get(client, gateway, **names) for _ in range(10)}
            assert second != home
            gateway.gateway.pipeline.plugins["breaker"].reset(home, actor="x", reason="x")  # type: ignore[attr-defined]
            assert await get(client, gateway, **names) == (200, home)


async def test_without_the_plugin_the_order_of_the_config_counts(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent() as a, fake_agent() as b:
        async with running_gateway(config(a.url, b.url, plugins=()), tmp_path) as gateway:
            assert [await get(client, gateway) for _ in range(3)] == [(200, "a")] * 3


@pytest.mark.parametrize("end", ["answered", "hung up", "cut"])
async def test_however_an_exchange_ends_it_is_pending_no_longer(end: str, tmp_path: Path) -> None:
    moody = Moody(holds=True)
    async with fake_agent(moody) as a, asyncio.timeout(SECONDS):
        async with running_gateway(config(a.url, plugins=("routing",)), tmp_path) as gateway:
            _, writer = await connect(gateway.url)
            writer.write(b"GET /agents/a/x HTTP/1.1\r\nHost: x\r\n\r\n")
            await moody.arrived.wait()
            assert pending(gateway) == {"a": 1}
            {"answered": moody.may_answer.set, "hung up": writer.transport.abort, "cut": gateway.gateway.cut}[end]()
            while pending(gateway) != {"a": 0}:
                await asyncio.sleep(0)
            writer.transport.abort()
