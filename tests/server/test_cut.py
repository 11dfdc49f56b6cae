"""``Exchange.cut``: whatever an exchange waits for, it ends within a second, and its client can tell."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import pytest
from aiohttp import web

from aiogate import Exchange, Refusal, hookimpl
from aiogate.hookspecs import Observer
from aiogate.testing import RunningGateway, fake_agent, running_gateway
from tests.configs import anonymous
from tests.proxy.test_fidelity import connect

SECONDS = 10
WITHIN_SECONDS = 1.0
WHY = Refusal(status=429, code="budget_exhausted", detail="the budget is used up", rule="data-team")
EVENT = b"data: {}\n\n"


class Watcher:
    """Shows the exchanges to the test, and has each chunk looked at by what the test puts in ``look``."""

    exchanges: ClassVar[list[Exchange]] = []
    ends: ClassVar[list[str]] = []
    look: ClassVar[Callable[[Exchange, bytes], None] | None] = None

    @hookimpl
    def pre_request(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)

    @hookimpl
    def response_started(self, exchange: Exchange) -> Observer:
        def observe(chunk: bytes) -> None:
            if self.look is not None:
                type(self).look(exchange, chunk)  # type: ignore[misc]

        return observe

    @hookimpl
    def post_response(self, exchange: Exchange) -> None:
        self.ends.append(str(exchange.outcome))


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watcher, "exchanges", [])
    monkeypatch.setattr(Watcher, "ends", [])
    monkeypatch.setattr(Watcher, "look", None)


class Agent:
    """Answers as the path says, and notes when it is left."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse:  # noqa: C901 - one way after the other
        way = request.raw_path.strip("/")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        if way == "length":
            response = web.StreamResponse(headers={"Content-Length": "1000"})
        elif way == "plain":
            response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        elif way == "gzip":
            response.headers["Content-Encoding"] = "gzip"
        try:
            if way == "whole":
                return web.json_response({"all": "of it"})
            if way == "upload":
                self.reached.set()
                await asyncio.Event().wait()
            if way != "head":
                await response.prepare(request)
                if way == "half":
                    await response.write(b"data: {")
                elif way == "firehose":
                    for _ in range(100_000):
                        await response.write(EVENT * 1000)
                elif way != "nothing":
                    await response.write(EVENT)
            self.reached.set()
            await asyncio.Event().wait()
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise
        return response


@asynccontextmanager
async def behind(path: Path, **facts: Any) -> AsyncIterator[tuple[Agent, RunningGateway]]:
    handler = Agent()
    async with fake_agent(handler, record_bodies=False) as agent, asyncio.timeout(SECONDS):
        config: dict[str, Any] = {**anonymous(agent.url, **facts), "pipeline": {"plugins": ["watcher"]}}
        async with running_gateway(config, path, {"watcher": Watcher}) as gateway:
            yield handler, gateway


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0)


