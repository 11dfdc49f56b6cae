"""What a usage costs at a price, in integers only.

Knows nothing of where prices come from.
"""

from typing import Final

import attrs

from aiogate.exchange import Usage

__all__ = ["Price", "cost_nanousd"]

_MILLION: Final = 1_000_000
_HALF: Final = _MILLION // 2
_NANOSECONDS: Final = 10**9

Rates = tuple[int, int, int, int, int, int, int, int]


@attrs.frozen(kw_only=True)
class Price:
    """What one call, one second and a million tokens of each class cost, in nano-dollars.

    Args:
        input_nanousd_per_million: None as well as ``output``: tokens are not charged, the price is per call.
        cached_input_nanousd_per_million: None: cached input costs what other input costs.
        cache_write_nanousd_per_million: None: what is written to a cache costs what other input costs.
        cache_write_1h_nanousd_per_million: for what is kept an hour; None: what other writes cost.
        input_audio_nanousd_per_million: None: audio costs what other input costs.
        output_nanousd_per_million: None: output is not charged.
        reasoning_nanousd_per_million: None: reasoning costs what other output costs.
        output_audio_nanousd_per_million: None: audio costs what other output costs.
        per_call_nanousd: on top of the tokens.
        per_second_nanousd: likewise, for as long as the agent was at it.
        tiers: numbers of input tokens, rising, each with the price of an exchange that has more.
    """

    input_nanousd_per_million: int | None = None
    cached_input_nanousd_per_million: int | None = None
    cache_write_nanousd_per_million: int | None = None
    cache_write_1h_nanousd_per_million: int | None = None
    input_audio_nanousd_per_million: int | None = None
    output_nanousd_per_million: int | None = None
    reasoning_nanousd_per_million: int | None = None
    output_audio_nanousd_per_million: int | None = None
    per_call_nanousd: int = 0
    per_second_nanousd: int = 0
    tiers: "tuple[tuple[int, Price], ...]" = ()
    per_call_only: bool = attrs.field(init=False)
    """Whether the tokens do not matter."""
    output_is_priced: bool = attrs.field(init=False)
    """Whether it is known what output costs, be it nothing; list prices of some models leave it open."""
    rates: Rates = attrs.field(init=False, repr=False)
    """The eight prices of tokens with nothing left open, in the order of the fields."""

    @per_call_only.default
    def _says_nothing_of_tokens(self) -> bool:
        return self.input_nanousd_per_million is None and self.output_nanousd_per_million is None

    @output_is_priced.default
    def _leaves_no_output_open(self) -> bool:
        return self.per_call_only or self.output_nanousd_per_million is not None

    @rates.default
    def _filled_in(self) -> Rates:
        fresh, answer = self.input_nanousd_per_million or 0, self.output_nanousd_per_million or 0
        write = _or(self.cache_write_nanousd_per_million, fresh)
        return (
            fresh,
            _or(self.cached_input_nanousd_per_million, fresh),
            write,
            _or(self.cache_write_1h_nanousd_per_million, write),
            _or(self.input_audio_nanousd_per_million, fresh),
            answer,
            _or(self.reasoning_nanousd_per_million, answer),
            _or(self.output_audio_nanousd_per_million, answer),
        )


def cost_nanousd(usage: Usage, price: Price, seconds: float = 0.0) -> int:  # noqa: C901 - a class that is not there costs one look
    """Return what ``usage`` costs, rounded half up once at the end; tokens that were not said count as none.

    A token counts in one class only: cached before written before audio before fresh, reasoning before audio before
    other output.
    """
    fresh, answer = usage.input_tokens or 0, usage.output_tokens or 0
    for start, dearer in price.tiers:
        if fresh > start:
            price = dearer
    per_fresh, per_cached, per_write, per_hour, per_audio, per_answer, per_reasoning, per_speech = price.rates
    millionths = 0
    if cached := usage.cached_input_tokens:
        millionths = cached * per_cached
        fresh -= cached
    if usage.cache_write_tokens or usage.cache_write_1h_tokens:
        write, hour = usage.cache_write_tokens or 0, usage.cache_write_1h_tokens or 0
        millionths += (write - hour) * per_write + hour * per_hour
        fresh -= write
    if reasoning := usage.reasoning_tokens:
        millionths += reasoning * per_reasoning
        answer -= reasoning
    if fresh > 0:
        if audio := usage.input_audio_tokens:
            audio = min(fresh, audio)
            millionths += audio * per_audio
            fresh -= audio
        millionths += fresh * per_fresh
    if answer > 0:
        if speech := usage.output_audio_tokens:
            speech = min(answer, speech)
            millionths += speech * per_speech
            answer -= speech
        millionths += answer * per_answer
    total = (millionths + _HALF) // _MILLION + price.per_call_nanousd
    if price.per_second_nanousd:
        total += (round(seconds * _NANOSECONDS) * price.per_second_nanousd + _NANOSECONDS // 2) // _NANOSECONDS
    return total


def _or(rate: int | None, otherwise: int) -> int:
    return otherwise if rate is None else rate
