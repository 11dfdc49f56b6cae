"""What a usage costs at a price, in integers only.

Knows nothing of where prices come from.
"""

from typing import Final

import attrs

from aiogate.exchange import Usage

__all__ = ["Price", "cost_nanousd"]

_MILLION: Final = 1_000_000


@attrs.frozen(kw_only=True)
class Price:
    """What one call and a million tokens of each class cost, in nano-dollars.

    Args:
        input_nanousd_per_million: None as well as ``output``: tokens are not charged, the price is per call.
        cached_input_nanousd_per_million: None: cached input costs what other input costs.
        output_nanousd_per_million: None: output is not charged.
        reasoning_nanousd_per_million: None: reasoning costs what other output costs.
        per_call_nanousd: on top of the tokens.
    """

    input_nanousd_per_million: int | None = None
    cached_input_nanousd_per_million: int | None = None
    output_nanousd_per_million: int | None = None
    reasoning_nanousd_per_million: int | None = None
    per_call_nanousd: int = 0

    @property
    def per_call_only(self) -> bool:
        """Whether a call costs the same whatever it used."""
        return self.input_nanousd_per_million is None and self.output_nanousd_per_million is None


def cost_nanousd(usage: Usage, price: Price) -> int:
    """Return what ``usage`` costs, rounded half up once at the end; tokens that were not said count as none."""
    tokens = _part_cost(
        usage.input_tokens,
        price.input_nanousd_per_million,
        usage.cached_input_tokens,
        price.cached_input_nanousd_per_million,
    ) + _part_cost(
        usage.output_tokens,
        price.output_nanousd_per_million,
        usage.reasoning_tokens,
        price.reasoning_nanousd_per_million,
    )
    return (tokens + _MILLION // 2) // _MILLION + price.per_call_nanousd


def _part_cost(whole_tokens: int | None, rate: int | None, part_tokens: int | None, part_rate: int | None) -> int:
    """Return a million times the cost of tokens of which a part may have its own rate."""
    whole, part = whole_tokens or 0, part_tokens or 0
    ordinary = rate or 0
    special = ordinary if part_rate is None else part_rate
    return max(0, whole - part) * ordinary + part * special
