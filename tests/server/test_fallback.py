"""One agent in the place of another, in a running gateway: when, on whose claims, and who is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from aiogate import Claim, Counted, Exchange, Principal, hookimpl, refusal
from aiogate.builtin.breaker import Breaker
from aiogate.testing import FakeAgent, RunningGateway, running_gateway
from tests.server.test_endpoints import SECONDS, agents, answering, nowhere


class Gate:
    """Rules out the agents that the query names, with the status that it names; claims a place at each agent."""

    @hookimpl
    def pre_request(self, exchange: Exchange) -> None:
        exchange.principal = Principal(id="alice")
        for rule in filter(None, exchange.query.split("&")):
            name, _, code = rule.partition("=")
            for agent in tuple(exchange.candidates):
                if agent.id == name:
                    exchange.rule_out(agent, refusal(code, f"{name} is not for you"))

    @hookimpl
    def claims(self, exchange: Exchange) -> list[Claim]:
        assert exchange.agent is not None
        name = exchange.agent.id
        return [
            Claim("together", "together", Counted.LEASE, 1, 60.0),
            Claim(f"rate-{name}", f"rate-{name}", Counted.WINDOW, 3, 3600.0),
        ]


@asynccontextmanager
async def before(path: Path, **tables: Any) -> AsyncIterator[tuple[RunningGateway, aiohttp.ClientSession]]:
    config = {"server": {"anonymous": True}, "pipeline": {"plugins": ["gate", "breaker"]}, "agents": tables}
    async with (
        asyncio.timeout(SECONDS),
        running_gateway(config, path, {"gate": Gate}) as gateway,
        aiohttp.ClientSession(gateway.url) as session,
    ):
        yield gateway, session


def two(first: str, second: FakeAgent, **facts: Any) -> dict[str, Any]:
    return {"first": {"url": first, "fallback": ["second"], **facts}, "second": {"url": second.url}}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_where_an_agent_cannot_be_reached_another_one_serves(method: str, tmp_path: Path) -> None:
    async with agents(answering(200)) as (well,), before(tmp_path, **two(nowhere(), well)) as (gateway, session):
        async with session.request(method, "/agents/first/x") as answer:
            assert (answer.status, answer.headers["X-Agent-Id"]) == (200, "second")
            assert answer.headers["X-Aiogate-Attempts"] == "2"
        [record] = gateway.records()
        assert (record["agent"], record["path"], record["outcome"]) == ("second", "/agents/first/x", "completed")
        failed, served = record["attempts"]
        assert (failed["ended"], served["agent"], served["ended"]) == ("agent_unreachable", "second", 200)


async def test_a_bad_answer_gives_way_to_a_good_one_where_that_is_safe(tmp_path: Path) -> None:
    async with agents(answering(503), answering(200)) as (ill, well):
        async with before(tmp_path, **two(ill.url, well)) as (_, session):
            assert (await session.get("/agents/first/x")).headers["X-Agent-Id"] == "second"
            async with session.post("/agents/first/x", data=b"q") as answer:
                assert (answer.status, answer.headers["X-Agent-Id"]) == (503, "first")
    async with agents(answering(503), answering(200)) as (ill, well):
        async with before(tmp_path, **two(ill.url, well, retry={"attempts": 1, "unsafe": True})) as (_, session):
            async with session.post("/agents/first/x", data=b"q") as answer:
                assert (answer.status, answer.headers["X-Agent-Id"]) == (200, "second")
            assert [seen.body for seen in well.seen] == [b"q"]


async def test_what_the_first_has_taken_is_given_back(tmp_path: Path) -> None:
    """All share one place: were it not free again, the second could not serve; and the first's window is untouched."""
    async with agents(answering(503), answering(200)) as (ill, well):
        async with before(tmp_path, **two(ill.url, well)) as (gateway, session):
            for _ in range(3):
                assert (await session.get("/agents/first/x")).status == 200
            async with session.get("/agents/first/x") as answer:  # the window of the second is full
                assert (answer.status, answer.headers["X-Agent-Id"]) == (503, "first")
            assert gateway.records()[-1]["agent"] == "first"
            assert len(ill.seen) == 4


async def test_an_agent_that_is_out_of_service_is_stood_in_for_at_once(tmp_path: Path) -> None:
    async with agents(answering(200), answering(200)) as (held, well):
        async with before(tmp_path, **two(held.url, well)) as (gateway, session):
            breaker = gateway.gateway.pipeline.plugins["breaker"]
            assert isinstance(breaker, Breaker)
            breaker.open("first", actor="alice", reason="a test")
            async with session.get("/agents/first/x") as answer:
                assert (answer.status, answer.headers["X-Agent-Id"]) == (200, "second")
            breaker.open("second", actor="alice", reason="a test")
            async with session.get("/agents/first/x") as answer:
                assert (answer.status, (await answer.json())["code"]) == (503, "agent_unavailable")
                assert "'first'" in (await answer.json())["detail"]
            assert held.seen == []


