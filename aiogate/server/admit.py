"""Whether an exchange goes on to an agent, and to which: pipeline, route, claims.

Ends with an agent whose claims were taken, or with a refusal or a reply and nothing taken. Knows nothing of sockets.
"""

from difflib import get_close_matches

import orjson

from aiogate.claims import Shortage
from aiogate.errors import Refusal, StateError, refusal
from aiogate.exchange import Agent, Exchange, Reply
from aiogate.proxy.body import too_large
from aiogate.server.generation import Generation
from aiogate.server.quotas import shortage_refusal
from aiogate.state import State

__all__ = ["admit"]


async def admit(exchange: Exchange, generation: Generation, state: State) -> Agent | Refusal | Reply:
    """Return the agent that serves, or what ends the exchange; raises ``PluginError`` or ``Refused``."""
    ended = await generation.pipeline.pre_request(exchange)
    if exchange.target is not None and exchange.target not in generation.settings.agents:
        ended = _unknown(exchange, ended)
    if exchange.target is None:
        ended = _catalogue(exchange, ended)
    if ended is not None:
        return ended
    if exchange.principal is None:
        return refusal("unauthenticated", "no plugin has authenticated the caller")
    max_body = exchange.candidates[0].max_body
    if max_body is None:
        max_body = generation.settings.server.max_body
    if exchange.content_length is not None and exchange.content_length > max_body:
        return too_large(max_body)
    pipeline = generation.pipeline
    agent = await pipeline.route(exchange) if pipeline.stages.route else exchange.candidates[0]
    exchange.agent = agent
    return await _take_claims(exchange, generation, state) or agent


async def _take_claims(exchange: Exchange, generation: Generation, state: State) -> Refusal | None:
    claims = generation.pipeline.claims(exchange)
    if not claims:
        return None
    try:
        granted = await state.acquire(claims)
    except StateError:
        return refusal("state_unavailable", "the counters cannot be reached; nothing was sent to the agent")
    exchange.quotas = granted.quotas
    if isinstance(granted, Shortage):
        return shortage_refusal(granted)
    exchange.grant = granted
    return None


def _unknown(exchange: Exchange, ended: Refusal | Reply | None) -> Refusal | Reply:
    """Return the 404, with what this principal may use; a caller that nobody knows learns nothing of it."""
    if (ended is not None and exchange.candidates) or exchange.principal is None:
        return ended or refusal("unauthenticated", "no plugin has authenticated the caller")
    usable = [agent.id for agent in exchange.candidates]
    close = get_close_matches(exchange.target or "", usable, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return refusal(
        "unknown_agent",
        f"there is no agent {(exchange.target or '')[:64]!r}{hint}",
        members={"did_you_mean": close},
    )


def _catalogue(exchange: Exchange, ended: Refusal | Reply | None) -> Refusal | Reply:
    """Return the list of agents that this principal may use."""
    if (ended is not None and exchange.candidates) or exchange.principal is None:
        return ended or refusal("unauthenticated", "no plugin has authenticated the caller")
    if exchange.method not in {"GET", "HEAD"}:
        return refusal("method_not_allowed", "the list of agents can only be read", headers=(("Allow", "GET, HEAD"),))
    agents = [
        {
            "id": agent.id,
            "description": agent.description,
            "capabilities": agent.capabilities,
            "path": f"/agents/{agent.id}",
        }
        for agent in exchange.candidates
    ]
    return Reply(body=orjson.dumps({"agents": agents}, option=orjson.OPT_APPEND_NEWLINE))
