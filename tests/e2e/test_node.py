"""Node's clients, openai, @modelcontextprotocol/sdk and @a2a-js/sdk, through the gateway; each knows its address alone.

Where node is there, and ``AIOGATE_NODE_MODULES`` names a folder in which these were installed:
``npm install openai @modelcontextprotocol/sdk @a2a-js/sdk``.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

pytest.importorskip("a2a", reason="a2a-sdk is not installed: there is no agent for Node's client")
pytest.importorskip("mcp", reason="mcp is not installed: there is no server for Node's client")

from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore
from mcp.server.mcpserver import MCPServer
from starlette.applications import Starlette

from tests.e2e.conftest import RunApp, Served, config, serving
from tests.e2e.test_a2a import Storyteller, card

NODE = shutil.which("node")
MODULES = os.environ.get("AIOGATE_NODE_MODULES", "")
SECONDS = 30
pytestmark = pytest.mark.skipif(
    NODE is None or not MODULES, reason="no node, or no AIOGATE_NODE_MODULES: nothing shows that Node's clients work"
)

OPENAI = """
import OpenAI from "openai";
try {
    await new OpenAI({ baseURL: `${url}/agents/nobody/v1`, apiKey: key, maxRetries: 0 }).models.list();
} catch (error) { tell([error.constructor.name, error.status, error.code, error.requestID]); }
"""
MCP = """
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
const requestInit = { headers: { Authorization: `Bearer ${key}` } };
const client = new Client({ name: "test", version: "1" });
await client.connect(new StreamableHTTPClientTransport(new URL(`${url}/agents/tools/mcp`), { requestInit }));
const answer = await client.callTool({ name: "add", arguments: { a: 2, b: 40 } });
await client.close();
tell(answer.structuredContent.result);
"""
A2A = """
import { ClientFactory, ClientFactoryOptions, DefaultAgentCardResolver, JsonRpcTransportFactory, RestTransportFactory }
    from "@a2a-js/sdk/client";
const fetchImpl = (address, init = {}) => {
    const headers = new Headers(init.headers ?? {});
    headers.set("Authorization", `Bearer ${key}`);
    return fetch(address, { ...init, headers });
};
const client = await new ClientFactory(ClientFactoryOptions.createFrom(ClientFactoryOptions.default, {
    cardResolver: new DefaultAgentCardResolver({ fetchImpl }),
    transports: [new JsonRpcTransportFactory({ fetchImpl }), new RestTransportFactory({ fetchImpl })],
})).createFromUrl(`${url}/agents/travel/`);
const part = { content: { $case: "text", value: "node" }, metadata: {}, filename: "", mediaType: "" };
const ids = { contextId: "", taskId: "", extensions: [], referenceTaskIds: [] };
const said = { messageId: "1", role: 1, parts: [part], ...ids };
const card = await client.getAgentCard();
const answer = await client.sendMessage({ message: { ...said, metadata: {} }, tenant: "", metadata: {} });
tell([card.supportedInterfaces.map((one) => one.url), answer.parts[0].content.value]);
"""


@pytest.fixture
async def agents(run_app: RunApp) -> AsyncIterator[dict[str, Any]]:
    def travel(address: str) -> Starlette:
        mine = card(address, ("JSONRPC", "1.0"))
        handler = DefaultRequestHandler(Storyteller(), InMemoryTaskStore(), mine, extended_agent_card=mine)
        return Starlette(routes=[*create_agent_card_routes(mine), *create_jsonrpc_routes(handler, "/")])

    def tools(_: str) -> Starlette:
        calculator = MCPServer("calculator")

        @calculator.tool()
        def add(a: int, b: int) -> int:
            """Add two numbers."""
            return a + b

        return calculator.streamable_http_app()

    async with run_app(travel) as travels, run_app(tools) as adds:
        yield {"travel": {"url": travels, "protocol": "a2a"}, "tools": {"url": adds, "protocol": "mcp"}}


def written(script: str, folder: Path) -> Path:
    """Write a script where node finds the packages."""
    (folder / "node_modules").symlink_to(Path(MODULES).resolve())
    head = "const [url, key] = process.argv.slice(2);\nconst tell = (what) => console.log(JSON.stringify(what));\n"
    path = folder / "script.mjs"
    path.write_text(head + script)
    return path


async def told(script: str, gateway: Served, folder: Path) -> Any:
    """Run a script of Node's, and return what it tells."""
    path = written(script, folder)
    assert NODE is not None
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        NODE, str(path), gateway.url, gateway.key, stdout=pipe, stderr=pipe, cwd=folder
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


@pytest.mark.parametrize("script", [OPENAI, MCP, A2A], ids=["openai", "mcp", "a2a"])
async def test_nodes_clients_need_the_gateways_address_alone(
    script: str, agents: dict[str, Any], tmp_path: Path
) -> None:
    wanted = {**config("http://127.0.0.1:1"), "agents": agents}
    async with serving(wanted, tmp_path) as gateway:
        said = await told(script, gateway, tmp_path)
        records = gateway.records()
        expected: dict[str, Any] = {
            OPENAI: ["NotFoundError", 404, "unknown_agent", records[0]["request_id"]],
            MCP: 42,
            A2A: [[f"{gateway.url}/agents/travel/"], "hello, node"],
        }
        assert said == expected[script]
    assert {record["principal"] for record in records} == {"alice"}
