"""Takes what an exchange claims for its agent from the counters: all of it or nothing; and says what it really was.

Knows nothing of how the agent was chosen, and of no agent besides.
"""

from collections.abc import Awaitable, Sequence
from http import HTTPStatus
from typing import Final

from aiogate.claims import Claim, Counted, Grant, Measure, Shortage
from aiogate.errors import Refusal, StateError, refusal
from aiogate.exchange import Exchange
from aiogate.server.generation import Generation
from aiogate.server.quotas import shortage_refusal
from aiogate.state import State
from aiogate.state.memory import MemoryState

__all__ = ["STATE_UNAVAILABLE", "claimed", "real_amounts", "take_claims"]

_REQUESTS: Final = Measure.REQUESTS  # an enumeration takes its time to look one up
STATE_UNAVAILABLE: Final = refusal("state_unavailable", "the counters cannot be reached; nothing was sent to the agent")


async def take_claims(exchange: Exchange, generation: Generation, state: State) -> Refusal | None:
    """Take them, or return why not; raises ``PluginError`` and what a plugin refuses, ``Refused``."""
    refused = claimed(exchange, generation, state)
    return refused if refused is None or isinstance(refused, Refusal) else await refused


def claimed(exchange: Exchange, generation: Generation, state: State) -> Refusal | Awaitable[Refusal | None] | None:
    """Do what ``take_claims`` does; where the counters are elsewhere, return what is to be awaited."""
    claims = generation.pipeline.claims(exchange)
    if not claims:
        return None
    if type(state) is not MemoryState:
        return _asked_for(exchange, claims, state)
    try:
        granted = state.take(claims)
    except StateError:
        return _without_state(exchange)
    return _noted(exchange, granted)


async def _asked_for(exchange: Exchange, claims: Sequence[Claim], state: State) -> Refusal | None:
    try:
        granted = await state.acquire(claims)
    except StateError:
        return _without_state(exchange)
    return _noted(exchange, granted)


def _without_state(exchange: Exchange) -> Refusal:
    exchange.degraded = True
    return STATE_UNAVAILABLE


def _noted(exchange: Exchange, granted: Grant | Shortage) -> Refusal | None:
    """Write down what the counters have said."""
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
        if claim.measure is not _REQUESTS:
            amount = _real_amount(exchange, claim.measure)
            if amount or claim.kind is Counted.PERIOD or not _answered_well(exchange):
                real = real or {}
                real[claim.name] = amount
    return real


def _real_amount(exchange: Exchange, measure: Measure) -> int:
    return exchange.usage.tokens if measure is Measure.TOKENS else exchange.cost_nanousd or 0


def _answered_well(exchange: Exchange) -> bool:
    return exchange.first_byte is not None and exchange.status < HTTPStatus.BAD_REQUEST
