"""Has the gateway read its config again, for operators, and says what came of it."""

from datetime import UTC, datetime
from typing import Any, Final

import attrs
from aiohttp import web

from aiogate.errors import refusal
from aiogate.server.admin.answers import json, problem
from aiogate.server.admin.asked import BY_WHOM, asked_of, write_down
from aiogate.server.admin.route import Route, Schema
from aiogate.server.admin.running import gateway_of
from aiogate.server.admin.schemas import COUNT, FLAG, TEXT, TIME, array, maybe, record
from aiogate.server.reload import Report

__all__ = ["REPORT", "ROUTES", "plain_report"]

_PROBLEM: Final[Schema] = record({"path": TEXT, "message": TEXT, "line": maybe(COUNT), "file": maybe(TEXT)})
REPORT: Final[Schema] = record(
    {
        "successful": FLAG,
        "cause": TEXT,
        "time": TIME,
        "generation": COUNT,
        "problems": array(_PROBLEM),
        "needs_restart": array(_PROBLEM),
    }
)
"""What has come of one attempt to put a config in force."""


def plain_report(report: Report) -> dict[str, Any]:
    """Return what came of a reload, as JSON has it."""
    return {
        "successful": report.successful,
        "cause": report.cause,
        "time": datetime.fromtimestamp(report.at, UTC).isoformat(timespec="milliseconds"),
        "generation": report.generation,
        "problems": [attrs.asdict(problem) for problem in report.problems],
        "needs_restart": [attrs.asdict(problem) for problem in report.kept],
    }


async def _reload(request: web.Request) -> web.Response:
    gateway = gateway_of(request)
    write_down(gateway, "reload", await asked_of(request))
    report = await gateway.together.reload("api")
    said = {**plain_report(report), "workers": report.workers}
    if report.successful:
        return json(said)
    return problem(refusal("config_invalid", _refused(report), members=said), "/api/reload")


def _refused(report: Report) -> str:
    count = len(report.problems)
    problems = "1 problem" if count == 1 else f"{count} problems"
    return f"{problems}; nothing has changed, generation {report.generation} stays in force"


ROUTES: Final = (
    Route(
        method="POST",
        path="/api/reload",
        handler=_reload,
        summary="Read the config again.",
        answer=record({**REPORT["properties"], "workers": COUNT}),
        query=BY_WHOM,
        problems=("config_invalid", "journal_unavailable"),
    ),
)
