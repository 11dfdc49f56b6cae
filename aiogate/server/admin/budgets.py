"""How the budgets stand, for operators."""

from typing import Final

from aiohttp import web

from aiogate.server.admin.answers import json
from aiogate.server.admin.route import Route
from aiogate.server.admin.running import gateway_of
from aiogate.server.admin.schemas import BUDGET, array
from aiogate.server.admin.whole import of_all
from aiogate.server.budget_report import budgets_of, plain_budget
from aiogate.server.merged import merged_budgets

__all__ = ["ROUTES"]


async def _budgets(request: web.Request) -> web.Response:
    mine = [plain_budget(report) for report in await budgets_of(gateway_of(request).generation)]
    return json(await of_all(request, mine, merged_budgets))


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/budgets",
        handler=_budgets,
        summary="How the counters of all budgets stand.",
        answer=array(BUDGET),
    ),
)
