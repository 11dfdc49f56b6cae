"""A gateway with budgets, callers that name themselves, and an agent that uses what it is asked to; for tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import orjson
from aiohttp import web

from aiogate import Clock, Exchange, Principal, hookimpl
from aiogate.testing import FakeAgent, RunningGateway, fake_agent, running_gateway

__all__ = ["EVENT", "NOON", "Answer", "Callers", "Now", "Teller", "ask", "config", "serving", "standing"]

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp()
EVENT = b'data: {"model":"m-1","choices":[{"delta":{"content":"%b"}}]}\n\n'
WORD = b"four " * 20  # 100 bytes, 25 tokens
USD = 10**9


@attrs.define
class Now:
    """The gateway's clocks: both go on when a test says so."""

    seconds: float = NOON

    def clock(self) -> Clock:
        return Clock(monotonic=lambda: self.seconds, wall=lambda: self.seconds)


class Callers:
    """Takes a caller's word for who it is: ``X-Who: alice/data/analyst,admin``."""

    enforces = frozenset({"principal"})
    known: frozenset[Principal] = frozenset()

    @hookimpl
    def pre_request(self, exchange: Exchange) -> None:
        name, department, roles = f"{exchange.request_headers.get('X-Who', 'alice')}//".split("/")[:3]
        exchange.principal = Principal(
            id=name, department=department or None, roles=frozenset(filter(None, roles.split(",")))
        )


class Teller:
    """An agent that says that it used what the request asks for: ``{"uses": 40}``, or streams so many events.

    A stream waits for ``go_on`` after each event that a test wants to look behind.
    """

    def __init__(self) -> None:
        self.streamed = 0
        self.holds = False
        self.arrived = asyncio.Semaphore(0)
        self.go_on = asyncio.Semaphore(0)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        said = orjson.loads(await request.read() or b"{}")
        if "events" in said:
            return await self._stream(request, said)
        self.arrived.release()
        if self.holds:
            await self.go_on.acquire()
        usage = {"prompt_tokens": 0, "completion_tokens": said.get("uses", 10)}
        body = orjson.dumps({"model": "m-1", "choices": [], "usage": usage | said.get("usage", {})})
        return web.Response(status=said.get("status", 200), body=body, content_type="application/json")

    async def _stream(self, request: web.BaseRequest, said: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": said.get("type", "text/event-stream")})
        await response.prepare(request)
        for _ in range(said["events"]):
            await response.write(EVENT % WORD)
            self.streamed += 1
            if self.holds:
                self.arrived.release()
                await self.go_on.acquire()
            else:
                await asyncio.sleep(0)
        if "uses" in said:
            usage = orjson.dumps({"prompt_tokens": 0, "completion_tokens": said["uses"]})
            await response.write(b'data: {"model":"m-1","choices":[],"usage":%b}\n\ndata: [DONE]\n\n' % usage)
        return response


def config(url: str, *budgets: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """Return a config with budgets, where a token of an answer by ``teller`` costs a millionth of a dollar."""
    policies = sections.pop("policies", None)
    prices = [{"model": "m-1", "input_usd_per_million": 0, "output_usd_per_million": 1}]
    return {
        "pipeline": {"plugins": ["callers", "budgets", "limits", "cost"]},
        "agents": {"teller": {"url": url, "cost_center": "house"}},
        "plugins": {
            "budgets": {"budget": [{"period": "day", **budget} for budget in budgets]},
            "cost": {"published_prices": False, "price": prices},
            **({"policies": policies} if policies else {}),
        },
        **sections,
    }


@attrs.frozen
class Answer:
    """What a client got."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> dict[str, Any]:
        """The body as JSON."""
        found: dict[str, Any] = orjson.loads(self.body)
        return found


async def ask(
    client: aiohttp.ClientSession, gateway: RunningGateway, who: str = "alice", path: str = "teller", **said: Any
) -> Answer:
    """Call the agent; a stream that is cut gives what has come of it."""
    async with client.post(f"{gateway.url}/agents/{path}", json=said, headers={"X-Who": who}) as response:
        body = b""
        try:
            async for chunk in response.content.iter_any():
                body += chunk
        except aiohttp.ClientPayloadError:
            pass
        return Answer(response.status, dict(response.headers), body)


async def standing(gateway: RunningGateway) -> list[tuple[str, str, int, int]]:
    """Return each counter's budget, unit, spent and held."""
    plugin: Any = gateway.gateway.pipeline.plugins["budgets"]
    return [(one.budget, one.unit, one.spent, one.held) for one in await plugin.budgets()]


@asynccontextmanager
async def serving(
    directory: Path, *budgets: dict[str, Any], now: Now | None = None, clock: Clock | None = None, **sections: Any
) -> AsyncIterator[tuple[RunningGateway, Teller, FakeAgent]]:
    """Run the gateway and its agent; it is noon, and stays so unless a test says otherwise by ``now`` or ``clock``."""
    teller = Teller()
    async with (
        fake_agent(teller) as agent,
        running_gateway(
            config(agent.url, *budgets, **sections),
            directory,
            {"callers": Callers},
            clock=clock or (now or Now()).clock(),
        ) as gateway,
    ):
        yield gateway, teller, agent
