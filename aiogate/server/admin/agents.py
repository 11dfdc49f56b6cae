"""The agents and how they are: in service, paused, killed or kept out by their breaker."""

from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from aiogate.server.admin.answers import json
from aiogate.server.admin.kills import HALT, plain_halt
from aiogate.server.admin.route import Route, Schema
from aiogate.server.admin.running import Running, gateway_of
from aiogate.server.admin.schemas import BREAKER, COUNT, ENDPOINT, FLAG, TEXT, array, maybe, record
from aiogate.server.admin.whole import of_all
from aiogate.server.breaker_report import statuses_of

__all__ = ["AGENT", "ROUTES", "agents_of"]

_IN_SERVICE: Final = frozenset({"closed", "held_closed", "half_open"})
AGENT: Final[Schema] = record(
    {
        "id": TEXT,
        "description": TEXT,
        "capabilities": array(TEXT),
        "cost_center": maybe(TEXT),
        "required_roles": array(TEXT),
        "state": {"enum": ["in_service", "paused", "killed", "breaker_open"]},
        "open_exchanges": COUNT,
        "exchanges": COUNT,
        "breaker": maybe(BREAKER),
        "endpoints": array(ENDPOINT),
        "halts": array(HALT),
        "is_resilient": FLAG,
    }
)


def agents_of(gateway: Running) -> list[dict[str, Any]]:
    """Return the agents of the config in force, in its order."""
    house, generation = gateway.house, gateway.generation
    wall, halts = house.clock.wall(), [halt for halt in house.halts.current() if halt.is_of_agent]
    breakers, places = statuses_of(generation), house.upstream.figures(house.clock.monotonic())
    known = house.metrics.figures()
    under_way: dict[str, int] = {}
    for exchange in house.under_way():
        if exchange.agent is not None:
            under_way[exchange.agent.id] = under_way.get(exchange.agent.id, 0) + 1
    found = []
    for agent_id, agent in generation.agents.items():
        about, breaker = [halt for halt in halts if halt.agent == agent_id], breakers.get(agent_id)
        kinds = {halt.kind for halt in about}
        is_open = breaker is not None and breaker["phase"] not in _IN_SERVICE
        found.append(
            {
                "id": agent_id,
                "description": agent.description,
                "capabilities": list(agent.capabilities),
                "cost_center": agent.cost_center,
                "required_roles": sorted(agent.required_roles),
                "state": "killed" if "kill" in kinds else "paused" if kinds else _of_breaker(is_open=is_open),
                "open_exchanges": under_way.get(agent_id, 0),
                "exchanges": sum(known[agent_id].ends.values()) if agent_id in known else 0,
                "breaker": breaker,
                "endpoints": places.get(agent_id, []),
                "halts": [plain_halt(halt, wall) for halt in about],
                "is_resilient": agent.is_resilient,
            }
        )
    return found


def _of_breaker(*, is_open: bool) -> str:
    return "breaker_open" if is_open else "in_service"


def merge(views: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the agents as all workers see them: what is counted is added up."""
    whole = {agent["id"]: dict(agent) for agent in views[0]}
    for view in views[1:]:
        for agent in view:
            if agent["id"] in whole:
                for name in ("open_exchanges", "exchanges"):
                    whole[agent["id"]][name] += agent[name]
    return list(whole.values())


async def _agents(request: web.Request) -> web.Response:
    return json(await of_all(request, agents_of(gateway_of(request)), merge))


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/agents",
        handler=_agents,
        summary="The agents and how they are; what they have done is in /api/live.",
        answer=array(AGENT),
    ),
)
