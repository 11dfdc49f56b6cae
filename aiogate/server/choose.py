"""Which of several agents serves an exchange whose path names none: one after the other until the claims fit.

Ends as ``admit`` does. Lists, and the 404 for what nobody can do, are in ``listing.py``.
"""

import orjson

from aiogate.agent import Agent
from aiogate.claims import Quota
from aiogate.errors import Refusal, Refused, refusal
from aiogate.exchange import Exchange, Reply
from aiogate.pipeline.ranking import ranking_of
from aiogate.pipeline.run import Pipeline
from aiogate.proxy.body import ClientBody, too_large
from aiogate.server.claim import STATE_UNAVAILABLE, take_claims
from aiogate.server.crowd import Crowd
from aiogate.server.generation import Generation
from aiogate.server.listing import listed
from aiogate.state import State

__all__ = ["OPERATOR", "bind_body", "choose", "fit_body"]

OPERATOR = "operator"
"""The role that may ask for a ranking."""


async def choose(
    exchange: Exchange, ended: Refusal | Reply | None, generation: Generation, state: State, crowd: Crowd
) -> Agent | Refusal | Reply:
    """Return the agent that serves, or what ends the exchange; raises ``PluginError`` or ``Refused``.

    ``ended`` is what the plugins have said. A caller that nobody knows learns nothing of agents and capabilities.
    """
    if exchange.principal is None or (ended is not None and exchange.candidates):
        return ended or refusal("unauthenticated", "no plugin has authenticated the caller")
    if exchange.unavailable is not None:
        page = generation.pages.get(exchange.full_path)
        return listed(exchange) if page is None else await page(exchange)
    fit_body(exchange, generation.settings.server.max_body)
    if exchange.explains:
        return _explained(exchange, generation.pipeline)
    if ended is not None:
        return ended
    crowd.enter(exchange, generation.settings.server.max_exchanges_per_principal)
    return await _tried(exchange, generation, state)


def fit_body(exchange: Exchange, max_body: int) -> None:
    """Rule out the agents that take no body of this length; ``max_body`` is that of agents without one of their own."""
    length = exchange.content_length
    if length is None and exchange.body is not None:
        length = len(exchange.body)
    for agent in tuple(exchange.candidates):
        bound = max_body if agent.max_body is None else agent.max_body
        if length is not None and length > bound:
            exchange.rule_out(agent, too_large(bound))


async def _tried(exchange: Exchange, generation: Generation, state: State) -> Agent | Refusal:
    """Try the candidates in the order of the route until the claims of one were taken."""
    said: dict[int, tuple[Quota, ...]] = {}
    while exchange.candidates:
        exchange.agent, exchange.quotas = None, ()
        agent = exchange.agent = await generation.pipeline.route(exchange)
        try:
            refused = await take_claims(exchange, generation, state)
        except Refused as error:
            refused = error.refusal
        if refused is None:
            bind_body(exchange, agent, generation)
            return agent
        if refused is STATE_UNAVAILABLE:  # the next agent's claims are counted in the same place
            return refused
        exchange.rule_out(agent, refused)
        said[id(refused)] = exchange.quotas
    exchange.agent = None
    softest = exchange.softest_refusal or refusal("agent_unavailable", "no agent is left that could serve")
    exchange.quotas = said.get(id(softest), ())
    return softest


def bind_body(exchange: Exchange, agent: Agent, generation: Generation) -> None:
    """Hold a body that comes in chunks to what the agent takes, which nobody knew when the exchange was opened."""
    body = exchange.request_body
    if isinstance(body, ClientBody):
        body.max_bytes = generation.settings.server.max_body if agent.max_body is None else agent.max_body


def _explained(exchange: Exchange, pipeline: Pipeline) -> Refusal | Reply:
    """Return the ranking in the place of an answer: who would be tried in which order and why, and who would not."""
    if exchange.principal is None or OPERATOR not in exchange.principal.roles:
        return refusal("role_required", f"X-Aiogate-Explain needs the role {OPERATOR}")
    plugin, ranking = ranking_of(exchange, pipeline)
    said = {
        "path": exchange.full_path,
        "capabilities": exchange.capabilities,
        "ranked_by": plugin or None,
        "ranking": [{"agent": one.agent.id, "reason": one.reason, **one.figures} for one in ranking],
        "ruled_out": [{"agent": agent.id, **_plain(why)} for agent, why in exchange.lost],
    }
    return Reply(body=orjson.dumps(said, default=str, option=orjson.OPT_APPEND_NEWLINE))


def _plain(why: Refusal) -> dict[str, object]:
    names = ("status", "code", "rule", "detail", "retry_after_seconds")
    return {name: getattr(why, name) for name in names if getattr(why, name) is not None}
