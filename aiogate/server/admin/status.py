"""What the gateway has in force, on one page."""

from typing import Final

import attrs
from aiohttp import web

from aiogate import __version__
from aiogate.server.admin.answers import json
from aiogate.server.admin.kills import HALT, plain_halt
from aiogate.server.admin.reload import REPORT, plain_report
from aiogate.server.admin.route import Route, Schema
from aiogate.server.admin.running import Running, Tells, gateway_of
from aiogate.server.admin.schemas import BREAKER, BUDGET, COUNT, ENDPOINT, FLAG, NUMBER, TEXT, array, maybe, record
from aiogate.server.admin.whole import of_all, worker_of
from aiogate.server.breaker_report import statuses_of
from aiogate.server.budget_report import budgets_of, tightest
from aiogate.server.generation import Generation
from aiogate.server.merged import merged_status

__all__ = ["ROUTES", "verbose"]


def verbose(gateway: Running) -> dict[str, object]:
    """Return what is in force and under way."""
    house, generation = gateway.house, gateway.generation
    told = gateway.load.told if isinstance(gateway.load, Tells) else {}
    return {
        "version": __version__,
        "generation": generation.number,
        "config": {"from": str(generation.settings.path), **told},
        "plugins": list(generation.pipeline.plugins),
        "agents": list(generation.agents),
        "state": generation.settings.state.url.reveal().partition(":")[0],
        "degraded": house.state.degraded,
        "gateways": house.state.gateways,
        "open_exchanges": len(house.open_exchanges),
        "outgoing_generations": {str(number): len(rest) for number, (rest, _) in house.outgoing.items()},
        "last_reload": plain_report(gateway.reloads.last),
        "breakers": list(statuses_of(generation).values()),
        "shipping": None if house.shipper is None else attrs.asdict(house.shipper.shipping),
        "endpoints": house.upstream.figures(house.clock.monotonic()),
    }


async def _status(request: web.Request) -> web.Response:
    gateway = gateway_of(request)
    budgets = tightest(await budgets_of(gateway.generation))
    agents = _agents(gateway.generation)
    halts = [plain_halt(halt, gateway.house.clock.wall()) for halt in gateway.house.halts.current()]
    said = {"checks": gateway.ready(), "agents": agents, "budgets": budgets, "halts": halts}
    mine = {**verbose(gateway), **said, **worker_of(request)}
    return json(await of_all(request, mine, merged_status))


def _agents(generation: Generation) -> list[dict[str, object]]:
    """Return the agents with what the plugins know of their state: ``statuses()`` of those that have it."""
    known = statuses_of(generation)
    return [
        {"id": agent_id, "capabilities": agent.capabilities, "breaker": known.get(agent_id)}
        for agent_id, agent in generation.agents.items()
    ]


_AGENT: Final[Schema] = record({"id": TEXT, "capabilities": array(TEXT), "breaker": maybe(BREAKER)})
_WORKER: Final[Schema] = record(
    {"name": TEXT, "pid": COUNT, "generation": COUNT, "open_exchanges": COUNT, "ready": FLAG}
)
_CONFIG: Final[Schema] = {
    "type": "object",
    "required": ["from"],
    "properties": {
        "from": {"type": "string", "description": "Its file, or which generation of a store it is."},
        "gateway": TEXT,
        "generation": COUNT,
        "tried": COUNT,
        "at": NUMBER,
        "problems": array(TEXT),
        "needs_restart": array(TEXT),
    },
}
_FACTS: Final[dict[str, Schema]] = {
    "version": TEXT,
    "generation": COUNT,
    "config": _CONFIG,
    "plugins": array(TEXT),
    "agents": array(_AGENT),
    "state": TEXT,
    "degraded": maybe(TEXT),
    "gateways": COUNT,
    "open_exchanges": COUNT,
    "outgoing_generations": {"type": "object", "additionalProperties": COUNT},
    "last_reload": REPORT,
    "breakers": array(BREAKER),
    "endpoints": {"type": "object", "additionalProperties": array(ENDPOINT)},
    "checks": {"type": "object", "additionalProperties": FLAG},
    "budgets": array(BUDGET),
    "workers": array(_WORKER),
    "halts": array(HALT),
}
ROUTES: Final = (
    Route(
        method="GET",
        path="/api/status",
        handler=_status,
        summary="What is in force and under way.",
        answer={"type": "object", "required": [name for name in _FACTS if name != "workers"], "properties": _FACTS},
    ),
)
