"""Agents that speak MCP: sessions stay at their endpoint, rules name tools, the old transport's event is rewritten."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from aiogate.testing import RunningGateway, fake_agent, running_gateway


def call(tool: str, **more: Any) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool}, **more})


@asynccontextmanager
async def asked(url: str, method: str = "POST", **how: Any) -> AsyncIterator[aiohttp.ClientResponse]:
    async with aiohttp.ClientSession() as session, session.request(method, url, **how) as response:
        yield response


class Sessions:
    """A server that knows only the sessions which it has begun."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.known = set[str]()

    async def handle(self, request: web.Request) -> web.Response:
        session = request.headers.get("Mcp-Session-Id")
        if session is None:
            session = f"{self.name}-{len(self.known)}"
            self.known.add(session)
        if session not in self.known:
            return web.json_response({"jsonrpc": "2.0", "error": {"code": -32001}}, status=404)
        if request.method == "DELETE":
            self.known.discard(session)
        headers = {"Mcp-Session-Id": session}
        return web.Response(status=202 if request.method == "POST" else 200, text=self.name, headers=headers)


async def test_a_session_stays_with_the_endpoint_that_has_begun_it(tmp_path: Path) -> None:
    first, second = Sessions("first"), Sessions("second")
    async with fake_agent(first.handle) as one, fake_agent(second.handle) as two:
        agent = {"urls": [one.url, two.url], "protocol": "mcp"}
        config = {"server": {"anonymous": True}, "agents": {"tools": agent}}
        async with running_gateway(config, tmp_path) as gateway:
            url = f"{gateway.url}/agents/tools/mcp"
            sessions = []
            for _ in range(4):
                async with asked(url, data=b"{}") as response:
                    assert response.status == 202
                    sessions.append((response.headers["Mcp-Session-Id"], await response.text()))
            assert {name for _, name in sessions} == {"first", "second"}
            for session, name in sessions * 2:
                headers = {"Mcp-Session-Id": session}
                async with asked(url, "GET", headers=headers) as response:
                    assert (response.status, await response.text()) == (200, name)
                    assert response.headers["Mcp-Session-Id"] == session
            session, name = sessions[0]
            async with asked(url, "DELETE", headers={"Mcp-Session-Id": session}) as response:
                assert (response.status, await response.text()) == (200, name)
            for unknown in (session, "00000000.first-0", "nobody's"):
                async with asked(url, "GET", headers={"Mcp-Session-Id": unknown}) as response:
                    assert response.status == 404
    assert "Mcp-Session-Id" in one.seen[-1].headers
    assert all("." not in request.headers.get("Mcp-Session-Id", "") for request in (*one.seen[:4], *two.seen[:4]))


async def test_messages_of_the_old_transport_reach_the_endpoint_of_their_stream(tmp_path: Path) -> None:
    got = dict[str, list[str]](one=[], two=[])

    def server(name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            if request.method == "POST":
                got[name].append(request.query_string)
                return web.Response(status=202)
            event = f"event: endpoint\ndata: /messages?session_id={name}\n\n"
            return web.Response(text=event, content_type="text/event-stream")

        return handle

    async with fake_agent(server("one")) as one, fake_agent(server("two")) as two:
        agent = {"urls": [one.url, two.url], "protocol": "mcp"}
        async with running_gateway({"server": {"anonymous": True}, "agents": {"tools": agent}}, tmp_path) as gateway:
            for _ in range(4):
                accept = {"Accept": "text/event-stream"}
                async with asked(f"{gateway.url}/agents/tools/sse", "GET", headers=accept) as response:
                    path = (await response.text()).partition("data: ")[2].strip()
                for _ in range(3):
                    async with asked(gateway.url + path, data=b"{}") as response:
                        assert response.status == 202
    assert got == {name: [f"session_id={name}"] * 6 for name in got}


async def test_the_id_of_a_session_is_left_alone_where_there_is_one_endpoint(tmp_path: Path) -> None:
    server = Sessions("only")
    async with fake_agent(server.handle) as agent:
        config = {"server": {"anonymous": True}, "agents": {"tools": {"url": agent.url, "protocol": "mcp"}}}
        async with running_gateway(config, tmp_path) as gateway, asked(f"{gateway.url}/agents/tools/mcp") as response:
            assert response.headers["Mcp-Session-Id"] == "only-0"


@asynccontextmanager
async def tools(tmp_path: Path, answer: bytes = b"{}", **more: Any) -> AsyncIterator[RunningGateway]:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=answer, content_type="application/json")

    async with fake_agent(handle) as agent:
        config = {
            "server": {"anonymous": True},
            "agents": {"tools": {"url": agent.url, "protocol": "mcp"}, "plain": {"url": agent.url}},
            **more,
        }
        async with running_gateway(config, tmp_path) as gateway:
            yield gateway


