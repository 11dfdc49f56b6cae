"""The application of the admin listener, out of the table of its routes, and what holds for all of them."""

from http import HTTPStatus

from aiohttp import web

from aiogate.errors import Refused, refusal
from aiogate.server.admin.answers import problem
from aiogate.server.admin.guard import REACHABLE, let_in
from aiogate.server.admin.route import Handler
from aiogate.server.admin.running import ALL_ROUTES, GATEWAY, Running
from aiogate.server.admin.siblings import add_siblings_routes
from aiogate.server.admin.table import ROUTES

__all__ = ["admin_app"]


def admin_app(gateway: Running, *, reachable: bool = True) -> web.Application:
    """Return the application of ``/metrics``, ``/readyz`` (``?verbose``), ``/livez``, ``/api/...``.

    ``reachable`` says whether other machines can call it: then whoever does has to prove who it is.
    """
    app = web.Application(middlewares=[_of_operators_alone])
    app[GATEWAY], app[REACHABLE], app[ALL_ROUTES] = gateway, reachable, ROUTES
    for route in ROUTES:
        if route.method == "GET":
            app.router.add_get(route.path, route.handler)  # and HEAD with it
        else:
            app.router.add_route(route.method, route.path, route.handler)
    add_siblings_routes(app)
    return app


@web.middleware
async def _of_operators_alone(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Serve those who may ask; whatever is refused is a problem."""
    try:
        await let_in(request)
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
