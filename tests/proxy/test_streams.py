"""Streams: unbuffered, in constant memory, ended when either side leaves, never cut without a word."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from aiogate.testing import RunningGateway, fake_agent, running_gateway
from tests.configs import anonymous
from tests.proxy.test_fidelity import connect, raw

SECONDS = 10


class LockStep:
    """An agent that sends chunk k+1 only after the test has reported chunk k: whatever buffers, dead-locks."""

    def __init__(self, chunks: list[bytes], content_type: str) -> None:
        self.chunks = chunks
        self.content_type = content_type
        self.reported = asyncio.Semaphore(0)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": self.content_type})
        await response.prepare(request)
        await self.reported.acquire()
        for chunk in self.chunks:
            await response.write(chunk)
            await self.reported.acquire()
        return response


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data: one\n\n", b"data: two\n\n", b"data: [DONE]\n\n"],
        [bytes([byte]) for byte in b"data: hi\n\n"],
        [b"data: a\r", b"\n\r", b"\ndata: b\r\n\r\n"],
        [b"data: " + b"x" * 700_000 + b"\n\n", b"data: y\n\n"],
        [b'{"half": ', b"1}\n"],
    ],
    ids=["events", "bytes", "split crlf", "long line", "ndjson"],
)
async def test_every_chunk_arrives_before_the_next_is_sent(
    chunks: list[bytes], client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    handler = LockStep(chunks, "text/event-stream")
    async with fake_agent(handler) as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        async with asyncio.timeout(SECONDS), client.get(f"{gateway.url}/agents/echo/s") as response:
            assert response.headers["X-Accel-Buffering"] == "no"
            handler.reported.release()  # the head is here, before any byte of the body was sent
            for chunk in chunks:
                assert await response.content.readexactly(len(chunk)) == chunk
                handler.reported.release()
            assert await response.content.read() == b""
        [record] = gateway.records()
        assert record["bytes_out"] == sum(map(len, chunks))


async def test_a_request_body_streams_up_while_it_is_being_sent(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    arrived = asyncio.Semaphore(0)

    async def swallow(request: web.Request) -> web.Response:
        async for _ in request.content.iter_any():
            arrived.release()
        return web.Response(body=b"done")

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"piece"
            await arrived.acquire()

    async with (
        fake_agent(swallow, record_bodies=False) as agent,
        running_gateway(anonymous(agent.url), tmp_path) as gateway,
        asyncio.timeout(SECONDS),
        client.post(f"{gateway.url}/agents/echo/up", data=pieces()) as response,
    ):
        assert await response.read() == b"done"


async def test_the_record_is_in_the_journal_when_the_client_sees_the_end(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    handler = LockStep([b"a", b"b"], "application/x-ndjson")
    async with fake_agent(handler) as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        async with asyncio.timeout(SECONDS), client.get(f"{gateway.url}/agents/echo/s") as response:
            handler.reported.release()
            await response.content.readexactly(1)
            assert gateway.records() == []
            handler.reported.release()
            handler.reported.release()
            assert await response.read() == b"b"
            [record] = gateway.records()
            assert (record["outcome"], record["status"]) == ("completed", 200)


@asynccontextmanager
async def behind(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]], path: Path
) -> AsyncIterator[RunningGateway]:
    async with fake_agent(handler) as agent, running_gateway(anonymous(agent.url), path) as gateway:
        yield gateway


@pytest.mark.parametrize("framing", ["chunked", "length"])
async def test_a_stream_that_breaks_never_looks_whole(
    framing: str, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async def breaks(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if framing == "length":
            response.content_length = 100
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    async with behind(breaks, tmp_path) as gateway:
        with pytest.raises(aiohttp.ClientPayloadError):
            async with client.get(f"{gateway.url}/agents/echo/s") as response:
                await response.read()
        [record] = gateway.records()
        assert record["outcome"] == "upstream_failed"


@pytest.mark.parametrize("window", ["before the head", "in silence", "while streaming"])
async def test_a_client_that_leaves_takes_its_agent_call_along(window: str, tmp_path: Path) -> None:
    left = asyncio.Event()
    reached = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        try:
            if window != "before the head":
                await response.prepare(request)
                await response.write(b"x")
            reached.set()
            while window == "while streaming":
                await response.write(b"x" * 1000)
                await asyncio.sleep(0)
            await asyncio.Event().wait()
        except (asyncio.CancelledError, ConnectionError):
            left.set()
            raise
        return response

    async with behind(endless, tmp_path) as gateway, asyncio.timeout(SECONDS):
        reader, writer = await connect(gateway.url)
        writer.write(b"GET /agents/echo/s HTTP/1.1\r\nHost: x\r\n\r\n")
        await reached.wait()
        if window != "before the head":
            await reader.readuntil(b"x")
        writer.transport.abort()
        await left.wait()
        while not gateway.records():
            await asyncio.sleep(0)
        [record] = gateway.records()
        assert record["outcome"] == "client_gone"


async def test_a_slow_reader_holds_the_agent_back(tmp_path: Path) -> None:
    """The agent is asked for more only as the client reads: memory stays flat."""
    sent = 0
    blocked = asyncio.Event()

    async def firehose(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            try:
                async with asyncio.timeout(0.5):
                    await response.write(b"x" * 65536)
            except TimeoutError:
                blocked.set()
                return response
            sent += 65536
            assert sent < 64 * 2**20

    async with behind(firehose, tmp_path) as gateway, asyncio.timeout(SECONDS):
        _reader, writer = await connect(gateway.url)
        writer.write(b"GET /agents/echo/s HTTP/1.1\r\nHost: x\r\n\r\n")
        await blocked.wait()
        writer.transport.abort()


async def test_websocket_frames_pass_both_ways_with_close_code(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async def sockets(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("chat.v2",))
        await socket.prepare(request)
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                if message.data == "bye":
                    await socket.close(code=4321, message=b"as asked")
                else:
                    await socket.send_str(message.data.upper())
            else:
                await socket.send_bytes(message.data[::-1])
        return socket

    async with behind(sockets, tmp_path) as gateway, asyncio.timeout(SECONDS):
        async with client.ws_connect(f"{gateway.url}/agents/echo/ws", protocols=("chat.v1", "chat.v2")) as socket:
            assert socket.protocol == "chat.v2"
            await socket.send_str("grüß")
            assert await socket.receive_str() == "GRÜSS"
            await socket.send_bytes(b"123")
            assert await socket.receive_bytes() == b"321"
            await socket.send_str("bye")
            message = await socket.receive()
            assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 4321, "as asked")
        [record] = gateway.records()
        assert (record["status"], record["outcome"]) == (101, "completed")


async def test_an_agent_that_wants_no_websocket_says_so_itself(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async def no(_request: web.Request) -> web.Response:
        return web.Response(status=400)

    async with behind(no, tmp_path) as gateway:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(f"{gateway.url}/agents/echo/ws")
        assert refused.value.status == 400


async def test_a_plain_event_is_passed_on_as_json(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"a": 1})

    async with behind(answer, tmp_path) as gateway, client.get(f"{gateway.url}/agents/echo/x") as response:
        assert json.loads(await response.read()) == {"a": 1}
        assert response.headers["X-Request-Id"] == gateway.records()[0]["request_id"]


async def test_half_a_websocket_handshake_is_a_400_and_nothing_reaches_the_agent(tmp_path: Path) -> None:
    request = "GET /agents/echo/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        head, body = await raw(gateway.url, request)
        assert head.startswith("HTTP/1.1 400 ")
        assert '"code":"bad_request"' in body
        assert agent.seen == []


async def test_a_websocket_redirect_is_followed_to_nobody(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent() as elsewhere:

        async def redirects(_request: web.Request) -> web.Response:
            return web.Response(status=302, headers={"Location": f"{elsewhere.url}/steal"})

        async with behind(redirects, tmp_path) as gateway:
            handshake = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
            handshake["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
            url = f"{gateway.url}/agents/echo/ws"
            async with client.get(url, headers=handshake, allow_redirects=False) as response:
                assert response.status == 302
        assert elsewhere.seen == []
