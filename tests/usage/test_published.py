"""List prices out of genai-prices."""

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price

from aiogate import Usage
from aiogate.usage import PublishedPrices, cost_nanousd

MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "model", ["gpt-4o-mini-2024-07-18", "GPT-4o", "claude-sonnet-4-5", "gemini-2.5-pro", "o3", "mistral-large-latest"]
)
@pytest.mark.parametrize("input_tokens", [1000, 250_000])
def test_a_usage_costs_what_the_package_itself_makes_of_it(model: str, input_tokens: int) -> None:
    price = PublishedPrices().price(model, MOMENT.timestamp())
    assert price is not None
    usage = Usage(source="measured", input_tokens=input_tokens, cached_input_tokens=300, output_tokens=77)
    theirs = calc_price(
        TheirUsage(input_tokens=input_tokens, cache_read_tokens=300, output_tokens=77),
        model_ref=model,
        genai_request_timestamp=MOMENT,
    )
    assert cost_nanousd(usage, price) == int((theirs.total_price * 10**9 + Decimal("0.5")) // 1)


@pytest.mark.parametrize("model", ["text-embedding-3-small", "models/gemini-2.5-flash"])
def test_a_model_is_found_by_its_makers_other_names(model: str) -> None:
    assert PublishedPrices().price(model, MOMENT.timestamp()) is not None


def test_writes_to_a_cache_have_the_price_of_how_long_they_are_kept() -> None:
    price = PublishedPrices().price("claude-sonnet-4-5", MOMENT.timestamp())
    assert price is not None
    assert price.rates[:4] == (3 * 10**9, 3 * 10**8, 375 * 10**7, 6 * 10**9)


def test_audio_has_a_price_of_its_own() -> None:
    price = PublishedPrices().price("gpt-audio", MOMENT.timestamp())
    assert price is not None
    assert price.rates[4] > price.rates[0]
    assert price.rates[7] > price.rates[5]


@pytest.mark.parametrize("model", ["", "demo-1", "x" * 256, "\ud800", "gpt"])
def test_a_model_that_nobody_sells_has_no_price(model: str) -> None:
    assert PublishedPrices().price(model, MOMENT.timestamp()) is None


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    code = "import sys, aiogate.builtin.cost as c; c.Cost(c.CostConfig()); print('genai_prices' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.strip() == b"False"


def test_without_the_package_no_model_has_a_price_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices.data_snapshot", None)
    published = PublishedPrices()
    assert published.price("gpt-4o", 0.0) is None
    assert published.price("gpt-4o", 0.0) is None
    assert len(caplog.records) == 1
