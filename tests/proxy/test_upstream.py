"""The way to the agents: connections that are kept, checked, and never mixed up."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from aiogate.agent import Agent
from aiogate.proxy.upstream import Destination
from aiogate.proxy.upstream.connection import Connection, Home
from aiogate.proxy.upstream.endpoint import endpoint_for
from aiogate.proxy.upstream.envelope import Envelope
from aiogate.proxy.upstream.pool import Pool
from aiogate.proxy.upstream.watch import Watch
from aiogate.testing import RunningGateway, fake_agent, running_gateway
from tests.configs import anonymous

SECONDS = 10
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def speaking(script: Script) -> AsyncIterator[int]:
    """An agent that speaks bytes; yields its port, and ends when all its connections have."""
    ended: set[asyncio.Future[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this = asyncio.get_running_loop().create_future()
        ended.add(this)
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
            this.set_result(None)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with asyncio.timeout(SECONDS):
        yield server.sockets[0].getsockname()[1]
        server.close()
        await asyncio.gather(*ended)


@asynccontextmanager
async def before(script: Script, path: Path) -> AsyncIterator[RunningGateway]:
    """A gateway before an agent that speaks bytes."""
    async with speaking(script) as port:
        async with running_gateway(anonymous(f"http://127.0.0.1:{port}", first_byte_seconds=5), path) as gateway:
            yield gateway


async def heard(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def get(client: aiohttp.ClientSession, gateway: RunningGateway, path: str = "/x") -> tuple[int, bytes]:
    async with client.get(f"{gateway.url}/agents/echo{path}") as response:
        return response.status, await response.read()


async def test_every_answer_goes_to_the_one_who_asked(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Sixteen callers at once over kept connections: no answer is lost or mixed up, some callers hang up amid it."""

    async def own_name(request: web.Request) -> web.Response:
        await asyncio.sleep(0)
        return web.Response(body=request.raw_path.encode())

    async with fake_agent(own_name) as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:

        async def caller(name: int) -> None:
            for number in range(40):
                path = f"/{name}/{number}"
                if number % 10 == name % 10:
                    hasty = asyncio.create_task(get(client, gateway, path))
                    await asyncio.sleep(0)
                    hasty.cancel()
                else:
                    assert await get(client, gateway, path) == (200, path.encode())

        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*(caller(name) for name in range(16)))


async def test_a_connection_is_kept_and_used_again(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    connections = 0

    async def keeps(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            await heard(reader)
            writer.write(OK)

    async with before(keeps, tmp_path) as gateway:
        for _ in range(5):
            assert await get(client, gateway) == (200, b"ok")
    assert connections == 1


async def test_an_answer_that_nobody_asked_for_never_reaches_the_next_caller(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    poisoned = asyncio.Event()

    async def poisons(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(OK)
        if not poisoned.is_set():
            poisoned.set()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
        await reader.read()

    async with before(poisons, tmp_path) as gateway:
        assert await get(client, gateway) == (200, b"ok")
        assert await get(client, gateway) == (200, b"ok")


async def test_a_get_that_races_with_the_agents_close_is_sent_again_and_a_post_is_not(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    seen = []

    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await heard(reader))
        writer.write(OK)
        seen.append(await heard(reader))  # and closes without a word

    async with before(closes, tmp_path) as gateway:
        assert await get(client, gateway) == (200, b"ok")
        assert await get(client, gateway) == (200, b"ok")
        async with client.post(f"{gateway.url}/agents/echo/x") as response:
            assert response.status == 502
            assert (await response.json(content_type=None))["code"] == "agent_unreachable"


async def test_a_caller_that_leaves_at_the_last_moment_does_not_take_the_next_ones_connection_along() -> None:
    """The response is whole and the connection given back when the caller is cancelled, before it could look."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(OK)
        await reader.read()

    class LeavingCaller:
        def back(self, _connection: Connection) -> None:
            asking.cancel()

        def lost(self, connection: Connection) -> None:
            pass

    loop = asyncio.get_running_loop()
    async with speaking(script) as port:
        agent = Agent(id="echo", url=f"http://127.0.0.1:{port}")
        made = Connection(loop, LeavingCaller(), Watch(loop))
        await loop.create_connection(lambda: made, "127.0.0.1", port)

        async def dial(_home: Home, _seconds: float) -> Connection:
            return made

        destination = Destination(agent, Envelope(agent, endpoint_for(agent)), Pool(agent, dial))
        head = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        asking = asyncio.create_task(destination.open("GET", head, None))
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert made.usable
        made.abort()


@pytest.mark.parametrize(
    "answer, status, body",
    [
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK, 200, b"ok"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil close", 200, b"until close"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;ext=1\r\nok\r\n0\r\nX-Trailer: 1\r\n\r\n",
            200,
            b"ok",
        ),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, b""),
    ],
    ids=["103", "100 then 204", "until close", "extensions and trailers", "no reason"],
)
async def test_what_an_agent_may_send(
    answer: bytes, status: int, body: bytes, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(answer)

    async with before(script, tmp_path) as gateway, client.get(f"{gateway.url}/agents/echo/x") as response:
        assert (response.status, await response.read()) == (status, body)
        assert "X-Trailer" not in response.headers


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 000 Zero\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: " + b"x" * 70_000 + b"\r\n",
    ],
    ids=["101", "status 0", "gzip chunked", "two lengths", "length and chunked", "no http", "endless head"],
)
async def test_what_an_agent_may_not_send_is_a_502(
    answer: bytes, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(answer)
        await writer.drain()
        await reader.read()

    async with before(script, tmp_path) as gateway:
        status, body = await get(client, gateway)
        assert status == 502
        assert b'"code":"agent_protocol_error"' in body


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 80), max_size=6))
def test_wherever_a_response_is_split_it_means_the_same(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    whole = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\ndefgh\r\n0\r\n\r\n"

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        places = sorted({0, *(cut for cut in cuts if cut < len(whole)), len(whole)})
        for start, end in itertools.pairwise(places):
            writer.write(whole[start:end])
            await writer.drain()
            await asyncio.sleep(0)

    async def run() -> None:
        async with before(script, tmp_path_factory.mktemp("split")) as gateway, aiohttp.ClientSession() as client:
            assert await get(client, gateway) == (200, b"abcdefgh")

    asyncio.run(run())
