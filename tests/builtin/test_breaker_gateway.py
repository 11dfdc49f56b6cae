"""``breaker`` in a running gateway, before an agent that fails when the test says so."""

import asyncio
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import attrs
import pytest
from aiohttp import web

from aiogate import Clock, Exchange, hookimpl
from aiogate.testing import FakeAgent, RunningGateway, fake_agent, running_gateway
from tests.proxy.test_fidelity import connect

SECONDS = 10


@attrs.define
class Now:
    """The gateway's monotonic clock."""

    seconds: float = 1000.0

    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.seconds)


@attrs.define
class Moody:
    """An agent that answers with a status, or holds what it is asked until it may answer."""

    status: int = 500
    headers: dict[str, str] = attrs.field(factory=dict)
    holds: bool = False
    arrived: asyncio.Event = attrs.field(factory=asyncio.Event)
    may_answer: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.arrived.set()
        if self.holds:
            await self.may_answer.wait()
        if request.raw_path == "/stream":
            response = web.StreamResponse(status=self.status)
            await response.prepare(request)
            await response.write(b"x")
            await self.may_answer.wait()
            return response
        return web.Response(status=self.status, headers=self.headers)


class Waits:
    """Lets nobody on from behind the breaker before all fifty are there."""

    together: ClassVar[asyncio.Barrier]

    @hookimpl
    async def pre_request(self, exchange: Exchange) -> None:
        if exchange.path == "/together":
            await self.together.wait()


def config(agent: FakeAgent, *plugins: str, **breaker: Any) -> dict[str, Any]:
    return {
        "server": {"anonymous": True},
        "pipeline": {"plugins": ["breaker", *plugins]},
        "plugins": {"breaker": breaker},
        "agents": {"moody": {"url": agent.url}},
    }


async def get(client: aiohttp.ClientSession, gateway: RunningGateway, path: str = "/x") -> tuple[int, str | None]:
    async with client.get(f"{gateway.url}/agents/moody{path}") as response:
        await response.read()
        return response.status, response.headers.get("Retry-After")


async def fail(client: aiohttp.ClientSession, gateway: RunningGateway, times: int = 5) -> None:
    for _ in range(times):
        assert (await get(client, gateway))[0] == 500


