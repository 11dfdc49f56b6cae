"""A gateway that stops: who is under way may end, who is new is not fooled, and nobody waits for nothing."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from aiogate.testing import FakeAgent, RunningGateway, fake_agent, running_gateway
from tests.configs import anonymous
from tests.server.test_bounds import Held, bounded, connection

SECONDS = 10
KEPT = b"GET /agents/echo/x HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
async def agent(held: Held) -> AsyncIterator[FakeAgent]:
    async with fake_agent(held) as agent:
        yield agent


async def head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def stopped(gateway: RunningGateway, stop: asyncio.Task[None]) -> None:
    """Return once the gateway takes no more connections."""
    assert not stop.done()
    while True:
        try:
            async with connection(gateway.url):
                await asyncio.sleep(0)
        except OSError:
            return


async def test_while_the_delay_lasts_clients_are_served_and_told_to_go(tmp_path: Path) -> None:
    async with fake_agent() as agent, asyncio.timeout(SECONDS):
        config = bounded(agent.url, drain_delay_seconds=60)
        async with running_gateway(config, tmp_path) as gateway, aiohttp.ClientSession() as session:
            stop = asyncio.create_task(gateway.gateway.stop())
            await asyncio.sleep(0)
            for base in (gateway.url, gateway.admin_url):
                async with session.get(f"{base}/readyz") as response:
                    assert response.status == 503
                async with session.get(f"{base}/livez") as response:
                    assert response.status == 200
            async with session.get(f"{gateway.url}/agents/echo/x") as response:
                assert (response.status, response.headers["Connection"]) == (200, "close")
            gateway.gateway.cut()  # whoever stops it loses patience: neither the delay nor anything else is waited for
            await stop


async def test_what_is_under_way_ends_and_its_connection_with_it(held: Held, agent: FakeAgent, tmp_path: Path) -> None:
    async with running_gateway(anonymous(agent.url), tmp_path) as gateway, asyncio.timeout(SECONDS):
        async with connection(gateway.url) as (reader, writer):
            writer.write(KEPT)
            await held.arrived.acquire()
            stop = asyncio.create_task(gateway.gateway.stop())
            await stopped(gateway, stop)
            held.go_on.set()
            assert b"\r\nConnection: close\r\n" in await head(reader)
            assert await reader.read() == b"held"
        await stop
        assert [record["outcome"] for record in gateway.records()] == ["completed"]


async def test_a_connection_that_is_kept_for_nothing_is_closed(held: Held, agent: FakeAgent, tmp_path: Path) -> None:
    async with running_gateway(anonymous(agent.url), tmp_path) as gateway, asyncio.timeout(SECONDS):
        async with connection(gateway.url) as (kept, writer), connection(gateway.url) as (_, busy):
            writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            await head(kept)
            busy.write(KEPT)
            await held.arrived.acquire()
            stop = asyncio.create_task(gateway.gateway.stop())
            assert await kept.read() == b'{"status":"ok"}\n'
            assert not stop.done()
            held.go_on.set()
            await stop


@pytest.mark.parametrize("sent", [0, 7], ids=["nothing", "half a head"])
async def test_a_connection_that_was_let_in_is_still_served(sent: int, tmp_path: Path) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        async with connection(gateway.url) as (reader, writer), asyncio.timeout(SECONDS):
            writer.write(KEPT[:sent])
            stop = asyncio.create_task(gateway.gateway.stop())
            await stopped(gateway, stop)
            writer.write(KEPT[sent:])
            assert (await head(reader)).startswith(b"HTTP/1.1 200 ")
            await stop
        assert [record["outcome"] for record in gateway.records()] == ["completed"]


async def test_when_the_rest_is_cut_a_new_request_is_refused(tmp_path: Path) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        gateway.gateway.house.stopping = gateway.gateway.house.cutting = True
        async with aiohttp.ClientSession() as session, session.get(f"{gateway.url}/agents/echo/x") as response:
            problem: dict[str, Any] = await response.json(content_type=None)
            assert (response.status, problem["code"]) == (503, "shutting_down")
            assert response.headers["Connection"] == "close"
            assert response.headers["Retry-After"] == "1"
        assert agent.seen == []
        assert [record["code"] for record in gateway.records()] == ["shutting_down"]


async def test_a_stream_that_outlasts_the_grace_ends_with_a_hint_to_ask_again(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def streams(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: x\n\n")
        begun.set()
        await asyncio.Event().wait()
        return response

    async with fake_agent(streams) as agent, asyncio.timeout(SECONDS):
        async with running_gateway(bounded(agent.url, grace_seconds=0.05), tmp_path) as gateway:
            async with aiohttp.ClientSession() as session, session.get(f"{gateway.url}/agents/echo/x") as response:
                await begun.wait()
                stop = asyncio.create_task(gateway.gateway.stop())
                heard = b""
                with pytest.raises(aiohttp.ClientPayloadError):
                    while True:
                        heard += await response.content.readany()
                await stop
            assert b"event: error\n" in heard
            assert b'"code":"shutting_down"' in heard
            assert b"retry" in heard
            [record] = gateway.records()
            assert (record["outcome"], record["code"]) == ("cut", "shutting_down")
