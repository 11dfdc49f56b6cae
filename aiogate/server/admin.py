"""The admin listener, for operators and their scrapers; never on the public address."""

from collections.abc import Callable, Mapping

import orjson
from aiohttp import web

from aiogate import __version__
from aiogate.server.generation import Generation
from aiogate.server.house import House

__all__ = ["admin_app"]


def admin_app(
    house: House, generation: Callable[[], Generation], ready: Callable[[], Mapping[str, bool]]
) -> web.Application:
    """Return the application with ``/metrics``, ``/readyz`` (``?verbose``) and ``/livez``."""

    async def metrics(_request: web.Request) -> web.Response:
        body, content_type = house.metrics.exposition()
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def livez(_request: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def readyz(request: web.Request) -> web.Response:
        checks = ready()
        ok = all(checks.values())
        said: dict[str, object] = {"status": "ok" if ok else "unavailable"}
        if "verbose" in request.query:
            said |= {"checks": checks, **_verbose(house, generation())}
        return _json(said, status=200 if ok else 503)

    app = web.Application()
    app.add_routes(
        [
            web.get("/metrics", metrics),
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/healthz", readyz),
        ],
    )
    return app


def _verbose(house: House, generation: Generation) -> dict[str, object]:
    return {
        "version": __version__,
        "generation": generation.number,
        "plugins": list(generation.pipeline.plugins),
        "agents": list(generation.agents),
        "state": generation.settings.state.url.reveal().partition(":")[0],
        "open_exchanges": len(house.open_exchanges),
    }


def _json(said: object, status: int = 200) -> web.Response:
    body = orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)
    return web.Response(
        status=status, body=body, content_type="application/json", headers={"Cache-Control": "no-store"}
    )