async def ask(gateway: RunningGateway, way: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await connect(gateway.url)
    writer.write(f"GET /agents/echo/{way} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return reader, writer


def check_record(gateway: RunningGateway, status: int = 200) -> dict[str, Any]:
    [record] = gateway.records()
    assert (record["outcome"], record["code"], record["rule"]) == ("cut", "budget_exhausted", "data-team")
    assert record["status"] == status
    return record


@pytest.mark.parametrize("way, error", [("silent", True), ("nothing", True), ("half", False), ("gzip", False)])
async def test_a_silent_stream_ends_with_an_event_where_none_is_under_way(
    way: str, error: bool, tmp_path: Path
) -> None:
    async with behind(tmp_path) as (agent, gateway):
        reader, writer = await ask(gateway, way)
        await agent.reached.wait()
        await reader.readuntil(b"\r\n\r\n")
        while way != "nothing" and not Watcher.exchanges[0].bytes_out:
            await asyncio.sleep(0)
        async with asyncio.timeout(WITHIN_SECONDS):
            Watcher.exchanges[0].cut(WHY)
            rest = await reader.read()
            await agent.left.wait()
        assert not rest.endswith(b"0\r\n\r\n")
        assert (b'event: error\ndata: {"error":{"message":"the budget is used up"' in rest) == error
        assert (b'"rule":"data-team"' in rest) == error
        await until(lambda: Watcher.ends)
        assert Watcher.ends == ["cut"]
        check_record(gateway)
        writer.transport.abort()


@pytest.mark.parametrize("way", ["length", "plain"])
async def test_a_body_that_is_no_stream_of_events_is_aborted_without_a_word(way: str, tmp_path: Path) -> None:
    async with behind(tmp_path) as (agent, gateway):
        reader, writer = await ask(gateway, way)
        await agent.reached.wait()
        await reader.readuntil(EVENT)
        Watcher.exchanges[0].cut(WHY)
        assert await reader.read() == (b"\r\n" if way == "plain" else b"")
        check_record(gateway)
        writer.transport.abort()


async def test_a_client_that_does_not_read_does_not_hold_a_cut(tmp_path: Path) -> None:
    async with behind(tmp_path) as (agent, gateway):
        reader, writer = await ask(gateway, "firehose")
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        await until(lambda: gateway.gateway.house.open_exchanges)
        [walk] = gateway.gateway.house.open_exchanges.values()
        await until(lambda: walk.inbound.protocol.writing_paused)  # type: ignore[attr-defined]
        transport = walk.inbound.transport  # type: ignore[attr-defined]
        async with asyncio.timeout(WITHIN_SECONDS):
            Watcher.exchanges[0].cut(WHY)
            await agent.left.wait()
            await until(lambda: Watcher.ends)
            check_record(gateway)
            await until(lambda: not transport.get_write_buffer_size())
        writer.transport.abort()


async def test_before_the_head_a_cut_is_an_ordinary_refusal(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with behind(tmp_path) as (agent, gateway):

        async def cut() -> None:
            await agent.reached.wait()
            Watcher.exchanges[0].cut(WHY)
            await agent.left.wait()

        cutting = asyncio.create_task(cut())
        async with client.get(f"{gateway.url}/agents/echo/head") as response:
            said = await response.json(content_type=None)
            assert (response.status, said["code"], said["rule"]) == (429, "budget_exhausted", "data-team")
        await cutting
        check_record(gateway, 429)
        async with client.get(f"{gateway.url}/agents/echo/whole") as response:
            assert response.status == 200  # the connection goes on


async def test_an_upload_that_is_under_way_is_cut(tmp_path: Path) -> None:
    async with behind(tmp_path) as (agent, gateway):
        reader, writer = await connect(gateway.url)
        head = "POST /agents/echo/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
        writer.write(head.encode() + b"x" * 100_000)
        await agent.reached.wait()
        async with asyncio.timeout(WITHIN_SECONDS):
            Watcher.exchanges[0].cut(WHY)
            assert (await reader.readline()).startswith(b"HTTP/1.1 429 ")
            await agent.left.wait()
        check_record(gateway, 429)
        writer.transport.abort()


@pytest.mark.parametrize("way", ["whole", "silent"])
async def test_an_observer_cuts_on_what_it_sees(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a whole answer nothing has left yet: the client gets the refusal in its place."""
    monkeypatch.setattr(Watcher, "look", lambda exchange, chunk: exchange.cut(WHY) if chunk else None)
    async with behind(tmp_path) as (_, gateway):
        reader, writer = await ask(gateway, way)
        head = await reader.readuntil(b"\r\n\r\n")
        status = 429 if way == "whole" else 200
        assert head.startswith(f"HTTP/1.1 {status} ".encode())
        if way == "whole":
            assert b"of it" not in await reader.readuntil(b"}\n")
        else:
            body = await reader.read()
            assert body.index(EVENT) < body.index(b"event: error")
        check_record(gateway, status)
        writer.transport.abort()


async def test_the_last_bytes_of_a_stream_that_an_observer_cuts_do_not_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watcher, "look", lambda exchange, chunk: exchange.cut(WHY) if b"DONE" in chunk else None)
    released = asyncio.Event()

    async def answers(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(EVENT)
        await released.wait()
        await response.write_eof(b"data: [DONE]\n\n")
        return response

    async with fake_agent(answers) as agent, asyncio.timeout(SECONDS):
        config: dict[str, Any] = {**anonymous(agent.url), "pipeline": {"plugins": ["watcher"]}}
        async with running_gateway(config, tmp_path, {"watcher": Watcher}) as gateway:
            reader, writer = await ask(gateway, "x")
            await reader.readuntil(EVENT)
            released.set()
            rest = await reader.read()
            assert b"DONE" not in rest
            assert b"event: error" in rest
            record = check_record(gateway)
            assert record["bytes_out"] == len(EVENT) + len(rest[rest.index(b"event: error") : -2])
            writer.transport.abort()


@pytest.mark.parametrize("status, code", [(429, 1008), (503, 1011)])
async def test_a_websocket_is_closed(status: int, code: int, client: aiohttp.ClientSession, tmp_path: Path) -> None:
    left = asyncio.Event()

    async def sockets(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("hello")
        try:
            await socket.receive()
        finally:
            left.set()
        return socket

    async with fake_agent(sockets) as agent, asyncio.timeout(SECONDS):
        config: dict[str, Any] = {**anonymous(agent.url), "pipeline": {"plugins": ["watcher"]}}
        async with running_gateway(config, tmp_path, {"watcher": Watcher}) as gateway:
            async with client.ws_connect(f"{gateway.url}/agents/echo/ws") as socket:
                assert await socket.receive_str() == "hello"
                Watcher.exchanges[0].cut(Refusal(status=status, code="enough", detail="enough"))
                message = await socket.receive()
                assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, code, "enough")
            await left.wait()
            [record] = gateway.records()
            assert (record["outcome"], record["code"], record["status"]) == ("cut", "enough", 101)


async def test_only_the_first_cut_counts_and_none_after_the_end(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with behind(tmp_path) as (agent, gateway):
        reader, writer = await ask(gateway, "silent")
        await agent.reached.wait()
        await reader.readuntil(EVENT)
        [exchange] = Watcher.exchanges
        exchange.cut(WHY)
        exchange.cut(Refusal(status=503, code="other", detail="other"))
        await reader.read()
        exchange.cut(Refusal(status=503, code="late", detail="late"))
        check_record(gateway)
        writer.transport.abort()
        async with client.get(f"{gateway.url}/agents/echo/whole") as response:
            Watcher.exchanges[1].cut(WHY)
            assert (await response.json()) == {"all": "of it"}
        assert [record["outcome"] for record in gateway.records()] == ["cut", "completed"]


async def test_a_drain_tells_its_streams_when_to_come_back(tmp_path: Path) -> None:
    async with behind(tmp_path) as (agent, gateway):
        reader, writer = await ask(gateway, "silent")
        await agent.reached.wait()
        await reader.readuntil(EVENT)
        gateway.gateway.cut()
        rest = await reader.read()
        assert b"retry: 1000\nevent: error\n" in rest
        assert b'"code":"shutting_down"' in rest
        assert b'"retry_after_seconds":1.0' in rest
        [record] = gateway.records()
        assert (record["outcome"], record["code"]) == ("cut", "shutting_down")
        writer.transport.abort()


@pytest.mark.parametrize(
    "content_type, begun, rest, whole",
    [
        ("text/event-stream", b"data: a\n\nda", b"ta: half\n\ndata: next\n\n", b"data: a\n\ndata: half\n\n"),
        ("text/event-stream", b"data: a\r\n\r\ndata: b\r", b"\n\r\ndata: c\r\n\r\n", b"data: a\r\n\r\ndata: b\r\n\r\n"),
        ("application/x-ndjson", b'{}\n{"a":', b"1}\n{}\n", b'{}\n{"a":1}\n'),
    ],
)
@pytest.mark.parametrize("ends", [False, True])
async def test_the_event_under_way_ends_before_the_error(
    content_type: str, begun: bytes, rest: bytes, whole: bytes, ends: bool, tmp_path: Path
) -> None:
    go_on, cut = asyncio.Event(), asyncio.Event()

    async def fast(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": content_type})
        await response.prepare(request)
        await response.write(begun)
        await cut.wait()
        if ends:
            await response.write_eof(rest)
        else:
            await response.write(rest)
            await go_on.wait()
        return response

    async with fake_agent(fast) as agent, asyncio.timeout(SECONDS):
        config: dict[str, Any] = {**anonymous(agent.url), "pipeline": {"plugins": ["watcher"]}}
        async with running_gateway(config, tmp_path, {"watcher": Watcher}) as gateway:
            async with aiohttp.ClientSession() as client, client.get(f"{gateway.url}/agents/echo/x") as response:
                got = await response.content.readexactly(len(begun))
                Watcher.exchanges[0].cut(WHY)
                cut.set()
                with pytest.raises(aiohttp.ClientPayloadError):
                    while chunk := await response.content.readany():
                        got += chunk
            assert got.startswith(whole)
            assert got[len(whole) :].startswith((b"event: error\n", b'{"error":"the budget is used up"'))
            assert check_record(gateway)["bytes_out"] == len(got)
            go_on.set()
