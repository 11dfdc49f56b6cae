"""Whether the gateway is alive and ready, for whoever starts it."""

from typing import Final

from aiohttp import web

from aiogate.server.admin.answers import json
from aiogate.server.admin.route import Route, Schema
from aiogate.server.admin.running import gateway_of
from aiogate.server.admin.status import verbose
from aiogate.server.admin.whole import of_all, worker_of
from aiogate.server.merged import merged_readiness

__all__ = ["ROUTES"]


async def _livez(_request: web.Request) -> web.Response:
    return json({"status": "ok"})


async def _readyz(request: web.Request) -> web.Response:
    gateway = gateway_of(request)
    checks = gateway.ready()
    ok = all(checks.values())
    said: dict[str, object] = {"status": "ok" if ok else "unavailable"}
    if "verbose" in request.query:
        said |= {"checks": checks, **verbose(gateway), **worker_of(request)}
    said = await of_all(request, said, merged_readiness)
    return json(said, status=200 if said["status"] == "ok" else 503)


_SAID: Final[Schema] = {
    "type": "object",
    "required": ["status"],
    "properties": {"status": {"enum": ["ok", "unavailable"]}},
}
_VERBOSE: Final[dict[str, Schema]] = {"verbose": {"type": "string", "description": "Say what is in force, too."}}
ROUTES: Final = (
    Route(method="GET", path="/livez", handler=_livez, summary="Whether the process answers.", answer=_SAID),
    Route(
        method="GET",
        path="/readyz",
        handler=_readyz,
        summary="Whether new exchanges are served; 503: they are not.",
        answer=_SAID,
        query=_VERBOSE,
    ),
    Route(
        method="GET",
        path="/healthz",
        handler=_readyz,
        summary="The same as /readyz.",
        answer=_SAID,
        query=_VERBOSE,
    ),
)
