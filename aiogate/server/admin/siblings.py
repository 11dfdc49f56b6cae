"""What the workers of one machine ask of each other; for everybody else there are no such routes."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from aiogate.errors import Problem, refusal
from aiogate.server.admin.answers import json, problem
from aiogate.server.admin.kills import KNOW, know
from aiogate.server.admin.running import gateway_of
from aiogate.server.siblings import from_a_sibling
from aiogate.server.together import ROUTE, Together

__all__ = ["add_siblings_routes"]

Said = Mapping[str, Any]


def add_siblings_routes(app: web.Application) -> None:
    """Let siblings lead a reload, and tell of kills."""
    app.router.add_post(KNOW, know)
    app.router.add_post(ROUTE + "/{step}", _reload)


async def _prepare(together: Together, said: Said) -> object:
    return await together.prepare(said["number"])


async def _commit(together: Together, said: Said) -> object:
    return await together.commit(said["cause"])


async def _abandon(together: Together, said: Said) -> object:
    problems = [Problem(**one) for one in said["problems"]]
    await together.abandon("another worker could not", said["cause"], problems)
    return {"problems": []}


_STEPS: Final[Mapping[str, Callable[[Together, Said], Awaitable[object]]]] = {
    "prepare": _prepare,
    "commit": _commit,
    "abandon": _abandon,
}


async def _reload(request: web.Request) -> web.Response:
    step = _STEPS.get(request.match_info["step"])
    if step is None or not from_a_sibling(request):
        return problem(refusal("not_found", "there is no such route"), request.path)
    return json(await step(gateway_of(request).together, orjson.loads(await request.read())))
