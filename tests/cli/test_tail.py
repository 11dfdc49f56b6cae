"""``aiogate tail`` in a real terminal: a line for each exchange, also for those that end while it is cut off."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from aiogate.testing import RunningGateway, fake_agent, running_gateway
from tests.cli.terminal import terminal
from tests.configs import anonymous

SECONDS = 15


async def followed(gateway: RunningGateway, count: int = 1) -> None:
    """Return once so many follow the events."""
    async with asyncio.timeout(SECONDS):
        while gateway.gateway.house.events.followers < count:
            await asyncio.sleep(0.01)


async def call(client: aiohttp.ClientSession, gateway: RunningGateway, path: str) -> None:
    async with client.post(f"{gateway.url}/agents/{path}", data=b"{}") as response:
        await response.read()


def priced(url: str) -> dict[str, Any]:
    config = anonymous(url)
    config["pipeline"] = {"plugins": ["breaker", "cost"]}
    config["plugins"] = {"cost": {"published_prices": False, "price": [{"agent": "echo", "call_usd": 0.25}]}}
    return config


async def test_each_exchange_is_a_line_and_what_changes_too(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent() as agent, running_gateway(priced(agent.url), tmp_path) as gateway:
        async with terminal("tail", "--url", gateway.admin_url, columns=160) as screen:
            await followed(gateway)
            await call(client, gateway, "echo/x")
            await call(client, gateway, "nobody/x")
            await (await client.post(f"{gateway.admin_url}/api/breaker/echo/open?actor=me&reason=why")).release()
            await (await client.post(f"{gateway.admin_url}/api/reload")).release()
            await screen.until("unknown_agent", "echo: closed → held_open, by me: why", "generation 2 is in force")
            served = next(line for line in screen.lines if "/agents/echo/x" in line)
            assert "  200  anonymous → echo" in served
            assert "ms /" in served  # the first byte, before all of it
            assert served.endswith("$0.2500")
            assert b"\x1b[32m200" in screen.written


async def test_it_goes_on_where_it_was_cut_off(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        async with terminal("tail", "--url", gateway.admin_url, "-n", "3", columns=160) as screen:
            await followed(gateway)
            await call(client, gateway, "echo/first")
            await screen.until("/agents/echo/first")
            for connection in gateway.gateway._runners[0].server.connections:  # type: ignore[union-attr] # it listens
                connection.transport.abort()
            await call(client, gateway, "echo/meanwhile")
            await screen.until("/agents/echo/meanwhile", "trying again")
            await call(client, gateway, "echo/last")
            await screen.until("/agents/echo/last")
            assert await screen.ended() == 0
            assert [line.split("/agents/echo/")[1].split()[0] for line in screen.lines if "/agents/echo/" in line] == [
                "first",
                "meanwhile",
                "last",
            ]


async def test_scripts_get_json_of_what_they_ask_for(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        command = [sys.executable, "-c", "from aiogate.cli import main; main()", "tail", "--refused", "--json"]
        pipe = subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, "-n", "1", "--url", gateway.admin_url, stdout=pipe)
        await followed(gateway)
        await call(client, gateway, "echo/x")
        await call(client, gateway, "nobody/x")
        async with asyncio.timeout(SECONDS):
            said, _ = await process.communicate()
        (line,) = map(orjson.loads, said.splitlines())
        assert (line["event"], line["code"], line["status"]) == ("refused", "unknown_agent", 404)
        assert process.returncode == 0


def test_where_nobody_answers_is_said_in_one_sentence() -> None:
    command = [sys.executable, "-c", "from aiogate.cli import main; main()", "tail", "--url", "http://127.0.0.1:1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("aiogate: no events from http://127.0.0.1:1: ")
