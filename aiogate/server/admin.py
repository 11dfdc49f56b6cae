"""The admin listener, for operators and their scrapers; never on the public address."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import attrs
import orjson
from aiohttp import web

from aiogate import __version__
from aiogate.errors import CATALOGUE, JournalError, Refusal, Refused, problem_body, problem_headers, refusal
from aiogate.server.breaker_report import VERBS, breaker_metrics, endpoint_metrics, operate, statuses_of
from aiogate.server.budget_report import budget_metrics, budgets_of, plain_budget, tightest
from aiogate.server.generation import Generation
from aiogate.server.house import House
from aiogate.server.reload import Reloads, Report
from aiogate.server.vitals import vitals

__all__ = ["admin_app"]

_OWN_PAGES: Final = frozenset({"same-origin", "none"})
"""``Sec-Fetch-Site`` of a page that this listener served itself, and of a person who typed the address."""


class Running(Protocol):
    """The gateway, as operators see it."""

    house: House
    generation: Generation
    reloads: Reloads

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        ...

    def ready(self) -> Mapping[str, bool]:
        """Return what has to be in order for new exchanges, by name."""
        ...


def admin_app(gateway: Running) -> web.Application:
    """Return the application of ``/metrics``, ``/readyz`` (``?verbose``), ``/livez``, ``/api/...``."""

    async def metrics(_request: web.Request) -> web.Response:
        budgets = budget_metrics(await budgets_of(gateway.generation))
        more = (*budgets, *breaker_metrics(gateway.generation), *endpoint_metrics(gateway.house), *vitals(gateway))
        body, content_type = gateway.house.metrics.exposition(more)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def livez(_request: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def readyz(request: web.Request) -> web.Response:
        checks = gateway.ready()
        ok = all(checks.values())
        said: dict[str, object] = {"status": "ok" if ok else "unavailable"}
        if "verbose" in request.query:
            said |= {"checks": checks, **_verbose(gateway)}
        return _json(said, status=200 if ok else 503)

    async def status(_request: web.Request) -> web.Response:
        budgets = tightest(await budgets_of(gateway.generation))
        agents = _agents(gateway.generation)
        return _json({**_verbose(gateway), "checks": gateway.ready(), "agents": agents, "budgets": budgets})

    async def budgets(_request: web.Request) -> web.Response:
        return _json([plain_budget(report) for report in await budgets_of(gateway.generation)])

    async def reload(_request: web.Request) -> web.Response:
        report = await gateway.reloads.reload("api")
        if report.successful:
            return _json(_plain(report))
        return _problem(refusal("config_invalid", _refused(report), members=_plain(report)), "/api/reload")

    async def breaker(request: web.Request) -> web.Response:
        return _operated(gateway, request)

    app = web.Application(middlewares=[_of_operators_alone])
    app.add_routes(
        [
            web.get("/metrics", metrics),
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/healthz", readyz),
            web.get("/api/status", status),
            web.get("/api/budgets", budgets),
            web.post("/api/reload", reload),
            web.post("/api/breaker/{agent}/{verb:open|close|reset}", breaker),
        ],
    )
    return app


@web.middleware
async def _of_operators_alone(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse what a foreign web page makes an operator's browser ask for: it can reach loopback too."""
    if request.method not in {"GET", "HEAD"} and request.headers.get("Sec-Fetch-Site", "none") not in _OWN_PAGES:
        return _problem(refusal("foreign_origin", "only pages of this listener may change anything"), request.path)
    return await handler(request)


def _verbose(gateway: Running) -> dict[str, object]:
    house, generation = gateway.house, gateway.generation
    return {
        "version": __version__,
        "generation": generation.number,
        "plugins": list(generation.pipeline.plugins),
        "agents": list(generation.agents),
        "state": generation.settings.state.url.reveal().partition(":")[0],
        "degraded": house.state.degraded,
        "gateways": house.state.gateways,
        "open_exchanges": len(house.open_exchanges),
        "outgoing_generations": {str(number): len(rest) for number, (rest, _) in house.outgoing.items()},
        "last_reload": _plain(gateway.reloads.last),
        "breakers": list(statuses_of(generation).values()),
        "endpoints": house.upstream.figures(house.clock.monotonic()),
    }


def _plain(report: Report) -> dict[str, Any]:
    return {
        "successful": report.successful,
        "cause": report.cause,
        "time": datetime.fromtimestamp(report.at, UTC).isoformat(timespec="milliseconds"),
        "generation": report.generation,
        "problems": [attrs.asdict(problem) for problem in report.problems],
        "needs_restart": [attrs.asdict(problem) for problem in report.kept],
    }


def _refused(report: Report) -> str:
    count = len(report.problems)
    problems = "1 problem" if count == 1 else f"{count} problems"
    return f"{problems}; nothing has changed, generation {report.generation} stays in force"


def _agents(generation: Generation) -> list[dict[str, object]]:
    """Return the agents with what the plugins know of their state: ``statuses()`` of those that have it."""
    known = statuses_of(generation)
    return [
        {"id": agent_id, "capabilities": agent.capabilities, "breaker": known.get(agent_id)}
        for agent_id, agent in generation.agents.items()
    ]


def _operated(gateway: Running, request: web.Request) -> web.Response:
    """Do to a breaker what the path says; ``actor`` and ``reason`` are in the query."""
    verb = next(verb for verb in VERBS if verb == request.match_info["verb"])
    actor, reason = request.query.get("actor") or "unknown", request.query.get("reason") or "none given"
    try:
        agent_id = request.match_info["agent"]
        said = operate(gateway.house, gateway.generation, verb, agent_id, actor=actor, reason=reason)
    except Refused as refused:
        return _problem(refused.refusal, request.path)
    except JournalError:
        why = refusal("journal_unavailable", "the record could not be written; nothing has changed")
        return _problem(why, request.path)
    return _json(said)


def _problem(refused: Refusal, path: str) -> web.Response:
    body = problem_body(refused, "", path)
    return web.Response(status=CATALOGUE[refused.code].status, body=body, headers=dict(problem_headers(refused)))


def _json(said: object, status: int = 200) -> web.Response:
    body = orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)
    return web.Response(
        status=status, body=body, content_type="application/json", headers={"Cache-Control": "no-store"}
    )
