"""What a principal may use, as lists of agents and of capabilities, and as suggestions of a 404.

Gets an exchange whose candidates are what the plugins have left of all agents. Knows nothing of plugins. One entry is
``GET /agents?id=support``: ``/agents/support`` is the agent itself, with whatever it has at its root.
"""

from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import parse_qs

import orjson

from aiogate.agent import Agent
from aiogate.errors import Refusal, refusal
from aiogate.exchange import Exchange, Reply

__all__ = ["listed"]

_CAPABILITIES: Final = "/capabilities"
_LONGEST_NAME: Final = 64


def listed(exchange: Exchange) -> Refusal | Reply:
    """Return the list that the path asks for, or the 404 for what there is not."""
    if exchange.target is not None:
        return _unknown_agent(exchange, exchange.target)
    if exchange.capabilities:
        return _unknown_capability(exchange)
    of_agents = not exchange.full_path.startswith(_CAPABILITIES)
    if exchange.method not in {"GET", "HEAD"}:
        detail = f"the list of {'agents' if of_agents else 'capabilities'} can only be read"
        return refusal("method_not_allowed", detail, headers=(("Allow", "GET, HEAD"),))
    wanted = parse_qs(exchange.query).get("id") if of_agents and exchange.query else None
    if wanted is not None:
        return _one(exchange, wanted[0])
    return _json(
        {"agents": [_agent(agent, exchange) for agent in exchange.candidates]} if of_agents else _able(exchange)
    )


def _json(said: object) -> Reply:
    return Reply(body=orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE))


def _one(exchange: Exchange, agent_id: str) -> Refusal | Reply:
    """Return the entry of one agent; for one that the principal may not use what a call of it would say."""
    for agent in exchange.candidates:
        if agent.id == agent_id:
            return _json(_agent(agent, exchange))
    refused = next((why for agent, why in exchange.lost if agent.id == agent_id), None)
    return refused or _unknown_agent(exchange, agent_id)


def _agent(agent: Agent, exchange: Exchange) -> dict[str, Any]:
    return {
        "id": agent.id,
        "description": agent.description,
        "capabilities": agent.capabilities,
        "path": f"/agents/{agent.id}",
        **_state(agent, exchange),
    }


def _state(agent: Agent, exchange: Exchange) -> dict[str, Any]:
    why = (exchange.unavailable or {}).get(agent.id)
    if why is None:
        return {"state": "available"}
    return {"state": "unavailable", "detail": why.detail, "retry_after_seconds": why.retry_after_seconds}


def _able(exchange: Exchange) -> dict[str, Any]:
    """Return the capabilities by name, each with its agents in the order of the config."""
    agents: dict[str, list[Agent]] = {}
    for agent in exchange.candidates:
        for capability in dict.fromkeys(agent.capabilities):
            agents.setdefault(capability, []).append(agent)
    down = exchange.unavailable or {}
    return {
        "capabilities": [
            {
                "name": name,
                "agents": [agent.id for agent in agents[name]],
                "path": f"{_CAPABILITIES}/{name}",
                "state": "unavailable" if all(agent.id in down for agent in agents[name]) else "available",
            }
            for name in sorted(agents)
        ]
    }


def _unknown_agent(exchange: Exchange, target: str) -> Refusal:
    close = get_close_matches(target, [agent.id for agent in exchange.candidates], n=1)
    return refusal(
        "unknown_agent",
        f"there is no agent {target[:_LONGEST_NAME]!r}{_hint(close)}",
        members={"did_you_mean": close},
    )


def _unknown_capability(exchange: Exchange) -> Refusal:
    """Return the 404, with the capabilities that this principal could ask for."""
    usable = sorted({name for agent in exchange.candidates for name in agent.capabilities})
    unknown = [name for name in exchange.capabilities if name not in usable]
    close = get_close_matches(unknown[0], usable, n=1) if unknown else []
    what = "+".join(exchange.capabilities)[:_LONGEST_NAME]
    return refusal(
        "unknown_capability",
        f"there is no agent with {'all of ' if len(exchange.capabilities) > 1 else ''}{what!r}{_hint(close)}",
        members={"did_you_mean": close, "capabilities": usable},
    )


def _hint(close: list[str]) -> str:
    return f"; did you mean {close[0]!r}?" if close else ""
