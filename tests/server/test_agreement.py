"""What a client heard and what the journal says agree, whatever fails at the very end."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from aiogate import Exchange, hookimpl
from aiogate.claims import Grant
from aiogate.errors import JournalError
from aiogate.journal.writer import Journal
from aiogate.state.memory import MemoryState
from aiogate.testing import fake_agent, running_gateway
from tests.configs import anonymous
from tests.proxy.test_fidelity import raw
from tests.server.test_bounds import connection

SECONDS = 10
ONE_AT_ONCE = {"pipeline": {"plugins": ["limits"]}}


def limited(url: str) -> dict[str, Any]:
    return {**anonymous(url, concurrency=1), **ONE_AT_ONCE}


async def test_counters_that_fail_at_the_end_cost_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(_self: MemoryState, _grant: Grant, _actual: Mapping[str, int] | None = None) -> None:
        msg = "nobody expected this"
        raise RuntimeError(msg)

    monkeypatch.setattr(MemoryState, "settle", fails)
    async with fake_agent() as agent, running_gateway(limited(agent.url), tmp_path) as gateway:
        head, _ = await raw(gateway.url, "GET /agents/echo/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert head.startswith("HTTP/1.1 200 ")
        assert [(record["outcome"], record["status"]) for record in gateway.records()] == [("completed", 200)]
    assert "its grant expires by itself" in caplog.text


async def test_a_client_that_leaves_while_the_counters_are_slow_costs_neither_record_nor_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, settle = asyncio.Event(), MemoryState.settle

    async def slow(self: MemoryState, grant: Grant, actual: Mapping[str, int] | None = None) -> None:
        if not reached.is_set():
            reached.set()
            await asyncio.Event().wait()
        await settle(self, grant, actual)

    monkeypatch.setattr(MemoryState, "settle", slow)
    async with fake_agent() as agent, running_gateway(limited(agent.url), tmp_path) as gateway:
        async with asyncio.timeout(SECONDS), aiohttp.ClientSession() as session:
            async with connection(gateway.url) as (_, writer):
                writer.write(b"GET /agents/echo/x HTTP/1.1\r\nHost: x\r\n\r\n")
                await reached.wait()
            while (await _status(session, f"{gateway.url}/agents/echo/x")) != 200:
                pass  # that the client has gone is not known here at once
        assert [record["outcome"] for record in gateway.records() if record["status"] == 200] == ["completed"] * 2


async def _status(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url) as response:
        return response.status


async def test_a_record_that_cannot_be_written_holds_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append = Journal.append

    def full(_self: Journal, _line: bytes, _added: object) -> None:
        msg = "disk full"
        raise JournalError(msg)

    async with fake_agent() as agent, running_gateway(limited(agent.url), tmp_path) as gateway:
        async with aiohttp.ClientSession() as session:
            monkeypatch.setattr(Journal, "append", full)
            assert await _status(session, f"{gateway.url}/agents/echo/x") == 503
            monkeypatch.setattr(Journal, "append", append)
            assert await _status(session, f"{gateway.url}/agents/echo/x") == 200


async def test_a_record_that_cannot_be_written_is_not_said_in_a_websocket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sockets(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        await socket.close()
        return socket

    def full(_self: Journal, _line: bytes, _added: object) -> None:
        msg = "disk full"
        raise JournalError(msg)

    monkeypatch.setattr(Journal, "append", full)
    async with fake_agent(sockets) as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        async with connection(gateway.url) as (reader, writer), asyncio.timeout(SECONDS):
            handshake = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
            writer.write(
                f"GET /agents/echo/x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n{handshake}\r\n\r\n".encode()
            )
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            writer.write(b"\x81\x82\0\0\0\0hi")
            assert b"HTTP/" not in await reader.read()


@asynccontextmanager
async def agent_that_says(answer: bytes) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield "http://{}:{}".format(*server.sockets[0].getsockname())
    finally:
        server.close()


class Touches:
    """Has a look at the answer's headers, which makes them anew."""

    @hookimpl
    def response_started(self, exchange: Exchange) -> None:
        exchange.response_headers["X-Touched"] = "1"


@pytest.mark.parametrize("plugins", [[], ["touches"]], ids=["as they are", "touched"])
@pytest.mark.parametrize("line", [f"X: a{char}b" for char in "\x01\x08\x0b\x1b\x7f\x00\r"], ids=repr)
async def test_a_head_that_cannot_be_passed_on_is_the_same_in_the_record(
    line: str, plugins: list[str], tmp_path: Path
) -> None:
    answer = f"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{line}\r\n\r\nhi".encode()
    async with agent_that_says(answer) as url:
        config = {**anonymous(url), "pipeline": {"plugins": plugins}}
        async with running_gateway(config, tmp_path, {"touches": Touches}) as gateway:
            head, _ = await raw(gateway.url, "GET /agents/echo/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            [record] = gateway.records()
    assert int(head.split()[1]) == record["status"]
    assert (record["status"], record["outcome"]) in {(200, "completed"), (502, "upstream_failed")}


@pytest.mark.parametrize("reason", ["a\x01b", "a\tb", "a\x7fb", "\x0b"])
async def test_so_is_a_reason(reason: str, tmp_path: Path) -> None:
    async with agent_that_says(f"HTTP/1.1 200 {reason}\r\nContent-Length: 2\r\n\r\nhi".encode("latin-1")) as url:
        async with running_gateway(anonymous(url), tmp_path) as gateway:
            head, _ = await raw(gateway.url, "GET /agents/echo/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            [record] = gateway.records()
    assert int(head.split()[1]) == record["status"]


@pytest.mark.parametrize("begins", [b"", b"1\r\nx\r\n"], ids=["at once", "later"])
async def test_a_request_behind_another_whose_body_breaks_is_told_so(
    begins: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is on its way while the one before it is served, and nobody reads it yet."""
    go_on, arrived = asyncio.Event(), asyncio.Event()

    async def waits(_request: web.Request) -> web.Response:
        arrived.set()
        await go_on.wait()
        return web.Response(text="first")

    async with fake_agent(waits, record_bodies=False) as agent, asyncio.timeout(SECONDS):
        async with running_gateway(anonymous(agent.url), tmp_path) as gateway:
            async with connection(gateway.url) as (reader, writer):
                writer.write(b"GET /agents/echo/1 HTTP/1.1\r\nHost: x\r\n\r\n")
                await arrived.wait()
                writer.write(b"POST /agents/echo/2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + begins)
                while not gateway.gateway._server.connections[0]._messages:  # type: ignore[union-attr]
                    await asyncio.sleep(0)
                writer.write(b"zz\r\n")
                while len(gateway.gateway._server.connections[0]._messages) < 2:  # type: ignore[union-attr]
                    await asyncio.sleep(0)
                go_on.set()
                answers = await reader.read()
            assert answers.count(b"HTTP/1.1 200 ") == 1
            assert answers.count(b"HTTP/1.1 400 ") == 1
            assert [record["status"] for record in gateway.records()] == [200, 400]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
