"""Which config is in force and what has come of the last attempt to load one; nothing of what it says."""

from typing import Final

from aiohttp import web

from aiogate.server.admin.answers import json
from aiogate.server.admin.reload import REPORT, plain_report
from aiogate.server.admin.route import Route
from aiogate.server.admin.running import gateway_of
from aiogate.server.admin.schemas import COUNT, TEXT, array, record

__all__ = ["ROUTES"]


async def _config(request: web.Request) -> web.Response:
    gateway = gateway_of(request)
    settings = gateway.generation.settings
    said = {
        "generation": gateway.generation.number,
        "path": str(settings.path),
        "files": [str(path) for path in settings.files],
        "plugins": list(gateway.generation.pipeline.plugins),
        "last_reload": plain_report(gateway.reloads.last),
        "outgoing_generations": {str(number): len(rest) for number, (rest, _) in gateway.house.outgoing.items()},
    }
    return json(said)


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/config",
        handler=_config,
        summary="Which config is in force, and what has come of the last reload.",
        answer=record(
            {
                "generation": COUNT,
                "path": TEXT,
                "files": array(TEXT),
                "plugins": array(TEXT),
                "last_reload": REPORT,
                "outgoing_generations": {"type": "object", "additionalProperties": COUNT},
            }
        ),
    ),
)
