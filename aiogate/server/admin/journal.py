"""Whether records can be written, and how much of the journal is not on the disk yet."""

from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from aiogate.server.admin.answers import json
from aiogate.server.admin.route import Route
from aiogate.server.admin.running import Running, gateway_of
from aiogate.server.admin.schemas import COUNT, FLAG, NUMBER, TEXT, record
from aiogate.server.admin.whole import of_all

__all__ = ["ROUTES"]


def journal_of(gateway: Running) -> dict[str, Any]:
    """Return the health of the journal of this process."""
    journal, settings = gateway.house.journal, gateway.generation.settings.journal
    return {
        "healthy": journal.healthy,
        "admits": journal.admits,
        "dir": str(settings.dir),
        "fsync": settings.fsync,
        "errors": journal.failures,
        "records_lost": journal.lost,
        "unsynced_seconds": round(journal.unsynced_seconds, 3),
    }


def merge(views: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the worst of what should be the same for all workers, and the sum of what each has counted."""
    return {
        **views[0],
        "healthy": all(view["healthy"] for view in views),
        "admits": all(view["admits"] for view in views),
        "errors": sum(view["errors"] for view in views),
        "records_lost": sum(view["records_lost"] for view in views),
        "unsynced_seconds": max(view["unsynced_seconds"] for view in views),
    }


async def _journal(request: web.Request) -> web.Response:
    return json(await of_all(request, journal_of(gateway_of(request)), merge))


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/journal",
        handler=_journal,
        summary="Whether records can be written, and since when some are not on the disk yet.",
        answer=record(
            {
                "healthy": FLAG,
                "admits": FLAG,
                "dir": TEXT,
                "fsync": {"enum": ["every second", "every record", "never"]},
                "errors": COUNT,
                "records_lost": COUNT,
                "unsynced_seconds": NUMBER,
            }
        ),
    ),
)
