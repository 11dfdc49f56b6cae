"""Whether the gateway is alive and ready, for whoever starts and scrapes it."""

from typing import Final

from aiohttp import web

from aiogate.server.admin.answers import json
from aiogate.server.admin.route import Route
from aiogate.server.admin.running import gateway_of
from aiogate.server.admin.status import verbose
from aiogate.server.breaker_report import breaker_metrics, endpoint_metrics
from aiogate.server.budget_report import budget_metrics, budgets_of
from aiogate.server.shipping_report import shipping_metrics
from aiogate.server.vitals import vitals

__all__ = ["ROUTES"]


async def _metrics(request: web.Request) -> web.Response:
    gateway = gateway_of(request)
    budgets = budget_metrics(await budgets_of(gateway.generation))
    more = (
        *budgets,
        *breaker_metrics(gateway.generation),
        *endpoint_metrics(gateway.house),
        *vitals(gateway),
        *shipping_metrics(gateway.house),
    )
    body, content_type = gateway.house.metrics.exposition(more)
    return web.Response(body=body, headers={"Content-Type": content_type})


async def _livez(_request: web.Request) -> web.Response:
    return json({"status": "ok"})


async def _readyz(request: web.Request) -> web.Response:
    gateway = gateway_of(request)
    checks = gateway.ready()
    ok = all(checks.values())
    said: dict[str, object] = {"status": "ok" if ok else "unavailable"}
    if "verbose" in request.query:
        said |= {"checks": checks, **verbose(gateway)}
    return json(said, status=200 if ok else 503)


ROUTES: Final = (
    Route(method="GET", path="/metrics", handler=_metrics, summary="Metrics, as Prometheus reads them."),
    Route(method="GET", path="/livez", handler=_livez, summary="Whether the process answers."),
    Route(method="GET", path="/readyz", handler=_readyz, summary="Whether new exchanges are served."),
    Route(method="GET", path="/healthz", handler=_readyz, summary="The same as /readyz."),
)
