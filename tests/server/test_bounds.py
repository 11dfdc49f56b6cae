"""How slow, how long and how many requests may be: each bound has a code of its own."""

import asyncio
import hashlib
import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import orjson
import pytest
from aiohttp import web

from aiogate.proxy.upstream.watch import Watched
from aiogate.testing import RunningGateway, fake_agent, running_gateway
from tests.configs import anonymous
from tests.proxy.test_fidelity import connect

SECONDS = 10
SLOW_CLIENTS = 200


def bounded(url: str, **server: Any) -> dict[str, Any]:
    config = anonymous(url)
    return {**config, "server": {**config["server"], **server}}


@asynccontextmanager
async def bounded_gateway(path: Path, **server: Any) -> AsyncIterator[RunningGateway]:
    async with fake_agent() as agent, running_gateway(bounded(agent.url, **server), path) as gateway:
        async with asyncio.timeout(SECONDS):
            yield gateway


@asynccontextmanager
async def connection(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await connect(url)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def answer_to(url: str, *pieces: bytes) -> tuple[int, str]:
    """Send pieces and wait for the answer and the connection's end; return status and code, (0, "") for no answer."""
    async with connection(url) as (reader, writer):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        raw = await reader.read()
    if not raw:
        return 0, ""
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    assert not body.rstrip().endswith(b"HTTP/1.1")
    return int(head.split()[1]), orjson.loads(body)["code"]


HEAD = b"POST /agents/echo/x HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize("piece", [HEAD[:9], HEAD, HEAD + b"Content-Length: 1\r\n"])
async def test_a_head_that_is_not_whole_in_time_is_a_408(piece: bytes, tmp_path: Path) -> None:
    async with bounded_gateway(tmp_path, header_seconds=0.1) as gateway:
        assert await answer_to(gateway.url, piece) == (408, "request_timeout")
        assert gateway.records() == []


async def test_slow_clients_are_all_gone_after_the_deadline(tmp_path: Path) -> None:
    """They go on sending, a byte at a time, as the slow-loris does."""
    async with bounded_gateway(tmp_path, header_seconds=0.5) as gateway:

        async def trickle() -> int:
            async with connection(gateway.url) as (reader, writer):
                answer = asyncio.ensure_future(reader.read())
                writer.write(HEAD)
                while not answer.done():
                    writer.write(b"X")
                    await asyncio.wait([answer], timeout=0.05)
                return int((await answer).split()[1])

        assert await asyncio.gather(*(trickle() for _ in range(SLOW_CLIENTS))) == [408] * SLOW_CLIENTS


async def test_the_deadline_holds_for_the_second_head_of_a_connection_too(tmp_path: Path) -> None:
    async with bounded_gateway(tmp_path, header_seconds=0.1) as gateway:
        async with connection(gateway.url) as (reader, writer):
            writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            await reader.readuntil(b"\n")
            writer.write(b"GET ")
            assert (await reader.read()).startswith(b"HTTP/1.1 408 ")


async def test_a_head_in_pieces_that_comes_in_time_is_served(tmp_path: Path) -> None:
    async with bounded_gateway(tmp_path, header_seconds=SECONDS) as gateway:
        async with connection(gateway.url) as (reader, writer):
            for byte in HEAD + b"Content-Length: 2\r\n\r\n":
                writer.write(bytes([byte]))
                await writer.drain()
            writer.write(b"hi")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_a_connection_that_says_nothing_is_closed_without_a_word(tmp_path: Path) -> None:
    async with bounded_gateway(tmp_path, keepalive_seconds=0.1) as gateway:
        assert await answer_to(gateway.url) == (0, "")


async def test_a_head_of_many_pieces_that_is_too_long_altogether_is_a_431(tmp_path: Path) -> None:
    async with bounded_gateway(tmp_path) as gateway:
        headers = [b"X-%d: %b\r\n" % (number, b"y" * 1000) for number in range(100)]
        assert await answer_to(gateway.url, HEAD, *headers) == (431, "headers_too_large")


FRAMED = {
    "by length": HEAD + b"Content-Length: 100\r\n\r\n",
    "by length, streamed": HEAD + b"Content-Length: 100000\r\n\r\n",
    "in chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n",
}


@pytest.mark.parametrize("head", FRAMED.values(), ids=FRAMED)
async def test_a_body_that_stops_half_way_is_a_408(head: bytes, tmp_path: Path) -> None:
    async with bounded_gateway(tmp_path, body_seconds=0.2) as gateway:
        assert await answer_to(gateway.url, head + b"hel") == (408, "request_timeout")
        assert [(record["outcome"], record["code"]) for record in gateway.records()] == [("refused", "request_timeout")]


@pytest.mark.skipif("AIOGATE_TEST_PUBLIC_API" in os.environ, reason="it may be a reset for a client that goes on")
@pytest.mark.parametrize("head", FRAMED.values(), ids=FRAMED)
async def test_a_body_that_trickles_is_a_408(head: bytes, tmp_path: Path) -> None:
    async with bounded_gateway(tmp_path, body_seconds=0.4, body_bytes_per_second=1000) as gateway:
        async with connection(gateway.url) as (reader, writer):
            writer.write(head)
            answer = asyncio.ensure_future(reader.read())
            while not answer.done():
                writer.write(b"h")
                await asyncio.wait([answer], timeout=0.02)
            assert (await answer).startswith(b"HTTP/1.1 408 ")


@attrs.define(eq=False)
class Looks:
    """Counts how often the gateway's timer has looked."""

    enough: asyncio.Event = attrs.field(factory=asyncio.Event)
    waits_in: set[Watched] | None = None
    _left: int = 6

    def check(self, now: float) -> float:
        self._left -= 1
        if not self._left:
            self.enough.set()
        return now


async def test_a_slow_agent_does_not_make_a_client_late(tmp_path: Path) -> None:
    """The agent begins to read long after the deadline of the client, whose body waits on its way."""
    looks = Looks()

    async def reads_late(request: web.Request) -> web.Response:
        await looks.enough.wait()
        return web.Response(text=str(len(await request.read())))

    async with fake_agent(reads_late, record_bodies=False) as agent:
        config = bounded(agent.url, body_seconds=0.2, body_bytes_per_second=10**9)
        async with running_gateway(config, tmp_path) as gateway, aiohttp.ClientSession() as session:
            gateway.gateway.house.upstream.watch.add(looks)
            async with session.post(f"{gateway.url}/agents/echo/x", data=io.BytesIO(bytes(10**7))) as response:
                assert (response.status, await response.text()) == (200, str(10**7))


async def test_a_connection_too_many_is_told_so_and_closed(tmp_path: Path) -> None:
    ask = b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with bounded_gateway(tmp_path, max_connections=2) as gateway, connection(gateway.url):
        async with connection(gateway.url) as (reader, writer):
            writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            for _ in range(5):
                assert await answer_to(gateway.url, ask) == (503, "too_many_connections")
        while (await answer_to(gateway.url, ask))[0] == 503:
            pass  # that the other one has gone is not known here at once
        assert await answer_to(gateway.url, ask) == (404, "not_found")


class Held:
    """An agent that answers when it is told to."""

    def __init__(self) -> None:
        self.arrived = asyncio.Semaphore(0)
        self.go_on = asyncio.Event()

    async def __call__(self, _request: web.Request) -> web.Response:
        self.arrived.release()
        await self.go_on.wait()
        return web.Response(text="held")


async def call(session: aiohttp.ClientSession, url: str, **headers: str) -> tuple[int, str | None, str | None]:
    async with session.get(f"{url}/agents/echo/x", headers=headers) as response:
        code = (await response.json(content_type=None))["code"] if response.status >= 400 else None
        return response.status, code, response.headers.get("Retry-After")


async def test_an_exchange_too_many_is_a_503_and_recorded(tmp_path: Path) -> None:
    held = Held()
    async with fake_agent(held) as agent, running_gateway(bounded(agent.url, max_exchanges=2), tmp_path) as gateway:
        async with aiohttp.ClientSession() as session, asyncio.timeout(SECONDS):
            calls = [asyncio.create_task(call(session, gateway.url)) for _ in range(2)]
            for _ in calls:
                await held.arrived.acquire()
            assert await call(session, gateway.url) == (503, "too_many_exchanges", "1")
            held.go_on.set()
            assert [status for status, *_ in await asyncio.gather(*calls)] == [200, 200]
            assert (await call(session, gateway.url))[0] == 200
        assert sorted(record["status"] for record in gateway.records()) == [200, 200, 200, 503]


def key(principal: str) -> tuple[str, dict[str, Any]]:
    text = f"agk_{principal}_" + "0" * 64
    digest = hashlib.sha256(text.encode()).hexdigest()
    return text, {"id": principal, "sha256": digest, "principal": principal}


@pytest.mark.parametrize("path", ["/agents/echo/x", "/capabilities/talk/x"])
async def test_one_principal_cannot_take_all_there_is(path: str, tmp_path: Path) -> None:
    held = Held()
    (alice, of_alice), (bob, of_bob) = key("alice"), key("bob")
    async with fake_agent(held) as agent:
        config = {
            "server": {"max_exchanges_per_principal": 2},
            "pipeline": {"plugins": ["api_keys", "limits"]},
            "agents": {"echo": {"url": agent.url, "capabilities": ["talk"], "rate_limit": "3/day"}},
            "plugins": {"api_keys": {"keys": [of_alice, of_bob]}},
        }
        async with running_gateway(config, tmp_path) as gateway, aiohttp.ClientSession() as session:

            async def ask(text: str) -> tuple[int, str | None]:
                async with session.get(gateway.url + path, headers={"X-API-Key": text}) as response:
                    body = await response.json(content_type=None) if response.status >= 400 else {}
                    return response.status, body.get("code")

            async with asyncio.timeout(SECONDS):
                calls = [asyncio.create_task(ask(text)) for text in (alice, alice, bob)]
                for _ in calls:
                    await held.arrived.acquire()
                assert [await ask(alice) for _ in range(3)] == [(429, "concurrency_limited")] * 3
                held.go_on.set()
                assert await asyncio.gather(*calls) == [(200, None)] * 3
                assert await ask(alice) == (200, None)  # what was refused has taken nothing of her three a day
                assert await ask(alice) == (429, "rate_limited")
            assert gateway.gateway.house.crowd._inside == {}
            assert gateway.gateway.house.crowd._by_principal == {}
