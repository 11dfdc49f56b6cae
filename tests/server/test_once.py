"""Exactly once: however an exchange ends, there is one record, one post_response, and no claim left."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import pytest
from aiohttp import web

from aiogate import Claim, Counted, Exchange, Refusal, hookimpl
from aiogate.testing import fake_agent, running_gateway
from tests.configs import anonymous
from tests.proxy.test_fidelity import connect

SECONDS = 10


class Counts:
    """Claims one of one place, refuses or fails when the path says so, and writes down every end it hears of."""

    ends: ClassVar[list[str]] = []

    @hookimpl
    def pre_request(self, exchange: Exchange) -> Refusal | None:
        if exchange.path == "/plugin_failed":
            raise RuntimeError("as asked")
        return Refusal(status=403, code="no", detail="no") if exchange.path == "/refused" else None

    @hookimpl
    def claims(self) -> Iterable[Claim]:
        return [Claim("one", "one", Counted.LEASE, 1, 60.0)]

    @hookimpl
    async def post_response(self, exchange: Exchange) -> None:
        await asyncio.sleep(0)
        self.ends.append(str(exchange.outcome))


class Ways:
    """An agent with a way to end for each outcome."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.raw_path in {"/completed", "/upstream_failed"}:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"x")
            if request.raw_path == "/upstream_failed":
                assert request.transport is not None
                request.transport.abort()
            return response
        self.reached.set()
        await asyncio.Event().wait()
        raise AssertionError


OUTCOMES = ["completed", "refused", "plugin_failed", "upstream_failed", "client_gone", "cut"]


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_every_end_is_recorded_told_and_settled_once(
    outcome: str, client: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Counts, "ends", [])
    ways = Ways()
    async with fake_agent(ways) as agent, asyncio.timeout(SECONDS):
        config: dict[str, Any] = {**anonymous(agent.url), "pipeline": {"plugins": ["counts"]}}
        async with running_gateway(config, tmp_path, {"counts": Counts}) as gateway:
            _, writer = await connect(gateway.url)
            writer.write(f"GET /agents/echo/{outcome} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            if outcome in {"client_gone", "cut"}:
                await ways.reached.wait()
            if outcome == "client_gone":
                writer.transport.abort()
            if outcome == "cut":
                gateway.gateway.cut()
            while not Counts.ends:
                await asyncio.sleep(0)
            async with client.get(f"{gateway.url}/agents/echo/completed") as response:
                assert response.status == 200  # the one place is free again
            writer.transport.abort()
        records = [record["outcome"] for record in gateway.records()]
    assert records == [outcome, "completed"]
    assert Counts.ends == records


async def test_a_plugin_that_never_ends_does_not_hold_the_stop(
    client: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Hangs:
        @hookimpl
        async def post_response(self) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr("aiogate.server.drain._TASKS_SECONDS", 0.01)
    async with fake_agent() as agent:
        config = {**anonymous(agent.url), "pipeline": {"plugins": ["hangs"]}}
        async with asyncio.timeout(SECONDS):
            async with running_gateway(config, tmp_path, {"hangs": Hangs}) as gateway:
                async with client.get(f"{gateway.url}/agents/echo/x") as response:
                    assert response.status == 200
    assert "does not end and is cancelled" in caplog.text
