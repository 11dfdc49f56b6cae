"""``aiogate kill`` as an operator types it, on a gateway in a process of its own: open streams end within a second.

``AIOGATE_KILL_STREAMS=1000`` opens so many.
"""

import asyncio
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.e2e.conftest import KEY, Served, config, serving
from tests.state.redis_server import redis_server

_log = logging.getLogger(__name__)
STREAMS = int(os.environ.get("AIOGATE_KILL_STREAMS", "100"))
OTHERS = 5
SECONDS = 60
WITHIN_SECONDS = 1.0
EVENT = b'data: {"choices":[{"delta":{"content":"word"}}]}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = orjson.dumps({"model": "demo-1", "stream": True, "messages": [{"role": "user", "content": "hello"}]})


@asynccontextmanager
async def endless_agent() -> AsyncIterator[str]:
    """Run an agent that sends an event to every caller each half second, and never ends."""
    open_streams: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            await reader.readexactly(length)
            open_streams.add(writer)
            writer.write(HEAD + b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
            while not writer.is_closing() and await reader.read(1024):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            open_streams.discard(writer)
            writer.close()

    async def talk() -> None:
        while True:
            await asyncio.sleep(0.5)
            for writer in tuple(open_streams):
                writer.write(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    talking = asyncio.create_task(talk())
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        talking.cancel()
        server.close()
        for writer in tuple(open_streams):
            writer.transport.abort()


class Client:
    """One caller that reads a stream to its end, and notes when that was and what came last."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.said = b""
        self.ended_at = 0.0

    @classmethod
    async def of(cls, served: Served, agent: str) -> "Client":
        host, _, port = served.url.removeprefix("http://").partition(":")
        client = cls(*await asyncio.open_connection(host, int(port)))
        client.writer.write(
            f"POST /agents/{agent}/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
            + BODY
        )
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head + await client.reader.read(1000)
        await client.reader.readuntil(EVENT)
        return client

    async def read(self) -> None:
        try:
            while chunk := await self.reader.read(65536):
                self.said = (self.said + chunk)[-1000:]
        except ConnectionError:
            pass
        self.ended_at = time.monotonic()

    def close(self) -> None:
        self.writer.transport.abort()


def with_budget(agent_url: str, workers: int = 1, **more: Any) -> dict[str, Any]:
    wanted = {**config(agent_url), **more}
    wanted["server"]["workers"] = workers
    wanted["server"]["max_exchanges_per_principal"] = 5000
    wanted["pipeline"]["plugins"] = ["api_keys", "roles", "budgets", "cost"]
    wanted["agents"] = {name: {"url": agent_url, "cost_center": "data"} for name in ("doomed", "spared")}
    wanted["plugins"]["budgets"] = {"budget": [{"name": "team", "usd": 1000, "period": "day"}]}
    wanted["plugins"]["cost"]["price"] = wanted["plugins"]["cost"]["price"][:1]
    return wanted


async def typed(served: Served, *arguments: str) -> tuple[int, Any]:
    """Run a command in a process of its own, as a person does."""
    command = [sys.executable, "-c", "from aiogate.cli import main; main()", *arguments, "--json"]
    environ = {**os.environ, "AIOGATE_ADMIN_URL": served.operators}
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=environ)
    said, _ = await process.communicate()
    return process.returncode or 0, orjson.loads(said)


async def held(served: Served) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{served.operators}/api/budgets") as response:
        return sum(budget["held"] for budget in await response.json())


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def of_workers(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Return what the config has more where there are several workers, which share a Redis."""
    if request.param == 1:
        yield {}
        return
    pytest.importorskip("gunicorn", reason="gunicorn is not installed: there are no workers without it")
    with redis_server() as server:
        yield {"workers": request.param, "state": {"url": server.url, "timeout_seconds": 5.0}}


async def test_a_kill_ends_all_streams_of_an_agent_within_a_second(of_workers: dict[str, Any], tmp_path: Path) -> None:
    async with (
        asyncio.timeout(SECONDS),
        endless_agent() as url,
        serving(with_budget(url, **of_workers), tmp_path, SECONDS) as served,
    ):
        doomed: list[Client] = []
        for begin in range(0, STREAMS, 100):
            some = min(100, STREAMS - begin)
            doomed += await asyncio.gather(*(Client.of(served, "doomed") for _ in range(some)))
        spared = [await Client.of(served, "spared") for _ in range(OTHERS)]
        reading = [asyncio.create_task(client.read()) for client in (*doomed, *spared)]
        assert await held(served) > 0
        began = time.monotonic()
        code, done = await typed(served, "kill", "--agent", "doomed", "--for", "10m", "--reason", "it loops")
        typed_at = time.monotonic()
        await asyncio.wait(reading[:STREAMS])
        assert (code, done["cut"], done["everywhere"], done["journaled"]) == (0, STREAMS, True, True)
        first, last = (edge(client.ended_at for client in doomed) for edge in (min, max))
        ends_at = first - began, last - began, typed_at - began
        _log.info("%d streams: from %.3f to %.3f s after the command began, which took %.3f s", STREAMS, *ends_at)
        assert last - first < WITHIN_SECONDS
        assert last - typed_at < WITHIN_SECONDS
        for client in doomed:
            assert b'"code":"agent_killed"' in client.said
            assert b"it loops." in client.said
            assert not client.said.endswith(b"0\r\n\r\n")
        assert not any(client.ended_at for client in spared)
        for client in spared:
            client.close()
        while await held(served):
            await asyncio.sleep(0.05)
        ends = Counter(
            (record["agent"], record["outcome"], record["code"]) for record in served.records() if "kind" not in record
        )
        assert ends["doomed", "cut", "agent_killed"] == STREAMS
        assert sum(ends.values()) == STREAMS + OTHERS
        assert [record["action"] for record in served.records() if "kind" in record] == ["kill"]
        for client in doomed:
            client.close()
