"""Opens and closes breakers by hand, for operators."""

from typing import Final

from aiohttp import web

from aiogate.errors import JournalError, Refused, refusal
from aiogate.server.admin.answers import json, problem
from aiogate.server.admin.route import Route
from aiogate.server.admin.running import gateway_of
from aiogate.server.breaker_report import VERBS, operate

__all__ = ["ROUTES"]


async def _breaker(request: web.Request) -> web.Response:
    """Do to a breaker what the path says; ``actor`` and ``reason`` are in the query."""
    gateway = gateway_of(request)
    verb = next(verb for verb in VERBS if verb == request.match_info["verb"])
    actor, reason = request.query.get("actor") or "unknown", request.query.get("reason") or "none given"
    try:
        agent_id = request.match_info["agent"]
        said = operate(gateway.house, gateway.generation, verb, agent_id, actor=actor, reason=reason)
    except Refused as refused:
        return problem(refused.refusal, request.path)
    except JournalError:
        why = refusal("journal_unavailable", "the record could not be written; nothing has changed")
        return problem(why, request.path)
    return json(said)


ROUTES: Final = (
    Route(
        method="POST",
        path="/api/breaker/{agent}/{verb:open|close|reset}",
        handler=_breaker,
        summary="Take an agent out of service, keep it in, or leave it to its breaker.",
        query={"actor": {"type": "string"}, "reason": {"type": "string"}},
        problems=("unknown_agent", "not_found", "journal_unavailable"),
    ),
)
