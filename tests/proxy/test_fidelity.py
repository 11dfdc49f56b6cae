"""What crosses the gateway unchanged, both ways, and what does not cross it."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from aiogate.testing import fake_agent, running_gateway
from tests.configs import anonymous


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "/",
        "/chat",
        "/v1/models/ft:gpt%2Facme%20corp",
        "/message:send",
        "/tasks/%7Bid%7D:cancel",
        "/a%41%c3%a9%252F",
        "/q?a=1&a=2&b=%2F+%20",
        "?x=1",
        "//host/x",
        "/dots/a..b/...",
    ],
)
async def test_a_path_reaches_the_agent_byte_for_byte(rest: str, client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        async with client.get(URL(f"{gateway.url}/agents/echo{rest}", encoded=True)) as response:
            assert response.status == 200
        assert agent.seen[0].target == (rest if rest.startswith("/") else f"/{rest}")


@pytest.mark.parametrize("rest", ["/../x", "/a/%2e%2E/x", "/a/..%2fx", "/a%5c..", "/.."])
async def test_a_path_that_leaves_its_agent_is_refused(rest: str, tmp_path: Path) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        head, body = await raw(gateway.url, f"GET /agents/echo{rest} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert head.startswith("HTTP/1.1 400 ")
        assert '"code":"bad_path"' in body
        assert agent.seen == []


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"])
async def test_every_method_passes(method: str, client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        async with client.request(method, f"{gateway.url}/agents/echo/x") as response:
            assert response.status == 200
        assert agent.seen[0].method == method


@pytest.mark.parametrize("size", [0, 1, 70_000, 1_000_000])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_passes_whole_both_ways(
    size: int, chunked: bool, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async def mirror(request: web.Request) -> web.Response:
        return web.Response(body=await request.read(), content_type="application/octet-stream")

    async def pieces() -> Any:
        for start in range(0, size, 50_000):
            yield body[start : start + 50_000]

    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    async with fake_agent(mirror) as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        data = pieces() if chunked else body
        async with client.post(f"{gateway.url}/agents/echo/x", data=data) as response:
            assert await response.read() == body
        assert agent.seen[0].body == body


async def test_a_compressed_request_body_is_not_touched(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    for encoding in ("gzip", "deflate", "br", "zstd"):
        async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
            headers = {"Content-Encoding": encoding}
            async with client.post(f"{gateway.url}/agents/echo/x", data=b"not really", headers=headers) as response:
                assert response.status == 200
            assert agent.seen[0].body == b"not really"
            assert agent.seen[0].headers["Content-Encoding"] == encoding


async def test_the_agent_gets_no_header_that_the_client_did_not_send_but_ours(tmp_path: Path) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        await raw(
            gateway.url, "GET /agents/echo/x HTTP/1.1\r\nHost: front.example\r\nX-Own: 1\r\n\r\n", until="\r\n\r\n"
        )
        names = {name.lower() for name in agent.seen[0].headers}
        assert names == {
            "host",
            "x-own",
            "x-user-id",
            "x-request-id",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-forwarded-prefix",
            "via",
            "traceparent",
        }
        assert agent.seen[0].headers["X-Forwarded-Host"] == "front.example"


async def test_headers_that_pretend_to_be_ours_and_hop_by_hop_headers_are_taken_away(tmp_path: Path) -> None:
    request = (
        "GET /agents/echo/x HTTP/1.1\r\nHost: x\r\nX-User-Id: root\r\nx-user-roles: admin\r\nX-Request-Id: mine\r\n"
        "X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nX-Aiogate-Context: forged\r\nX-Agent-Secret: 1\r\n"
        "X_User_Id: root\r\nX-User_Roles: admin\r\n"
        "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nProxy-Authorization: x\r\n\r\n"
    )
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        await raw(gateway.url, request, until="\r\n\r\n")
        seen = agent.seen[0].headers
        assert seen["X-User-Id"] == "anonymous"
        assert seen.getall("X-Forwarded-For") == ["127.0.0.1"]
        assert len(seen["X-Request-Id"]) == 32
        ours = ("Forwarded", "X-Aiogate-Context", "X-Agent-Secret", "X_User_Id", "X-User_Roles")
        for gone in (*ours, "X-Hop", "TE", "Proxy-Authorization"):
            assert gone not in seen
        assert "x-user-roles" not in seen


async def test_repeated_headers_cookies_status_and_reason_come_back_as_they_are(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async def answer(_request: web.Request) -> web.Response:
        response = web.Response(status=299, reason="Quite Fine", body=b"x")
        response.headers.add("Set-Cookie", "a=1")
        response.headers.add("Set-Cookie", "b=2")
        response.headers.add("X-A", "1")
        response.headers.add("X-A", "2")
        return response

    async with fake_agent(answer) as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        async with client.get(f"{gateway.url}/agents/echo/x") as response:
            assert (response.status, response.reason) == (299, "Quite Fine")
            assert response.headers.getall("Set-Cookie") == ["a=1", "b=2"]
            assert response.headers.getall("X-A") == ["1", "2"]


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_has_none(status: int, client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"ETag": '"x"'})

    async with fake_agent(answer) as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        for _ in range(2):
            async with client.get(f"{gateway.url}/agents/echo/x") as response:
                assert response.status == status
                assert response.headers["ETag"] == '"x"'
                assert await response.read() == b""
        assert [record["status"] for record in gateway.records()] == [status, status]


async def test_head_keeps_the_length_and_the_connection(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=b"12345")

    async with fake_agent(answer) as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        for _ in range(2):
            async with client.head(f"{gateway.url}/agents/echo/x") as response:
                assert response.headers["Content-Length"] == "5"
                assert await response.read() == b""


async def test_a_compressed_answer_is_not_touched(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=b"\x1f\x8bnot really", headers={"Content-Encoding": "gzip"})

    async with fake_agent(answer) as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        async with client.get(f"{gateway.url}/agents/echo/x") as response:
            assert await response.read() == b"\x1f\x8bnot really"
            assert response.headers["Content-Encoding"] == "gzip"


async def test_a_redirect_is_the_clients_business(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with fake_agent(answer) as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        async with client.get(f"{gateway.url}/agents/echo/x", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (307, "/elsewhere")
        assert len(agent.seen) == 1


@pytest.mark.parametrize(
    "status, said, heard",
    [
        (307, "{agent}/mcp/?a=%2F#b", "/gw/agents/echo/mcp/?a=%2F#b"),
        (301, "{agent}", "/gw/agents/echo"),
        (303, "{agent}0/x", "{agent}0/x"),
        (302, "https://elsewhere.example/x", "https://elsewhere.example/x"),
        (308, "//elsewhere.example/x", "//elsewhere.example/x"),
        (201, "{agent}/runs/7", "{agent}/runs/7"),
        (200, "{agent}/runs/7", "{agent}/runs/7"),
    ],
)
async def test_a_redirect_to_the_agents_own_base_stays_on_the_gateway(
    status: int, said: str, heard: str, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": said.replace("{agent}", agent.url), "X-A": "1"})

    async with fake_agent(answer) as agent:
        config = anonymous(agent.url)
        config["server"]["public_url"] = "https://gateway.example/gw"
        async with running_gateway(config, tmp_path) as gateway:
            async with client.get(f"{gateway.url}/agents/echo/x", allow_redirects=False) as response:
                assert (response.status, response.headers["X-A"]) == (status, "1")
                assert response.headers.getall("Location") == [heard.replace("{agent}", agent.url)]


@pytest.mark.parametrize("base", ["", "/base"])
async def test_an_agents_root_is_there_with_and_without_a_slash(
    base: str, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url + base), tmp_path) as gateway:
        for rest in ("", "/", "?a=1", "/?a=1"):
            async with client.post(f"{gateway.url}/agents/echo{rest}", allow_redirects=False) as response:
                assert response.status == 200
    assert [request.target for request in agent.seen] == [
        base or "/",
        f"{base}/",
        f"{base or '/'}?a=1",
        f"{base}/?a=1",
    ]


async def test_ranges_and_conditions_are_the_agents_business(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    file = tmp_path / "file.bin"
    file.write_bytes(bytes(range(200)))

    async def answer(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(file)

    async with fake_agent(answer) as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        url = f"{gateway.url}/agents/echo/file"
        async with client.get(url, headers={"Range": "bytes=10-19"}) as response:
            assert (response.status, await response.read()) == (206, bytes(range(10, 20)))
            assert response.headers["Content-Range"] == "bytes 10-19/200"
            tag = response.headers["ETag"]
        async with client.get(url, headers={"If-None-Match": tag}) as response:
            assert (response.status, await response.read()) == (304, b"")
        async with client.get(url, headers={"Range": "bytes=500-"}) as response:
            assert response.status == 416


async def test_expect_100_continue_is_answered_before_the_body(tmp_path: Path) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        reader, writer = await connect(gateway.url)
        writer.write(b"POST /agents/echo/x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"body")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        assert agent.seen[0].body == b"body"
        assert "Expect" not in agent.seen[0].headers


async def test_a_trace_is_continued_or_begun(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        for inbound in (f"00-{trace}-b7ad6b7169203331-01", "nonsense"):
            headers = {"traceparent": inbound, "tracestate": "a=b"}
            await (await client.get(f"{gateway.url}/agents/echo/x", headers=headers)).release()
        continued, begun = (seen.headers for seen in agent.seen)
        assert continued["traceparent"].split("-")[1] == trace
        assert continued["traceparent"] != f"00-{trace}-b7ad6b7169203331-01"
        assert continued["tracestate"] == "a=b"
        assert begun["traceparent"].split("-")[1] == begun["X-Request-Id"]
        assert "tracestate" not in begun
        assert gateway.records()[0]["trace_id"] == trace


async def test_an_old_client_gets_its_answer_unchunked_and_the_connection_closed(tmp_path: Path) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one")
        await response.write(b"two")
        return response

    async with fake_agent(stream) as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        head, body = await raw(gateway.url, "GET /agents/echo/x HTTP/1.0\r\nHost: x\r\n\r\n")
        assert "Transfer-Encoding" not in head
        assert body == "onetwo"


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = URL(url)
    return await asyncio.open_connection(parts.host, parts.port)


async def raw(url: str, request: str, *, until: str = "") -> tuple[str, str]:
    """Send bytes as they are; return head and body as they came, up to the end or to ``until``."""
    reader, writer = await connect(url)
    writer.write(request.encode("latin-1"))
    data = await (reader.readuntil(until.encode()) if until else reader.read())
    writer.close()
    head, _, body = data.decode().partition("\r\n\r\n")
    return head, body
