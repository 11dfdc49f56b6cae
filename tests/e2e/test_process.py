"""``aiogate serve`` as a process: killed, drained, started with a config that is wrong."""

import asyncio
import itertools
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import orjson
import pytest
from aiohttp import web

from aiogate.testing import fake_agent
from tests.e2e.conftest import KEY, SECONDS, Served

COMMAND = [sys.executable, "-c", "from aiogate.cli import main; main()"]
CALLERS = 8


class Agent:
    """Answers at once, or streams a few chunks; ``hold`` keeps a stream open until the test lets go."""

    def __init__(self) -> None:
        self.hold = asyncio.Event()
        self.started = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.raw_path == "/call":
            return web.Response(body=b'{"answer": 1}', content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(5):
            await response.write(b"data: x\n\n")
            await asyncio.sleep(0)
        self.started.set()
        if request.raw_path == "/held":
            await self.hold.wait()
            await response.write(b"data: end\n\n")
        return response


@pytest.fixture
def agent() -> Agent:
    return Agent()


@pytest.fixture
async def agent_url(agent: Agent) -> AsyncIterator[str]:
    async with fake_agent(agent) as running:
        yield running.url


@pytest.mark.parametrize("run", range(20))
async def test_what_a_client_has_seen_end_is_in_the_journal_after_kill_9(run: int, gateway: Served) -> None:
    """The kill comes after a number of finished answers that differs from run to run, amid eight busy callers."""
    finished: list[str] = []
    enough = asyncio.Event()

    async def call(session: aiohttp.ClientSession) -> None:
        for path in itertools.cycle(("call", "stream")):
            async with session.get(f"{gateway.url}/agents/assistant/{path}") as response:
                await response.read()
                if response.status in {200, 429}:
                    finished.append(response.headers["X-Request-Id"])
            if len(finished) >= 20 + 7 * run:
                enough.set()

    headers = {"X-API-Key": KEY}
    async with aiohttp.ClientSession(headers=headers) as session, asyncio.timeout(SECONDS):
        callers = [asyncio.create_task(call(session)) for _ in range(CALLERS)]
        await enough.wait()
        gateway.process.kill()
        await gateway.process.wait()
        for ended in await asyncio.gather(*callers, return_exceptions=True):
            assert isinstance(ended, aiohttp.ClientError)
    lines = b"".join(segment.read_bytes() for segment in gateway.journal.glob("*.jsonl")).splitlines()
    recorded = [orjson.loads(line)["request_id"] for line in lines]
    assert set(finished) <= set(recorded)
    assert len(recorded) == len(set(recorded))


async def test_sigterm_lets_an_open_stream_end_and_takes_no_new_call(gateway: Served, agent: Agent) -> None:
    async with aiohttp.ClientSession(headers={"X-API-Key": KEY}) as session, asyncio.timeout(SECONDS):
        async with session.get(f"{gateway.url}/agents/assistant/held") as response:
            await agent.started.wait()
            gateway.process.terminate()
            await until_refused(gateway.url)
            agent.hold.set()
            assert (await response.read()).endswith(b"data: end\n\n")
        await gateway.process.wait()
    [record] = gateway.records()
    assert record["outcome"] == "completed"


async def test_what_the_drain_cannot_wait_for_is_cut_and_recorded(gateway: Served, agent: Agent) -> None:
    async with aiohttp.ClientSession(headers={"X-API-Key": KEY}) as session, asyncio.timeout(SECONDS):
        async with session.get(f"{gateway.url}/agents/assistant/held") as response:
            await agent.started.wait()
            gateway.process.terminate()
            await until_refused(gateway.url)
            gateway.process.terminate()
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        await gateway.process.wait()
    [record] = gateway.records()
    assert record["outcome"] == "cut"


async def until_refused(url: str) -> None:
    """Return once the gateway's listener is closed."""
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{url}/readyz"):
                    pass
            except aiohttp.ClientConnectorError:
                return


def test_a_config_that_is_wrong_says_all_of_it_and_exits_with_78(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('[server]\nlisten = 1\nport = 2\n[agents.a]\nurl = "ftp://x"\nrate_limit = "1 per min"\n')
    for command in (["serve", str(path)], ["check", str(path)]):
        done = subprocess.run([*COMMAND, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 78
        assert "Traceback" not in done.stderr
        for place in ("server.listen", "server.port", "agents.a.url", "agents.a.rate_limit", "pipeline.plugins"):
            assert place in done.stderr


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        path.write_text(
            f'[server]\nlisten = "{listen}"\nanonymous = true\n[admin]\nlisten = "127.0.0.1:0"\n'
            '[agents.a]\nurl = "http://127.0.0.1:9"\n'
        )
        done = subprocess.run([*COMMAND, "serve", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"aiogate: cannot listen on {listen}:")
    assert "Traceback" not in done.stderr
