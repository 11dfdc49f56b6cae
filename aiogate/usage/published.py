"""The list prices of well-known models, out of the package genai-prices; no network.

For the cost plugin, where a config has no price of its own. The package brings 30 MB and a fifth of a second of imports
with it, hence it is loaded when it is first asked for. Keeps no prices: the plugin does. Knows nothing of configs.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from threading import Lock
from typing import Any, Final

from aiogate.usage.prices import Price

__all__ = ["PublishedPrices"]

_NANO_DIGITS: Final = 9
_CALLS: Final = 1000
_MAKERS: Final = frozenset({"anthropic", "cohere", "deepseek", "google", "mistral", "openai", "x-ai"})
_RATES: Final = {
    "input_nanousd_per_million": "input_mtok",
    "cached_input_nanousd_per_million": "cache_read_mtok",
    "cache_write_nanousd_per_million": "cache_write_mtok",
    "cache_write_1h_nanousd_per_million": "cache_write_1h_mtok",
    "input_audio_nanousd_per_million": "input_audio_mtok",
    "output_nanousd_per_million": "output_mtok",
    "reasoning_nanousd_per_million": "output_reasoning_mtok",
    "output_audio_nanousd_per_million": "output_audio_mtok",
}
_logger: Final = logging.getLogger(__name__)


class PublishedPrices:
    """What providers ask for their models, at list prices."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._providers: Sequence[Any] | None = None

    def load(self) -> None:
        """Load the prices, once; may be called in any thread, and whoever comes meanwhile waits."""
        with self._lock:
            if self._providers is not None:
                return
            try:
                from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - heavy, see above
            except ImportError:
                _logger.warning("genai-prices is not installed: models without a price in the config are unpriced")
                self._providers = ()
            else:
                self._providers = get_snapshot().providers

    def price(self, model: str, wall: float) -> Price | None:
        """Return the price of a model, as its provider names it, at a time in seconds since 1970; None: not known.

        The provider is the first that claims the name, else the maker that has the model: one that several sell has
        the price of who made it, and one that only others sell has none.
        """
        if self._providers is None:
            self.load()
        info = self._found(model.lower().removeprefix("models/"))
        return None if info is None else _price(info.get_prices(datetime.fromtimestamp(wall, UTC)))

    def _found(self, name: str) -> Any:  # noqa: ANN401 - genai-prices' ModelInfo or None
        providers = self._providers or ()
        for provider in providers:
            if provider.model_match is not None and provider.model_match.is_match(name):
                return provider.find_model(name, all_providers=providers)
        makers = (provider for provider in providers if provider.id in _MAKERS)
        return next((info for maker in makers if (info := maker.find_model(name)) is not None), None)


def _price(published: Any) -> Price | None:  # noqa: ANN401 - genai-prices' ModelPrice
    starts = sorted({tier.start for name in _RATES.values() for tier in getattr(_rate(published, name), "tiers", ())})
    price = _at(published, 0, tuple((start, _at(published, start + 1, ())) for start in starts))
    return None if price.per_call_only and not price.per_call_nanousd else price


def _at(published: Any, input_tokens: int, tiers: tuple[tuple[int, Price], ...]) -> Price:  # noqa: ANN401 - as above
    rates: dict[str, Any] = {ours: _nanousd(_rate(published, theirs), input_tokens) for ours, theirs in _RATES.items()}
    call = _nanousd(_rate(published, "requests_kcount"), input_tokens) or 0
    return Price(per_call_nanousd=call // _CALLS, tiers=tiers, **rates)


def _rate(published: Any, name: str) -> Any:  # noqa: ANN401 - a Decimal, tiers of them, or None
    return getattr(published, name, None)


def _nanousd(rate: Any, input_tokens: int) -> int | None:  # noqa: ANN401 - as above
    """Return a rate in dollars, or the one that so many input tokens have, in whole nano-dollars."""
    if rate is None:
        return None
    if not isinstance(rate, Decimal):
        rate = next((tier.price for tier in reversed(rate.tiers) if input_tokens > tier.start), rate.base)
    return int(rate.scaleb(_NANO_DIGITS).to_integral_value(ROUND_HALF_UP))
