"""A silent stream is kept alive between its events, and a client that reads nothing is ended; nothing else is."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp import web

from aiogate.exchange import Outcome
from aiogate.proxy.vigil import SlowReader
from aiogate.testing import fake_agent, running_gateway
from tests.configs import anonymous
from tests.exchanges import an_exchange
from tests.proxy.test_fidelity import connect

SECONDS = 10
COMMENT = b": keepalive\n\n"
EVENT = b"data: {}\n\n"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def says(*said: bytes, content_type: str = "text/event-stream", **headers: str) -> Handler:
    """Return an agent that says something and is silent from then on."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content_type, **headers})
        await response.prepare(request)
        for piece in said:
            await response.write(piece)
        await asyncio.Event().wait()
        return response

    return handler


async def heard(handler: Handler, path: Path, seconds: float, **facts: Any) -> bytes:
    """Return what a client hears of a silent stream in so many seconds."""
    async with fake_agent(handler) as agent, running_gateway(anonymous(agent.url, **facts), path) as gateway:
        async with aiohttp.ClientSession(auto_decompress=False) as client:
            async with client.get(f"{gateway.url}/agents/echo/s") as response:
                got = b""
                try:
                    async with asyncio.timeout(seconds):
                        while not got.endswith(2 * COMMENT):
                            got += await response.content.readany()
                except TimeoutError:
                    pass
    return got


async def test_a_silent_stream_gets_comments_between_its_events(tmp_path: Path) -> None:
    assert await heard(says(EVENT), tmp_path, SECONDS, keepalive_seconds=0.2) == EVENT + 2 * COMMENT


async def test_it_gets_them_before_its_first_byte_too(tmp_path: Path) -> None:
    assert await heard(says(), tmp_path, SECONDS, keepalive_seconds=0.2) == 2 * COMMENT


@pytest.mark.parametrize(
    "handler, seconds",
    [
        (says(EVENT, b"data: ha"), 0.1),
        (says(EVENT + b"data: half\n"), 0.1),
        (says(EVENT), 0),
        (says(EVENT, content_type="application/x-ndjson"), 0.1),
        (says(EVENT, **{"Content-Encoding": "gzip"}), 0.1),
        (says(EVENT, **{"Content-Length": "1000"}), 0.1),
    ],
    ids=["amid a line", "amid an event", "switched off", "no events", "compressed", "of known length"],
)
async def test_elsewhere_nothing_is_put_in(handler: Handler, seconds: float, tmp_path: Path) -> None:
    assert COMMENT not in await heard(handler, tmp_path, 0.6, keepalive_seconds=seconds)


async def test_the_server_has_a_default(tmp_path: Path) -> None:
    async with fake_agent(says(EVENT)) as agent:
        config = anonymous(agent.url)
        config["server"]["stream_keepalive_seconds"] = 0.2
        async with running_gateway(config, tmp_path) as gateway, asyncio.timeout(SECONDS):
            reader, writer = await connect(gateway.url)
            writer.write(b"GET /agents/echo/s HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(COMMENT)
            writer.transport.abort()


async def firehose(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": request.query.get("type", "text/plain")})
    await response.prepare(request)
    while True:
        await response.write(b"x" * 65536)


async def test_a_client_that_reads_nothing_is_ended(tmp_path: Path) -> None:
    async with fake_agent(firehose) as agent, asyncio.timeout(SECONDS):
        async with running_gateway(anonymous(agent.url, slow_reader_seconds=0.3), tmp_path) as gateway:
            reader, writer = await connect(gateway.url)
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(b"GET /agents/echo/s HTTP/1.1\r\nHost: x\r\n\r\n")
            while not gateway.records():
                await asyncio.sleep(0.01)
            [record] = gateway.records()
            assert (record["outcome"], record["code"]) == ("cut", "slow_reader")
            writer.transport.abort()


@attrs.define
class Waiting:
    """What waits for a client, and whether its connection was ended."""

    waiting_bytes: int = 100_000
    aborted: bool = False

    def abort(self, *, patience_seconds: float) -> None:
        self.aborted = patience_seconds == 0


def test_a_client_that_reads_something_now_and_then_is_not() -> None:
    exchange, answer = an_exchange(), Waiting()
    reader = SlowReader(exchange, answer, 10.0, 0.0)  # type: ignore[arg-type] # all that it needs of one
    now = 0.0
    for _ in range(20):
        reader.check(now + 9.0)
        answer.waiting_bytes -= 1
        now += 9.5
        reader.check(now)
    assert exchange.cut_by is None
    assert now + 9.0 < reader.check(now + 9.0) <= now + 10.0
    reader.check(now + 10.0)
    assert exchange.cut_by is not None
    assert exchange.cut_by.code == "slow_reader"


def test_who_does_not_fetch_the_last_bytes_is_ended_after_the_record() -> None:
    exchange, answer = an_exchange(outcome=Outcome.COMPLETED), Waiting()
    reader = SlowReader(exchange, answer, 10.0, 0.0)  # type: ignore[arg-type] # all that it needs of one
    reader.check(9.9)
    assert not answer.aborted
    reader.check(10.0)
    assert answer.aborted
    assert exchange.cut_by is None


async def test_keepalives_do_not_outlive_their_stream(tmp_path: Path) -> None:
    kept_alive = asyncio.Event()

    async def ends(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(EVENT)
        await kept_alive.wait()
        return response

    async with fake_agent(ends) as agent, asyncio.timeout(SECONDS):
        async with running_gateway(anonymous(agent.url, keepalive_seconds=0.1), tmp_path) as gateway:
            reader, writer = await connect(gateway.url)
            writer.write(b"GET /agents/echo/s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            body = await reader.readuntil(COMMENT)
            kept_alive.set()
            body += await reader.read()
            writer.close()
            assert body.endswith(b"0\r\n\r\n")
            [record] = gateway.records()
            assert record["outcome"] == "completed"
            assert record["bytes_out"] == len(EVENT) + body.count(COMMENT) * len(COMMENT)
            assert not any(type(one).__name__ == "Keepalive" for one in gateway.gateway.house.upstream.watch.watched)
