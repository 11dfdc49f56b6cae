"""Limits on tokens in a running gateway: claimed by an estimate, settled with what was used, told in headers."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from aiogate.testing import fake_agent, running_gateway
from tests.builtin.spending import Callers, Now, Teller, ask, config


def limited(url: str, **limits: Any) -> dict[str, Any]:
    settings = config(url)
    settings["pipeline"]["plugins"] = ["callers", "limits", "cost"]
    del settings["plugins"]["budgets"]
    settings["agents"]["teller"] |= limits.pop("agent", {})
    settings["plugins"]["limits"] = limits
    return settings


async def test_tokens_of_an_agent_are_limited_per_principal(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    now = Now()
    async with (
        fake_agent(Teller()) as agent,
        running_gateway(
            limited(agent.url, agent={"token_limit": "1_000/minute"}), tmp_path, {"callers": Callers}, clock=now.clock()
        ) as gateway,
    ):
        first = await ask(client, gateway, uses=600)
        assert first.headers["RateLimit-Policy"] == '"token_limit";q=1000;qu="tokens";w=60'
        assert first.headers["RateLimit"].startswith('"token_limit";r=7')
        now.seconds += 30
        second = await ask(client, gateway, uses=390)
        assert (second.status, second.headers["RateLimit"]) == (429, '"token_limit";r=400;t=30')
        assert second.said["detail"].startswith("limit 'token_limit' is reached: 1000 tokens in 60 s")
        assert (await ask(client, gateway, "bob", uses=390)).status == 200
        now.seconds += 30
        assert (await ask(client, gateway, uses=390)).status == 200


async def test_a_limit_counts_the_tokens_of_all_that_it_is_for(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    limit = {"name": "team", "tokens": "500/hour", "per": ["department"]}
    async with (
        fake_agent(Teller()) as agent,
        running_gateway(
            limited(agent.url, limit=[limit]), tmp_path, {"callers": Callers}, clock=Now().clock()
        ) as gateway,
    ):
        assert (await ask(client, gateway, "alice/data", uses=700)).status == 200
        refused = await ask(client, gateway, "bob/data", uses=1)
        assert (refused.status, refused.said["code"], refused.said["rule"]) == (429, "rate_limited", "team")
        assert refused.headers["Retry-After"] == "3600"
        assert (await ask(client, gateway, "carol/sales", uses=1)).status == 200


async def test_an_estimate_is_taken_at_once_and_given_back(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    teller = Teller()
    async with (
        fake_agent(teller) as agent,
        running_gateway(
            limited(agent.url, agent={"token_limit": "600/minute"}), tmp_path, {"callers": Callers}, clock=Now().clock()
        ) as gateway,
    ):
        teller.holds = True
        calls = [asyncio.create_task(ask(client, gateway, uses=10)) for _ in range(2)]
        for _ in calls:
            await teller.arrived.acquire()
        assert (await ask(client, gateway, uses=10)).status == 429
        teller.go_on.release()
        teller.go_on.release()
        assert [answer.status for answer in await asyncio.gather(*calls)] == [200, 200]
        teller.holds = False
        answers = [await ask(client, gateway, uses=10) for _ in range(20)]
        assert {answer.status for answer in answers} == {200}


async def test_a_call_that_fails_has_used_no_tokens_and_one_that_says_nothing_its_estimate(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with (
        fake_agent(Teller()) as agent,
        running_gateway(
            limited(agent.url, agent={"token_limit": "600/minute"}), tmp_path, {"callers": Callers}, clock=Now().clock()
        ) as gateway,
    ):
        for _ in range(5):
            assert (await ask(client, gateway, status=500)).status == 500
        assert (await ask(client, gateway, usage={"completion_tokens": -5})).status == 200
        left = (await ask(client, gateway, uses=1)).headers["RateLimit"]
        assert left.startswith('"token_limit";r=76;')


async def test_a_mean_is_learnt_only_where_tokens_are_limited(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent(Teller()) as agent:
        settings = limited(agent.url, agent={"rate_limit": "9/minute"})
        async with running_gateway(settings, tmp_path, {"callers": Callers}, clock=Now().clock()) as gateway:
            answer = await ask(client, gateway, uses=600)
            assert answer.headers["RateLimit-Policy"] == '"rate_limit";q=9;w=60'
            cost: Any = gateway.gateway.pipeline.plugins["cost"]
            assert cost._means is None
