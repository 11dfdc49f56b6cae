"""Streams through ``aiogate serve`` that end before their time, as curl and a client that hangs up see it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from yarl import URL

from tests.e2e.conftest import Served

SECONDS = 10
WITHIN_SECONDS = 1.0
EVENT = b"data: hello\n\n"


class Agent:
    """Says what the path asks for, and then nothing or more of it; ``left`` is set when it has been left alone."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.left = asyncio.Event()

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        window = head.split(b" ")[1].rpartition(b"/")[2]
        try:
            if window != b"head":
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
                writer.write(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
            self.reached.set()
            while window == b"streaming" and not reader.at_eof():
                writer.write(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
                await writer.drain()
                await asyncio.sleep(0.001)
            await reader.read()
        except ConnectionError:
            pass
        finally:
            self.left.set()
            writer.close()


@pytest.fixture
def agent() -> Agent:
    return Agent()


@pytest.fixture
async def agent_url(agent: Agent) -> AsyncIterator[str]:
    server = await asyncio.start_server(agent.speak, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def test_sigterm_tells_a_stream_to_come_back_and_exits_well(gateway: Served) -> None:
    url = f"{gateway.url}/agents/assistant/silent"
    pipe = asyncio.subprocess.PIPE
    async with asyncio.timeout(SECONDS):
        curl = await asyncio.create_subprocess_exec("curl", "-sN", "-H", f"X-API-Key: {gateway.key}", url, stdout=pipe)
        assert curl.stdout is not None
        assert await curl.stdout.readexactly(len(EVENT)) == EVENT
        await gateway.stop()
        rest, _ = await curl.communicate()
    assert curl.returncode == 18
    assert rest.startswith(b"retry: 1000\nevent: error\ndata: ")
    assert b'"code":"shutting_down"' in rest
    [record] = gateway.records()
    assert (record["outcome"], record["code"], record["status"]) == ("cut", "shutting_down", 200)


@pytest.mark.parametrize("window", ["head", "silent", "streaming"])
async def test_a_client_that_hangs_up_takes_its_call_along_within_a_second(
    window: str, gateway: Served, agent: Agent
) -> None:
    url = URL(gateway.url)
    assert url.host is not None
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection(url.host, url.port)
        line = f"GET /agents/assistant/{window} HTTP/1.1\r\nHost: x\r\nX-API-Key: {gateway.key}\r\n\r\n"
        writer.write(line.encode())
        await agent.reached.wait()
        if window != "head":
            await reader.readuntil(EVENT)
        writer.close()
        async with asyncio.timeout(WITHIN_SECONDS):
            await agent.left.wait()
        while not gateway.records():
            await asyncio.sleep(0.01)
    assert gateway.records()[0]["outcome"] == "client_gone"
