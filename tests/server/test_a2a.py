"""Agents that speak A2A: cards through the gateway, what is called in the journal, errors in answers of 200."""

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from aiogate.testing import FakeAgent, RunningGateway, fake_agent, running_gateway

CARD = "/.well-known/agent-card.json"


def card(url: str) -> dict[str, Any]:
    interface = {"url": f"{url}/rpc", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    return {"name": "s", "supportedInterfaces": [interface], "signatures": [{"signature": "x"}]}


class Agent:
    """Serves its card, and answers each call with what the test has put down for it."""

    def __init__(self) -> None:
        self.url = ""
        self.answer: bytes = b""
        self.content_type = "application/json"
        self.card: bytes | None = None
        self.headers: dict[str, str] = {"ETag": '"agents"', "Cache-Control": "max-age=60", "X-Own": "1"}

    async def handle(self, request: web.Request) -> web.Response:
        if request.method == "POST" or "extended" in request.path:
            return web.Response(body=self.answer, content_type=self.content_type)
        body = orjson.dumps(card(self.url)) if self.card is None else self.card
        answer = web.Response(body=body, content_type="application/json", headers=self.headers)
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            answer.enable_compression(web.ContentCoding.gzip)
        return answer


@pytest.fixture
def agent() -> Agent:
    return Agent()


@asynccontextmanager
async def speaking(agent: Agent, tmp_path: Path, **more: Any) -> AsyncIterator[tuple[RunningGateway, FakeAgent]]:
    async with fake_agent(agent.handle) as fake:
        agent.url = fake.url
        config = {
            "server": {"anonymous": True, "public_url": "https://gw.example/", **more.pop("server", {})},
            "agents": {"support": {"url": fake.url, "protocol": "a2a", **more.pop("settings", {})}},
            **more,
        }
        async with running_gateway(config, tmp_path) as gateway:
            yield gateway, fake


@asynccontextmanager
async def asked(url: str, method: str = "GET", **how: Any) -> AsyncIterator[aiohttp.ClientResponse]:
    async with aiohttp.ClientSession() as session, session.request(method, url, **how) as response:
        yield response


async def test_a_card_has_the_public_address_whatever_the_client_calls_the_gateway(
    agent: Agent, tmp_path: Path
) -> None:
    async with speaking(agent, tmp_path) as (gateway, _):
        async with asked(f"{gateway.url}/agents/support{CARD}", headers={"Host": "evil.example"}) as response:
            said = await response.json()
            headers = response.headers
    assert said["supportedInterfaces"][0]["url"] == "https://gw.example/agents/support/rpc"
    assert "signatures" not in said
    assert (headers["Cache-Control"], headers["X-Own"], headers["X-Agent-Id"]) == ("max-age=60", "1", "support")
    assert headers.getall("ETag") != ['"agents"']
    assert "Content-Encoding" not in headers
    [record] = gateway.records()
    assert (record["status"], record["call"], record["outcome"]) == (200, {"method": "AgentCard"}, "completed")


async def test_a_card_is_cached_by_the_tag_that_the_gateway_gives_it(agent: Agent, tmp_path: Path) -> None:
    async with speaking(agent, tmp_path) as (gateway, fake):
        url = f"{gateway.url}/agents/support{CARD}"
        async with asked(url) as response:
            tag = response.headers["ETag"]
        async with asked(url, headers={"If-None-Match": f'"other", W/{tag}'}) as response:
            assert (response.status, await response.read(), response.headers["ETag"]) == (304, b"", tag)
        async with asked(url, headers={"If-None-Match": '"agents"'}) as response:
            assert response.status == 200
        async with asked(url, "HEAD") as response:
            assert response.status == 200
            assert "ETag" not in response.headers
    assert all("If-None-Match" not in request.headers for request in fake.seen)


@pytest.mark.parametrize(
    "body",
    [
        orjson.dumps(card("http://127.0.0.1:1")),
        b"no json",
        orjson.dumps({"supportedInterfaces": [], "padding": "x" * 2**20}),
    ],
)
async def test_a_card_that_leads_elsewhere_does_not_reach_the_client(agent: Agent, tmp_path: Path, body: bytes) -> None:
    agent.card = body
    async with speaking(agent, tmp_path) as (gateway, _):
        async with asked(f"{gateway.url}/agents/support{CARD}") as response:
            assert response.status == 502
            said = await response.json()
    assert said["code"] == "agent_card_unusable"
    assert b"127.0.0.1:1/" not in orjson.dumps(said)
    [record] = gateway.records()
    assert (record["outcome"], record["code"]) == ("refused", "agent_card_unusable")


async def test_a_redirect_to_a_card_on_another_host_does_not_reach_the_client(agent: Agent, tmp_path: Path) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        here = request.path != CARD
        raise web.HTTPFound(f"{agent.url if here else 'http://evil.example'}{CARD}")

    agent.handle = handle  # type: ignore[assignment,method-assign]
    async with speaking(agent, tmp_path) as (gateway, _):
        async with asked(f"{gateway.url}/agents/support{CARD}", allow_redirects=False) as response:
            assert (response.status, response.headers.get("Location")) == (502, None)
        old = f"{gateway.url}/agents/support/.well-known/agent.json"
        async with asked(old, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (302, f"/agents/support{CARD}")


@pytest.mark.parametrize("depth", [250, 300])
async def test_a_card_nested_too_deep_is_that_agents_affair_alone(agent: Agent, tmp_path: Path, depth: int) -> None:
    agent.card = b'{"url": "/", "x": %b%b}' % (b"[" * depth, b"]" * depth)
    async with speaking(agent, tmp_path) as (gateway, _):
        async with asked(f"{gateway.url}/agents/support{CARD}") as response:
            assert response.status == (200 if depth == 250 else 502)
        async with asked(f"{gateway.url}/agents") as response:
            assert response.status == 200
            assert (b"cannot be written" in await response.read()) is (depth == 300)


async def test_a_card_that_a_stream_is_asked_for_comes_as_a_whole(agent: Agent, tmp_path: Path) -> None:
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "GetExtendedAgentCard", "stream": true}'
    async with speaking(agent, tmp_path, settings={"early_headers": True}) as (gateway, _):
        agent.answer = orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": card(agent.url)})
        async with asked(f"{gateway.url}/agents/support/rpc", "POST", data=body) as response:
            [interface] = (await response.json())["result"]["supportedInterfaces"]
    assert interface["url"] == "https://gw.example/agents/support/rpc"


async def test_a_card_is_left_alone_where_the_config_says_so(agent: Agent, tmp_path: Path) -> None:
    async with speaking(agent, tmp_path, settings={"rewrite_card": False}) as (gateway, _):
        async with asked(f"{gateway.url}/agents/support{CARD}") as response:
            assert await response.json() == card(agent.url)
            assert response.headers["ETag"] == '"agents"'


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("method", ["GetExtendedAgentCard", "agent/getAuthenticatedExtendedCard"])
async def test_an_extended_card_is_rewritten_in_its_result(
    agent: Agent, tmp_path: Path, method: str, chunked: bool
) -> None:
    async with speaking(agent, tmp_path) as (gateway, fake):
        agent.answer = orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": card(fake.url)})
        request = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method})

        async def pieces() -> AsyncIterator[bytes]:
            yield request[:5]
            yield request[5:]

        async with asked(f"{gateway.url}/agents/support", "POST", data=pieces() if chunked else request) as response:
            said = await response.json()
        agent.answer = orjson.dumps(card(fake.url))
        async with asked(f"{gateway.url}/agents/support/v1/extendedAgentCard") as response:
            by_rest = await response.json()
    assert fake.seen[0].body == request
    for found in (said["result"], by_rest):
        assert found["supportedInterfaces"][0]["url"] == "https://gw.example/agents/support/rpc"