@pytest.fixture
async def client() -> Any:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_five_failures_shut_the_agent_off(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    now, moody = Now(), Moody()
    async with fake_agent(moody) as agent:
        async with running_gateway(config(agent), tmp_path, clock=now.clock()) as gateway, asyncio.timeout(SECONDS):
            await fail(client, gateway)
            async with client.get(f"{gateway.url}/agents/moody/x") as response:
                body = await response.json(content_type=None)
                assert (response.status, response.headers["Retry-After"]) == (503, "30")
                assert (body["code"], body["rule"]) == ("agent_unavailable", "breaker")
            assert len(agent.seen) == 5
            record = gateway.records()[-1]
            assert (record["outcome"], record["code"]) == ("refused", "agent_unavailable")
            assert (record["rule"], record["agent"]) == ("breaker", "moody")


@pytest.mark.parametrize("status", [200, 500])
async def test_of_fifty_callers_at_a_half_open_circuit_one_reaches_the_agent(
    status: int, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    now, moody = Now(), Moody()
    async with fake_agent(moody) as agent:
        async with running_gateway(config(agent), tmp_path, clock=now.clock()) as gateway, asyncio.timeout(SECONDS):
            await fail(client, gateway)
            now.seconds += 30
            moody.holds, moody.status = True, status
            callers = [asyncio.create_task(get(client, gateway)) for _ in range(50)]
            for answered in asyncio.as_completed(callers):
                refused_status, retry_after = await answered
                if refused_status != 503:
                    break
                assert retry_after == "1"
                if sum(caller.done() for caller in callers) == 49:
                    moody.may_answer.set()
            assert refused_status == status
            assert len(agent.seen) == 6
            assert (await get(client, gateway))[0] == (200 if status == 200 else 503)


async def test_none_of_them_sees_anything_but_a_503_when_a_plugin_waits_behind_the_breaker(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    now, moody = Now(), Moody()
    async with fake_agent(moody) as agent:
        settings = config(agent, "waits")
        async with running_gateway(settings, tmp_path, {"waits": Waits}, clock=now.clock()) as gateway:
            await fail(client, gateway)
            now.seconds += 30
            moody.holds, Waits.together = True, asyncio.Barrier(50)
            async with asyncio.timeout(SECONDS):
                callers = [asyncio.create_task(get(client, gateway, "/together")) for _ in range(50)]
                while sum(caller.done() for caller in callers) < 49:
                    await asyncio.sleep(0)
                moody.may_answer.set()
                statuses = [(await caller)[0] for caller in callers]
            assert (statuses.count(503), statuses.count(500)) == (49, 1)
            assert len(agent.seen) == 6


async def test_a_probe_whose_client_hangs_up_frees_the_slot(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    now, moody = Now(), Moody()
    async with fake_agent(moody) as agent:
        async with running_gateway(config(agent), tmp_path, clock=now.clock()) as gateway, asyncio.timeout(SECONDS):
            await fail(client, gateway)
            now.seconds += 30
            moody.holds = True
            moody.arrived.clear()
            _, writer = await connect(gateway.url)
            writer.write(b"GET /agents/moody/x HTTP/1.1\r\nHost: x\r\n\r\n")
            await moody.arrived.wait()
            assert (await get(client, gateway))[0] == 503
            moody.holds, moody.status = False, 200
            writer.transport.abort()
            while (await get(client, gateway))[0] != 200:
                await asyncio.sleep(0)


async def test_a_probe_that_is_a_stream_lets_the_others_in_at_its_head(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    now, moody = Now(), Moody()
    async with fake_agent(moody) as agent:
        async with running_gateway(config(agent), tmp_path, clock=now.clock()) as gateway, asyncio.timeout(SECONDS):
            await fail(client, gateway)
            now.seconds += 30
            moody.status = 200
            async with client.get(f"{gateway.url}/agents/moody/stream") as stream:
                assert await stream.content.readany() == b"x"
                assert (await get(client, gateway))[0] == 200
                moody.may_answer.set()
                assert await stream.content.read() == b""


async def test_an_agent_that_nobody_can_reach_is_shut_off(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent() as agent:
        pass
    async with running_gateway(config(agent, failures=2), tmp_path) as gateway:
        assert [(await get(client, gateway))[0] for _ in range(3)] == [502, 502, 503]


async def test_clients_that_hang_up_shut_nobody_off(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    moody = Moody(holds=True)
    async with fake_agent(moody) as agent:
        async with running_gateway(config(agent, failures=1), tmp_path) as gateway, asyncio.timeout(SECONDS):
            _, writer = await connect(gateway.url)
            writer.write(b"GET /agents/moody/x HTTP/1.1\r\nHost: x\r\n\r\n")
            await moody.arrived.wait()
            writer.transport.abort()
            while not gateway.records():
                await asyncio.sleep(0)
            moody.holds, moody.status = False, 200
            assert (await get(client, gateway))[0] == 200


async def test_retry_after_of_an_agent_pauses_it(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    now, moody = Now(), Moody(status=429, headers={"Retry-After": "20"})
    async with fake_agent(moody) as agent:
        settings = config(agent, honor_retry_after=True)
        async with running_gateway(settings, tmp_path, clock=now.clock()) as gateway, asyncio.timeout(SECONDS):
            assert await get(client, gateway) == (429, "20")
            assert await get(client, gateway) == (503, "20")
            now.seconds += 20
            moody.status = 200
            assert (await get(client, gateway))[0] == 200


async def test_an_agent_that_refuses_a_websocket_has_not_failed(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent(Moody(status=404)) as agent:
        async with running_gateway(config(agent, failures=1), tmp_path) as gateway:
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await client.ws_connect(f"{gateway.url}/agents/moody/x")
            assert (await get(client, gateway))[0] == 404
