"""What was used and spent, out of the journal's totals: by whom, for whom and where; names, unlike in metrics."""

import asyncio
from pathlib import Path
from typing import Any, Final

import attrs
from aiohttp import web

from aiogate.errors import JournalError, Refused, refusal
from aiogate.journal.ledger import Ledger
from aiogate.journal.moments import moment_of
from aiogate.journal.sums import DIMENSIONS, Sums, sums
from aiogate.journal.totals import Totals
from aiogate.server.admin.answers import json
from aiogate.server.admin.route import Route
from aiogate.server.admin.running import gateway_of
from aiogate.server.admin.schemas import COUNT, TEXT, array, maybe, record

__all__ = ["ROUTES"]

_ONLY: Final = ("principal", "department", "agent", "cost_center", "key_id", "model")
_MOST_ROWS: Final = 10_000
_SUMS: Final = {field.name: COUNT for field in attrs.fields(Sums)}


async def _usage(request: web.Request) -> web.Response:
    gateway, query = gateway_of(request), request.query
    by = tuple(name for name in query.get("by", "agent").split(",") if name)
    if not set(by) <= set(DIMENSIONS) or len(set(by)) < len(by):
        raise Refused(refusal("bad_request", f"by: expected some of {', '.join(DIMENSIONS)}, each once, with commas"))
    wall = gateway.house.clock.wall()
    since, until = _moment(query.get("since", "7d"), "since", wall), None
    if "until" in query:
        until = _moment(query["until"], "until", wall)
    only = {name: query[name] for name in _ONLY if name in query}
    directory, ledger = gateway.generation.settings.journal.dir, gateway.house.journal.ledger
    try:
        rows, whole = await asyncio.to_thread(_summed, directory, ledger, by, since, until, only)
    except JournalError as error:
        raise Refused(refusal("journal_unavailable", str(error))) from error
    found = sorted(rows.items(), key=lambda row: (-row[1].cost_nanousd, -row[1].calls, row[0]))
    said = [{**_named(by, key), **attrs.asdict(part)} for key, part in found[:_MOST_ROWS]]
    return json({"rows": said, "total": attrs.asdict(whole), "rows_left_out": max(0, len(found) - _MOST_ROWS)})


def _summed(  # noqa: PLR0913, PLR0917 - what is asked for, in the order of the query
    directory: Path,
    ledger: Ledger,
    by: tuple[str, ...],
    since: float,
    until: float | None,
    only: dict[str, str],
) -> tuple[dict[tuple[str, ...], Sums], Sums]:
    with Totals.of(directory) as totals:
        totals.fold(ledger=ledger)
        whole = sums(totals, (), since, until, only).get((), Sums())
        return sums(totals, by, since, until, only), whole


def _named(by: tuple[str, ...], key: tuple[str, ...]) -> dict[str, Any]:
    return {name: value or None for name, value in zip(by, key, strict=True)}


def _moment(text: str, name: str, wall: float) -> float:
    try:
        return moment_of(text, wall).timestamp()
    except ValueError as error:
        raise Refused(refusal("bad_request", f"{name}: {error}")) from error


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/usage",
        handler=_usage,
        summary="What was used and spent, the dearest first; money in nano-dollars.",
        answer=record(
            {
                "rows": array(
                    {
                        "type": "object",
                        "required": list(_SUMS),
                        "additionalProperties": False,
                        "properties": {**dict.fromkeys(DIMENSIONS, maybe(TEXT)), **_SUMS},
                    }
                ),
                "total": record(dict(_SUMS)),
                "rows_left_out": COUNT,
            }
        ),
        query={
            "by": {"type": "string", "description": f"With commas, of {', '.join(DIMENSIONS)}.", "default": "agent"},
            "since": {"type": "string", "description": "7d, 12h, 30m or 2026-01-31T00:00:00Z.", "default": "7d"},
            "until": TEXT,
            **dict.fromkeys(_ONLY, TEXT),
        },
        problems=("bad_request", "journal_unavailable"),
    ),
)
