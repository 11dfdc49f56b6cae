"""``aiogate top`` in a real terminal: what its screen shows of a gateway that serves, and what its keys do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from aiogate.cli.figures import burn, quantile, since_then
from aiogate.cli.top.board import Board, Kill, Quit
from aiogate.cli.top.keys import names_of
from aiogate.cli.top.looks import Looks
from aiogate.testing import RunningGateway, fake_agent, running_gateway
from tests.cli.terminal import terminal

WORDS = b'data: {"model": "m", "choices": [{"delta": {"content": "' + b"x" * 4000 + b'"}}]}\n\n'


def config(url: str) -> dict[str, Any]:
    price = {"model": "m", "input_usd_per_million": 1, "output_usd_per_million": 4}
    budget = {"name": "all", "usd": 10, "period": "day"}
    return {
        "server": {"anonymous": True},
        "pipeline": {"plugins": ["breaker", "budgets", "limits", "cost"]},
        "agents": {"support": {"url": url, "rate_limit": "100/minute"}, "analytics": {"url": url}},
        "plugins": {"cost": {"published_prices": False, "price": [price]}, "budgets": {"budget": [budget]}},
    }


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[tuple[RunningGateway, asyncio.Event]]:
    """Run a gateway whose agent answers ``/stream`` with a stream that goes on until the event is set."""
    end = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if not request.path.startswith("/stream"):
            return web.Response(status=500 if request.path == "/fail" else 200)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(WORDS)
        await end.wait()
        return response

    async with fake_agent(answer) as agent, running_gateway(config(agent.url), directory) as gateway:
        yield gateway, end
        end.set()


async def a_stream(stack: AsyncExitStack, client: aiohttp.ClientSession, url: str) -> str:
    """Open a stream, read what there is of it, and return its id."""
    call = await stack.enter_async_context(client.post(url, json={"stream": True}))
    await call.content.readany()
    return call.headers["X-Request-Id"]


async def test_the_screen_shows_who_does_what_and_what_it_costs(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with serving(tmp_path) as (gateway, end), AsyncExitStack() as stack:
        await a_stream(stack, client, f"{gateway.url}/agents/support/stream")
        await (await client.get(f"{gateway.url}/agents/analytics/fail")).release()
        async with terminal("top", "--url", gateway.admin_url) as screen:
            text = await screen.until("1 open exchanges by age", "anonymous", "support", "960")
            assert all(len(line) <= 80 for line in screen.lines)
            row = next(line for line in screen.lines if line.startswith(">"))
            assert row.split()[3:8] == ["anonymous", "support", "stream", "4.1", "kB"]
            assert "$0.00" in row
            budget = next(line for line in screen.lines if line.startswith("all "))
            assert budget.split()[:2] == ["all", "everybody"]
            assert "q quit" in text
            end.set()
            await screen.until("0 open exchanges", gone="> ")
            screen.press("q")
            assert await screen.ended() == 0


async def test_keys_sort_filter_and_mark(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with serving(tmp_path) as (gateway, _), AsyncExitStack() as stack:
        for agent in ("support", "analytics"):
            await a_stream(stack, client, f"{gateway.url}/agents/{agent}/stream")
        async with terminal("top", "--url", gateway.admin_url, "--interval", "0.3") as screen:
            await screen.until("2 open exchanges by age")
            screen.press("s")
            await screen.until("by tokens")
            screen.press("/analy\r")
            await screen.until("1 of 2 open exchanges by tokens, with 'analy'")
            assert [line.split()[4] for line in screen.lines if line.startswith(">")] == ["analytics"]
            screen.press("\x1b")
            await screen.until("2 open exchanges by tokens")
            screen.press("k")
            await screen.until("because: _")
            screen.press("\r")
            await screen.until("a kill needs a reason")
            screen.press("\x1bq")
            assert await screen.ended() == 0


async def test_the_marked_exchange_is_killed_for_a_reason(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with serving(tmp_path) as (gateway, _), AsyncExitStack() as stack:
        first = await a_stream(stack, client, f"{gateway.url}/agents/support/stream")
        second = await a_stream(stack, client, f"{gateway.url}/agents/analytics/stream")
        async with terminal("top", "--url", gateway.admin_url, "--interval", "0.3") as screen:
            await screen.until("2 open exchanges by age")
            screen.press("\x1b[B")
            screen.press("k")
            await screen.until(f"kill {second[:8]}, because: _")
            screen.press("runs away\r")
            await screen.until(f"{second[:8]} is killed", "1 open exchanges by age")
        (record,) = gateway.records()
        assert (record["request_id"], record["outcome"]) == (second, "cut")
        assert "runs away" in record["detail"]
        assert set(gateway.gateway.house.open_exchanges) == {first}


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["no colour", "dumb"])
async def test_it_works_without_colour_and_without_a_cursor(
    environ: dict[str, str], client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with serving(tmp_path) as (gateway, _), AsyncExitStack() as stack:
        await a_stream(stack, client, f"{gateway.url}/agents/support/stream")
        async with terminal("top", "--url", gateway.admin_url, "--interval", "0.3", environ=environ) as screen:
            await screen.until("1 open exchanges by age", "anonymous")
            screen.press("q")
            assert await screen.ended() == 0
            assert b"\x1b[3" not in screen.written
            assert b"\x1b" not in screen.written or "NO_COLOR" in environ


async def test_a_gateway_that_has_gone_is_said_and_looked_for(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with serving(tmp_path) as (gateway, _):
        await (await client.get(f"{gateway.url}/agents/support/x")).release()
        async with terminal("top", "--url", gateway.admin_url, "--interval", "0.3", columns=140) as screen:
            await screen.until("0 open exchanges")
            await gateway.gateway.stop(grace_seconds=0.0)
            await screen.until("no gateway answers at")
            screen.press("\x03")
            assert await screen.ended() == 0


def an_exchange(number: int, **facts: Any) -> dict[str, Any]:
    return {
        "request_id": str(number),
        "age_seconds": float(number),
        "agent": "a",
        "output_tokens": 10 - number,
        **facts,
    }


def test_a_kill_is_for_the_exchange_that_was_marked_when_its_reason_was_asked_for() -> None:
    board = Board()
    board.ordered([an_exchange(1), an_exchange(2)])
    assert board.marked == "2"
    board.press("down")
    board.press("k")
    board.ordered([an_exchange(2)])  # it ends meanwhile
    for key in "why":
        board.press(key)
    assert board.press("enter") == Kill("1", "why")


def test_an_order_begins_with_the_most_and_a_filter_looks_at_all_names() -> None:
    board = Board(order="tokens", wanted="bo")
    found = board.ordered(
        [an_exchange(1, principal="bob"), an_exchange(2, principal="alice"), an_exchange(0, path="/Bo")]
    )
    assert [one["request_id"] for one in found] == ["0", "1"]


def test_keys_have_names_however_they_come() -> None:
    assert list(names_of("q\x1b[A\x1b[B\r\x7f\x03\x1bé")) == [
        "q",
        "up",
        "down",
        "enter",
        "backspace",
        "ctrl-c",
        "escape",
        "é",
    ]
    assert Board().press("q") == Quit()
    assert Board(asking="filter").press("q") is None


def a_look(at: float, calls: int, errors: int = 0) -> dict[str, Any]:
    agent = {"id": "a", "open": 1, "calls": calls, "refused": 0, "errors": errors, "breaker": None, "halted": None}
    return {"time": at, "exchanges": [], "agents": [{**agent, "seconds": [["1.0", calls], ["+Inf", calls]]}]}


def test_rates_are_of_the_last_ten_seconds() -> None:
    looks = Looks()
    for at in range(30):
        looks.add(a_look(float(at), calls=at * 5, errors=at))
    (agent,) = looks.agents()
    assert (agent.rate, agent.errors) == (5.0, 0.2)
    looks.add(a_look(30.0, calls=1))  # the gateway was started anew
    assert looks.agents()[0].rate == 0.0


def test_quantiles_are_read_off_buckets() -> None:
    buckets = [["0.1", 50.0], ["1.0", 99.0], ["+Inf", 100.0]]
    assert quantile(buckets, 0.5) == pytest.approx(0.1)
    assert quantile(buckets, 0.99) == pytest.approx(1.0)
    assert quantile(buckets, 1.0) == pytest.approx(1.0)
    assert quantile([], 0.5) is None
    assert since_then(buckets, [["0.1", 50.0], ["1.0", 98.0], ["+Inf", 98.0]]) == [
        ["0.1", 0.0],
        ["1.0", 1.0],
        ["+Inf", 2.0],
    ]


def test_the_burn_is_the_share_at_the_periods_end() -> None:
    period = {"period_starts": "1970-01-01T00:00:00Z", "period_ends": "1970-01-01T01:00:00Z"}
    assert burn({"limit": 100, "spent": 50, **period}, 900.0) == pytest.approx(2.0)
    assert burn({"limit": 100, "spent": 50, **period}, 1.0) is None
