"""``early_headers``: a client that asks for events has its head at once, and hears of a failure in the stream."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from aiogate.testing import FakeAgent, RunningGateway, fake_agent, running_gateway
from tests.configs import anonymous
from tests.proxy.test_fidelity import connect

SECONDS = 10
EVENT = b"data: {}\n\n"
ASKS = {"Accept": "text/event-stream"}


async def answers(request: web.Request) -> web.StreamResponse:
    match request.query["way"]:
        case "500":
            return web.Response(status=500, body=b"oh no")
        case "400":
            return web.Response(status=400, body=b"oh you")
        case "json":
            return web.json_response({})
        case "breaks":
            assert request.transport is not None
            request.transport.close()
        case "silent":
            await asyncio.Event().wait()
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Of": "the agent"})
    await response.prepare(request)
    await response.write(EVENT)
    return response


async def heard(
    way: str, path: Path, body: bytes = b"", headers: dict[str, str] | None = None, **facts: Any
) -> tuple[aiohttp.ClientResponse, bytes, RunningGateway, FakeAgent]:
    async with fake_agent(answers) as agent, asyncio.timeout(SECONDS):
        settings = {"early_headers": True, **facts}
        async with (
            running_gateway(anonymous(agent.url, **settings), path) as gateway,
            aiohttp.ClientSession() as client,
        ):
            url = f"{gateway.url}/agents/echo/s?way={way}"
            async with client.post(url, data=body, headers=ASKS if headers is None else headers) as response:
                got = b""
                try:
                    async for chunk in response.content.iter_any():
                        got += chunk
                except aiohttp.ClientPayloadError:
                    got += b"<aborted>"
            return response, got, gateway, agent


async def test_the_head_is_there_before_the_agents(tmp_path: Path) -> None:
    async with fake_agent(answers) as agent, asyncio.timeout(SECONDS):
        facts = {"early_headers": True, "keepalive_seconds": 0.2}
        async with running_gateway(anonymous(agent.url, **facts), tmp_path) as gateway:
            reader, writer = await connect(gateway.url)
            writer.write(b"GET /agents/echo/s?way=silent HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
            assert b"X-Request-Id: " in head
            assert b"X-Agent-Id: echo\r\n" in head
            await reader.readuntil(b": keepalive\n\n")
            writer.transport.abort()
            while not gateway.records():
                await asyncio.sleep(0.01)
            [record] = gateway.records()
            assert (record["status"], record["outcome"]) == (200, "client_gone")


async def test_what_the_agent_says_then_follows_and_ends(tmp_path: Path) -> None:
    kept_alive = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        await kept_alive.wait()
        return await answers(request)

    async with fake_agent(slow) as agent, asyncio.timeout(SECONDS):
        facts = {"early_headers": True, "keepalive_seconds": 0.1}
        async with (
            running_gateway(anonymous(agent.url, **facts), tmp_path) as gateway,
            aiohttp.ClientSession() as client,
        ):
            async with client.post(f"{gateway.url}/agents/echo/s?way=well", data=b"", headers=ASKS) as response:
                assert response.status == 200
                got = await response.content.readexactly(len(b": keepalive\n\n"))
                assert got == b": keepalive\n\n"
                kept_alive.set()
                got += await response.content.read()
        assert got.endswith(EVENT)
        assert "Accept-Encoding" not in agent.seen[0].headers or agent.seen[0].headers["Accept-Encoding"] == "identity"
        [record] = gateway.records()
        assert (record["status"], record["outcome"], record["bytes_out"]) == (200, "completed", len(got))
        assert record["overhead_seconds"] >= 0


@pytest.mark.parametrize(
    "way, code, outcome",
    [
        ("500", "agent_failed", "upstream_failed"),
        ("400", "agent_failed", "cut"),
        ("json", "agent_failed", "upstream_failed"),
        ("breaks", "agent_unreachable", "upstream_failed"),
        ("silent", "agent_first_byte_timeout", "upstream_failed"),
    ],
)
async def test_an_agent_that_fails_is_a_terminal_event(way: str, code: str, outcome: str, tmp_path: Path) -> None:
    response, got, gateway, _ = await heard(way, tmp_path, first_byte_seconds=0.3)
    assert response.status == 200
    assert got.startswith(b"event: error\ndata: ")
    assert got.endswith(b"\n\n<aborted>")
    [record] = gateway.records()
    assert (record["status"], record["outcome"], record["code"]) == (200, outcome, code)
    assert orjson.loads(got[len(b"event: error\ndata: ") : -len(b"\n\n<aborted>")])["error"]["code"] == code


@pytest.mark.parametrize("body", [b'{"stream": false}', b"", b"no JSON"])
async def test_who_does_not_ask_for_events_gets_the_agents_own_answer(body: bytes, tmp_path: Path) -> None:
    response, got, _, _ = await heard("500", tmp_path, body, {})
    assert (response.status, got) == (500, b"oh no")


async def test_a_body_that_asks_for_a_stream_is_enough(tmp_path: Path) -> None:
    response, _, _, _ = await heard("500", tmp_path, b'{"stream": true}', {})
    assert response.status == 200


async def test_it_is_asked_for_by_the_config(tmp_path: Path) -> None:
    response, got, _, _ = await heard("x", tmp_path, early_headers=False)
    assert (response.headers["X-Of"], got) == ("the agent", EVENT)
