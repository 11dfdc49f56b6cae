"""MCP: a server and a client, both by mcp's own classes over streamable HTTP, with the gateway between them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("mcp", reason="mcp is not installed: nothing here shows that MCP works through the gateway")

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette

from tests.e2e.conftest import CALL_NANOUSD, SECONDS, RunApp, Served


def server() -> MCPServer:
    calculator = MCPServer("calculator")

    @calculator.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @calculator.tool()
    def headers(context: Context) -> dict[str, str]:
        """Tell with which headers the call came."""
        return dict(context.headers or {})

    return calculator


@pytest.fixture
async def agent_url(run_app: RunApp) -> AsyncIterator[str]:
    def app(address: str) -> Starlette:
        # as it is deployed: only its own name is served, whatever name the client called the gateway by
        security = TransportSecuritySettings(allowed_hosts=[address], allowed_origins=[])
        return server().streamable_http_app(transport_security=security)

    async with run_app(app) as url:
        yield url


@asynccontextmanager
async def calling(gateway: Served, mode: str, *, agent: str = "assistant") -> AsyncIterator[Client]:
    async with asyncio.timeout(SECONDS), httpx2.AsyncClient(headers={"X-API-Key": gateway.key}) as http:
        transport = streamable_http_client(f"{gateway.url}/agents/{agent}/mcp", http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


@pytest.mark.parametrize(
    "mode, calls",
    [
        # initialize, notifications/initialized, tools/list, tools/call, and the end of the session
        ("legacy", [("POST", 200), ("POST", 202), ("POST", 200), ("POST", 200), ("DELETE", 200)]),
        # server/discover, tools/list, tools/call: since 2026-07-28 there is no session
        ("auto", [("POST", 200), ("POST", 200), ("POST", 200)]),
    ],
)
async def test_a_tool_is_found_and_called(gateway: Served, mode: str, calls: list[tuple[str, int]]) -> None:
    async with calling(gateway, mode) as client:
        listed = await client.list_tools()
        assert [tool.name for tool in listed.tools] == ["add", "headers"]
        answer = await client.call_tool("add", {"a": 2, "b": 40})
        assert (answer.is_error, answer.structured_content) == (False, {"result": 42})
    await gateway.stop()
    records = gateway.records()
    assert {(record["principal"], record["agent"]) for record in records} == {("alice", "assistant")}
    # the stream that a client may GET for the length of a session ends when client and server happen to leave it
    answered = [record for record in records if record["method"] != "GET"]
    assert [(record["method"], record["status"]) for record in answered] == calls
    assert {record["outcome"] for record in answered} == {"completed"}
    assert {record["usage"]["source"] for record in answered} == {"flat"}
    assert {record["cost_nanousd"] for record in answered} == {CALL_NANOUSD}


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_tool_learns_who_calls_but_not_the_key(gateway: Served, mode: str) -> None:
    async with calling(gateway, mode) as client:
        answer = await client.call_tool("headers", {})
    seen = answer.structured_content
    assert (seen["x-user-id"], seen["x-user-roles"]) == ("alice", "agent_user")
    assert "x-api-key" not in seen
    assert gateway.key not in str(seen)
    ids = [record["request_id"] for record in gateway.records()]
    assert seen["x-request-id"] in ids


async def test_a_caller_without_the_role_gets_no_session(gateway: Served) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with calling(gateway, "legacy", agent="restricted"):
            pass
    assert caught.group_contains(MCPError)
    [record] = gateway.records()
    assert (record["principal"], record["status"], record["code"]) == ("alice", 403, "role_required")
    assert record["outcome"] == "refused"
