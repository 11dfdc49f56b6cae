"""What is under way at this moment, for operators and for ``aiogate top``."""

from typing import Final

from aiohttp import web

from aiogate.server.admin.answers import json
from aiogate.server.admin.route import Route
from aiogate.server.admin.running import gateway_of
from aiogate.server.admin.whole import of_all
from aiogate.server.budget_report import budgets_of, tightest
from aiogate.server.live import live_view, merge

__all__ = ["ROUTES"]


async def _live(request: web.Request) -> web.Response:
    gateway = gateway_of(request)
    budgets = tightest(await budgets_of(gateway.generation))
    view = await live_view(gateway.house, gateway.generation)
    return json(await of_all(request, {**view, "budgets": budgets}, merge))


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/live",
        handler=_live,
        summary="Open exchanges, what the agents have done since the start, the tightest budgets.",
    ),
)
