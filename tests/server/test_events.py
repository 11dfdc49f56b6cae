"""What operators hear as it happens: in order, resumable, filtered, and never at the cost of an exchange."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from aiogate import Clock
from aiogate.server.events import Events, Follower, Merged, Position, Wanted
from aiogate.testing import RunningGateway, fake_agent, running_gateway
from tests.configs import anonymous
from tests.server.several import Workers

SECONDS = 10
ALL = Wanted()


def told(text: bytes) -> list[tuple[str, str, Any]]:
    """Return id, kind and data of each event."""
    found = []
    for block in text.decode().split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append((fields["id"], fields["event"], orjson.loads(fields["data"])))
    return found


class Listener:
    """Reads a stream of events until something has been said."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._read = b""

    async def until(self, kind: str, count: int = 1) -> list[tuple[str, str, Any]]:
        async with asyncio.timeout(SECONDS):
            while True:
                whole = self._read[: self._read.rfind(b"\n\n") + 2]
                found = told(whole)
                if sum(what == kind for _, what, _ in found) >= count:
                    return found
                self._read += await self._response.content.readany()


@asynccontextmanager
async def listening(
    client: aiohttp.ClientSession, gateway: RunningGateway, query: str = "", last: str | None = None
) -> AsyncIterator[Listener]:
    headers = {} if last is None else {"Last-Event-ID": last}
    async with client.get(f"{gateway.admin_url}/api/events{query}", headers=headers) as response:
        assert response.content_type == "text/event-stream"
        yield Listener(response)


def kinds(found: list[tuple[str, str, Any]]) -> list[str]:
    return [kind for _, kind, _ in found]


