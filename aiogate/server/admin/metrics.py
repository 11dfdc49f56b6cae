"""What Prometheus scrapes: of this process, or of all workers of the machine, whoever of them is asked."""

from typing import Final

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from aiogate.server.admin.answers import json
from aiogate.server.admin.route import Route
from aiogate.server.admin.running import gateway_of
from aiogate.server.exposition import metrics_of
from aiogate.server.merged_metrics import exposed, plain_metrics, whole_exposition
from aiogate.server.siblings import from_a_sibling

__all__ = ["ROUTES"]


async def _metrics(request: web.Request) -> web.Response:
    gateway = gateway_of(request)
    siblings, mine = gateway.house.siblings, plain_metrics(await metrics_of(gateway))
    if siblings.folder is None:
        return _text(exposed(mine))
    await gateway.house.counted.write(mine)  # what was told once stays
    if from_a_sibling(request):
        return json(mine)
    return _text(await whole_exposition(siblings, mine))


def _text(body: bytes) -> web.Response:
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


ROUTES: Final = (
    Route(
        method="GET",
        path="/metrics",
        handler=_metrics,
        summary="Metrics, as Prometheus reads them.",
        answer={"type": "string"},
        media_type="text/plain",
    ),
)
