"""How the limits stand, for operators."""

from typing import Final

from aiohttp import web

from aiogate.errors import StateError
from aiogate.server.admin.answers import json, problem
from aiogate.server.admin.route import Route
from aiogate.server.admin.running import gateway_of
from aiogate.server.admin.schemas import COUNT, NUMBER, TEXT, array, maybe, record
from aiogate.server.admin.whole import of_all
from aiogate.server.claim import STATE_UNAVAILABLE
from aiogate.server.limit_report import limits_of, merge

__all__ = ["ROUTES"]


async def _limits(request: web.Request) -> web.Response:
    try:
        return json(await of_all(request, await limits_of(gateway_of(request).generation), merge))
    except StateError:
        return problem(STATE_UNAVAILABLE, request.path)


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/limits",
        handler=_limits,
        summary="How the counters of all limits stand that somebody has taken from lately.",
        answer=array(
            record(
                {
                    "name": TEXT,
                    "per": {"type": "object", "additionalProperties": maybe(TEXT)},
                    "unit": TEXT,
                    "limit": COUNT,
                    "seconds": maybe(NUMBER),
                    "left": COUNT,
                    "reset_seconds": NUMBER,
                }
            )
        ),
        problems=("state_unavailable",),
    ),
)
