"""MCP: a server and a client, both by mcp's own classes, with the gateway between them: both eras, and HTTP+SSE."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="mcp is not installed: nothing here shows that MCP works through the gateway")

import httpx2
from mcp import Client, MCPError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette

from tests.e2e.conftest import CALL_NANOUSD, SECONDS, RunApp, Served, config, serving


def server() -> MCPServer:
    calculator = MCPServer("calculator")

    @calculator.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @calculator.tool()
    def fail() -> int:
        """Fail."""
        msg = "as it was asked to"
        raise ValueError(msg)

    @calculator.tool()
    def headers(context: Context) -> dict[str, str]:
        """Tell with which headers the call came."""
        return dict(context.headers or {})

    @calculator.tool()
    async def slow(context: Context) -> str:
        """Say that it has begun, and end when the test lets it."""
        await context.report_progress(1, 2)
        try:
            await SLOW["let"].wait()
        except BaseException:
            SLOW["cancelled"].set()
            raise
        SLOW["ended"].set()
        return "done"

    @calculator.tool()
    def secrets() -> str:
        """Tell what is nobody's business."""
        return "42"

    return calculator


SLOW: dict[str, asyncio.Event] = {}


class Events(EventStore):
    """Keeps the events of streams, so that a client that comes back gets what it has missed."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        self.kept.append((stream_id, message))
        return str(len(self.kept))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        stream_id, _ = self.kept[int(last_event_id) - 1]
        for number, (stream, message) in enumerate(self.kept, 1):
            if number > int(last_event_id) and stream == stream_id and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream_id


@pytest.fixture
async def gateway(agent_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    wanted = config(agent_url)
    for agent in wanted["agents"].values():
        agent["protocol"] = "mcp"
    wanted["plugins"]["policies"] = {"rule": [{"name": "no-secrets", "deny": 'mcp.tool == "secrets"'}]}
    wanted["pipeline"]["plugins"].insert(2, "policies")
    async with serving(wanted, tmp_path) as served:
        yield served


def application(address: str) -> Starlette:
    """The server, both by streamable HTTP and by HTTP+SSE."""
    # as it is deployed: only its own name is served, whatever name the client called the gateway by
    security = TransportSecuritySettings(allowed_hosts=[address], allowed_origins=[])
    app = server().streamable_http_app(transport_security=security, event_store=Events())
    app.router.routes += server().sse_app(transport_security=security).routes
    return app


@pytest.fixture
async def agent_url(run_app: RunApp) -> AsyncIterator[str]:
    async with run_app(application) as url:
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
        assert [tool.name for tool in listed.tools] == ["add", "fail", "headers", "slow", "secrets"]
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


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_call_is_journaled_by_its_tool_and_as_failed_where_it_is(gateway: Served, mode: str) -> None:
    async with calling(gateway, mode) as client:
        assert (await client.call_tool("fail", {})).is_error
        assert not (await client.call_tool("add", {"a": 1, "b": 2})).is_error
        with pytest.raises(MCPError):
            await client.call_tool("secrets", {})
    calls = [record["call"] for record in gateway.records() if record.get("call", {}).get("method") == "tools/call"]
    assert calls == [
        {"method": "tools/call", "tool": "fail", "failed": "isError"},
        {"method": "tools/call", "tool": "add"},
        {"method": "tools/call", "tool": "secrets"},
    ]
    [refused] = [record for record in gateway.records() if record["code"] == "policy_denied"]
    assert refused["rule"] == "no-secrets"


async def test_the_old_transport_works_by_its_endpoint_event(gateway: Served) -> None:
    headers = {"Authorization": f"Bearer {gateway.key}"}
    async with asyncio.timeout(SECONDS):
        transport = sse_client(f"{gateway.url}/agents/assistant/sse", headers=headers)
        async with Client(transport, mode="legacy") as client:
            answer = await client.call_tool("add", {"a": 2, "b": 40})
            assert answer.structured_content == {"result": 42}
    paths = {record["path"] for record in gateway.records()}
    assert "/agents/assistant/messages/" in paths


@pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
async def test_a_client_that_leaves_cancels_only_in_the_era_in_which_it_does(gateway: Served, era: str) -> None:
    SLOW.update({name: asyncio.Event() for name in ("let", "ended", "cancelled")})
    url, meta = f"{gateway.url}/agents/assistant/mcp", dict[str, Any](progressToken=1)
    headers = {"X-API-Key": gateway.key, "Accept": "application/json, text/event-stream"}
    async with asyncio.timeout(SECONDS), httpx2.AsyncClient(headers=headers) as http:
        if era == "legacy":
            params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
            said = await http.post(url, json={"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
            http.headers["Mcp-Session-Id"] = said.headers["Mcp-Session-Id"]
            http.headers["MCP-Protocol-Version"] = "2025-11-25"
            await http.post(url, json={"jsonrpc": "2.0", "method": "notifications/initialized"})
        else:
            http.headers |= {"MCP-Protocol-Version": era, "Mcp-Method": "tools/call", "Mcp-Name": "slow"}
            about = {
                "protocolVersion": era,
                "clientInfo": {"name": "t", "version": "1"},
                "clientCapabilities": {},
            }
            meta |= {f"io.modelcontextprotocol/{name}": value for name, value in about.items()}
        params = {"name": "slow", "arguments": {}, "_meta": meta}
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        seen = ""
        async with http.stream("POST", url, json=request) as stream:
            async for line in stream.aiter_lines():
                seen = line.removeprefix("id: ") if line.startswith("id: ") else seen
                if "notifications/progress" in line:
                    break
        if era == "legacy":
            SLOW["let"].set()
            await SLOW["ended"].wait()
            async with http.stream("GET", url, headers={"Last-Event-ID": seen}) as stream:
                async for line in stream.aiter_lines():
                    if "done" in line:
                        break
            assert not SLOW["cancelled"].is_set()
            assert (await http.delete(url)).status_code == 200
            assert (await http.post(url, json=request)).status_code == 404
        else:
            async with asyncio.timeout(1):
                await SLOW["cancelled"].wait()


async def test_a_caller_without_the_role_gets_no_session(gateway: Served) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with calling(gateway, "legacy", agent="restricted"):
            pass
    assert caught.group_contains(MCPError)
    [record] = gateway.records()
    assert (record["principal"], record["status"], record["code"]) == ("alice", 403, "role_required")
    assert record["outcome"] == "refused"
