"""Paths that name a capability: who serves, who does when that one cannot, what is taken, what the client is told."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
import attrs
import pytest
from aiohttp import web
from yarl import URL

from aiogate import Claim, Counted, Exchange, Refused, hookimpl, refusal
from aiogate.testing import FakeAgent, RunningGateway, fake_agent, running_gateway

SECONDS = 10
PLUGINS = ("api_keys", "roles", "breaker", "routing", "limits")
ROLES = {"alice": ["agent_user", "analyst"], "bob": ["agent_user"], "olga": ["agent_user", "operator"]}


def key_of(principal: str) -> str:
    return f"agk_k-{principal}_" + hashlib.sha256(principal.encode()).hexdigest()


def config(*plugins: str, agents: dict[str, dict[str, Any]], **tables: Any) -> dict[str, Any]:
    keys = [
        {
            "id": f"k-{name}",
            "sha256": hashlib.sha256(key_of(name).encode()).hexdigest(),
            "principal": name,
            "roles": roles,
        }
        for name, roles in ROLES.items()
    ]
    return {
        "pipeline": {"plugins": list(plugins or PLUGINS)},
        "agents": agents,
        "plugins": {"api_keys": {"keys": keys}, **tables},
    }


@attrs.define
class Town:
    """A gateway before the agents ``a``, ``b`` and ``c``."""

    gateway: RunningGateway
    agents: dict[str, FakeAgent]
    client: aiohttp.ClientSession

    async def call(
        self, path: str, principal: str | None = "alice", method: str = "GET", **request: Any
    ) -> tuple[int, Any, Any]:
        headers = {**request.pop("headers", {})}
        if principal is not None:
            headers["X-API-Key"] = key_of(principal)
        url = URL(self.gateway.url + path, encoded=True)
        async with self.client.request(method, url, headers=headers, **request) as response:
            return response.status, await response.json(content_type=None), response.headers

    async def served(self, path: str, **request: Any) -> str:
        """Return who has served."""
        status, body, headers = await self.call(path, **request)
        assert status == 200, body
        return str(headers["X-Agent-Id"])


@asynccontextmanager
async def town(
    client: aiohttp.ClientSession,
    directory: Path,
    *plugins: str,
    extra: dict[str, type] | None = None,
    tables: dict[str, Any] | None = None,
    **agents: dict[str, Any],
) -> AsyncIterator[Town]:
    async with fake_agent() as a, fake_agent() as b, fake_agent() as c, asyncio.timeout(SECONDS):
        running = dict(zip("abc", (a, b, c), strict=True))
        tables_of_agents = {name: {"url": running[name].url, **facts} for name, facts in agents.items()}
        whole = config(*plugins, agents=tables_of_agents, **(tables or {}))
        async with running_gateway(whole, directory, extra) as gateway:
            yield Town(gateway, running, client)


async def test_who_declares_the_capability_serves_and_the_answer_says_who(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    agents = {"a": {"capabilities": ["chat"]}, "b": {"capabilities": ["sql", "charts"]}}
    async with town(client, tmp_path, **agents) as place:
        status, body, headers = await place.call("/capabilities/sql/q%2Fx?y=%41")
        assert (status, headers["X-Agent-Id"], body["target"]) == (200, "b", "/q%2Fx?y=%41")
        [record] = place.gateway.records()
        assert (record["agent"], record["path"]) == ("b", "/capabilities/sql/q%2Fx")


async def test_of_several_capabilities_an_agent_needs_all(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    agents = {"a": {"capabilities": ["sql"]}, "b": {"capabilities": ["charts", "sql"]}, "c": {"capabilities": ["chat"]}}
    async with town(client, tmp_path, **agents) as place:
        assert await place.served("/capabilities/sql+charts/x") == "b"
        status, body, _ = await place.call("/capabilities/sql+chat/x")
        assert (status, body["code"]) == (404, "unknown_capability")
        assert body["capabilities"] == ["charts", "chat", "sql"]


async def test_the_agent_is_told_its_own_prefix_for_links_that_lead_back_to_it(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with town(client, tmp_path, a={"capabilities": ["sql"]}) as place:
        await place.served("/capabilities/sql/x")
        assert place.agents["a"].seen[0].headers["X-Forwarded-Prefix"] == "/agents/a"


async def test_an_unknown_capability_lists_those_that_this_principal_could_ask_for(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    agents = {"a": {"capabilities": ["chat"]}, "b": {"capabilities": ["sql"], "required_role": "analyst"}}
    async with town(client, tmp_path, **agents) as place:
        status, body, _ = await place.call("/capabilities/sqll/x")
        assert (status, body["capabilities"], body["did_you_mean"]) == (404, ["chat", "sql"], ["sql"])
        assert "did you mean 'sql'?" in body["detail"]
        status, body, _ = await place.call("/capabilities/sqll/x", principal="bob")
        assert (status, body["capabilities"], body["did_you_mean"]) == (404, ["chat"], [])


@pytest.mark.parametrize("path", ["/capabilities/sql/x", "/capabilities/nonsense/x", "/capabilities", "/agents"])
async def test_a_caller_whom_nobody_knows_learns_nothing_of_capabilities(
    path: str, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with town(client, tmp_path, a={"capabilities": ["sql"]}) as place:
        status, body, _ = await place.call(path, principal=None)
        assert (status, body["code"], "capabilities" in body) == (401, "unauthenticated", False)


async def test_an_agent_that_the_principal_may_not_use_is_passed_by(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    agents = {"a": {"capabilities": ["sql"], "required_role": "analyst"}, "b": {"capabilities": ["sql"]}}
    async with town(client, tmp_path, **agents) as place:
        assert await place.served("/capabilities/sql/x") == "a"
        assert await place.served("/capabilities/sql/x", principal="bob") == "b"


async def test_where_the_principal_may_use_none_it_is_a_403(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with town(client, tmp_path, a={"capabilities": ["sql"], "required_role": "analyst"}) as place:
        status, body, headers = await place.call("/capabilities/sql/x", principal="bob")
        assert (status, body["code"], "X-Agent-Id" in headers) == (403, "role_required", False)
        assert place.gateway.records()[0]["agent"] is None


async def test_where_the_limit_of_one_is_reached_the_next_serves_and_at_last_the_softest_refusal(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    agents: dict[str, Any] = {
        "a": {"capabilities": ["sql"], "rate_limit": "1/hour"},
        "b": {"capabilities": ["sql"], "rate_limit": "2/minute"},
        "c": {"capabilities": ["sql"], "required_role": "nobody"},
    }
    async with town(client, tmp_path, **agents) as place:
        assert [await place.served("/capabilities/sql/x") for _ in range(3)] == ["a", "b", "b"]
        status, body, headers = await place.call("/capabilities/sql/x")
        assert (status, body["code"], body["limit"]) == (429, "rate_limited", 2)
        assert 0 < int(headers["Retry-After"]) <= 60
        assert headers["RateLimit-Policy"] == '"rate_limit";q=2;w=60'
        assert await place.served("/capabilities/sql/x", principal="bob") == "a"


async def test_nothing_is_taken_from_an_agent_that_was_not_chosen(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """The limit on all agents together counts each exchange once, however many agents were tried."""
    agents: dict[str, Any] = {
        "a": {"capabilities": ["sql"], "rate_limit": "1/hour"},
        "b": {"capabilities": ["sql"], "rate_limit": "9/hour"},
    }
    limit = {"limit": [{"name": "all", "per": ["principal"], "rate": "4/hour"}]}
    async with town(client, tmp_path, tables={"limits": limit}, **agents) as place:
        assert [await place.served("/capabilities/sql/x") for _ in range(4)] == ["a", "b", "b", "b"]
        assert (await place.call("/capabilities/sql/x"))[0] == 429


async def test_fifty_callers_at_limits_of_ten_and_twenty_take_exactly_these(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    agents: dict[str, Any] = {
        "a": {"capabilities": ["sql"], "rate_limit": "10/hour"},
        "b": {"capabilities": ["sql"], "rate_limit": "20/hour"},
    }
    async with town(client, tmp_path, **agents) as place:
        answers = await asyncio.gather(*(place.call("/capabilities/sql/x") for _ in range(50)))
        assert sorted(status for status, _, _ in answers) == [200] * 30 + [429] * 20
        assert (len(place.agents["a"].seen), len(place.agents["b"].seen)) == (10, 20)
        served = [record["agent"] for record in place.gateway.records() if record["outcome"] == "completed"]
        assert (served.count("a"), served.count("b")) == (10, 20)


class Picky:
    """Refuses the agents that the test names, at the claims; says when it was asked for which."""

    refuses: ClassVar[set[str]] = set()
    asked: ClassVar[list[str]] = []

    @hookimpl
    def claims(self, exchange: Exchange) -> Iterable[Claim]:
        assert exchange.agent is not None
        self.asked.append(exchange.agent.id)
        if exchange.agent.id in self.refuses:
            raise Refused(refusal("agent_unavailable", "somebody was faster", retry_after_seconds=7.0))
        return (Claim("picky", "picky", Counted.LEASE, 1, 60.0),)


async def test_a_plugin_that_refuses_at_the_claims_rules_the_agent_out(
    client: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Picky, "refuses", {"a"})
    monkeypatch.setattr(Picky, "asked", [])
    agents: dict[str, Any] = {"a": {"capabilities": ["sql"]}, "b": {"capabilities": ["sql"]}}
    async with town(client, tmp_path, "api_keys", "picky", extra={"picky": Picky}, **agents) as place:
        assert await place.served("/capabilities/sql/x") == "b"
        assert Picky.asked == ["a", "b"]
        Picky.refuses.add("b")
        status, _, headers = await place.call("/capabilities/sql/x")
        assert (status, headers["Retry-After"]) == (503, "7")
        status, _, _ = await place.call("/agents/a/x")
        assert status == 503  # a path that names an agent tries no other
        assert Picky.asked == ["a", "b", "a", "b", "a"]


async def test_an_agent_that_takes_no_body_of_this_length_is_passed_by(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    agents: dict[str, Any] = {"a": {"capabilities": ["sql"], "max_body": 10}, "b": {"capabilities": ["sql"]}}
    async with town(client, tmp_path, **agents) as place:
        assert await place.served("/capabilities/sql/x", method="POST", data=b"x" * 10) == "a"
        assert await place.served("/capabilities/sql/x", method="POST", data=b"x" * 11) == "b"


async def test_a_body_in_chunks_is_held_to_what_the_chosen_agent_takes(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x"

    async with town(client, tmp_path, a={"capabilities": ["sql"], "max_body": 10}) as place:
        status, body, _ = await place.call("/capabilities/sql/x", method="POST", data=chunks())
        assert (status, body["max_body"]) == (413, 10)


async def test_an_operator_may_ask_for_the_ranking_and_nothing_is_sent_or_taken(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    agents: dict[str, Any] = {
        "a": {"capabilities": ["sql"], "priority": 2, "rate_limit": "1/hour"},
        "b": {"capabilities": ["sql"], "priority": 1, "rate_limit": "1/hour"},
        "c": {"capabilities": ["sql"], "required_role": "analyst"},
    }
    explain = {"X-Aiogate-Explain": "1"}
    async with town(client, tmp_path, **agents) as place:
        for _ in range(3):
            status, body, headers = await place.call("/capabilities/sql/x", principal="olga", headers=explain)
        assert (status, body["ranked_by"], "X-Agent-Id" in headers) == (200, "routing", False)
        assert body["ranking"] == [
            {"agent": "b", "reason": "priority 1", "priority": 1},
            {"agent": "a", "reason": "priority 2", "priority": 2},
        ]
        [ruled_out] = body["ruled_out"]
        assert (ruled_out["agent"], ruled_out["status"], ruled_out["code"]) == ("c", 403, "role_required")
        assert all(agent.seen == [] for agent in place.agents.values())
        assert await place.served("/capabilities/sql/x", principal="olga") == "b"


@pytest.mark.parametrize("path", ["/capabilities/sql/x", "/agents/a/x"])
async def test_nobody_else_gets_the_ranking_and_what_was_to_be_explained_is_not_sent(
    path: str, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with town(client, tmp_path, a={"capabilities": ["sql"]}) as place:
        status, body, _ = await place.call(path, headers={"X-Aiogate-Explain": "1"})
        assert (status, body["code"]) == (403, "role_required")
        status, body, _ = await place.call(path, "olga", headers={"X-Aiogate-Explain": "1"})
        assert (status, [one["agent"] for one in body["ranking"]]) == (200, ["a"])
        assert place.agents["a"].seen == []
        assert await place.served(path, headers={"X-Aiogate-Explain": "0"}) == "a"


async def test_an_agents_own_word_on_who_it_is_gives_way(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async def pretends(_request: web.Request) -> web.Response:
        return web.Response(headers={"x-agent-ID": "somebody"})

    async with fake_agent(pretends) as agent:
        whole = config(agents={"a": {"url": agent.url}})
        async with running_gateway(whole, tmp_path) as gateway:
            async with client.get(f"{gateway.url}/agents/a", headers={"X-API-Key": key_of("bob")}) as response:
                assert response.headers.getall("X-Agent-Id") == ["a"]


async def test_the_lists_say_what_is_up_and_hide_what_is_forbidden_wherever_the_breaker_stands(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    agents: dict[str, Any] = {
        "a": {"capabilities": ["sql", "chat"], "description": "A."},
        "b": {"capabilities": ["sql"]},
        "c": {"capabilities": ["secrets"], "required_role": "analyst"},
    }
    async with town(client, tmp_path, "api_keys", "breaker", "roles", **agents) as place:
        breaker = place.gateway.gateway.pipeline.plugins["breaker"]
        for agent in ("a", "c"):
            breaker.open(agent, actor="olga", reason="test")  # type: ignore[attr-defined]
        _, body, _ = await place.call("/agents", principal="bob")
        down, up = body["agents"]
        assert (down["id"], down["state"], down["retry_after_seconds"]) == ("a", "unavailable", 30.0)
        assert (down["description"], down["capabilities"]) == ("A.", ["sql", "chat"])
        assert (up["id"], up["state"], "retry_after_seconds" in up) == ("b", "available", False)
        _, body, _ = await place.call("/capabilities", principal="bob")
        assert body["capabilities"] == [
            {"name": "chat", "agents": ["a"], "path": "/capabilities/chat", "state": "unavailable"},
            {"name": "sql", "agents": ["a", "b"], "path": "/capabilities/sql", "state": "available"},
        ]
        status, body, _ = await place.call("/capabilities", principal="bob", method="POST")
        assert (status, body["detail"]) == (405, "the list of capabilities can only be read")


async def test_one_entry_of_the_list_is_asked_for_by_id_and_the_agent_keeps_its_own_root(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    agents: dict[str, Any] = {"a": {"capabilities": ["sql"], "description": "A."}, "c": {"required_role": "analyst"}}
    async with town(client, tmp_path, **agents) as place:
        status, body, headers = await place.call("/agents?id=a", "bob")
        entry = {"id": "a", "description": "A.", "capabilities": ["sql"], "path": "/agents/a", "state": "available"}
        assert (status, body, "X-Agent-Id" in headers) == (200, entry, False)
        status, body, _ = await place.call("/agents?id=c", "bob")
        assert (status, body["code"]) == (403, "role_required")
        status, body, _ = await place.call("/agents?id=aa", "bob")
        assert (status, body["code"], body["did_you_mean"]) == (404, "unknown_agent", ["a"])
        assert place.agents["a"].seen == []
        for path in ("/agents/a", "/agents/a/", "/agents/a?id=a"):
            assert await place.served(path, principal="bob") == "a"
