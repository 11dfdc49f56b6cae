"""Whether an exchange goes on to an agent, and to which: pipeline, route, claims.

Ends with an agent whose claims were taken, or with a refusal or a reply and nothing taken. Knows nothing of sockets.
Here is the straight way to the one agent that a path names; the others are in ``choose.py``.
"""

from aiogate.agent import Agent
from aiogate.errors import Refusal, refusal
from aiogate.exchange import Exchange, Reply
from aiogate.proxy.body import too_large
from aiogate.server.choose import choose
from aiogate.server.claim import take_claims
from aiogate.server.crowd import Crowd
from aiogate.server.fallback import admit_any
from aiogate.server.generation import Generation
from aiogate.server.halts import Halts
from aiogate.state import State

__all__ = ["admit"]


async def admit(
    exchange: Exchange, generation: Generation, state: State, crowd: Crowd, halts: Halts
) -> Agent | Refusal | Reply:
    """Return the agent that serves, or what ends the exchange; raises ``PluginError`` or ``Refused``."""
    pipeline = generation.pipeline
    ended = await pipeline.pre_request(exchange)
    if halts.in_force:
        ended = halts.judge(exchange, ended)
    if exchange.agent is None:
        return await choose(exchange, ended, generation, state, crowd)
    if exchange.agent.fallback:
        return await admit_any(exchange, exchange.agent, ended, generation, state, crowd)
    if ended is not None:
        return ended
    if exchange.principal is None:
        return refusal("unauthenticated", "no plugin has authenticated the caller")
    max_body = exchange.candidates[0].max_body
    if max_body is None:
        max_body = generation.settings.server.max_body
    if exchange.content_length is not None and exchange.content_length > max_body:
        return too_large(max_body)
    crowd.enter(exchange, generation.settings.server.max_exchanges_per_principal)
    agent = await pipeline.route(exchange) if pipeline.stages.route else exchange.candidates[0]
    exchange.agent = agent
    return await take_claims(exchange, generation, state) or agent
