"""The application of the admin listener, out of the table of its routes, and what holds for all of them."""

from http import HTTPStatus
from typing import Final

from aiohttp import web

from aiogate.errors import Refused, refusal
from aiogate.server.admin.answers import problem
from aiogate.server.admin.route import Handler
from aiogate.server.admin.running import GATEWAY, Running
from aiogate.server.admin.siblings import add_siblings_routes
from aiogate.server.admin.table import ROUTES

__all__ = ["admin_app"]

_OWN_PAGES: Final = frozenset({"same-origin", "none"})
"""``Sec-Fetch-Site`` of a page that this listener served itself, and of a person who typed the address."""


def admin_app(gateway: Running) -> web.Application:
    """Return the application of ``/metrics``, ``/readyz`` (``?verbose``), ``/livez``, ``/api/...``."""
    app = web.Application(middlewares=[_of_operators_alone])
    app[GATEWAY] = gateway
    for route in ROUTES:
        if route.method == "GET":
            app.router.add_get(route.path, route.handler)  # and HEAD with it
        else:
            app.router.add_route(route.method, route.path, route.handler)
    add_siblings_routes(app)
    return app


@web.middleware
async def _of_operators_alone(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what a foreign web page makes an operator's browser ask for: it can reach loopback too."""
    if request.method not in {"GET", "HEAD"} and request.headers.get("Sec-Fetch-Site", "none") not in _OWN_PAGES:
        return problem(refusal("foreign_origin", "only pages of this listener may change anything"), request.path)
    try:
        return await handler(request)
    except Refused as refused:
        return problem(refused.refusal, request.path)
    except web.HTTPException as error:
        return _of_the_router(error, request)


def _of_the_router(error: web.HTTPException, request: web.Request) -> web.Response:
    """Return what the router has to say as a problem too."""
    if error.status == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = error.headers.get("Allow", "")
        why = refusal("method_not_allowed", f"{request.path} takes {allowed}", headers=(("Allow", allowed),))
    elif error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        why = refusal("body_too_large", "an operator's request is never that long")
    else:
        why = refusal("not_found", f"there is no {request.path}; /api/openapi.json says what there is")
    return problem(why, request.path)
