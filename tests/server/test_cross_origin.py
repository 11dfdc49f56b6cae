"""Which web pages may call: what a browser is told, by the gateway and in the place of what agents say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tomli_w
from aiohttp import web

from aiogate.agent import Cors
from aiogate.errors import SettingsError
from aiogate.pipeline.load import load
from aiogate.proxy.cors import CorsRules
from aiogate.testing import FakeAgent, RunningGateway, fake_agent, running_gateway

PAGE = "https://app.example.org"
STRANGER = "https://evil.example.net"


async def answer(request: web.Request) -> web.StreamResponse:
    headers = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "GET", "Vary": "Accept"}
    if request.path == "/stream":
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **headers})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        return response
    return web.json_response({"method": request.method}, headers=headers)


@asynccontextmanager
async def ruled(tmp_path: Path, **tables: Any) -> AsyncIterator[tuple[RunningGateway, FakeAgent]]:
    async with fake_agent(answer) as agent:
        agents = {name: {"url": agent.url, "capabilities": ["chat"]} for name in ("echo", "open")}
        agents["open"] |= tables.get("agent", {})
        server = {"anonymous": True, **({"cors": tables["cors"]} if "cors" in tables else {})}
        plugins = {"pipeline": {"plugins": ["api_keys"]}} if tables.get("authenticates") else {}
        async with running_gateway({"server": server, "agents": agents, **plugins}, tmp_path) as gateway:
            yield gateway, agent


async def asked(
    gateway: RunningGateway, path: str, origin: str | None = PAGE, method: str = "GET", **headers: str
) -> tuple[int, dict[str, list[str]]]:
    """Return the status, and the values of each header that browsers look at."""
    sent = {**({"Origin": origin} if origin else {}), **headers}
    async with aiohttp.ClientSession() as client:
        async with client.request(method, gateway.url + path, headers=sent) as response:
            await response.read()
            said = {
                name: response.headers.getall(name) for name in response.headers if name.startswith("Access-Control")
            }
            return response.status, {**said, "Vary": response.headers.getall("Vary", [])}


def preflight(method: str = "POST", headers: str = "") -> dict[str, str]:
    return {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}


async def test_a_preflight_is_answered_before_anybody_is_authenticated(tmp_path: Path) -> None:
    async with ruled(tmp_path, cors={"origins": [PAGE]}, authenticates=True) as (gateway, agent):
        wanted = "authorization, content-type, mcp-session-id, x-stainless-os, x-evil"
        status, said = await asked(gateway, "/agents/echo/x", PAGE, "OPTIONS", **preflight("POST", wanted))
        assert status == 204
        assert said["Access-Control-Allow-Origin"] == [PAGE]
        assert said["Access-Control-Allow-Methods"] == ["POST"]
        allowed = "authorization, content-type, mcp-session-id, x-stainless-os"
        assert said["Access-Control-Allow-Headers"] == [allowed]
        assert said["Access-Control-Max-Age"] == ["600"]
        assert "Access-Control-Allow-Credentials" not in said
        status, said = await asked(gateway, "/agents/echo/x", STRANGER, "OPTIONS", **preflight())
        assert (status, said) == (403, {"Vary": ["Origin"]})
        status, said = await asked(gateway, "/agents/echo/x", PAGE, "OPTIONS", **preflight("PURGE"))
        assert "Access-Control-Allow-Methods" not in said
        assert agent.seen == []
        assert gateway.records() == []


async def test_pages_may_read_refusals_too(tmp_path: Path) -> None:
    async with ruled(tmp_path, cors={"origins": [PAGE]}, authenticates=True) as (gateway, _):
        for path in ("/agents/echo/x", "/agents/nobody/x", "/capabilities/chat", "/nothing"):
            status, said = await asked(gateway, path)
            assert status in {401, 404}
            assert said["Access-Control-Allow-Origin"] == [PAGE]
            assert "Retry-After" in said["Access-Control-Expose-Headers"][0]
            assert "Mcp-Session-Id" in said["Access-Control-Expose-Headers"][0]


async def test_what_the_agent_says_of_it_is_replaced(tmp_path: Path) -> None:
    async with ruled(tmp_path, cors={"origins": [PAGE]}) as (gateway, _):
        for path in ("/agents/echo/x", "/agents/echo/stream", "/capabilities/chat/x"):
            status, said = await asked(gateway, path)
            assert (status, said["Access-Control-Allow-Origin"]) == (200, [PAGE])
            assert "Access-Control-Allow-Methods" not in said
            assert sorted(said["Vary"]) == ["Accept", "Origin"]
            for origin in (STRANGER, None):
                _, said = await asked(gateway, path, origin)
                assert said.pop("Vary")
                assert said == {}


async def test_an_agents_own_rules_come_first_and_any_page_is_not_one_by_name(tmp_path: Path) -> None:
    tables = {"cors": {"origins": [PAGE]}, "agent": {"cors": {"origins": ["*"]}}}
    async with ruled(tmp_path, **tables) as (gateway, _):
        _, said = await asked(gateway, "/agents/open/x", STRANGER)
        assert said["Access-Control-Allow-Origin"] == ["*"]
        _, said = await asked(gateway, "/agents/echo/x", STRANGER)
        assert "Access-Control-Allow-Origin" not in said


async def test_without_rules_the_agent_says_it_itself(tmp_path: Path) -> None:
    async with ruled(tmp_path) as (gateway, agent):
        status, said = await asked(gateway, "/agents/echo/x", STRANGER, "OPTIONS", **preflight())
        assert (status, said["Access-Control-Allow-Origin"]) == (200, ["*"])
        assert agent.seen[0].method == "OPTIONS"


async def test_an_options_that_is_no_preflight_is_the_agents(tmp_path: Path) -> None:
    async with ruled(tmp_path, cors={"origins": [PAGE]}) as (gateway, agent):
        status, _ = await asked(gateway, "/agents/echo/x", PAGE, "OPTIONS")
        assert (status, agent.seen[0].method) == (200, "OPTIONS")


def test_long_origins_are_not_remembered() -> None:
    rules = CorsRules(Cors(origins=(PAGE,)))
    for number in range(100):
        assert rules.lines(f"https://{number}{'x' * 8000}") == "\r\nVary: Origin"
    assert rules._known_lines.cache_info().currsize == 0


@pytest.mark.parametrize(
    ("pattern", "origin", "may"),
    [
        (PAGE, PAGE, True),
        (PAGE, PAGE + ".evil.example", False),
        (PAGE, "https://app-example.org", False),
        (PAGE, "http://app.example.org", False),
        (PAGE, PAGE + ":8443", False),
        ("https://*.example.org", "https://a.b.example.org", True),
        ("https://*.example.org", "https://example.org", False),
        ("https://*.example.org", "https://evil.net/.example.org", False),
        ("http://localhost:*", "http://localhost:5173", True),
        ("http://localhost:*", "http://localhost", False),
        ("http://localhost:*", "http://localhost:5173@evil.example", False),
        (PAGE, "null", False),
        (PAGE, PAGE + "\r\nX: 1", False),
    ],
)
def test_origins_are_matched_as_wholes(pattern: str, origin: str, may: bool) -> None:
    assert CorsRules(Cors(origins=(pattern,))).may_call(origin) is may


@pytest.mark.parametrize(
    ("cors", "complaint"),
    [
        ({"origins": ["https://app.example.org/"]}, "without a path"),
        ({"origins": ["app.example.org"]}, "expected an origin"),
        ({"origins": ["null"]}, "expected an origin"),
        ({"origins": ["*"], "credentials": True}, "need origins by name"),
        ({"headers": ["a b"]}, "name of a header"),
    ],
)
def test_rules_that_cannot_be_meant(cors: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    config = {"server": {"anonymous": True, "cors": cors}, "agents": {"echo": {"url": "http://127.0.0.1:1"}}}
    path.write_text(tomli_w.dumps(config))
    with pytest.raises(SettingsError, match=complaint):
        load(path, {})
