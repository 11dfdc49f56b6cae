"""What is under way at this moment, for operators and for ``aiogate top``."""

from typing import Final

from aiohttp import web

from aiogate.server.admin.answers import json
from aiogate.server.admin.route import Route, Schema
from aiogate.server.admin.running import gateway_of
from aiogate.server.admin.schemas import BUDGET, COUNT, NUMBER, TEXT, array, maybe, record
from aiogate.server.admin.whole import of_all
from aiogate.server.budget_report import budgets_of, tightest
from aiogate.server.live import live_view, merge

__all__ = ["ROUTES"]


async def _live(request: web.Request) -> web.Response:
    gateway = gateway_of(request)
    budgets = tightest(await budgets_of(gateway.generation))
    view = await live_view(gateway.house, gateway.generation)
    return json(await of_all(request, {**view, "budgets": budgets}, merge))


_EXCHANGE: Final[Schema] = record(
    {
        "request_id": TEXT,
        "principal": maybe(TEXT),
        "key_id": maybe(TEXT),
        "department": maybe(TEXT),
        "agent": maybe(TEXT),
        "method": TEXT,
        "path": TEXT,
        "phase": {"enum": ["deciding", "waiting", "streaming"]},
        "status": maybe(COUNT),
        "age_seconds": NUMBER,
        "first_byte_seconds": maybe(NUMBER),
        "silent_seconds": maybe(NUMBER),
        "bytes_out": COUNT,
        "output_tokens": maybe(COUNT),
        "spent_nanousd": maybe(COUNT),
        "held_nanousd": COUNT,
        "held_tokens": COUNT,
        "generation": COUNT,
    }
)
_AGENT: Final[Schema] = record(
    {
        "id": TEXT,
        "open": COUNT,
        "calls": COUNT,
        "refused": COUNT,
        "errors": COUNT,
        "input_tokens": COUNT,
        "output_tokens": COUNT,
        "cost_nanousd": COUNT,
        "seconds": array({"type": "array", "prefixItems": [TEXT, NUMBER], "minItems": 2, "maxItems": 2}),
        "breaker": maybe(TEXT),
        "halted": {"enum": ["killed", "paused", None]},
    }
)
ROUTES: Final = (
    Route(
        method="GET",
        path="/api/live",
        handler=_live,
        summary="Open exchanges, what agents have done since the start (/api/agents: how they are), budgets.",
        answer={
            "type": "object",
            "required": ["time", "exchanges", "agents", "budgets"],
            "properties": {
                "time": NUMBER,
                "exchanges": array(_EXCHANGE),
                "agents": array(_AGENT),
                "budgets": array(BUDGET),
            },
        },
    ),
)