async def test_a_card_that_nobody_could_see_was_asked_for_is_rewritten_too(agent: Agent, tmp_path: Path) -> None:
    request = gzip.compress(b'{"jsonrpc":"2.0","id":1,"method":"GetExtendedAgentCard"}')
    headers = {"Content-Encoding": "gzip"}
    async with speaking(agent, tmp_path) as (gateway, fake):
        url = f"{gateway.url}/agents/support"
        agent.answer = orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": card(fake.url)})
        async with asked(url, "POST", data=request, headers=headers) as response:
            said = (await response.json())["result"]
        assert said["supportedInterfaces"][0]["url"] == "https://gw.example/agents/support/rpc"
        agent.answer = b'{"jsonrpc": "2.0", "id": 1, "result": {"kind": "message"}}'
        async with asked(url, "POST", data=request, headers=headers) as response:
            assert await response.read() == agent.answer


async def test_what_a_task_or_a_message_says_that_it_used_is_charged(agent: Agent, tmp_path: Path) -> None:
    used = {"usage": {"input_tokens": 5, "output_tokens": 7, "model": "m"}}
    message = {"kind": "message", "messageId": "1", "role": "agent", "parts": [], "metadata": used}
    update = {"statusUpdate": {"taskId": "1", "status": {"state": "TASK_STATE_COMPLETED"}, "metadata": used}}
    price = {"model": "m", "input_usd_per_million": 1, "output_usd_per_million": 2}
    plugins = {"cost": {"published_prices": False, "price": [price]}}
    async with speaking(agent, tmp_path, pipeline={"plugins": ["cost"]}, plugins=plugins) as (gateway, _):
        for result, kind in ((message, "application/json"), (update, "text/event-stream")):
            said = orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": result})
            agent.answer = b"data: " + said + b"\n\n" if "event" in kind else said
            agent.content_type = kind
            async with asked(f"{gateway.url}/agents/support", "POST", json={"method": "message/send"}) as response:
                assert await response.read() == agent.answer
    for record in gateway.records():
        assert record["usage"] == {"source": "measured", "model": "m", "input_tokens": 5, "output_tokens": 7}
        assert record["cost_nanousd"] == 19_000


