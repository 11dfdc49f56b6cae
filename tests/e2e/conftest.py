"""``aiogate serve`` as a process, in front of an agent that each module brings as its fixture ``agent_url``."""

import asyncio
import hashlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import orjson
import pytest
import tomli_w

SECONDS = 10
START_SECONDS = 30
KEY = "agk_test_" + "5eed" * 16
CALL_NANOUSD = 1_000_000

RunApp = Callable[[Callable[[str], Any]], AbstractAsyncContextManager[str]]


@attrs.define
class Served:
    """A gateway in a process of its own. ``url`` is where clients call; ``key`` is alice's, who has agent_user."""

    url: str
    journal: Path
    process: asyncio.subprocess.Process
    key: str = KEY
    operators: str = ""
    """Where they call."""

    def records(self) -> list[dict[str, Any]]:
        """Return what the journal holds now, oldest first."""
        segments = sorted(self.journal.glob("*.jsonl"))
        return [orjson.loads(line) for segment in segments for line in segment.read_bytes().splitlines()]

    async def stop(self) -> None:
        """End the gateway as an operator does; it leaves in good order and has had nothing to complain about."""
        if self.process.returncode is None:
            self.process.terminate()
            _, said = await self.process.communicate()
            assert self.process.returncode == 0, said.decode()
            assert b"Traceback" not in said, said.decode()


def config(agent_url: str) -> dict[str, Any]:
    """One agent by three names: alice may call ``assistant`` and, once a minute, ``scarce``; never ``restricted``."""
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    key = {"id": "test", "sha256": digest, "principal": "alice", "roles": ["agent_user"]}
    return {
        "server": {"listen": "127.0.0.1:0", "access_log": "off", "grace_seconds": 2},
        "admin": {"listen": "127.0.0.1:0"},
        "journal": {"dir": "journal"},
        "pipeline": {"plugins": ["api_keys", "roles", "limits", "cost"]},
        "agents": {
            "assistant": {"url": agent_url, "required_role": "agent_user", "rate_limit": "100/minute"},
            "restricted": {"url": agent_url, "required_role": "analyst"},
            "scarce": {"url": agent_url, "required_role": "agent_user", "rate_limit": "1/minute"},
        },
        "plugins": {
            "api_keys": {"keys": [key]},
            "cost": {
                "published_prices": False,  # they take their memory while a test looks at the gateway's
                "price": [
                    {"model": "demo-1", "input_usd_per_million": 0.15, "output_usd_per_million": 0.6},
                    {"agent": "assistant", "call_usd": CALL_NANOUSD / 10**9},
                ],
            },
        },
    }


async def clients_url(stderr: asyncio.StreamReader) -> str:
    """Return the address that the gateway's start-up lines give to clients."""
    said = []
    async for line in stderr:
        said.append(line.decode())
        match line.split():
            case [b"clients", address]:
                return address.decode().removesuffix("/agents/{id}/...")
    raise AssertionError("the gateway did not start:\n" + "".join(said))


@pytest.fixture
async def gateway(agent_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(config(agent_url), tmp_path) as served:
        yield served


@asynccontextmanager
async def serving(wanted: dict[str, Any], folder: Path, seconds: float = START_SECONDS) -> AsyncIterator[Served]:
    """Run ``aiogate serve`` with a config whose journal is in ``journal``."""
    path = folder / "gateway.toml"
    path.write_text(tomli_w.dumps(wanted))
    async with served_by(folder, "serve", str(path), seconds=seconds) as served:
        yield served


@asynccontextmanager
async def served_by(
    folder: Path, *arguments: str, seconds: float = START_SECONDS, **environ: str
) -> AsyncIterator[Served]:
    """Run ``aiogate`` in a folder, where its config has the journal in ``journal``."""
    command = [sys.executable, "-c", "from aiogate.cli import main; main()", *arguments]
    pipe, nowhere = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *command, stdout=nowhere, stderr=pipe, cwd=folder, env={**os.environ, **environ}
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(seconds):
            served = Served(await clients_url(process.stderr), folder / "journal", process)
            served.operators = (await process.stderr.readline()).decode().split()[1].removesuffix("/metrics")
            await is_ready(served.url)
        yield served
        async with asyncio.timeout(seconds):
            await served.stop()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def is_ready(url: str) -> None:
    """Return once ``/readyz`` says so."""
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{url}/readyz") as response:
                if response.status == 200:
                    return


@pytest.fixture(autouse=True)
def no_proxy_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def run_app() -> RunApp:
    """Run the ASGI application that is made for a ``host:port``, by uvicorn in the test's own loop."""
    uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed: no agent of a foreign SDK can be run")

    @asynccontextmanager
    async def run(make_app: Callable[[str], Any]) -> AsyncIterator[str]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = "{}:{}".format(*listener.getsockname())
            settings = uvicorn.Config(make_app(address), log_config=None, ws="none", timeout_graceful_shutdown=1)
            server = uvicorn.Server(settings)
            serving = asyncio.create_task(server.serve([listener]))
            while not (server.started or serving.done()):
                await asyncio.sleep(0)
            yield f"http://{address}"
            server.should_exit = True
            await serving

    return run
