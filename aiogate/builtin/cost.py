"""The ``cost`` plugin: reads what each response used and prices it.

For configs that name it; what it finds out stands in ``exchange.usage`` and ``exchange.cost_nanousd``::

    [[plugins.cost.price]]
    model = "gpt-4o-mini*"               # answers name dated models: gpt-4o-mini-2024-07-18
    input_usd_per_million = 0.15
    cached_input_usd_per_million = 0.075
    output_usd_per_million = 0.60

    [[plugins.cost.price]]
    agent = "support"                    # says nothing of tokens: so much a call
    call_usd = 0.02

The most specific entry counts: agent and model, agent and the start of a model, model, the longest start of a model,
agent. Without one the cost is unknown, never 0; so it is when tokens are priced and the response did not say any. An
answer of 500 and above costs nothing. Knows neither budgets nor the journal.
"""

import functools
from collections.abc import Callable
from decimal import Decimal
from typing import Final

import attrs

from aiogate import Exchange, Observer, Usage, hookimpl
from aiogate.usage import Price, UsageReader, cost_nanousd, reader_for

__all__ = ["Cost", "CostConfig", "PriceEntry"]

# With at most 10**12 tokens of a class and this price a cost still fits the 64 bits of JSON and SQL integers.
_MAX_USD: Final = 1000
_NANO_DIGITS: Final = 9
_FAILED_STATUS: Final = 500
_KEPT_LOOKUPS: Final = 1024


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
        input_usd_per_million: dollars for a million input tokens.
        cached_input_usd_per_million: for those of them that came out of a cache; else they cost as the others do.
        output_usd_per_million: dollars for a million output tokens.
        call_usd: dollars for each call that the agent answers, on top of the tokens.
    """

    model: str | None = None
    agent: str | None = None
    input_usd_per_million: Decimal | None = attrs.field(default=None, validator=_is_money)
    cached_input_usd_per_million: Decimal | None = attrs.field(default=None, validator=_is_money)
    output_usd_per_million: Decimal | None = attrs.field(default=None, validator=_is_money)
    call_usd: Decimal | None = attrs.field(default=None, validator=_is_money)

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
        if self.input_usd_per_million is None and self.cached_input_usd_per_million is not None:
            return "cached_input_usd_per_million needs input_usd_per_million"
        if self.input_usd_per_million is None and self.call_usd is None:
            return "expected prices of tokens, call_usd or both"
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
            output_nanousd_per_million=_nanousd(self.output_usd_per_million),
            per_call_nanousd=_nanousd(self.call_usd) or 0,
        )


@attrs.frozen(kw_only=True)
class CostConfig:
    """``[plugins.cost]``: the prices, in any order."""

    price: tuple[PriceEntry, ...] = attrs.field(default=())

    @price.validator
    def _names_each_once(self, _attribute: object, entries: tuple[PriceEntry, ...]) -> None:
        seen = set()
        for entry in entries:
            names = (entry.agent, entry.model)
            if names in seen:
                msg = f"two entries for agent {entry.agent!r} and model {entry.model!r}"
                raise ValueError(msg)
            seen.add(names)


@attrs.frozen
class _Meter:
    """Observes one response and settles its usage at the end."""

    _feed: Callable[[bytes], None]
    _settle: Callable[[], None]

    def __call__(self, chunk: bytes) -> None:
        if chunk:
            self._feed(chunk)
        else:
            self._settle()


class Cost:
    """Measures and prices what agents answer."""

    Config = CostConfig

    def __init__(self, config: CostConfig) -> None:
        """Keep the prices."""
        self._entries = config.price
        self._price = functools.lru_cache(maxsize=_KEPT_LOOKUPS)(self._closest_price)

    @hookimpl
    def response_started(self, exchange: Exchange) -> Observer | None:
        """Observe a response that can say what it used; settle any other at once."""
        if exchange.status >= _FAILED_STATUS:
            return None
        reader = reader_for(exchange.content_type, exchange.content_encoding, exchange.status)
        if reader is None:
            self._settle(exchange, Usage())
            return None
        return self._meter(exchange, reader)

    def _meter(self, exchange: Exchange, reader: UsageReader) -> Observer:
        return _Meter(reader.feed, lambda: self._settle(exchange, reader.result()))

    def _settle(self, exchange: Exchange, measured: Usage) -> None:
        """Write usage and cost down; what another plugin knows of the usage is kept where nothing was measured."""
        if measured.source != "unknown":
            exchange.usage = measured
        price = self._price(exchange.agent.id if exchange.agent else None, exchange.usage.model or "")
        if price is None:
            return
        if exchange.usage.source == "unknown":
            if not price.per_call_only:
                return
            exchange.usage = Usage(source="flat")
        exchange.cost_nanousd = cost_nanousd(exchange.usage, price)

    def _closest_price(self, agent_id: str | None, model: str) -> Price | None:
        fits = [(fit, entry) for entry in self._entries if (fit := entry.specificity(agent_id, model)) is not None]
        return max(fits, key=lambda candidate: candidate[0])[1].price() if fits else None
