"""What the totals add of an exchange that ended as most do, told without its record being read again.

For the books. It equals what ``tally.py`` makes of the record; whatever is out of the ordinary is left to that.
"""

from functools import lru_cache
from typing import Final

from aiogate.exchange import Exchange, Outcome
from aiogate.journal.record import MODEL_CHARACTERS, escaped, payer_of
from aiogate.journal.tally import LARGEST, QUARTER_SECONDS, Key

__all__ = ["Added", "added"]

_FAILED_STATUS: Final = 400
_QUARTER_MILLISECONDS: Final = QUARTER_SECONDS * 1000.0
_COMPLETED: Final = Outcome.COMPLETED

Tokens = tuple[int, int, int, int]
Added = tuple[float, Key, int | None, bool, Tokens]
"""The quarter in which it began, the names, the cost, whether there should have been one, and input, cached input,
output and reasoning tokens."""


def added(exchange: Exchange) -> Added | None:
    """Return what the totals add; None where the record has to be read."""
    principal, agent, usage, cost = exchange.principal, exchange.agent, exchange.usage, exchange.cost_nanousd
    shares = exchange.cost_centers
    if (
        exchange.outcome is not _COMPLETED
        or principal is None
        or agent is None
        or exchange.refusal is not None
        or (shares and len(shares) > 1)
        or usage.cache_write_tokens is not None
        or usage.cache_write_1h_tokens is not None
        or usage.input_audio_tokens is not None
        or usage.output_audio_tokens is not None
        or not (cost is None or (type(cost) is int and 0 <= cost <= LARGEST))
    ):
        return None
    tokens = fresh, cached, out, reasoning = (
        usage.input_tokens or 0,
        usage.cached_input_tokens or 0,
        usage.output_tokens or 0,
        usage.reasoning_tokens or 0,
    )
    if not (type(fresh) is type(cached) is type(out) is type(reasoning) is int):  # a bool is an int, too
        return None
    if not 0 <= fresh | cached | out | reasoning <= LARGEST:  # of all its bits, so none of them is larger
        return None
    names = _names(
        principal.id,
        principal.key_id,
        principal.department,
        agent.id,
        payer_of(exchange),
        usage.model,
        usage.source,
    )
    unpriced = cost is None and (usage.source != "unknown" or 0 < exchange.status < _FAILED_STATUS)
    quarter = (exchange.started_wall * 1000 + 0.5) // _QUARTER_MILLISECONDS  # of the milliseconds in the record
    return quarter * QUARTER_SECONDS, names, cost, unpriced, tokens


@lru_cache(maxsize=4096)
def _names(  # noqa: PLR0913, PLR0917 - by position, since every exchange asks for it
    principal_id: str,
    key_id: str | None,
    department: str | None,
    agent_id: str,
    cost_center: str | None,
    model: str | None,
    source: str,
) -> Key:
    model = escaped(model, MODEL_CHARACTERS) if model else ""
    return principal_id, department or "", agent_id, cost_center or "", "", key_id or "", model, source
