"""What operators see of exchanges under way: who, for how long, how much by now, and since when nothing has come."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from aiogate.server.live import merge
from aiogate.testing import RunningGateway, fake_agent, running_gateway
from tests.configs import anonymous

EVENT = b'data: {"model": "m", "choices": [{"delta": {"content": "%b"}}]}\n\n'


async def live(client: aiohttp.ClientSession, gateway: RunningGateway) -> dict[str, Any]:
    async with client.get(f"{gateway.admin_url}/api/live") as response:
        assert response.status == 200
        said: dict[str, Any] = await response.json()
        return said


def priced(url: str) -> dict[str, Any]:
    config = anonymous(url)
    config["pipeline"] = {"plugins": ["budgets", "cost"]}
    price = {"model": "m", "input_usd_per_million": 1, "output_usd_per_million": 4}
    budget = {"name": "all", "usd": 10, "period": "day"}
    config["plugins"] = {"cost": {"published_prices": False, "price": [price]}, "budgets": {"budget": [budget]}}
    return config


async def test_a_stream_under_way_shows_what_it_has_used_and_holds(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    end = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(EVENT % (b"x" * 4000))
        await end.wait()
        return response

    async with fake_agent(stream) as agent, running_gateway(priced(agent.url), tmp_path) as gateway:
        async with client.post(f"{gateway.url}/agents/echo/x", json={"stream": True}) as call:
            await call.content.readany()
            said = await live(client, gateway)
            (one,) = said["exchanges"]
            assert one["request_id"] == call.headers["X-Request-Id"]
            assert (one["principal"], one["agent"], one["phase"], one["status"]) == (
                "anonymous",
                "echo",
                "streaming",
                200,
            )
            assert one["bytes_out"] > 4000
            assert 900 < one["output_tokens"] <= 1024
            assert one["spent_nanousd"] == 4000 * one["output_tokens"]
            assert one["held_nanousd"] > 0
            assert 0 <= one["silent_seconds"] <= one["age_seconds"]
            assert [(each["id"], each["open"]) for each in said["agents"]] == [("echo", 1)]
            assert [(each["budget"], each["held"] > 0) for each in said["budgets"]] == [("all", True)]
            end.set()
            await call.read()
        said = await live(client, gateway)
        assert said["exchanges"] == []
        (agent_said,) = said["agents"]
        assert (agent_said["calls"], agent_said["errors"], agent_said["open"]) == (1, 0, 0)
        assert agent_said["seconds"][-1] == ["+Inf", 1.0]


async def test_an_exchange_that_waits_for_its_agent_says_so(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    asked, end = asyncio.Event(), asyncio.Event()

    async def silent(_request: web.Request) -> web.Response:
        asked.set()
        await end.wait()
        return web.Response()

    async with fake_agent(silent) as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        call = asyncio.create_task(client.get(f"{gateway.url}/agents/echo/x"))
        await asked.wait()
        ((one,), _) = ((await live(client, gateway))["exchanges"], None)
        assert (one["phase"], one["first_byte_seconds"], one["silent_seconds"]) == ("waiting", None, None)
        end.set()
        await (await call).release()


def test_views_of_several_processes_are_one() -> None:
    agent = {"id": "a", "open": 1, "calls": 2, "errors": 0, "seconds": [["1.0", 1.0], ["+Inf", 2.0]], "breaker": None}
    views = [
        {"time": 5.0, "exchanges": [{"request_id": "1", "age_seconds": 1.0}], "agents": [agent], "budgets": []},
        {
            "time": 6.0,
            "exchanges": [{"request_id": "2", "age_seconds": 9.0}],
            "agents": [{**agent, "breaker": "open"}, {**agent, "id": "b"}],
            "budgets": [],
        },
    ]
    whole = merge(views)
    assert [one["request_id"] for one in whole["exchanges"]] == ["2", "1"]
    assert whole["time"] == 6.0
    first, second = whole["agents"]
    assert (first["open"], first["calls"], first["breaker"]) == (2, 4, "open")
    assert first["seconds"] == [["1.0", 2.0], ["+Inf", 4.0]]
    assert second["id"] == "b"
