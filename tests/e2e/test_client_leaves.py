"""A client leaves: its agent knows within a second, whatever the protocol, and wherever the answer is by then."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import httpx
import pytest
from aiohttp import web

from aiogate.testing import fake_agent
from tests.e2e.conftest import KEY, SECONDS, Served, config, serving

WINDOWS = ("before the head", "in silence", "while streaming")
CHUNK = b'data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n'


@attrs.frozen
class Way:
    """How the clients of a protocol ask for a stream."""

    agent: str
    path: str
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict)


def rpc(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


TOOL = rpc("tools/call", name="slow", arguments={})
NEW_ERA = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "slow"}
WAYS = {
    "openai chat": Way("plain", "/v1/chat/completions", {"model": "m", "stream": True, "messages": []}),
    "anthropic": Way("plain", "/v1/messages", {"model": "m", "stream": True}, {"anthropic-version": "2023-06-01"}),
    "event source": Way("plain", "/events", None, {"Accept": "text/event-stream"}),
    "early headers": Way("early", "/events", None, {"Accept": "text/event-stream"}),
    "several endpoints": Way("several", "/events", None, {"Accept": "text/event-stream"}),
    "a2a 0.3": Way("a2a", "/", rpc("message/stream")),
    "a2a 1.0": Way("a2a", "/", rpc("SendStreamingMessage"), {"A2A-Version": "1.0"}),
    "a2a subscription": Way("a2a", "/", rpc("tasks/resubscribe", id="1")),
    "a2a by rest": Way("a2a", "/v1/message:stream", {"message": {}}),
    "mcp legacy": Way("mcp", "/mcp", TOOL, {"Mcp-Session-Id": "s"}),
    "mcp": Way("mcp", "/mcp", TOOL, NEW_ERA),
    "mcp get": Way("mcp", "/mcp", None, {"Accept": "text/event-stream", "Mcp-Session-Id": "s"}),
    "mcp sse": Way("mcp", "/sse", None, {"Accept": "text/event-stream"}),
}


class Agent:
    """Stays in a window of its answer until it is left."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.left = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        window = request.headers.get("X-Window", "")
        response: web.StreamResponse = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        if request.headers.get("Upgrade"):
            response = web.WebSocketResponse()
        try:
            if window != WINDOWS[0]:
                await response.prepare(request)
                await self._say(response)
            self.reached.set()
            while window == WINDOWS[2]:
                await self._say(response)
                await asyncio.sleep(0.005)
            if isinstance(response, web.WebSocketResponse) and response.prepared:
                await response.receive()
                self.left.set()
            else:
                await asyncio.Event().wait()
        except BaseException:
            self.left.set()
            raise
        return response

    @staticmethod
    async def _say(response: web.StreamResponse) -> None:
        if isinstance(response, web.WebSocketResponse):
            await response.send_str("said")
        else:
            await response.write(CHUNK)


@asynccontextmanager
async def through(folder: Path) -> AsyncIterator[tuple[Served, Agent]]:
    agent = Agent()

    async def handle(request: web.Request) -> web.StreamResponse:
        return await agent.handle(request)

    async with fake_agent(handle, record_bodies=False) as one, fake_agent(handle, record_bodies=False) as two:
        wanted = config(one.url)
        del wanted["plugins"]["cost"], wanted["pipeline"]["plugins"][-1]
        wanted["agents"] = {
            "plain": {"url": one.url},
            "early": {"url": one.url, "early_headers": True},
            "several": {"urls": [one.url, two.url]},
            "a2a": {"url": one.url, "protocol": "a2a"},
            "mcp": {"url": one.url, "protocol": "mcp"},
        }
        async with serving(wanted, folder) as served:
            yield served, agent


async def test_the_agent_knows_within_a_second(tmp_path: Path) -> None:
    async with through(tmp_path) as (gateway, agent), httpx.AsyncClient(timeout=httpx.Timeout(None)) as http:
        leavings = {name: partial(stream, http, gateway, way) for name, way in WAYS.items()}
        for name, asks in {**leavings, "websocket": partial(converse, gateway)}.items():
            for window in WINDOWS:
                agent.reached, agent.left = asyncio.Event(), asyncio.Event()
                leaving = asyncio.create_task(asks(window))
                await meets(agent.reached, SECONDS, f"{name}, {window}: the request does not arrive")
                leaving.cancel()
                with suppress(asyncio.CancelledError):
                    await leaving
                await meets(agent.left, 1.0, f"{name}, {window}: the agent does not hear of it")


async def meets(event: asyncio.Event, seconds: float, otherwise: str) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pytest.fail(otherwise)


async def stream(http: httpx.AsyncClient, gateway: Served, way: Way, window: str) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "X-Window": window, **way.headers}
    method, url = "GET" if way.body is None else "POST", f"{gateway.url}/agents/{way.agent}{way.path}"
    async with http.stream(method, url, json=way.body, headers=headers) as response:
        async for _ in response.aiter_bytes():
            pass


async def converse(gateway: Served, window: str) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "X-Window": window}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.ws_connect(f"{gateway.url}/agents/plain/ws") as socket:
            async for _ in socket:
                pass
