"""Restarts behind a socket that somebody else holds open: whoever calls meanwhile waits, and is served.

``AIOGATE_RESTARTS=20`` makes so many.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import attrs
import orjson
import tomli_w

from aiogate.testing import fake_agent
from tests.configs import anonymous
from tests.e2e.conftest import clients_url

RESTARTS = int(os.environ.get("AIOGATE_RESTARTS", "2"))
CALLERS = 8
SECONDS = 10 * (RESTARTS + 1)
FD = 3
COMMAND = f'exec {FD}<&"$0"; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'


@asynccontextmanager
async def supervised(path: Path, listening: socket.socket, notify: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the gateway as a supervisor would, and stop it as one would."""
    descriptor = listening.fileno()
    gateway = [sys.executable, "-c", "from aiogate.cli import main; main()", "serve", str(path)]
    process = await asyncio.create_subprocess_exec(
        *["bash", "-c", COMMAND, str(descriptor), *gateway],
        pass_fds=[descriptor],
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "NOTIFY_SOCKET": notify, "WATCHDOG_USEC": "30000000"},
    )
    assert process.stderr is not None
    try:
        await clients_url(process.stderr)
        yield process
        process.terminate()
        _, said = await process.communicate()
        assert process.returncode == 0, said.decode()
        assert b"Traceback" not in said, said.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@attrs.define
class Callers:
    """Call over a connection of their own each time, until they are told to stop."""

    url: str
    stop: bool = False
    served: list[str] = attrs.field(factory=list)
    calls: int = 0

    async def call(self) -> None:
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            while not self.stop:
                self.calls += 1
                async with session.post(f"{self.url}/agents/echo/x", data=b"hi") as response:
                    assert response.status == 200, await response.text()
                    await response.read()
                    self.served.append(response.headers["X-Request-Id"])


async def test_a_restart_refuses_no_connection(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    with (
        socket.create_server(("127.0.0.1", 0), backlog=128) as listening,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line,
    ):
        line.setblocking(False)
        line.bind(str(tmp_path / "notify"))
        callers = Callers("http://{}:{}".format(*listening.getsockname()))
        async with fake_agent() as agent, asyncio.timeout(SECONDS):
            config = anonymous(agent.url)
            config["server"] |= {"access_log": "off"}
            config |= {"admin": {"listen": "127.0.0.1:0"}, "journal": {"dir": "journal"}}
            path.write_text(tomli_w.dumps(config))
            calling = [asyncio.create_task(callers.call()) for _ in range(CALLERS)]
            for _ in range(RESTARTS + 1):
                async with supervised(path, listening, str(tmp_path / "notify")):
                    await told(line, "READY=1")
                    await told(line, "WATCHDOG=1")
                    enough = len(callers.served) + 100
                    while len(callers.served) < enough and not any(task.done() for task in calling):
                        await asyncio.sleep(0)
                    if len(callers.served) >= 100 * (RESTARTS + 1):
                        callers.stop = True
                        await asyncio.gather(*calling)
                await told(line, "STOPPING=1")
        await asyncio.gather(*calling)
    segments = (tmp_path / "journal").glob("*.jsonl")
    records = [orjson.loads(one) for segment in segments for one in segment.read_bytes().splitlines()]
    assert {record["request_id"] for record in records} == set(callers.served)
    assert len(records) == len(callers.served) == callers.calls
    sys.stderr.write(f"{RESTARTS} restarts, {callers.calls} connections, none refused\n")


async def told(line: socket.socket, what: str) -> None:
    """Return when the gateway has told its supervisor so; it feeds the watchdog whenever it is time."""
    while not (said := await asyncio.get_running_loop().sock_recv(line, 4096)).startswith(what.encode()):
        assert said == b"WATCHDOG=1"