async def test_an_exchange_is_heard_when_it_starts_answers_and_ends(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    answer, end = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        await answer.wait()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await end.wait()
        return response

    async with fake_agent(slow) as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        async with listening(client, gateway) as listener:
            call = asyncio.create_task(client.get(f"{gateway.url}/agents/echo/x?secret=1"))
            ((_, _, started),) = await listener.until("started")
            assert {name: started[name] for name in ("agent", "principal", "method", "path")} == {
                "agent": "echo",
                "principal": "anonymous",
                "method": "GET",
                "path": "/agents/echo/x",
            }
            answer.set()
            heard = await listener.until("first_byte")
            assert heard[-1][2]["request_id"] == started["request_id"]
            end.set()
            await (await call).read()
            heard = await listener.until("ended")
        assert kinds(heard) == ["started", "first_byte", "ended"]
        assert heard[-1][2].items() <= gateway.records()[0].items()


async def test_a_reader_goes_on_where_it_was(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        async with listening(client, gateway, "?kinds=ended") as listener:
            for path in "ab":
                await (await client.get(f"{gateway.url}/agents/echo/{path}")).release()
            heard = await listener.until("ended", 2)
        await (await client.get(f"{gateway.url}/agents/echo/c")).release()
        async with listening(client, gateway, "?kinds=ended", last=heard[0][0]) as listener:
            again = await listener.until("ended", 2)
        assert [event[2]["path"][-1] for event in again] == ["b", "c"]
        assert again[0] == heard[1]


async def test_a_reader_gets_what_it_asks_for(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent() as agent:
        config = anonymous(agent.url)
        config["agents"]["other"] = {"url": agent.url}
        async with running_gateway(config, tmp_path) as gateway:
            async with (
                listening(client, gateway, "?agent=other") as others,
                listening(client, gateway, "?refused=1") as refusals,
                listening(client, gateway, "?principal=nobody") as nobody,
            ):
                for name in ("echo", "other", "missing"):
                    await (await client.get(f"{gateway.url}/agents/{name}/x")).release()
                assert kinds(await others.until("ended")) == ["started", "first_byte", "ended"]
                ((_, kind, record),) = await refusals.until("refused")
                assert (kind, record["code"]) == ("refused", "unknown_agent")
                gateway.gateway.house.events.tell("kill", principal="nobody", reason="a test")
                assert kinds(await nobody.until("kill")) == ["kill"]


async def test_breakers_limits_and_reloads_are_heard(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent() as agent:
        config = anonymous(agent.url, rate_limit="1/minute")
        config["pipeline"] = {"plugins": ["breaker", "limits"]}
        async with running_gateway(config, tmp_path) as gateway:
            async with listening(client, gateway, "?kinds=limit,breaker,reload") as listener:
                for _ in range(3):
                    await (await client.get(f"{gateway.url}/agents/echo/x")).release()
                await (await client.post(f"{gateway.admin_url}/api/reload")).release()
                await (await client.post(f"{gateway.admin_url}/api/breaker/echo/open?actor=me&reason=test")).release()
                heard = await listener.until("breaker")
            (limit, reload, breaker) = (data for _, _, data in heard)
            assert (limit["agent"], limit["rule"]) == ("echo", "rate_limit")
            assert (reload["cause"], reload["generation"], reload["successful"]) == ("api", 2, True)
            assert (breaker["before"], breaker["phase"], breaker["actor"]) == ("closed", "held_open", "me")


async def test_a_reader_that_reads_nothing_holds_up_nobody_and_is_told_of_its_gap(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with fake_agent() as agent:
        config = {**anonymous(agent.url), "admin": {"events": 8}}
        async with running_gateway(config, tmp_path) as gateway:
            events = gateway.gateway.house.events
            async with listening(client, gateway) as listener:
                while events.count < 200:  # more than all buffers between the two take
                    events.tell("kill", filler="x" * 100_000)
                    await (await client.get(f"{gateway.url}/agents/echo/x")).release()
                heard = await listener.until("gap")
            assert next(data["lost"] for _, kind, data in heard if kind == "gap") > 0


async def test_nothing_is_kept_where_nobody_wants_it(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent() as agent:
        config = {**anonymous(agent.url), "admin": {"events": 0}}
        async with running_gateway(config, tmp_path) as gateway:
            events = gateway.gateway.house.events
            await (await client.get(f"{gateway.url}/agents/echo/x")).release()
            assert (events.on, events.count) == (False, 0)
            async with listening(client, gateway) as listener:
                await (await client.get(f"{gateway.url}/agents/echo/x")).release()
                await listener.until("ended")
            async with asyncio.timeout(SECONDS):
                while events.on:
                    await asyncio.sleep(0)


def test_a_place_of_another_process_is_a_gap_and_then_all_there_is() -> None:
    events = Events(4, Clock())
    events.tell("kill", reason="first")
    follower = Follower.of(events, ALL, Position.parse("00000000-7"))
    assert [(kind, data.get("lost", "-")) for _, kind, data in told(follower.take())] == [("gap", None), ("kill", "-")]
    assert follower.take() == b""


def test_a_place_that_the_ring_has_passed_says_how_many_are_lost() -> None:
    events = Events(4, Clock(), epoch="0000000a")
    follower = Follower.of(events, ALL, Position.parse("0000000a-0"))
    for _ in range(10):
        events.tell("kill")
    heard = told(follower.take())
    assert (heard[0][1], heard[0][2]) == ("gap", {"lost": 6})
    assert [event_id for event_id, _, _ in heard] == [f"0000000a-{number}" for number in (6, 7, 8, 9, 10)]


def test_an_event_becomes_text_once_for_all_readers() -> None:
    events = Events(4, Clock())
    first, second = (Follower.of(events, ALL, None) for _ in range(2))
    events.tell("kill", reason="why")
    assert isinstance(events.event(0)[3], tuple)
    assert first.take() == second.take()
    assert events.text(0) is events.text(0)


@pytest.mark.parametrize("kind", ["", "Kill", "a b", "kill\ndata: forged"])
def test_a_kind_that_could_forge_an_event_is_none(kind: str) -> None:
    with pytest.raises(ValueError, match="expected a kind"):
        Events(4, Clock()).tell(kind)


@pytest.mark.parametrize("text", ["", "x", "0000000a", "0000000a-1.", "0000000a--1", ".".join(["0000000a-1"] * 300)])
def test_what_is_no_place_is_none(text: str) -> None:
    assert Position.parse(text) is None


def test_a_merged_stream_says_where_its_reader_is_in_all_processes() -> None:
    merged = Merged(Position({"0000000a": 1}))
    event = b"id: %b\nevent: kill\ndata: {}\n\n"
    assert merged.add(b"retry: 1000\nid: 0000000b-7\n\n") == b""
    assert merged.add(event % b"0000000a-2") == event % b"0000000a-2.0000000b-7"
    assert merged.add(event % b"0000000b-8" + event % b"0000000a-2") == event % b"0000000a-2.0000000b-8"
    gap = b'id: 0000000b-9\nevent: gap\ndata: {"lost": 1}\n\n'
    assert merged.add(gap).startswith(b"id: 0000000a-2.0000000b-9\nevent: gap\n")


async def test_any_worker_tells_what_happens_in_all_and_goes_on_where_a_reader_was(
    client: aiohttp.ClientSession, workers: Workers
) -> None:
    def url(name: str) -> str:
        return f"http://{workers.gateways[name].admin}/api/events?kinds=kill"

    def tell(name: str, what: str) -> None:
        workers.gateways[name].house.events.tell("kill", what=what)

    async with client.get(url("1")) as response:
        listener = Listener(response)
        async with asyncio.timeout(SECONDS):
            while not all(gateway.house.events.followers for gateway in workers.gateways.values()):
                await asyncio.sleep(0.01)
        for name in ("1", "2", "3"):
            tell(name, f"first of {name}")
        heard = await listener.until("kill", 3)
        assert sorted(data["what"] for _, _, data in heard) == ["first of 1", "first of 2", "first of 3"]
    for name in ("3", "2"):
        tell(name, f"second of {name}")
    async with client.get(url("2"), headers={"Last-Event-ID": heard[-1][0]}) as response:
        again = await Listener(response).until("kill", 2)
    assert sorted(data["what"] for _, _, data in again) == ["second of 2", "second of 3"]
