"""Takes what an exchange claims for its agent from the counters: all of it or nothing; and says what it really was.

Knows nothing of how the agent was chosen, and of no agent besides.
"""

from http import HTTPStatus

from aiogate.claims import Counted, Measure, Shortage
from aiogate.errors import Refusal, StateError, refusal
from aiogate.exchange import Exchange
from aiogate.server.generation import Generation
from aiogate.server.quotas import shortage_refusal
from aiogate.state import State

__all__ = ["STATE_UNAVAILABLE", "real_amounts", "take_claims"]

STATE_UNAVAILABLE = refusal("state_unavailable", "the counters cannot be reached; nothing was sent to the agent")


async def take_claims(exchange: Exchange, generation: Generation, state: State) -> Refusal | None:
    """Take them, or return why not; raises ``PluginError`` and what a plugin refuses, ``Refused``."""
    claims = generation.pipeline.claims(exchange)
    if not claims:
        return None
    try:
        granted = await state.acquire(claims)
    except StateError:
        exchange.degraded = True
        return STATE_UNAVAILABLE
    exchange.quotas = granted.quotas
    exchange.degraded = granted.degraded
    if isinstance(granted, Shortage):
        return shortage_refusal(granted)
    exchange.grant = granted
    return None


def real_amounts(exchange: Exchange) -> dict[str, int] | None:
    """Return what an exchange that has ended really took, by claim name; None where it is what was claimed.

    A budget is charged what the record says, so that it equals the journal: tokens or money that nobody knows are none.
    In a window an estimate stands for what a good answer does not say.
    """
    real: dict[str, int] | None = None
    for quota in exchange.quotas:
        claim = quota[0]
        if claim.measure is not Measure.REQUESTS:
            amount = _real_amount(exchange, claim.measure)
            if amount or claim.kind is Counted.PERIOD or not _answered_well(exchange):
                real = real or {}
                real[claim.name] = amount
    return real


def _real_amount(exchange: Exchange, measure: Measure) -> int:
    return exchange.usage.tokens if measure is Measure.TOKENS else exchange.cost_nanousd or 0


def _answered_well(exchange: Exchange) -> bool:
    return exchange.first_byte is not None and exchange.status < HTTPStatus.BAD_REQUEST
