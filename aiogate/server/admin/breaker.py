"""Opens and closes breakers by hand, for operators."""

from typing import Final

from aiohttp import web

from aiogate.errors import JournalError, Refused, refusal
from aiogate.server.admin.answers import json
from aiogate.server.admin.asked import BY_WHOM, asked_of
from aiogate.server.admin.route import Route
from aiogate.server.admin.running import gateway_of
from aiogate.server.admin.schemas import BREAKER, TEXT, maybe, record
from aiogate.server.breaker_report import VERBS, operate

__all__ = ["ROUTES"]


async def _breaker(request: web.Request) -> web.Response:
    """Do to a breaker what the path says."""
    gateway, asked = gateway_of(request), await asked_of(request)
    verb = next(verb for verb in VERBS if verb == request.match_info["verb"])
    agent_id, reason = request.match_info["agent"], asked.reason or "none given"
    try:
        said = operate(gateway.house, gateway.generation, verb, agent_id, actor=asked.actor, reason=reason)
    except JournalError as error:
        why = refusal("journal_unavailable", "the record could not be written; nothing has changed")
        raise Refused(why) from error
    return json(said)


ROUTES: Final = (
    Route(
        method="POST",
        path="/api/breaker/{agent}/{verb:open|close|reset}",
        handler=_breaker,
        summary="Take an agent out of service, keep it in, or leave it to its breaker.",
        answer=record({"action": TEXT, "agent": TEXT, "actor": TEXT, "reason": TEXT, "breaker": maybe(BREAKER)}),
        query=BY_WHOM,
        problems=("unknown_agent", "not_found", "journal_unavailable"),
    ),
)