async def status_of(gateway: RunningGateway, body: bytes, agent: str = "tools", **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with asked(f"{gateway.url}/agents/{agent}/mcp", data=body, headers=named) as response:
        return response.status


async def test_a_policy_names_a_tool(tmp_path: Path) -> None:
    rule = {"name": "no-shell", "deny": 'mcp.method == "tools/call" && mcp.tool.startsWith("shell")'}
    policies = {"policies": {"rule": [rule]}}
    async with tools(tmp_path, pipeline={"plugins": ["policies"]}, plugins=policies) as gateway:
        assert await status_of(gateway, call("add")) == 200
        assert await status_of(gateway, call("shell_exec")) == 403
        assert await status_of(gateway, call("shell_exec"), Mcp_Method="tools/list") == 403
        assert await status_of(gateway, b"[" + call("shell_exec") + b"]") == 403
        assert await status_of(gateway, b"no json") == 403
        assert await status_of(gateway, call("x" * 70_000 + "shell_exec")) == 403
        assert await status_of(gateway, call("shell_exec"), "plain") == 200
    records = gateway.records()
    assert [record["code"] for record in records] == [
        None,
        "policy_denied",
        *["policy_failed"] * 4,
        None,
    ]
    assert records[0]["call"] == {"method": "tools/call", "tool": "add"}
    assert records[1]["call"] == {"method": "tools/call", "tool": "shell_exec"}
    assert "call" not in records[6]


async def test_a_limit_is_for_a_tool(tmp_path: Path) -> None:
    limit = [
        {"name": "search", "rate": "1/hour", "match": {"tool": "search"}},
        {"name": "each", "rate": "2/hour", "per": ["agent", "tool"]},
    ]
    more = {"pipeline": {"plugins": ["calls", "limits"]}, "plugins": {"limits": {"limit": limit}}}
    async with tools(tmp_path, **more) as gateway:
        assert [await status_of(gateway, call("search")) for _ in range(2)] == [200, 429]
        assert [await status_of(gateway, call("add")) for _ in range(3)] == [200, 200, 429]
        assert [await status_of(gateway, b'{"method":"tools/list"}') for _ in range(3)] == [200] * 3
        assert await status_of(gateway, b"[]") == 400


async def test_a_limit_on_tools_needs_somebody_who_reads_them(tmp_path: Path) -> None:
    plugins = {"limits": {"limit": [{"name": "x", "rate": "1/hour", "match": {"tool": "search"}}]}}
    with pytest.raises(Exception, match='finds out what is called: add "calls" before it'):
        async with tools(tmp_path, pipeline={"plugins": ["limits"]}, plugins=plugins):
            pass


async def test_a_tool_that_says_it_has_failed_is_a_failed_call(tmp_path: Path) -> None:
    answer = orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": {"content": [], "isError": True}})
    async with tools(tmp_path, answer) as gateway:
        assert await status_of(gateway, call("add")) == 200
    [record] = gateway.records()
    assert record["call"] == {"method": "tools/call", "tool": "add", "failed": "isError"}


@pytest.mark.parametrize(
    "said, heard",
    [
        (
            b"event: endpoint\r\ndata: /messages/?session_id=1\r\n\r\n",
            b"data: /gw/agents/tools/messages/?session_id=1\r\n",
        ),
        (b": ping\n\nevent:endpoint\ndata:messages\n\n", b"data: messages\n"),
        (b"event: endpoint\ndata: {url}/messages\n\n", b"data: https://example.com/gw/agents/tools/messages\n"),
        (b"event: endpoint\ndata: http://evil.example/\n\n", b": the agent's endpoint event leads elsewhere"),
        (b"event: endpoint\ndata: //evil.example/\n\n", b": the agent's endpoint event leads elsewhere"),
        (b"event: message\ndata: /messages\n\n", b"data: /messages\n"),
    ],
)
async def test_the_old_transports_event_names_the_path_through_the_gateway(
    tmp_path: Path, said: bytes, heard: bytes
) -> None:
    rest = b"event: message\r\ndata: event: endpoint\r\n\r\nevent: endpoint\ndata: /later\n\n"

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for byte in said.replace(b"{url}", agent.url.encode()):
            await response.write(bytes([byte]))
        await response.write(rest)
        return response

    async with fake_agent(handle) as agent:
        config = {
            "server": {"anonymous": True, "public_url": "https://example.com/gw"},
            "agents": {"tools": {"url": agent.url, "protocol": "mcp"}},
        }
        accept = {"Accept": "text/event-stream"}
        async with running_gateway(config, tmp_path) as gateway:
            async with asked(f"{gateway.url}/agents/tools/sse", "GET", headers=accept) as response:
                found = await response.read()
            async with asked(
                f"{gateway.url}/agents/tools/sse", "GET", headers={**accept, "Mcp-Session-Id": "1"}
            ) as response:
                untouched = await response.read()
    assert untouched == said.replace(b"{url}", agent.url.encode()) + rest
    assert found.endswith(rest)
    assert heard in found


@pytest.mark.parametrize("name", ["oauth-protected-resource", "oauth-authorization-server", "openid-configuration"])
async def test_a_client_that_looks_for_oauth_gets_a_clean_404_without_a_key(tmp_path: Path, name: str) -> None:
    more = {"server": {}, "pipeline": {"plugins": ["api_keys"]}}
    async with tools(tmp_path, **more) as gateway:
        for path in (f"/.well-known/{name}", f"/.well-known/{name}/agents/tools/mcp"):
            async with asked(gateway.url + path, "GET") as response:
                assert (response.status, response.content_type) == (404, "application/problem+json")
                assert "WWW-Authenticate" not in response.headers
        async with asked(f"{gateway.url}/agents/tools/mcp", data=call("add")) as response:
            assert (response.status, response.headers["WWW-Authenticate"]) == (401, 'Bearer realm="aiogate"')
