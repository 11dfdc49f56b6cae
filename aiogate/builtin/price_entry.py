"""A price as a config writes it, and which of several counts; for the ``cost`` plugin.

Knows nothing of responses.
"""

from datetime import date
from decimal import Decimal
from typing import Final

import attrs

from aiogate.usage import Price

__all__ = ["PriceEntry", "closest"]

# With at most 10**12 tokens of a class and this price a cost still fits the 64 bits of JSON and SQL integers.
_MAX_USD: Final = 1000
_NANO_DIGITS: Final = 9


def _is_money(_entry: object, _attribute: object, usd: Decimal | None) -> None:
    if usd is None:
        return
    if not usd.is_finite() or not 0 <= usd <= _MAX_USD or usd.scaleb(_NANO_DIGITS) % 1:
        msg = f"expected dollars from 0 to {_MAX_USD} with at most {_NANO_DIGITS} decimals, got {usd}"
        raise ValueError(msg)


def _nanousd(usd: Decimal | None) -> int | None:
    return None if usd is None else int(usd.scaleb(_NANO_DIGITS))


@attrs.frozen(kw_only=True)
class PriceEntry:
    """``[[plugins.cost.price]]``: what calls of a model, of an agent, or of both together cost.

    Args:
        model: as the agent's answer names it; with ``*`` at its end every model that starts so.
        agent: id of an agent; without it the entry is for all agents.
        from_: ``from = 2026-01-01``: in force from the beginning of that day in UTC, until an entry for the same names
            takes its place. An exchange has the price of the moment in which it began.
        input_usd_per_million: dollars for a million input tokens.
        cached_input_usd_per_million: for those of them that came out of a cache; else they cost as the others do.
        cache_write_usd_per_million: for those that were written to a cache; else as the others.
        cache_write_1h_usd_per_million: for those of these that are kept an hour; else as other writes.
        input_audio_usd_per_million: for those that are audio; else as the others.
        output_usd_per_million: dollars for a million output tokens.
        reasoning_usd_per_million: for those of them that are reasoning; else as the others.
        output_audio_usd_per_million: for those that are audio; else as the others.
        call_usd: dollars for each call that the agent answers, on top of the tokens.
        second_usd: dollars for each second from the request's last byte to the answer's, on top of both.
    """

    model: str | None = None
    agent: str | None = None
    from_: date | None = None
    input_usd_per_million: Decimal | None = attrs.field(default=None, validator=_is_money)
    cached_input_usd_per_million: Decimal | None = attrs.field(default=None, validator=_is_money)
    cache_write_usd_per_million: Decimal | None = attrs.field(default=None, validator=_is_money)
    cache_write_1h_usd_per_million: Decimal | None = attrs.field(default=None, validator=_is_money)
    input_audio_usd_per_million: Decimal | None = attrs.field(default=None, validator=_is_money)
    output_usd_per_million: Decimal | None = attrs.field(default=None, validator=_is_money)
    reasoning_usd_per_million: Decimal | None = attrs.field(default=None, validator=_is_money)
    output_audio_usd_per_million: Decimal | None = attrs.field(default=None, validator=_is_money)
    call_usd: Decimal | None = attrs.field(default=None, validator=_is_money)
    second_usd: Decimal | None = attrs.field(default=None, validator=_is_money)

    def __attrs_post_init__(self) -> None:
        """Refuse an entry that applies to nothing or leaves open what something costs."""
        msg = self._mistake()
        if msg is not None:
            raise ValueError(msg)

    def _mistake(self) -> str | None:
        if not self.model and not self.agent:
            return "expected a model, an agent or both"
        if self.model and "*" in self.model[:-1]:
            return f"model: expected '*' at the end if anywhere, got {self.model!r}"
        if (self.input_usd_per_million is None) != (self.output_usd_per_million is None):
            return "input_usd_per_million and output_usd_per_million go together; write 0 for what is free"
        if self.input_usd_per_million is None:
            for name in _PARTS:
                if getattr(self, name) is not None:
                    return f"{name} needs input_usd_per_million and output_usd_per_million"
            if self.call_usd is None and self.second_usd is None:
                return "expected prices of tokens, call_usd, second_usd or several of them"
        return None

    def specificity(self, agent_id: str | None, model: str) -> tuple[bool, bool, bool, int] | None:
        """Return how closely the entry fits, the greater the closer; None when it does not."""
        if self.agent and self.agent != agent_id:
            return None
        if not self.model:
            return False, True, False, 0
        start = self.model.removesuffix("*")
        exact = start == self.model
        if model != start and (exact or not model.startswith(start)):
            return None
        return True, bool(self.agent), exact, len(start)

    def price(self) -> Price:
        """Return the price in nano-dollars."""
        return Price(
            input_nanousd_per_million=_nanousd(self.input_usd_per_million),
            cached_input_nanousd_per_million=_nanousd(self.cached_input_usd_per_million),
            cache_write_nanousd_per_million=_nanousd(self.cache_write_usd_per_million),
            cache_write_1h_nanousd_per_million=_nanousd(self.cache_write_1h_usd_per_million),
            input_audio_nanousd_per_million=_nanousd(self.input_audio_usd_per_million),
            output_nanousd_per_million=_nanousd(self.output_usd_per_million),
            reasoning_nanousd_per_million=_nanousd(self.reasoning_usd_per_million),
            output_audio_nanousd_per_million=_nanousd(self.output_audio_usd_per_million),
            per_call_nanousd=_nanousd(self.call_usd) or 0,
            per_second_nanousd=_nanousd(self.second_usd) or 0,
        )


_PARTS: Final = (
    "cached_input_usd_per_million",
    "cache_write_usd_per_million",
    "cache_write_1h_usd_per_million",
    "input_audio_usd_per_million",
    "reasoning_usd_per_million",
    "output_audio_usd_per_million",
)


def closest(entries: tuple[PriceEntry, ...], agent_id: str | None, model: str, day: date) -> PriceEntry | None:
    """Return the entry that is most specific among those in force, of several for the same names the newest."""
    fits = [
        ((fit, entry.from_ or date.min), entry)
        for entry in entries
        if (fit := entry.specificity(agent_id, model)) is not None and (entry.from_ or date.min) <= day
    ]
    return max(fits, key=lambda candidate: candidate[0])[1] if fits else None
