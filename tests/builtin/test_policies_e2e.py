"""``policies`` in a gateway that runs: what a client reads, what the journal keeps, what reaches the agent."""

import io
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from aiogate.testing import RunningGateway, fake_agent, running_gateway

RULES: list[dict[str, Any]] = [
    {"name": "readers", "deny": 'request.method == "DELETE"', "message": "Nobody deletes — ask the team."},
    {"name": "broken", "agents": ["echo"], "deny": 'request.headers["x-team"] == "red"'},
    {"name": "models", "agents": ["model"], "needs_body": True, "deny": '!(has(body.model) && body.model == "small")'},
    {"name": "home", "agents": ["far"], "deny": '!ip_in(client.ip, ["10.0.0.0/8"])', "mode": "shadow"},
]


async def answered(
    gateway: RunningGateway, method: str, path: str, **request: Any
) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Return status and body of an answer, and the record of the exchange."""
    async with aiohttp.ClientSession() as session, session.request(method, gateway.url + path, **request) as response:
        body = await response.json(content_type=None)
        [record] = [one for one in gateway.records() if one["request_id"] == response.headers["X-Request-Id"]]
        return response.status, body, record


@pytest.fixture
async def gateway(tmp_path: Path) -> Any:
    async with fake_agent() as agent:
        config = {
            "server": {"anonymous": True},
            "pipeline": {"plugins": ["policies"]},
            "agents": {name: {"url": agent.url} for name in ("echo", "model", "far")},
            "plugins": {"policies": {"rule": RULES}},
        }
        async with running_gateway(config, tmp_path) as running:
            yield running, agent


async def test_a_refusal_carries_rule_and_message_in_body_and_journal(gateway: Any) -> None:
    running, agent = gateway
    status, body, record = await answered(running, "DELETE", "/agents/far/x")
    assert (status, body["code"], body["rule"]) == (403, "policy_denied", "readers")
    assert (body["detail"], body["title"]) == ("Nobody deletes — ask the team.", "Denied by a policy")
    assert (record["outcome"], record["code"], record["rule"]) == ("refused", "policy_denied", "readers")
    assert record["detail"] == "Nobody deletes — ask the team."
    assert agent.seen == []


async def test_a_rule_that_fails_denies_with_its_own_code(gateway: Any) -> None:
    running, agent = gateway
    status, body, record = await answered(running, "POST", "/agents/echo/x")
    assert (status, body["code"], body["rule"]) == (403, "policy_failed", "broken")
    assert (record["code"], record["rule"]) == ("policy_failed", "broken")
    assert agent.seen == []


async def test_a_rule_that_has_looked_at_the_body_leaves_it_to_the_agent(gateway: Any) -> None:
    running, agent = gateway
    status, body, _ = await answered(running, "POST", "/agents/model/x", data=b'{"model": "small"}')
    assert (status, body["body"]) == (200, '{"model": "small"}')
    status, body, _ = await answered(running, "POST", "/agents/model/x", data=b'{"model": "large"}')
    assert (status, body["rule"]) == (403, "models")
    assert len(agent.seen) == 1


async def test_a_body_that_is_too_long_to_look_at_is_a_413(gateway: Any) -> None:
    running, _ = gateway
    status, body, _ = await answered(running, "POST", "/agents/model/x", data=io.BytesIO(b" " * (2**20 + 1)))
    assert (status, body["code"]) == (413, "body_too_large")


async def test_a_rule_in_the_shadow_lets_the_exchange_go_on_and_is_journaled(gateway: Any) -> None:
    running, agent = gateway
    status, _, record = await answered(running, "POST", "/agents/far/x")
    assert (status, record["outcome"], record["shadow"]) == (200, "completed", ["home"])
    assert len(agent.seen) == 1
    async with aiohttp.ClientSession() as session, session.get(f"{running.admin_url}/metrics") as response:
        assert 'aiogate_shadow_denials_total{agent="far",rule="home"} 1.0' in await response.text()


async def test_the_catalogue_lists_only_what_the_rules_leave(gateway: Any) -> None:
    running, _ = gateway
    _, body, _ = await answered(running, "GET", "/agents")
    assert [agent["id"] for agent in body["agents"]] == ["far"]
