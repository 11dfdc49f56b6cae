"""Clients that read Server-Sent Events, langgraph-sdk, httpx-sse, aiohttp-sse-client, come back where they were."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aiohttp
import httpx
import orjson
import pytest
from aiohttp import web

from aiogate.testing import fake_agent
from tests.e2e.conftest import KEY, SECONDS, Served

EVENTS = 6
"""Of a run; its stream breaks in the middle."""


async def answer(request: web.Request) -> web.StreamResponse:
    """A LangGraph server, as far as its client's runs and streams go: the events of a run, from where a client was."""
    if request.method == "GET" and request.path == "/runs/wait":
        return web.json_response({})
    last = int(request.headers.get("Last-Event-ID", "0"))
    headers = {
        "Content-Type": "text/event-stream",
        "Location": "/threads/t/runs/r/stream",
        "Content-Location": "/threads/t/runs/r",
    }
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    for number in range(last + 1, EVENTS + 1):
        data = orjson.dumps({"number": number, "text": "ä\u2028"}).decode()
        await response.write(f"id: {number}\r\nevent: values\r\ndata: {data}\r\n\r\n".encode())
        if number == EVENTS // 2 and not last:
            assert request.transport is not None
            request.transport.close()
            return response
    await response.write(b": the end\n\nevent: end\ndata: null\n\n")
    return response


@pytest.fixture
async def agent_url() -> AsyncIterator[str]:
    async with fake_agent(answer) as agent:
        yield agent.url


async def test_langgraphs_client_goes_on_where_its_stream_broke(gateway: Served) -> None:
    sdk: Any = pytest.importorskip("langgraph_sdk", reason="langgraph-sdk is not installed")
    client = sdk.get_client(url=f"{gateway.url}/agents/assistant", api_key=gateway.key)
    created: list[Any] = []
    async with asyncio.timeout(SECONDS):
        parts = client.runs.stream("t", "a", input={}, stream_resumable=True, on_run_created=created.append)
        numbers = [part.data["number"] async for part in parts if part.event == "values"]
    await client.aclose()
    assert numbers == list(range(1, EVENTS + 1))
    assert created[0]["run_id"] == "r"
    paths = [record["path"] for record in gateway.records()]
    assert paths == ["/agents/assistant/threads/t/runs/stream", "/agents/assistant/threads/t/runs/r/stream"]
    assert [record["outcome"] for record in gateway.records()] == ["upstream_failed", "completed"]


async def test_httpx_sse_sees_the_break_and_goes_on(gateway: Served) -> None:
    sse: Any = pytest.importorskip("httpx_sse", reason="httpx-sse is not installed")
    found, headers = [], {"Authorization": f"Bearer {KEY}"}
    async with asyncio.timeout(SECONDS), httpx.AsyncClient(headers=headers) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            async with sse.aconnect_sse(http, "GET", f"{gateway.url}/agents/assistant/x") as source:
                async for event in source.aiter_sse():
                    found.append(event)  # noqa: PERF401 - what came before the break counts
        *events, error = found
        assert error.event == "error"
        assert orjson.loads(error.data)["error"]["code"] == "agent_broke_off"
        again = {"Last-Event-ID": events[-1].id}
        async with sse.aconnect_sse(http, "GET", f"{gateway.url}/agents/assistant/x", headers=again) as source:
            events += [event async for event in source.aiter_sse() if event.event == "values"]
    assert [orjson.loads(event.data)["number"] for event in events] == list(range(1, EVENTS + 1))
    assert events[0].json()["text"] == "ä\u2028"


async def test_aiohttp_sse_client_reads_events_until_the_break(gateway: Served) -> None:
    client: Any = pytest.importorskip("aiohttp_sse_client.client", reason="aiohttp-sse-client is not installed")
    found, headers = [], {"Authorization": f"Bearer {KEY}", "Last-Event-ID": str(EVENTS // 2)}
    url = f"{gateway.url}/agents/assistant/x"
    async with asyncio.timeout(SECONDS):
        async with client.EventSource(url, headers=headers, reconnection_time=timedelta(seconds=60)) as source:
            async for event in source:
                if event.type == "end":
                    break
                found.append(event)
    assert [int(event.last_event_id) for event in found] == list(range(EVENTS // 2 + 1, EVENTS + 1))
    assert {event.type for event in found} == {"values"}
    async with aiohttp.ClientSession() as session:
        wrong = {"Authorization": "Bearer agk_test_wrong"}
        with pytest.raises(ConnectionRefusedError):
            await client.EventSource(url, session=session, headers=wrong, max_connect_retry=0).connect()
