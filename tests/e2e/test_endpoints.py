"""One of an agent's two processes is killed amid its callers and comes back: none of them notices."""

import asyncio
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.e2e.conftest import KEY, config, serving

SECONDS = 30
CALLERS = 8
AGENT = """
import sys
from aiohttp import web

async def answer(request):
    return web.Response(text=sys.argv[1])

app = web.Application()
app.router.add_route("*", "/{path:.*}", answer)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""


@asynccontextmanager
async def agent_at(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", AGENT, str(port))
    try:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                break
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


class Callers:
    """Call one after the other, without end; ``served`` counts by agent, ``wrong`` holds what was no answer of one."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}/agents/assistant/x"
        self.served: Counter[str] = Counter()
        self.wrong: list[tuple[int, str]] = []

    async def call(self, session: aiohttp.ClientSession) -> None:
        while True:
            async with session.get(self.url) as response:
                text = await response.text()
                if response.status == 200:
                    self.served[text] += 1
                else:
                    self.wrong.append((response.status, text))

    async def until(self, count: int, *agents: str) -> None:
        """Wait until each of these agents has answered so many more times."""
        before = self.served.copy()
        while not all(self.served[agent] - before[agent] >= count for agent in agents):
            await asyncio.sleep(0.01)


async def test_an_agent_that_is_killed_and_comes_back_costs_no_caller_anything(tmp_path: Path) -> None:
    one, other = free_port(), free_port()
    wanted = config("http://unused")
    wanted["pipeline"]["plugins"].insert(1, "breaker")
    wanted["agents"]["assistant"] = {
        "urls": [f"http://127.0.0.1:{port}" for port in (one, other)],
        "health": {"interval": "200ms"},
        "retry": {"on": ["connect", "reset", "503"]},
    }
    async with asyncio.timeout(SECONDS), agent_at(other), serving(wanted, tmp_path) as gateway:
        callers = Callers(gateway.url)
        async with aiohttp.ClientSession(headers={"X-API-Key": KEY}) as session, asyncio.TaskGroup() as group:
            async with agent_at(one) as process:
                tasks = [group.create_task(callers.call(session)) for _ in range(CALLERS)]
                await callers.until(100, str(one), str(other))
                process.kill()
                await process.wait()
            await callers.until(200, str(other))
            async with agent_at(one):
                await callers.until(100, str(one), str(other))
                for task in tasks:
                    task.cancel()
        assert callers.wrong == []
    retried = [record for record in gateway.records() if len(record.get("attempts", ())) > 1]
    assert 1 <= len(retried) <= 0.2 * sum(callers.served.values())
    assert {record["attempts"][-1]["ended"] for record in retried if record["outcome"] == "completed"} == {200}
