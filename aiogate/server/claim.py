"""Takes what an exchange claims for its agent from the counters: all of it or nothing.

Knows nothing of how the agent was chosen, and of no agent besides.
"""

from aiogate.claims import Shortage
from aiogate.errors import Refusal, StateError, refusal
from aiogate.exchange import Exchange
from aiogate.server.generation import Generation
from aiogate.server.quotas import shortage_refusal
from aiogate.state import State

__all__ = ["STATE_UNAVAILABLE", "take_claims"]

STATE_UNAVAILABLE = refusal("state_unavailable", "the counters cannot be reached; nothing was sent to the agent")


async def take_claims(exchange: Exchange, generation: Generation, state: State) -> Refusal | None:
    """Take them, or return why not; raises ``PluginError`` and what a plugin refuses, ``Refused``."""
    claims = generation.pipeline.claims(exchange)
    if not claims:
        return None
    try:
        granted = await state.acquire(claims)
    except StateError:
        return STATE_UNAVAILABLE
    exchange.quotas = granted.quotas
    if isinstance(granted, Shortage):
        return shortage_refusal(granted)
    exchange.grant = granted
    return None