@pytest.mark.parametrize(
    "query, status",
    [("first=role_required", 403), ("first=rate_limited", 429), ("first=role_required&second=bad_path", 403)],
)
async def test_whoever_may_not_call_an_agent_calls_no_other_by_its_name(
    query: str, status: int, tmp_path: Path
) -> None:
    async with agents(answering(200)) as (well,), before(tmp_path, **two(nowhere(), well)) as (_, session):
        async with session.get(f"/agents/first/x?{query}") as answer:
            assert (answer.status, (await answer.json())["detail"]) == (status, "first is not for you")
        assert well.seen == []


async def test_an_agent_that_the_principal_may_not_use_stands_in_for_nobody(tmp_path: Path) -> None:
    async with agents(answering(503), answering(200)) as (ill, well):
        async with before(tmp_path, **two(ill.url, well)) as (gateway, session):
            assert (await session.get("/agents/first/x?second=role_required")).status == 503
            assert (well.seen, gateway.records()[0]["agent"]) == ([], "first")


async def test_who_stands_in_may_be_stood_in_for(tmp_path: Path) -> None:
    async with agents(answering(200)) as (well,):
        tables = {
            "first": {"url": nowhere(), "fallback": ["second"]},
            "second": {"url": nowhere(), "fallback": ["third"]},
            "third": {"url": well.url},
        }
        async with before(tmp_path, **tables) as (gateway, session):
            assert (await session.get("/agents/first/x")).headers["X-Agent-Id"] == "third"
            breaker = gateway.gateway.pipeline.plugins["breaker"]
            assert isinstance(breaker, Breaker)
            await gateway.gateway.house.tasks.join()
            assert {one.agent: one.failures for one in breaker.statuses()} == {"first": 1, "second": 1}


async def test_a_probe_that_fails_opens_the_circuit_though_another_agent_serves(tmp_path: Path) -> None:
    async with agents(answering(200)) as (well,), before(tmp_path, **two(nowhere(), well)) as (gateway, session):
        breaker = gateway.gateway.pipeline.plugins["breaker"]
        assert isinstance(breaker, Breaker)
        circuits = breaker._circuits
        with circuits.change("first", 0.0) as circuit:
            for _ in range(5):  # long ago, so that it is half open now
                circuit.failed(-600.0, -600.0)
        assert (await session.get("/agents/first/x")).headers["X-Agent-Id"] == "second"
        [status] = breaker.statuses()
        assert (status.phase, status.openings) == ("open", 2)


async def test_no_plugin_that_routes_prefers_who_only_stands_in(tmp_path: Path) -> None:
    async with agents(answering(200), answering(200)) as (one, other):
        tables = {
            "first": {"url": one.url, "fallback": ["second"], "priority": 9},
            "second": {"url": other.url, "priority": 0},
        }
        config = {"server": {"anonymous": True}, "pipeline": {"plugins": ["routing"]}, "agents": tables}
        async with running_gateway(config, tmp_path) as gateway, aiohttp.ClientSession(gateway.url) as session:
            for _ in range(3):
                assert (await session.get("/agents/first/x")).headers["X-Agent-Id"] == "first"


async def test_a_body_that_the_second_does_not_take_is_not_sent_to_it(tmp_path: Path) -> None:
    async with agents(answering(200)) as (well,):
        tables = two(nowhere(), well)
        tables["second"]["max_body"] = 10
        async with before(tmp_path, **tables) as (_, session):
            assert (await session.post("/agents/first/x", data=b"q" * 11)).status == 502
            assert (await session.post("/agents/first/x", data=b"q" * 10)).status == 200


async def test_a_client_that_was_told_who_serves_is_served_by_nobody_else(tmp_path: Path) -> None:
    """Its head came before the agent's: another endpoint of the same agent may still serve, another agent may not."""

    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        return response

    asks = {"Accept": "text/event-stream"}
    async with agents(events) as (well,):
        tables = two(nowhere(), well, early_headers=True)
        tables["third"] = {"urls": [nowhere(), well.url], "early_headers": True}
        async with before(tmp_path, **tables) as (_, session):
            async with session.get("/agents/third/x", headers=asks) as answer:
                assert (answer.status, await answer.read()) == (200, b"data: 1\n\n")
            async with session.get("/agents/first/x", headers=asks) as answer:
                assert (answer.status, answer.headers["X-Agent-Id"]) == (200, "first")
                with pytest.raises(aiohttp.ClientPayloadError):
                    await answer.read()
            assert len(well.seen) == 1
