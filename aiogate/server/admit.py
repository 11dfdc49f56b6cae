"""Whether an exchange goes on to an agent, and to which: pipeline, route, claims.

Ends with an agent whose claims were taken, or with a refusal or a reply and nothing taken. Knows nothing of sockets.
Here is the straight way to the one agent that a path names; the others are in ``choose.py``.
"""

from collections.abc import Awaitable

from aiogate.agent import Agent
from aiogate.errors import Refusal, refusal
from aiogate.exchange import Exchange, Reply
from aiogate.proxy.body import too_large
from aiogate.server.choose import choose
from aiogate.server.claim import claimed, take_claims
from aiogate.server.crowd import Crowd
from aiogate.server.fallback import admit_any
from aiogate.server.generation import Generation
from aiogate.server.halts import Halts
from aiogate.state import State

__all__ = ["Admitted", "admit"]

Admitted = Agent | Refusal | Reply
"""Who serves, or what ends the exchange."""


def admit(  # noqa: PLR0911, PLR0913, PLR0917 - as ``choose``, and every way that it may end
    exchange: Exchange,
    ended: Refusal | Reply | None,
    generation: Generation,
    state: State,
    crowd: Crowd,
    halts: Halts,
) -> Admitted | Awaitable[Admitted]:
    """Return the agent that serves, or what ends the exchange; raises ``PluginError`` or ``Refused``.

    Where something has to be waited for, that is what is returned, to be awaited. ``ended`` is what the plugins have
    said.
    """
    if halts.in_force:
        ended = halts.judge(exchange, ended)
    agent = exchange.agent
    if agent is None:
        return choose(exchange, ended, generation, state, crowd)
    if agent.fallback:
        return admit_any(exchange, agent, ended, generation, state, crowd)
    if ended is not None or exchange.principal is None:
        return ended or refusal("unauthenticated", "no plugin has authenticated the caller")
    server, length, first = generation.settings.server, exchange.content_length, exchange.candidates[0]
    max_body = server.max_body if first.max_body is None else first.max_body
    if length is not None and length > max_body:
        return too_large(max_body)
    crowd.enter(exchange, server.max_exchanges_per_principal)
    if generation.pipeline.stages.route:
        return _routed(exchange, generation, state)
    agent = exchange.agent = first
    refused = claimed(exchange, generation, state)
    if refused is None:
        return agent
    return refused if isinstance(refused, Refusal) else _unless(refused, agent)


async def _routed(exchange: Exchange, generation: Generation, state: State) -> Agent | Refusal:
    agent = exchange.agent = await generation.pipeline.route(exchange)
    return await take_claims(exchange, generation, state) or agent


async def _unless(refused: Awaitable[Refusal | None], agent: Agent) -> Agent | Refusal:
    return await refused or agent
