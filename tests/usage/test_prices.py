from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiogate import Usage
from aiogate.usage import Price, cost_nanousd

PRICE = Price(input_nanousd_per_million=150_000_000, output_nanousd_per_million=600_000_000)
TOKENS = st.integers(0, 10**12)
RATES = st.integers(0, 10**12)


def measured(**tokens: int) -> Usage:
    return Usage(source="measured", **tokens)


def test_each_class_costs_its_own_price() -> None:
    price = Price(
        input_nanousd_per_million=3_000_000,
        cached_input_nanousd_per_million=1_000_000,
        output_nanousd_per_million=5_000_000,
        reasoning_nanousd_per_million=7_000_000,
    )
    usage = measured(input_tokens=100, cached_input_tokens=40, output_tokens=10, reasoning_tokens=4)
    assert cost_nanousd(usage, price) == 60 * 3 + 40 * 1 + 6 * 5 + 4 * 7


def test_cached_and_reasoning_tokens_cost_as_the_others_where_they_have_no_price() -> None:
    usage = measured(input_tokens=100, cached_input_tokens=40, output_tokens=10, reasoning_tokens=4)
    assert cost_nanousd(usage, PRICE) == 100 * 150 + 10 * 600


def test_what_is_written_to_a_cache_costs_by_how_long_it_is_kept() -> None:
    price = Price(
        input_nanousd_per_million=4_000_000,
        cache_write_nanousd_per_million=5_000_000,
        cache_write_1h_nanousd_per_million=8_000_000,
        output_nanousd_per_million=0,
    )
    usage = measured(input_tokens=100, cached_input_tokens=10, cache_write_tokens=50, cache_write_1h_tokens=20)
    assert cost_nanousd(usage, price) == 50 * 4 + 30 * 5 + 20 * 8


def test_audio_costs_its_own_price_in_either_direction() -> None:
    price = Price(
        input_nanousd_per_million=1_000_000,
        input_audio_nanousd_per_million=7_000_000,
        output_nanousd_per_million=2_000_000,
        output_audio_nanousd_per_million=9_000_000,
    )
    usage = measured(input_tokens=10, input_audio_tokens=4, output_tokens=10, output_audio_tokens=5)
    assert cost_nanousd(usage, price) == 6 * 1 + 4 * 7 + 5 * 2 + 5 * 9


def test_a_token_that_is_cached_audio_is_paid_once() -> None:
    price = Price(
        input_nanousd_per_million=2_000_000,
        cached_input_nanousd_per_million=1_000_000,
        input_audio_nanousd_per_million=9_000_000,
    )
    assert cost_nanousd(measured(input_tokens=10, cached_input_tokens=8, input_audio_tokens=5), price) == 8 + 2 * 9


def test_a_token_that_is_spoken_reasoning_is_paid_once() -> None:
    price = Price(
        output_nanousd_per_million=2_000_000,
        reasoning_nanousd_per_million=1_000_000,
        output_audio_nanousd_per_million=9_000_000,
    )
    assert cost_nanousd(measured(output_tokens=10, reasoning_tokens=8, output_audio_tokens=5), price) == 8 + 2 * 9


@pytest.mark.parametrize("tokens, nanousd", [(200, 200), (201, 402), (400, 800), (401, 1203)])
def test_a_tier_is_for_exchanges_with_more_input_and_for_all_of_it(tokens: int, nanousd: int) -> None:
    dearer = [Price(input_nanousd_per_million=rate, output_nanousd_per_million=0) for rate in (2_000_000, 3_000_000)]
    price = Price(
        input_nanousd_per_million=1_000_000,
        output_nanousd_per_million=0,
        tiers=((200, dearer[0]), (400, dearer[1])),
    )
    assert cost_nanousd(measured(input_tokens=tokens), price) == nanousd


def test_a_second_costs_its_price_and_parts_of_one_their_part() -> None:
    price = Price(per_call_nanousd=5, per_second_nanousd=1000)
    assert cost_nanousd(Usage(), price, 1.5) == 1505
    assert cost_nanousd(Usage(), price, 0.0005) == 6
    assert cost_nanousd(Usage(), price) == 5


def test_a_class_may_be_free() -> None:
    price = Price(input_nanousd_per_million=1_000_000, cached_input_nanousd_per_million=0, output_nanousd_per_million=0)
    assert cost_nanousd(measured(input_tokens=5, cached_input_tokens=4), price) == 1


def test_a_usage_that_contradicts_itself_gives_nobody_money() -> None:
    price = Price(input_nanousd_per_million=1_000_000, cached_input_nanousd_per_million=0)
    assert cost_nanousd(measured(input_tokens=1, cached_input_tokens=5), price) == 0


def test_a_call_costs_its_fee_on_top_of_the_tokens() -> None:
    price = Price(input_nanousd_per_million=1_000_000, output_nanousd_per_million=0, per_call_nanousd=7)
    assert cost_nanousd(measured(input_tokens=3), price) == 10


@pytest.mark.parametrize("tokens, nanousd", [(1, 0), (2, 1), (3, 1), (4, 1), (5, 1), (6, 2)])
def test_the_sum_is_rounded_half_up_once(tokens: int, nanousd: int) -> None:
    price = Price(input_nanousd_per_million=250_000, output_nanousd_per_million=0)
    assert cost_nanousd(measured(input_tokens=tokens), price) == nanousd


def test_fractions_of_classes_add_up_before_they_are_rounded() -> None:
    price = Price(input_nanousd_per_million=300_000, output_nanousd_per_million=300_000)
    assert cost_nanousd(measured(input_tokens=1, output_tokens=1), price) == 1


def test_tokens_that_were_not_said_cost_nothing() -> None:
    assert cost_nanousd(Usage(), PRICE) == 0


@given(TOKENS, TOKENS, TOKENS, RATES, RATES, RATES)
def test_no_cost_is_further_than_half_a_nano_dollar_from_the_exact_one(
    cached: int, fresh: int, output: int, input_rate: int, cached_rate: int, output_rate: int
) -> None:
    price = Price(
        input_nanousd_per_million=input_rate,
        cached_input_nanousd_per_million=cached_rate,
        output_nanousd_per_million=output_rate,
    )
    usage = measured(input_tokens=cached + fresh, cached_input_tokens=cached, output_tokens=output)
    exact = Fraction(fresh * input_rate + cached * cached_rate + output * output_rate, 1_000_000)
    assert Fraction(-1, 2) < cost_nanousd(usage, price) - exact <= Fraction(1, 2)


def test_a_price_without_token_prices_is_per_call_only() -> None:
    assert Price(per_call_nanousd=5).per_call_only
    assert not PRICE.per_call_only
