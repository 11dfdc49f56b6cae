"""What a client gets when something is wrong, and that nothing goes to an agent then."""

import asyncio
import socket
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import attrs
import pytest
from aiohttp import web

from aiogate import Exchange, Outcome, Refusal, Reply, hookimpl
from aiogate.testing import fake_agent, running_gateway
from tests.configs import anonymous
from tests.proxy.test_fidelity import connect, raw


def with_plugin(url: str, name: str = "mine", **agent: Any) -> dict[str, Any]:
    return {**anonymous(url, **agent), "pipeline": {"plugins": [name]}}


async def problem(response: aiohttp.ClientResponse, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = await response.json(content_type="application/problem+json")
    assert (response.status, body["status"], body["code"]) == (status, status, code)
    assert body["error"]["message"] == body["detail"]
    assert body["error"]["code"] == code
    assert body["request_id"] == response.headers["X-Request-Id"]
    assert "Traceback" not in str(body)
    return body


class Raises:
    @hookimpl
    def pre_request(self, exchange: Exchange) -> None:
        del exchange
        msg = "secret words"
        raise RuntimeError(msg)


async def test_a_plugin_that_raises_refuses_and_nothing_goes_upstream(
    client: aiohttp.ClientSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with fake_agent() as agent, running_gateway(with_plugin(agent.url), tmp_path, {"mine": Raises}) as gateway:
        async with client.get(f"{gateway.url}/agents/echo/x") as response:
            body = await problem(response, 500, "plugin_failed")
        assert "secret words" not in str(body)
        assert agent.seen == []
        [record] = gateway.records()
        assert (record["outcome"], record["code"]) == ("plugin_failed", "plugin_failed")
    assert "secret words" in caplog.text


@attrs.define
class Everything:
    """A plugin that answers as its class says and remembers how exchanges ended."""

    answer: ClassVar[Any] = None
    ends: ClassVar[list[Any]] = []

    @hookimpl
    async def pre_request(self, exchange: Exchange) -> Any:
        del exchange
        return self.answer

    @hookimpl
    async def post_response(self, exchange: Exchange) -> None:
        self.ends.append((exchange.outcome, exchange.status))


@pytest.mark.parametrize(
    "answer, status, outcome",
    [
        (Refusal(status=451, code="not_today", detail="no", rule="r"), 451, "refused"),
        (Reply(status=201, body=b"{}", headers=(("X-Mine", "1"),)), 201, "completed"),
        ("nonsense", 500, "plugin_failed"),
    ],
)
async def test_a_plugin_may_end_the_walk(
    answer: Any,
    status: int,
    outcome: str,
    client: aiohttp.ClientSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Everything, "answer", answer)
    monkeypatch.setattr(Everything, "ends", [])
    async with fake_agent() as agent:
        async with running_gateway(with_plugin(agent.url), tmp_path, {"mine": Everything}) as gateway:
            async with client.get(f"{gateway.url}/agents/echo/x") as response:
                assert response.status == status
            assert gateway.records()[0]["outcome"] == outcome
        assert agent.seen == []
    assert Everything.ends == [(Outcome(outcome), status)]


async def test_an_agent_that_is_down_is_a_502(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with running_gateway(anonymous(f"http://127.0.0.1:{port}"), tmp_path) as gateway:
        async with client.get(f"{gateway.url}/agents/echo/x") as response:
            await problem(response, 502, "agent_unreachable")
        assert gateway.records()[0]["outcome"] == "upstream_failed"


async def test_an_agent_that_stays_silent_is_a_504(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    left = asyncio.Event()

    async def silent(_request: web.Request) -> web.Response:
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return web.Response()

    async with fake_agent(silent) as agent:
        async with running_gateway(anonymous(agent.url, first_byte_seconds=0.05), tmp_path) as gateway:
            async with client.get(f"{gateway.url}/agents/echo/x") as response:
                await problem(response, 504, "agent_first_byte_timeout")
            await left.wait()
            async with client.get(f"{gateway.url}/agents/echo/x") as response:
                assert response.status == 504


async def test_an_agent_that_talks_garbage_is_a_502(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"this is no HTTP\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(garbage, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with running_gateway(anonymous(f"http://127.0.0.1:{port}"), tmp_path) as gateway:
            async with client.get(f"{gateway.url}/agents/echo/x") as response:
                await problem(response, 502, "agent_protocol_error")


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_over_the_bound_is_a_413_and_not_read_whole(framing: str, tmp_path: Path) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url, max_body=100_000), tmp_path) as gateway:
        reader, writer = await connect(gateway.url)
        if framing == "length":
            writer.write(b"POST /agents/echo/x HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n")
        else:
            writer.write(b"POST /agents/echo/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(3):
                writer.write(b"ea60\r\n" + b"x" * 60_000 + b"\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.1 413 ")
        assert "Connection: close" in head
        writer.close()
        assert gateway.records()[0]["code"] == "body_too_large"


async def test_an_unknown_agent_is_a_404_with_a_suggestion(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        async with client.get(f"{gateway.url}/agents/ecko/x") as response:
            body = await problem(response, 404, "unknown_agent")
        assert body["did_you_mean"] == ["echo"]


async def test_the_catalogue_lists_the_agents(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url, description="d"), tmp_path) as gateway:
        async with client.get(f"{gateway.url}/agents") as response:
            said = await response.json()
        assert said == {
            "agents": [
                {"id": "echo", "description": "d", "capabilities": [], "path": "/agents/echo", "state": "available"}
            ]
        }
        async with client.post(f"{gateway.url}/agents") as response:
            await problem(response, 405, "method_not_allowed")


@pytest.mark.parametrize(
    "request_text, status",
    [
        ("GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404"),
        ("GET /agents/echo/x#y HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "400"),
        ("GET agents HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "400"),
        ("GET http://front/agents/echo/x HTTP/1.1\r\nHost: front\r\nConnection: close\r\n\r\n", "200"),
        ("NO HTTP AT ALL\r\n\r\n", "400"),
        ("GET /agents/echo/x HTTP/1.1\r\nAuthorization: Bearer agk_s3cret\x00\r\nHost: x\r\n\r\n", "400"),
        (f"GET /agents/echo/{'x' * 40_000} HTTP/1.1\r\nHost: x\r\n\r\n", "414"),
        (f"GET /agents/echo/x HTTP/1.1\r\nHost: x\r\nX: {'y' * 16_384}\r\n\r\n", "431"),
        (f"GET /agents/echo/x HTTP/1.1\r\nHost: x\r\n{129 * 'X: y|'}|".replace("|", "\r\n"), "431"),
    ],
)
async def test_a_strange_request_gets_a_clear_answer_that_quotes_nothing(
    request_text: str, status: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        head, body = await raw(gateway.url, request_text)
    assert head.split(" ")[1] == status
    assert "s3cret" not in head + body + caplog.text


async def test_a_body_that_breaks_its_framing_on_the_way_is_a_400(tmp_path: Path) -> None:
    reached = asyncio.Event()

    async def waits(request: web.Request) -> web.Response:
        reached.set()
        await request.read()
        raise AssertionError

    async with fake_agent(waits, record_bodies=False) as agent:
        async with running_gateway(anonymous(agent.url), tmp_path) as gateway:
            reader, writer = await connect(gateway.url)
            writer.write(b"POST /agents/echo/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
            await reached.wait()
            writer.write(b"zz\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
            writer.close()
            assert gateway.records()[0]["code"] == "bad_request"


async def test_a_journal_that_cannot_be_written_refuses_until_it_can(
    client: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aiogate.errors import JournalError  # noqa: PLC0415 - only this test
    from aiogate.journal.writer import Journal  # noqa: PLC0415 - only this test

    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        append = Journal.append

        def full(self: Journal, line: bytes, _added: object = None) -> None:
            del line
            self.healthy = False
            raise JournalError("disk full")

        monkeypatch.setattr(Journal, "append", full)
        async with client.get(f"{gateway.url}/agents/echo/x") as response:
            assert response.status == 503
        async with client.get(f"{gateway.url}/readyz") as response:
            assert response.status == 503
        monkeypatch.setattr(Journal, "append", append)
        async with client.get(f"{gateway.url}/agents/echo/x") as response:
            assert response.status == 503  # its own record is the probe
        async with client.get(f"{gateway.url}/agents/echo/x") as response:
            assert response.status == 200
        assert len(agent.seen) == 2


async def test_a_client_without_principal_is_refused_when_nobody_may_be_anonymous(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    class Absent:
        enforces = frozenset({"principal"})

        @hookimpl
        def pre_request(self, exchange: Exchange) -> None:
            """Authenticate nobody."""

    async with fake_agent() as agent:
        config = {**with_plugin(agent.url), "server": {}}
        async with running_gateway(config, tmp_path, {"mine": Absent}) as gateway:
            for path in ("/agents/echo/x", "/agents/nobody", "/agents"):
                async with client.get(f"{gateway.url}{path}") as response:
                    await problem(response, 401, "unauthenticated")
                    assert response.headers["WWW-Authenticate"].startswith("Bearer ")
        assert agent.seen == []