async def test_a_long_body_in_chunks_passes_as_it_came(agent: Agent, tmp_path: Path) -> None:
    whole = b"x" * 200_000

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(whole), 30_000):
            yield whole[start : start + 30_000]

    more = {"retry": {"attempts": 2}}
    for settings in ({}, more):
        async with speaking(agent, tmp_path, settings=settings) as (gateway, fake):
            async with asked(f"{gateway.url}/agents/support", "POST", data=pieces()) as response:
                assert response.status == 200
        assert fake.seen[0].body == whole


def failed(code: int) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": "no"}})


@pytest.mark.parametrize("streams", [False, True])
async def test_an_error_in_an_answer_of_200_counts_as_a_failed_call(
    agent: Agent, tmp_path: Path, streams: bool
) -> None:
    agent.answer = b"data: " + failed(-32001) + b"\n\n" if streams else failed(-32001)
    agent.content_type = "text/event-stream" if streams else "application/json"
    async with speaking(agent, tmp_path) as (gateway, _):
        request = {"jsonrpc": "2.0", "id": 1, "method": "tasks/get"}
        async with asked(f"{gateway.url}/agents/support/", "POST", json=request) as response:
            assert (response.status, await response.read()) == (200, agent.answer)
        async with asked(f"{gateway.admin_url}/metrics") as response:
            metrics = await response.text()
    [record] = gateway.records()
    assert record["call"] == {"method": "GetTask", "failed": "-32001"}
    assert (record["outcome"], record["status"]) == ("completed", 200)
    assert 'aiogate_failed_calls_total{agent="support",reason="-32001"} 1.0' in metrics


