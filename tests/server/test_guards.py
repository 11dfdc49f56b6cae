"""The built-in guards together, in a running gateway: who may call, who may not, how often, and what they are told."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import aiohttp
import http_sf
import pytest
from aiohttp import web
from aiohttp_sse_client import client as sse_client

from aiogate.testing import fake_agent, running_gateway
from tests.configs import anonymous

ALICE = "agk_k-alice_" + "a1" * 32
BOB = "agk_k-bob_" + "b2" * 32
SECONDS = 10


def guarded(url: str, **agent: Any) -> dict[str, Any]:
    def key(key_id: str, text: str, *roles: str) -> dict[str, Any]:
        digest = hashlib.sha256(text.encode()).hexdigest()
        return {"id": key_id, "sha256": digest, "principal": key_id.removeprefix("k-"), "roles": list(roles)}

    return {
        "pipeline": {"plugins": ["api_keys", "roles", "limits", "cost"]},
        "agents": {
            "support": {"url": url, "required_role": "agent_user", **agent},
            "analytics": {"url": url, "required_role": "analyst"},
        },
        "plugins": {
            "api_keys": {
                "keys": [
                    key("k-alice", ALICE, "agent_user", "analyst"),
                    key("k-bob", BOB, "agent_user"),
                ]
            }
        },
    }


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_the_agent_learns_who_calls_and_never_the_key(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent() as agent, running_gateway(guarded(agent.url), tmp_path) as gateway:
        for headers in (bearer(ALICE), {"X-API-Key": ALICE}):
            async with client.get(f"{gateway.url}/agents/support/x", headers=headers) as response:
                assert response.status == 200
        for seen in agent.seen:
            assert (seen.headers["X-User-Id"], seen.headers["X-User-Roles"]) == ("alice", "agent_user,analyst")
            assert ALICE not in str(seen.headers)
        assert [record["key_id"] for record in gateway.records()] == ["k-alice", "k-alice"]
        assert ALICE not in str(gateway.records())


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("nonsense"),
        bearer("agk_k-alice_" + "0" * 64),
        bearer("agk_k-nobody_" + "0" * 64),
        {"Authorization": "Basic YTpi"},
        {"X-API-Key": "agk_"},
    ],
    ids=["missing", "malformed", "wrong", "unknown", "another scheme", "cut"],
)
async def test_whatever_is_wrong_with_a_key_looks_the_same(
    headers: dict[str, str], client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with fake_agent() as agent, running_gateway(guarded(agent.url), tmp_path) as gateway:
        async with client.get(f"{gateway.url}/agents/support/x", headers=headers) as response:
            body = await response.json(content_type=None)
            assert response.status == 401
            assert response.headers["WWW-Authenticate"] == 'Bearer realm="aiogate"'
        del body["request_id"]
        assert hashlib.sha256(str(body).encode()).hexdigest() == await _of_a_missing_key(client, gateway.url)
        assert agent.seen == []


async def _of_a_missing_key(client: aiohttp.ClientSession, url: str) -> str:
    async with client.get(f"{url}/agents/support/x") as response:
        body = await response.json(content_type=None)
    del body["request_id"]
    return hashlib.sha256(str(body).encode()).hexdigest()


async def test_suggestions_and_the_catalogue_show_only_what_the_principal_may_use(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with fake_agent() as agent, running_gateway(guarded(agent.url), tmp_path) as gateway:
        for key, suggestion, ids in ((ALICE, ["analytics"], ["support", "analytics"]), (BOB, [], ["support"])):
            async with client.get(f"{gateway.url}/agents/analytic/x", headers=bearer(key)) as response:
                assert response.status == 404
                assert (await response.json(content_type=None))["did_you_mean"] == suggestion
            async with client.get(f"{gateway.url}/agents", headers=bearer(key)) as response:
                assert [agent["id"] for agent in (await response.json())["agents"]] == ids
        async with client.get(f"{gateway.url}/agents/analytics/x", headers=bearer(BOB)) as response:
            assert response.status == 403
        assert agent.seen == []
        assert gateway.records()[-1]["agent"] == "analytics"


async def test_two_hundred_callers_at_a_limit_of_fifty(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    config = guarded("", rate_limit="50/minute")

    async def call(url: str) -> int:
        async with client.get(f"{url}/agents/support/x", headers=bearer(ALICE)) as response:
            policy = http_sf.parse(response.headers["RateLimit-Policy"].encode(), tltype="list")
            left = http_sf.parse(response.headers["RateLimit"].encode(), tltype="list")
            assert policy == [("rate_limit", {"q": 50, "w": 60})]
            [(_, said)] = left
            if response.status == 429:
                assert said["r"] == 0
                assert said["t"] <= int(response.headers["Retry-After"]) <= 60
            return response.status

    async with fake_agent() as agent:
        config["agents"]["support"]["url"] = config["agents"]["analytics"]["url"] = agent.url
        async with running_gateway(config, tmp_path) as gateway, asyncio.timeout(SECONDS):
            statuses = await asyncio.gather(*(call(gateway.url) for _ in range(200)))
            assert (statuses.count(200), statuses.count(429)) == (50, 150)
            async with client.get(f"{gateway.url}/agents/support/x", headers=bearer(BOB)) as response:
                assert response.status == 200  # the limit is per principal
        assert len(agent.seen) == 51


async def test_a_place_among_the_concurrent_is_given_back_however_the_exchange_ends(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    let_go = asyncio.Event()
    arrived = asyncio.Semaphore(0)

    async def holds(_request: web.Request) -> web.Response:
        arrived.release()
        await let_go.wait()
        return web.Response()

    async with fake_agent(holds) as agent:
        async with running_gateway(guarded(agent.url, concurrency=2), tmp_path) as gateway, asyncio.timeout(SECONDS):

            async def call() -> int:
                async with client.get(f"{gateway.url}/agents/support/x", headers=bearer(ALICE)) as response:
                    return response.status

            held = [asyncio.create_task(call()) for _ in range(2)]
            for _ in held:
                await arrived.acquire()
            assert await call() == 429
            held[0].cancel()
            while [record["outcome"] for record in gateway.records()] != ["refused", "client_gone"]:
                await asyncio.sleep(0)
            let_go.set()
            assert await call() == 200
            assert await held[1] == 200


async def test_the_sse_client_of_the_field_reads_a_stream(tmp_path: Path) -> None:
    async def speaks(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number in range(3):
            await response.write(f"id: {number}\nevent: word\ndata: w{number}\n\n".encode())
        return response

    heard = []
    async with fake_agent(speaks) as agent, running_gateway(guarded(agent.url), tmp_path) as gateway:
        url = f"{gateway.url}/agents/support/s"
        async with sse_client.EventSource(url, headers=bearer(ALICE)) as events, asyncio.timeout(SECONDS):
            async for event in events:
                heard.append((event.type, event.data))
                if len(heard) == 3:
                    break  # it would ask again at the end
    assert heard == [("word", "w0"), ("word", "w1"), ("word", "w2")]


async def test_a_trusted_proxy_says_who_calls(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent() as agent:
        config = anonymous(agent.url)
        config["server"]["trusted_proxies"] = ["127.0.0.0/8"]
        async with running_gateway(config, tmp_path) as gateway:
            headers = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7"}
            async with client.get(f"{gateway.url}/agents/echo/x", headers=headers) as response:
                assert response.status == 200
        assert agent.seen[0].headers["X-Forwarded-For"] == "198.51.100.7"
        assert gateway.records()[0]["client"] == "198.51.100.7"


async def test_by_default_nobodys_word_on_the_clients_address_counts(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        async with client.get(f"{gateway.url}/agents/echo/x", headers={"X-Forwarded-For": "203.0.113.9"}) as response:
            assert response.status == 200
        assert agent.seen[0].headers["X-Forwarded-For"] == "127.0.0.1"
