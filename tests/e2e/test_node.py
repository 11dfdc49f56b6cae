"""Node: the clients of OpenAI, Anthropic, A2A and MCP as npm has them.

They are looked for where ``AIOGATE_NODE_MODULES`` says, else in ``node_modules`` beside the README:
``npm install openai @anthropic-ai/sdk @a2a-js/sdk @modelcontextprotocol/sdk``.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

pytest.importorskip("a2a", reason="a2a-sdk is not installed: there is no agent for A2A's own client in Node")
pytest.importorskip("mcp", reason="mcp is not installed: there is no server for MCP's own client in Node")

from starlette.applications import Starlette

from aiogate import Clock
from aiogate.builtin.demo_agent import DemoAgent
from tests.e2e import test_a2a, test_mcp
from tests.e2e.conftest import RunApp, Served, config, serving

SECONDS = 30
SCRIPTS = Path(__file__).parent / "node"
MODULES = Path(os.environ.get("AIOGATE_NODE_MODULES", Path(__file__).parents[2] / "node_modules"))
NODE = shutil.which("node")


def needs(package: str) -> pytest.MarkDecorator:
    missing = NODE is None or not (MODULES / package / "package.json").exists()
    return pytest.mark.skipif(
        missing, reason=f"no node with {package}: nothing shows that it works through the gateway"
    )


@asynccontextmanager
async def behind(url: str, folder: Path, **agent: Any) -> AsyncIterator[Served]:
    wanted = config(url)
    for each in wanted["agents"].values():
        each.update(agent)
    async with serving(wanted, folder) as served:
        yield served


async def run(script: str, gateway: Served, folder: Path) -> Any:
    """Run a script beside the packages that it imports; return what it reports."""
    shutil.copytree(SCRIPTS, folder / "scripts")
    (folder / "scripts" / "node_modules").symlink_to(MODULES)
    environ = {**os.environ, "GATEWAY_URL": gateway.url, "GATEWAY_KEY": gateway.key}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        str(NODE), str(folder / "scripts" / script), stdout=pipe, stderr=pipe, env=environ
    )
    try:
        async with asyncio.timeout(SECONDS):
            said, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, complaints.decode()
    return orjson.loads(said)


@pytest.fixture
async def demo() -> AsyncIterator[str]:
    runner = web.AppRunner(DemoAgent(Clock()).application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@needs("openai")
async def test_openai_client(demo: str, tmp_path: Path) -> None:
    async with behind(demo, tmp_path) as gateway:
        said = await run("openai.mjs", gateway, tmp_path)
    assert said["told"] == "You said: tell me a story"
    assert said["errors"] == {
        "restricted": ["PermissionDeniedError", 403, "role_required", True, False],
        "scarce": ["RateLimitError", 429, "rate_limited", True, True],
    }


@needs("@anthropic-ai/sdk")
async def test_anthropic_client(demo: str, tmp_path: Path) -> None:
    async with behind(demo, tmp_path) as gateway:
        said = await run("anthropic.mjs", gateway, tmp_path)
    refused = ["PermissionDeniedError", 403, "permission_error"]
    assert said == {"apiKey": refused, "authToken": refused}
    assert {record["principal"] for record in gateway.records()} == {"alice"}


@needs("@a2a-js/sdk")
@pytest.mark.parametrize("version", ["1.0", "0.3"])
async def test_a2a_client(version: str, run_app: RunApp, tmp_path: Path) -> None:
    agent = test_a2a.Storyteller()

    def app(address: str) -> Starlette:
        return test_a2a.application(agent, address, ("JSONRPC", version))

    async with run_app(app) as url, behind(url, tmp_path, protocol="a2a") as gateway:
        said = await run("a2a.mjs", gateway, tmp_path)
    assert "hello, node" in str(said)
    assert gateway.key not in str(agent.headers)
    assert gateway.records()[-1]["call"]["method"] == "SendMessage"


@needs("@modelcontextprotocol/sdk")
async def test_mcp_client(run_app: RunApp, tmp_path: Path) -> None:
    async with run_app(test_mcp.application) as url, behind(url, tmp_path, protocol="mcp") as gateway:
        said = await run("mcp.mjs", gateway, tmp_path)
    assert said["sum"] == "5"
    assert (said["failed"], said["session"]) == (True, True)
    assert "add" in said["tools"]