async def test_a_stream_that_breaks_before_its_first_event_ends_with_an_error_for_its_request(tmp_path: Path) -> None:
    async def breaks(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        assert request.transport is not None
        request.transport.close()
        return response

    async with fake_agent(breaks) as fake:
        config = {"server": {"anonymous": True}, "agents": {"support": {"url": fake.url, "protocol": "a2a"}}}
        async with running_gateway(config, tmp_path) as gateway:
            request = {"jsonrpc": "2.0", "id": "seven", "method": "message/stream"}
            async with asked(f"{gateway.url}/agents/support", "POST", json=request) as response:
                event = orjson.loads((await response.content.readline()).removeprefix(b"data: "))
    assert (event["jsonrpc"], event["id"], event["error"]["code"]) == ("2.0", "seven", -32603)
    assert event["error"]["data"]["code"] == "agent_broke_off"


@pytest.mark.parametrize("code, status", [(-32603, 503), (-32001, 200)])
async def test_the_breaker_counts_internal_errors_alone(agent: Agent, tmp_path: Path, code: int, status: int) -> None:
    agent.answer = failed(code)
    more = {"pipeline": {"plugins": ["breaker"]}, "plugins": {"breaker": {"failures": 2}}}
    async with speaking(agent, tmp_path, **more) as (gateway, _):
        for expected in (200, 200, status):
            async with asked(f"{gateway.url}/agents/support", "POST", json={"method": "tasks/get"}) as response:
                assert response.status == expected


KEYS = {name: f"agk_{name}_" + digit * 64 for name, digit in (("user", "1"), ("operator", "2"))}


async def test_a_method_may_need_a_role_of_its_own(agent: Agent, tmp_path: Path) -> None:
    agent.answer = b"{}"
    keys = [
        {"id": name, "sha256": sha256(key.encode()).hexdigest(), "principal": name, "roles": ["agent_user", name]}
        for name, key in KEYS.items()
    ]
    more = {
        "settings": {"required_role": "agent_user", "method_roles": {"tasks/cancel": "operator"}},
        "server": {"anonymous": False},
        "pipeline": {"plugins": ["api_keys", "roles", "calls"]},
        "plugins": {"api_keys": {"keys": keys}},
    }
    ways: list[tuple[str, bytes]] = [
        ("/", b'{"method":"tasks/cancel","params":{"id":"1"}}'),
        ("/rpc", b'{"method":"CancelTask","params":{"id":"1"}}'),
        ("/v1/tasks/1%3Acancel", b""),
        ("/", b'{"method":"tasks/get","method":"tasks/cancel"}'),
        ("/", b'[{"method":"tasks/cancel"}]'),
    ]
    async with speaking(agent, tmp_path, **more) as (gateway, fake):
        said = []
        for path, body in ways:
            for key in KEYS.values():
                headers = {"X-API-Key": key}
                url = f"{gateway.url}/agents/support{path}"
                async with asked(url, "POST", data=body, headers=headers) as response:
                    said.append(response.status)
        async with asked(
            f"{gateway.url}/agents/support/", "POST", data=b'{"method":"tasks/get"}', headers=headers
        ) as response:
            assert response.status == 200
    assert said == [403, 200, 403, 200, 403, 200, 400, 400, 400, 400]
    assert len(fake.seen) == 4


async def test_the_catalogue_has_the_card_of_each_agent_that_the_caller_may_use(agent: Agent, tmp_path: Path) -> None:
    async with fake_agent() as plain, fake_agent(agent.handle) as fake:
        agent.url = fake.url
        config = {
            "server": {"anonymous": True, "public_url": "https://gw.example"},
            "pipeline": {"plugins": ["roles"]},
            "agents": {
                "support": {"url": fake.url, "protocol": "a2a"},
                "away": {"url": "http://127.0.0.1:1", "protocol": "a2a"},
                "partly": {"urls": ["http://127.0.0.1:1", fake.url], "protocol": "a2a"},
                "plain": {"url": plain.url},
                "secret": {"url": fake.url, "protocol": "a2a", "required_role": "analyst"},
            },
        }
        async with running_gateway(config, tmp_path) as gateway:
            for path in ("/.well-known/agents", "/agents"):
                async with asked(gateway.url + path) as response:
                    listed = {one["id"]: one for one in (await response.json())["agents"]}
                assert list(listed) == ["support", "away", "partly", "plain"]
                [interface] = listed["support"]["card"]["supportedInterfaces"]
                assert interface["url"] == "https://gw.example/agents/support/rpc"
                assert listed["support"]["card_url"] == f"https://gw.example/agents/support{CARD}"
                assert listed["partly"]["card"]["name"] == "s"
                assert listed["away"]["card"] is None
                assert "away" in listed["away"]["card_error"]
                assert "card" not in listed["plain"]
            async with asked(f"{gateway.url}/agents?id=support") as response:
                assert (await response.json())["card"]["name"] == "s"
        assert len(fake.seen) == 2
